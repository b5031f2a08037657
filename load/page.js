// The report as one page of HTML that needs neither network nor script.
import { failedThresholds, STAGES, thresholds } from "./figures.js";
import { clock, escape, plot, short } from "./plot.js";
import { DEPLOYMENTS } from "./replicas.js";
import { STYLE } from "./style.js";

const LATENCIES = ["med", "p(90)", "p(95)", "p(99)", "max"]; // those that are drawn, of what --summary-trend-stats asks
const STATUS_WORDS = { 0: "no answer", any: "any status" };
const FEW = 4; // an axis of counts is at least this high, so that its ticks are whole

export function page(report) {
  const { settings } = report;
  const title = `Load report: ${settings.scenario}`;
  const share = settings.scenario === "hits" ? "" : `, ${percent(settings.cache_rate)} of them for the same three texts`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${escape(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${escape(title)}</h1>
<p>Up to ${short(settings.users)} users for ${short(settings.seconds)} seconds at ${escape(settings.url)}, predict requests${share};
ended${early(report)} ${new Date().toISOString().slice(0, 19).replace("T", " ")} UTC.</p>
</header>
<main>
${[verdict(report), ...(report.slices.length ? [plots(report)] : []), results(report), overTime(report.slices)].join("\n")}
</main>
</body>
</html>
`;
}

function early({ settings, ran_s }) {
  return ran_s && ran_s < 0.95 * settings.seconds ? ` after ${short(ran_s)} seconds,` : "";
}

function verdict({ metrics, predicts }) {
  const failed = failedThresholds(metrics);
  const values = (name) => (metrics[name] ? metrics[name].values : {});
  const tiles = [
    ["predicts", short(predicts.count)],
    ["predicts/s", short(predicts.rate)],
    ["predict p(99)", `${short(values("predict_duration")["p(99)"])} ms`],
    ["failed requests", short(values("http_req_failed").passes)],
    ["wrong answers", short(values("checks").fails)],
    ["texts from the cache", percent(values("cache_hit_rate").rate)],
  ];
  const figures = tiles.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join("\n");
  const judged = thresholds(metrics).length ? ["good", "Every threshold holds"] : ["", "No threshold was judged"];
  const [look, words] = failed.length ? ["bad", `Failed: ${escape(failed.join("; "))}`] : judged;
  return `<p class="verdict ${look}">${words}.</p>\n<dl>${figures}</dl>`;
}

function plots({ slices }) {
  const time = { starts: slices.map((slice) => slice.start_s), step: slices[0].seconds };
  const series = (name, value) => [name, slices.map(value)];
  const stages = (stat) =>
    STAGES.map((name) => series(name, ({ stage_ms: stage }) => (stage ? (stage[name][stat] ?? null) : null)));
  const latencies = drawnOf(slices).map((stat) => series(stat, ({ predict_ms: ms }) => (ms ? (ms[stat] ?? null) : null)));
  const replicas = DEPLOYMENTS.map((name) => series(name, (slice) => (slice.replicas ? slice.replicas[name] : null)));
  const all = [
    { title: "Latency of predict", unit: "ms, logarithmic", log: true, series: latencies },
    { title: "Predicts", unit: "a second", series: [series("predicts/s", (slice) => slice.predicts_per_s)] },
    { title: "Stages in the service, p(99)", unit: "ms, logarithmic", log: true, series: stages("p(99)") },
    { title: "Stages in the service, mean", unit: "ms", series: stages("avg") },
    {
      title: "Texts from the cache",
      unit: "%",
      minTop: 100,
      series: [series("hit rate", ({ hit_rate: rate }) => (rate === null ? null : 100 * rate))],
    },
    { title: "Users", unit: "at once", series: [series("users", (slice) => slice.users)] },
    {
      title: "Failures",
      unit: "count",
      minTop: FEW,
      series: [
        series("failed requests", (slice) => slice.failed_requests),
        series("failed checks", (slice) => slice.failed_checks),
      ],
    },
    { title: "Replicas that are well", unit: "count", minTop: FEW, series: replicas },
  ];
  const drawn = all.filter(({ series: lines }) => lines.some(([, values]) => values.some((value) => value !== null)));
  return `<section class="plots" aria-label="Over time">\n${drawn.map((each) => plot({ ...time, ...each })).join("\n")}\n</section>`;
}

function results({ metrics, checks, failures }) {
  const rules = thresholds(metrics).map(({ metric, rule, ok }) => [metric, rule, ok ? "holds" : "FAILED"]);
  const trends = ["predict_duration", "http_req_duration", ...STAGES.map((name) => `stage_${name}`)]
    .filter((name) => metrics[name])
    .map((name) => [name, metrics[name].values]);
  const stats = inOrder(trends.flatMap(([, values]) => Object.keys(values)));
  const statuses = Object.entries(failures).map(([status, count]) => [STATUS_WORDS[status] || `status ${status}`, count]);
  return [
    table("Thresholds", ["metric", "rule", ""], rules),
    table("Checks of the answers", ["check", "right", "wrong"], checks.map((each) => [each.name, each.passes, each.fails])),
    table("Failed requests", ["why", "count"], statuses.length ? statuses : [["none", 0]]),
    table("Times of the whole run, ms", ["", ...stats], trends.map(([name, values]) => [name, ...stats.map((stat) => short(values[stat]))])),
  ].join("\n");
}

// k6 has the statistics in no order; `count` has no unit of time.
function inOrder(stats) {
  const rank = (stat) => Number((stat.match(/^p\(([\d.]+)\)$/) || [])[1] ?? { min: -3, avg: -2, med: -1, max: 101, count: 102 }[stat]);
  return [...new Set(stats)].sort((a, b) => rank(a) - rank(b));
}

function drawnOf(slices) {
  const all = inOrder(slices.flatMap((slice) => Object.keys(slice.predict_ms || {}))).filter((stat) => stat !== "count");
  const usual = LATENCIES.filter((stat) => all.includes(stat));
  return usual.length ? usual : all;
}

function overTime(slices) {
  if (!slices.length) return "<p>There are no figures over time: k6 did not keep them.</p>";
  const stats = slices.map((slice) => slice.predict_ms || {});
  const latencies = drawnOf(slices);
  const replicas = slices.some((slice) => slice.replicas) ? DEPLOYMENTS : [];
  const head = ["from", "users", "predicts/s", ...latencies.map((stat) => `${stat} ms`), "from the cache"];
  const rows = slices.map((slice, i) => [
    clock(slice.start_s),
    short(slice.users),
    short(slice.predicts_per_s),
    ...latencies.map((stat) => short(stats[i][stat])),
    percent(slice.hit_rate),
    ...STAGES.map((name) => short(slice.stage_ms && slice.stage_ms[name].avg)),
    slice.failed_requests,
    slice.failed_checks,
    ...replicas.map((name) => short(slice.replicas && slice.replicas[name])),
  ]);
  const more = [...STAGES.map((name) => `${name} ms`), "failed requests", "failed checks", ...replicas.map((name) => `${name} replicas`)];
  return `<details><summary>Every figure over time</summary>\n${table("Slices", [...head, ...more], rows)}\n</details>`;
}

function table(title, head, rows) {
  const cells = (row) => row.map((cell, i) => `<${i ? "td" : 'th scope="row"'}>${escape(cell)}</${i ? "td" : "th"}>`).join("");
  const names = head.map((name) => `<th scope="col">${escape(name)}</th>`).join("");
  return `<section><h2>${escape(title)}</h2><div class="wide"><table>
<thead><tr>${names}</tr></thead>
<tbody>
${rows.map((row) => `<tr${row.includes("FAILED") ? ' class="bad"' : ""}>${cells(row)}</tr>`).join("\n")}
</tbody></table></div></section>`;
}

function percent(share) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(1).replace(/\.0$/, "")} %`;
}
