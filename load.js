// The load of the course, and others, against a running service:
//
//   k6 run -e NAMESPACE=${NAMESPACE} --summary-trend-stats "min,avg,med,max,p(90),p(95),p(99),p(99.99)" load.js
//   k6 run -e BASE_URL=http://127.0.0.1:8000 -e SCENARIO=novel -e DURATION=60s load.js
//
// SCENARIO   course (the default), novel, hits, ramp, spike, soak
// USERS      virtual users at the most (10);  DURATION  of the whole (10m);  CACHE_RATE  share of the fixed texts (0.95)
// BASE_URL   or NAMESPACE, which stands for https://NAMESPACE.DOMAIN (DOMAIN: mids255.com);  SUMMARY  a file for the figures
//
// It is one file without others, so that it can be copied to where the load comes from. Every answer is checked: its
// shape, its sums, that a text always gets the same answer, and the labels of texts that leave no doubt.
import http from "k6/http";
import { check, group } from "k6";
import { Rate, Trend } from "k6/metrics";

const SCENARIO = __ENV.SCENARIO || "course";
const USERS = Number(__ENV.USERS || 10);
const SECONDS = seconds(__ENV.DURATION || "10m");
const CACHE_RATE = Number(__ENV.CACHE_RATE || 0.95);
const BASE_URL = __ENV.BASE_URL || `https://${__ENV.NAMESPACE}.${__ENV.DOMAIN || "mids255.com"}`;
const TOLERANCE = 1e-5;
const LEAST_PER_SECOND = 1; // predicts of the whole load, below which a run counts as idle

// each with the label that any model worth serving gives it
const FIXED = {
  "I love this service, it is quick and kind.": "POSITIVE",
  "What a wonderful day, everything went well!": "POSITIVE",
  "This is the worst meal I have ever had.": "NEGATIVE",
};
const POOL = [
  ...Object.keys(FIXED),
  "Best soup I have had in years!",
  "My umbrella broke on its first rainy day.",
  "They painted the old bridge a cheerful green.",
  "Never again will I stay at that hotel.",
  "The concert made the whole street dance.",
  "Half the lamps in the museum were out.",
  "A long queue, a short temper and cold coffee.",
];
const WORDS = (
  "a the this our one never always quite rather film story actor scene joke song end plot voice hero night city mother " +
  "garden river train music camera colour heart idea moment world child friend good bad great dull funny sad warm cold " +
  "bright empty honest clumsy gentle loud slow brilliant tired fresh loves hates makes takes finds loses tells shows"
).split(" ");

if (!__ENV.BASE_URL && !__ENV.NAMESPACE) throw new Error("name the service: -e NAMESPACE=... or -e BASE_URL=http://...");

function seconds(duration) {
  const units = { s: 1, m: 60, h: 3600 };
  let sum = 0;
  for (const [, number, unit] of duration.matchAll(/(\d+(?:\.\d+)?)(h|m|s)/g)) sum += Number(number) * units[unit];
  if (!sum) throw new Error(`DURATION is ${duration}; give it as 30s, 10m or 1h30m`);
  return sum;
}

function stages(...parts) {
  return parts.map(([share, users]) => ({ duration: `${Math.max(1, Math.round(share * SECONDS))}s`, target: users }));
}

const ramp = Math.min(30, SECONDS / 4) / SECONDS; // 30 seconds of ten minutes, as the course has it
const SHAPES = {
  ramp: stages([0.25, USERS], [0.25, 3 * USERS], [0.25, 6 * USERS], [0.25, 10 * USERS]),
  spike: stages([0.3, USERS], [0.05, 10 * USERS], [0.3, 10 * USERS], [0.05, USERS], [0.3, USERS]),
};
const KINDS = ["course", "novel", "hits", "ramp", "spike", "soak"];
if (!KINDS.includes(SCENARIO)) throw new Error(`SCENARIO is ${SCENARIO}; there are ${KINDS.join(", ")}`);

export const options = {
  stages: SHAPES[SCENARIO] || stages([ramp, USERS], [1 - 2 * ramp, USERS], [ramp, 0]),
  thresholds: {
    http_req_duration: ["p(99)<2000"],
    http_req_failed: ["rate==0"],
    checks: ["rate==1"],
    predict_duration: ["p(99)<2000"],
    "http_reqs{route:predict}": [`count>=${Math.ceil(LEAST_PER_SECOND * SECONDS)}`],
  },
  summaryTrendStats: ["min", "avg", "med", "max", "p(90)", "p(95)", "p(99)", "p(99.99)"],
};

const predictDuration = new Trend("predict_duration", true);
const hitRate = new Rate("cache_hit_rate");
const stageNames = ["cache", "queue", "tokenize", "model"];
const stageTrends = Object.fromEntries(stageNames.map((name) => [name, new Trend(`stage_${name}`, true)]));
const seen = new Map(); // this user's answers to texts that come again

function pick(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function novel() {
  const words = Array.from({ length: 2 + Math.floor(Math.random() * 34) }, () => pick(WORDS));
  return [...words, Math.floor(Math.random() * 36 ** 8).toString(36)].join(" ");
}

function shuffled(list) {
  const copy = list.slice();
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

function texts() {
  if (SCENARIO === "hits" || Math.random() < CACHE_RATE) return Object.keys(FIXED);
  return SCENARIO === "novel" ? Array.from({ length: 10 }, novel) : shuffled(POOL);
}

function wellFormed(predictions, asked) {
  return (
    Array.isArray(predictions) &&
    predictions.length === asked.length &&
    predictions.every(
      (pair) =>
        pair.length === 2 &&
        pair.map((each) => each.label).sort().join() === "NEGATIVE,POSITIVE" &&
        pair[0].score >= pair[1].score &&
        pair[1].score >= 0 &&
        Math.abs(pair[0].score + pair[1].score - 1) < TOLERANCE,
    )
  );
}

function asBefore(predictions, asked, model) {
  return predictions.every((pair, i) => {
    if (!POOL.includes(asked[i])) return true;
    const key = `${model} ${asked[i]}`; // another model may answer otherwise
    const answer = pair.map((each) => `${each.label} ${each.score}`).join(); // JSON.stringify would follow no fixed order
    if (!seen.has(key)) seen.set(key, answer);
    return seen.get(key) === answer;
  });
}

function tell(headers) {
  for (const [, name, dur] of (headers["Server-Timing"] || "").matchAll(/(\w+);dur=([\d.]+)/g)) {
    if (stageTrends[name]) stageTrends[name].add(Number(dur));
  }
  const counts = (headers["X-Cache"] || "").match(/hit=(\d+),miss=(\d+),coalesced=(\d+)/);
  if (!counts) return;
  const [hit, miss, coalesced] = counts.slice(1).map(Number);
  for (let i = 0; i < hit + miss + coalesced; i++) hitRate.add(i < hit);
}

export default function () {
  group("health", () => {
    const response = http.get(`${BASE_URL}/project/health`, { tags: { route: "health" } });
    check(response, { "is healthy": (r) => r.status === 200 && String(r.body).includes('"healthy"') });
  });
  group("predict", () => {
    const asked = texts();
    const url = `${BASE_URL}/project/predict`;
    const response = http.request("POST", url, JSON.stringify({ text: asked }), { tags: { route: "predict" } });
    predictDuration.add(response.timings.duration);
    let predictions = null;
    try {
      predictions = response.status === 200 ? response.json("predictions") : null;
    } catch {
      // no JSON: the first check fails
    }
    const good = check(predictions, { "is well-formed": (p) => wellFormed(p, asked) });
    if (!good) return;
    check(predictions, {
      "is as before": (p) => asBefore(p, asked, response.headers["X-Model"]),
      "has the right labels": (p) => p.every((pair, i) => pair[0].label === (FIXED[asked[i]] || pair[0].label)),
    });
    tell(response.headers);
  });
}

export function handleSummary(data) {
  const values = (name) => (data.metrics[name] ? data.metrics[name].values : {});
  const failed = Object.entries(data.metrics).flatMap(([name, metric]) =>
    Object.entries(metric.thresholds || {})
      .filter(([, threshold]) => !threshold.ok)
      .map(([rule]) => `${name} ${rule}`),
  );
  const ms = (name) => {
    const v = values(name);
    return ["med", "p(95)", "p(99)", "max"].map((key) => `${key} ${(v[key] ?? NaN).toFixed(1)}`).join("  ");
  };
  const predicts = values("http_reqs{route:predict}");
  const lines = [
    `${SCENARIO}, up to ${USERS} users, ${SECONDS} s at ${BASE_URL}`,
    `  predicts    ${predicts.count || 0}, ${(predicts.rate || 0).toFixed(1)} a second`,
    `  failed      ${((values("http_req_failed").rate ?? 1) * 100).toFixed(3)} % of the requests`,
    `  checks      ${values("checks").passes || 0} right, ${values("checks").fails || 0} wrong`,
    `  texts       ${((values("cache_hit_rate").rate || 0) * 100).toFixed(1)} % from the cache`,
    `  predict ms  ${ms("predict_duration")}`,
    ...stageNames.map((name) => `  ${name.padEnd(11)} ${ms(`stage_${name}`)}`),
    failed.length ? `  FAILED      ${failed.join("; ")}` : "  every threshold holds",
    "",
  ];
  const files = { stdout: `\n${lines.join("\n")}` };
  if (__ENV.SUMMARY) files[__ENV.SUMMARY] = JSON.stringify(data, null, 1);
  return files;
}
