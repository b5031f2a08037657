// A line plot over time as SVG text: no script, so that it shows wherever HTML does.
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [480, 210, 50, 8, 8, 26];

export function escape(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return String(text).replace(/[&<>"]/g, (character) => entities[character]);
}

export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  return value.toFixed(size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

export function clock(seconds) {
  const pad = (number) => String(Math.floor(number)).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  return `${hours ? `${hours}:${pad((seconds % 3600) / 60)}` : Math.floor(seconds / 60)}:${pad(seconds % 60)}`;
}

// `series` are [name, values], a value for each of `starts` (seconds), null where there is none. `log` is for what
// spreads over powers of ten, where 0 has no place and is left out; the axis ends at `minTop` or above.
export function plot({ title, unit, starts, step, series, log = false, minTop = 0 }) {
  const shown = (value) => value !== null && value !== undefined && (!log || value > 0);
  const known = series.flatMap(([, values]) => values).filter(shown);
  const ticks = log ? powers(known) : steps(Math.max(minTop, ...known));
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  const scale = log ? Math.log10 : (value) => value;
  const end = starts[starts.length - 1] + step;
  const x = (second) => LEFT + (second / end) * (WIDTH - LEFT - RIGHT);
  const y = (value) =>
    HEIGHT - BOTTOM - ((scale(value) - scale(low)) / (scale(high) - scale(low))) * (HEIGHT - TOP - BOTTOM);
  const at = (i) => x(starts[i] + step / 2);
  const line = ([name, values], number) => {
    let pen = "M";
    const path = values.map((value, i) => {
      const part = shown(value) ? `${pen}${at(i).toFixed(1)} ${y(value).toFixed(1)}h0` : ""; // h0: a lone point shows
      pen = shown(value) ? "L" : "M";
      return part;
    });
    return `<path class="line c${number}" data-series="${escape(name)}" d="${path.join("")}"/>`;
  };
  const column = (second, i) => {
    const lines = series.map(([name, values]) => `${name} ${short(values[i])}`).join("\n");
    const width = (x(step) - x(0)).toFixed(1);
    return `<rect class="column" x="${x(second).toFixed(1)}" y="${TOP}" width="${width}" height="${HEIGHT - TOP - BOTTOM}">` +
      `<title>${clock(second)}\n${escape(lines)}</title></rect>`;
  };
  const grid = ticks.map(
    (tick) => `<path class="grid" d="M${LEFT} ${y(tick).toFixed(1)}H${WIDTH - RIGHT}"/>` +
      `<text x="${LEFT - 6}" y="${(y(tick) + 4).toFixed(1)}" text-anchor="end">${Number(tick.toPrecision(3))}</text>`,
  );
  const times = [0, 0.25, 0.5, 0.75, 1].map((share, i) => {
    const anchor = ["start", "middle", "middle", "middle", "end"][i];
    return `<text x="${x(share * end).toFixed(1)}" y="${HEIGHT - 6}" text-anchor="${anchor}">${clock(share * end)}</text>`;
  });
  const legend = series.map(([name], number) => `<span class="key c${number}">${escape(name)}</span>`).join(" ");
  return `<figure><figcaption><b>${escape(title)}</b>, ${escape(unit)}<br>${legend}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escape(title)} over time; the table below has the figures">
${[...grid, ...times, ...series.map(line), ...starts.map(column)].join("\n")}
</svg></figure>`;
}

function steps(top) {
  const rough = (top > 0 ? top : 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
  return Array.from({ length: Math.ceil((top > 0 ? top : 1) / step - 0.001) + 1 }, (_, i) => i * step);
}

function powers(known) {
  const [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [1, 10];
  const first = Math.floor(Math.log10(low));
  const last = Math.max(first + 1, Math.ceil(Math.log10(high)));
  return Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
}
