// One load of the benchmark, for k6: closed loop or open rate, of fixed, pooled and new texts.
// Every answer is checked: its shape always, and its scores where golden ones are known.
import http from "k6/http";
import exec from "k6/execution";
import { check } from "k6";
import { Counter, Trend } from "k6/metrics";

const options_ = JSON.parse(open(__ENV.OPTIONS));
const golden = options_.golden;
const predicts = new Trend("predict_ms", true);
const refused = new Counter("refused");
const STAGES = ["cache", "queue", "tokenize", "model"];
const stages = Object.fromEntries(STAGES.map((name) => [name, new Trend(`stage_${name}_ms`, true)]));

const scenario = options_.rate
  ? { executor: "constant-arrival-rate", rate: options_.rate, timeUnit: "1s", preAllocatedVUs: 100, maxVUs: 400 }
  : { executor: "constant-vus", vus: options_.users };

export const options = {
  scenarios: { load: { ...scenario, duration: `${options_.seconds}s`, gracefulStop: "5s" } },
  summaryTrendStats: ["avg", "med", "p(90)", "p(95)", "p(99)", "max", "count"],
  discardResponseBodies: false,
};

function pick(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function words() {
  // each word is one token, and there are two around them
  if (options_.tokens) return Array.from({ length: options_.tokens - 2 }, () => pick(options_.words)).join(" ");
  const step = Math.floor(Math.random() * options_.quantiles.length);
  const low = options_.quantiles[step];
  const high = options_.quantiles[step + 1] || 47;
  const count = Math.max(1, low + Math.floor(Math.random() * (high - low + 1)) - 1);
  const chosen = [];
  for (let i = 0; i < count; i++) chosen.push(pick(options_.words));
  chosen.push(Math.floor(Math.random() * 36 ** 6).toString(36));
  return chosen.join(" ");
}

function shuffled(list) {
  const copy = list.slice();
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

// One request in twenty, as irregular as users are, and yet the same ones in each run: these few decide what is measured,
// and at even distances they would never meet, which nobody can promise. A mixing function (MurmurHash3's) of the number.
function rare() {
  let hash = exec.scenario.iterationInTest + 1;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % 20 === 0;
}

function texts() {
  if (options_.kind === "new") return Array.from({ length: options_.texts }, words);
  if (options_.kind === "hits" || !rare()) return options_.fixed;
  return options_.kind === "course" ? shuffled(options_.pool) : Array.from({ length: 10 }, words);
}

function right(response, asked) {
  if (response.status !== 200) return false;
  const body = response.json();
  const predictions = Array.isArray(body) ? body : body.predictions; // BentoML's batches are bare lists
  if (!predictions || predictions.length !== asked.length) return false;
  return predictions.every((pair, i) => {
    if (pair.length !== 2 || Math.abs(pair[0].score + pair[1].score - 1) > 1e-5) return false;
    const wanted = golden[asked[i]];
    if (wanted === undefined) return true;
    const positive = pair[0].label === "POSITIVE" ? pair[0].score : pair[1].score;
    return Math.abs(positive - wanted) < options_.tolerance;
  });
}

export default function () {
  const asked = texts();
  const response = http.request("POST", `${options_.url}/project/predict`, JSON.stringify({ text: asked }));
  predicts.add(response.timings.duration);
  if (response.status === 429) refused.add(1);
  for (const [, name, dur] of (response.headers["Server-Timing"] || "").matchAll(/(\w+);dur=([\d.]+)/g)) {
    stages[name].add(Number(dur));
  }
  check(response, { right: (r) => right(r, asked) });
}

export function handleSummary(data) {
  return { [options_.out]: JSON.stringify(data.metrics) };
}
