"use strict";
const byId = (id) => document.getElementById(id);
const EXAMPLES = ["I love this service, it is quick and kind.", "This is the worst meal I have ever had.", "It was not bad at all."];
const PLAIN = {
  404: () => "This page asks its own address for predictions, and found nothing there.",
  401: () => "This service asks for an API key, which this page cannot send. Ask it another way, see the API's docs.",
  413: () => "That is too much text for one request. Send it in parts.",
  422: () => "The service did not take these texts: there are too many, or one is too long.",
  429: (wait) => `The service is busy. Try again ${wait ? `in ${wait} s` : "in a moment"}.`,
  503: () => "The model is not answering just now. Try again in a moment.",
};
const MAX_SHOWN_CHARS = 2000;
const LABELS_WAIT_MS = 2000;
const SIGNS = new Set(["NEGATIVE", "POSITIVE"]);
const COLOURED = new Set([...SIGNS, "NEUTRAL"]);
const OTHER_COLOURS = 4;
let known = []; // the model's labels, in its order
let asking = false;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function percent(score) {
  const shown = (100 * score).toFixed(1);
  return `${shown === "100.0" && score < 1 ? ">99.9" : shown === "0.0" && score > 0 ? "<0.1" : shown} %`;
}

async function askLabels() {
  try {
    const response = await fetch("model", { credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(LABELS_WAIT_MS) });
    return response.ok ? (await response.json()).labels : [];
  } catch {
    return []; // the answers contain the names too, but not in the model's order
  }
}

// The labels in one order for all answers and visits: the model's own, otherwise by name. Positive comes before negative.
async function orderOf(predictions) {
  const given = [...new Set(predictions.flat().map(({ label }) => label))].sort();
  if (!given.every((label) => known.includes(label))) known = await askLabels();
  const order = [...known.filter((label) => given.includes(label)), ...given.filter((label) => !known.includes(label))];
  const isPolar = order.length === 2 && order.every((label) => SIGNS.has(label.toUpperCase()));
  return isPolar ? order.sort((a, b) => b.toUpperCase().localeCompare(a.toUpperCase())) : order;
}

function nameOf(label) {
  return SIGNS.has(label) ? label.toLowerCase() : label;
}

function colourOf(label, order) {
  if (COLOURED.has(label.toUpperCase())) return label.toLowerCase();
  const others = order.filter((each) => !COLOURED.has(each.toUpperCase()));
  return `other${others.indexOf(label) % OTHER_COLOURS}`;
}

function scoreRow({ label, score }, first, colour) {
  const row = element("div", `score${first ? " first" : ""}`);
  const name = element("span", "name", nameOf(label));
  name.dir = "auto";
  const track = element("div", "track");
  const bar = element("div", `bar ${colour}`);
  track.setAttribute("aria-hidden", "true");
  track.append(bar);
  bar.style.width = `${100 * score}%`;
  row.append(name, track, element("span", "number", percent(score)));
  return row;
}

function answerItem(text, answer, truncated, order) {
  const item = element("li");
  item.append(element("div", "text", text.length > MAX_SHOWN_CHARS ? `${text.slice(0, MAX_SHOWN_CHARS)}…` : text));
  const scores = element("div", "scores");
  for (const label of order) {
    const entry = answer.find((each) => each.label === label);
    if (entry) scores.append(scoreRow(entry, entry === answer[0], colourOf(label, order)));
  }
  item.append(scores);
  if (truncated) item.append(element("p", "quiet", "Longer than the model reads: only its beginning counted."));
  return item;
}

// How many texts have each label first: both counts of two labels, otherwise those above zero.
function countWords(predictions, order) {
  const counts = order.map((label) => [label, predictions.filter((answer) => answer[0].label === label).length]);
  const shown = order.length > 2 ? counts.filter(([, count]) => count) : counts;
  const isShared = predictions.every((answer) => Math.abs(answer.reduce((sum, { score }) => sum + score, 0) - 1) < 0.001);
  return `${isShared ? "" : "highest: "}${shown.map(([label, count]) => `${count} ${nameOf(label)}`).join(", ")}`;
}

function figure(name, value, className) {
  const box = element("div");
  box.append(element("dt", className, name), element("dd", "", value));
  return box;
}

function showTimes(headers, took) {
  const counts = /hit=(\d+),miss=(\d+),coalesced=(\d+)/.exec(headers.get("X-Cache") || "");
  const stages = [...(headers.get("Server-Timing") || "").matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, ms]) => [name, Number(ms)]);
  const figures = [];
  if (counts) {
    figures.push(figure("from the cache", counts[1]), figure("from the model", counts[2]));
    if (Number(counts[3])) figures.push(figure("shared", counts[3]));
  }
  figures.push(figure("there and back", `${took.toFixed(0)} ms`));
  for (const [name, ms] of stages) figures.push(figure(name, `${ms.toFixed(2)} ms`, `stage ${name}`));
  byId("figures").replaceChildren(...figures);
  const total = stages.reduce((sum, [, ms]) => sum + ms, 0);
  byId("stages").replaceChildren(...stages.map(([name, ms]) => {
    const part = element("div", name);
    part.style.width = `${total ? (100 * ms) / total : 0}%`;
    return part;
  }));
  byId("model").textContent = headers.get("X-Model") ? `Model ${headers.get("X-Model")}` : "";
  byId("time").hidden = false;
  return counts ? `, ${counts[1]} from the cache` : "";
}

function fail(message) {
  byId("status").textContent = "";
  byId("error").textContent = message;
}

async function ask(texts) {
  const began = performance.now();
  let response, body;
  try {
    response = await fetch("predict", {
      method: "POST", body: JSON.stringify({ text: texts }), headers: { "Content-Type": "application/json" },
      credentials: "omit", cache: "no-store",
    });
    body = response.ok ? await response.json() : null;
  } catch {
    return fail("The service could not be reached. Check the network, then try again.");
  }
  const took = performance.now() - began;
  if (!response.ok) {
    const plain = PLAIN[response.status];
    return fail(plain ? plain(response.headers.get("Retry-After")) : `The service failed with status ${response.status}. Try again.`);
  }
  const truncated = new Set((response.headers.get("X-Truncated") || "").split(",").filter(Boolean).map(Number));
  const order = await orderOf(body.predictions);
  byId("answers").replaceChildren(...texts.map((text, i) => answerItem(text, body.predictions[i], truncated.has(i), order)));
  byId("answer").hidden = false;
  byId("status").textContent = `${texts.length} ${texts.length === 1 ? "text" : "texts"} in ${took.toFixed(0)} ms` +
    `${showTimes(response.headers, took)}: ${countWords(body.predictions, order)}.` +
    (response.headers.has("X-Truncated-Count") ?
      ` ${response.headers.get("X-Truncated-Count")} texts were longer than the model reads.` : "");
}

byId("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (asking) return;
  byId("error").textContent = "";
  const texts = byId("texts").value.split("\n").filter((line) => line.trim());
  if (!texts.length) {
    fail("There is no text yet. Type one, or fill in the examples.");
    byId("texts").focus();
    return;
  }
  asking = true;
  byId("ask").setAttribute("aria-disabled", "true");
  byId("status").textContent = "Asking…";
  try {
    await ask(texts);
  } finally {
    asking = false;
    byId("ask").removeAttribute("aria-disabled");
  }
});
byId("texts").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
});
byId("example").addEventListener("click", () => {
  byId("texts").value = EXAMPLES.join("\n");
  byId("texts").focus();
});
