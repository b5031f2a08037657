// The load of the course, and others, against a running service:
//
//   k6 run -e NAMESPACE=${NAMESPACE} --summary-trend-stats "min,avg,med,max,p(90),p(95),p(99),p(99.99)" load.js
//   k6 run -e BASE_URL=http://127.0.0.1:8000 -e SCENARIO=novel -e DURATION=60s load.js
//
// SCENARIO    course (the default), novel, hits, ramp, spike, soak
// USERS       virtual users, at most (10);  DURATION  of the whole (10m);  CACHE_RATE  share of the fixed texts (0.95)
// BASE_URL    or NAMESPACE, which stands for https://NAMESPACE.DOMAIN (DOMAIN: mids255.com)
// LOAD_API_KEY  the key, if the service requires one
// METRICS_URL URL of Ray's metrics, such as http://127.0.0.1:8080/metrics: the report then shows replicas too
// REPORT      the page that it writes (load-report.html);  SUMMARY  the same as JSON (load-report.json);  empty: none
//
// Every answer is checked: its shape, the labels that GET /project/model names, its sums, that a text always gets the same
// answer, and, if the labels are negative and positive, the labels of texts that leave no doubt. The folder load/ has to be
// beside this file.
import http from "k6/http";
import { check, group, sleep } from "k6";
import exec from "k6/execution";
import { Counter, Gauge, Rate, Trend } from "k6/metrics";
import { page } from "./load/page.js";
import { readReplicas } from "./load/replicas.js";
import { CHECK_OF_EACH, figures, STAGES, STATUSES } from "./load/figures.js";
import { agree, isFirst, kindOf, wellFormed } from "./load/labels.js";
import { address, keyHeader, metricsUrl, number, places, seconds } from "./load/settings.js";
import { Slices } from "./load/slices.js";
import { summary } from "./load/summary.js";
import { FIXED, novel, POOL, shuffled } from "./load/texts.js";

const SCENARIO = __ENV.SCENARIO || "course";
const USERS = number("USERS", 10, 1, 1e6, { whole: true });
const SECONDS = seconds(__ENV.DURATION || "10m");
const CACHE_RATE = number("CACHE_RATE", 0.95, 0, 1);
if (!__ENV.BASE_URL && !__ENV.NAMESPACE) throw new Error("name the service: -e NAMESPACE=... or -e BASE_URL=http://...");
const [BASE_URL, SHOWN_URL] = address(__ENV.BASE_URL || `https://${__ENV.NAMESPACE}.${__ENV.DOMAIN || "mids255.com"}`);
const PARAMS = { responseType: "text", headers: keyHeader(__ENV.LOAD_API_KEY) };
const METRICS_URL = metricsUrl(__ENV.METRICS_URL);
const { REPORT: REPORT_ASKED = "load-report.html", SUMMARY: SUMMARY_ASKED = "load-report.json" } = __ENV;
const [REPORT, SUMMARY] = places({ REPORT: REPORT_ASKED, SUMMARY: SUMMARY_ASKED });
const MIN_PER_SECOND = 1; // predicts of the whole load, below which a run counts as idle
const NO_ANSWER_WAIT_S = 0.5; // a port that refuses would be asked thousands of times a second, with a line of log each
const SETUP_TIMEOUT = "25s"; // two of them are less than k6 gives all of setup, so that a service that hangs is still reported

function stages(...parts) {
  return parts.map(([share, users]) => ({ duration: `${Math.ceil(1000 * share * SECONDS)}ms`, target: users }));
}

const ramp = Math.min(30, SECONDS / 4) / SECONDS; // 30 seconds of ten minutes, as the course has it
const SHAPES = {
  ramp: stages([0.25, USERS], [0.25, 3 * USERS], [0.25, 6 * USERS], [0.25, 10 * USERS]),
  spike: stages([0.3, USERS], [0.05, 10 * USERS], [0.3, 10 * USERS], [0.05, USERS], [0.3, USERS]),
};
const KINDS = ["course", "novel", "hits", "ramp", "spike", "soak"];
if (!KINDS.includes(SCENARIO)) throw new Error(`SCENARIO is ${SCENARIO}; there are ${KINDS.join(", ")}`);

const slices = new Slices(SECONDS);
const scenarios = {
  [SCENARIO]: {
    executor: "ramping-vus",
    startVUs: 1,
    stages: SHAPES[SCENARIO] || stages([ramp, USERS], [1 - 2 * ramp, USERS], [ramp, 0]),
  },
};
if (METRICS_URL) {
  scenarios.replicas = {
    executor: "constant-arrival-rate",
    exec: "watchReplicas",
    rate: 1,
    timeUnit: `${1000 * slices.seconds}ms`,
    duration: `${1000 * SECONDS}ms`,
    preAllocatedVUs: 1,
  };
}
export const options = {
  scenarios,
  thresholds: {
    http_req_duration: ["p(99)<2000"],
    http_req_failed: ["rate==0"],
    checks: ["rate==1"],
    predict_duration: ["p(99)<2000"],
    "http_reqs{route:predict}": [`rate>=${MIN_PER_SECOND}`],
    ...slices.kept(),
    ...Object.fromEntries([...STATUSES, "another"].map((status) => [`failures{status:${status}}`, []])),
  },
  summaryTrendStats: ["min", "avg", "med", "max", "p(90)", "p(95)", "p(99)", "p(99.99)"],
};

const predictDuration = new Trend("predict_duration", true);
const hitRate = new Rate("cache_hit_rate");
const stageTrends = Object.fromEntries(STAGES.map((name) => [name, new Trend(`stage_${name}`, true)]));
const failures = new Counter("failures");
const users = new Gauge("users");
const seen = new Map(); // answers to texts that come again

function post(texts, params) {
  const body = JSON.stringify({ text: texts });
  return http.request("POST", `${BASE_URL}/project/predict`, body, { ...PARAMS, ...params });
}

function texts() {
  if (SCENARIO === "hits" || Math.random() < CACHE_RATE) return Object.keys(FIXED);
  return SCENARIO === "novel" ? Array.from({ length: 10 }, novel) : shuffled(POOL);
}

function predictionsOf(response) {
  try {
    return response.status === 200 ? response.json("predictions") : null;
  } catch {
    return null; // no JSON
  }
}

function modelOf(response) {
  return response.headers["X-Model"] || "";
}

function asBefore(predictions, asked, model, first) {
  return predictions.every((answer, i) => {
    const text = asked[i];
    if (!POOL.includes(text)) return true;
    const key = `${model} ${text}`; // another model may answer otherwise
    if (!seen.has(key)) seen.set(key, first.model === model && first.answers[text] ? first.answers[text] : answer);
    return agree(answer, seen.get(key));
  });
}

function recordHeaders(headers) {
  for (const [, name, dur] of (headers["Server-Timing"] || "").matchAll(/(\w+);dur=([\d.]+)/g)) {
    if (stageTrends[name]) stageTrends[name].add(Number(dur));
  }
  const counts = (headers["X-Cache"] || "").match(/hit=(\d+),miss=(\d+),coalesced=(\d+)/);
  if (!counts) return;
  const [hit, miss, coalesced] = counts.slice(1).map(Number);
  for (let i = 0; i < hit + miss + coalesced; i++) hitRate.add(i < hit);
}

function count({ status }) {
  if (status !== 200) failures.add(1, { status: STATUSES.includes(status) ? status : "another" });
  if (status === 0) sleep(NO_ANSWER_WAIT_S);
}

// What all users need to know, since they share nothing that they find out later: which labels there are, and the answers
// that they compare theirs with.
export function setup() {
  for (const [asked, file] of [[REPORT_ASKED, REPORT], [SUMMARY_ASKED, SUMMARY]]) {
    if (asked !== file) console.warn(`there is no folder for ${asked}; it will be written as ${file} where k6 runs`);
  }
  const asking = { ...PARAMS, tags: { route: "setup" }, timeout: SETUP_TIMEOUT };
  const kind = kindOf(http.get(`${BASE_URL}/project/model`, { ...asking, responseCallback: null })); // may well be missing
  const response = post(POOL, asking);
  count(response);
  const predictions = predictionsOf(response);
  const good = wellFormed(predictions, POOL, kind);
  const answers = good ? Object.fromEntries(POOL.map((text, i) => [text, predictions[i]])) : {};
  return { model: modelOf(response), answers, kind, watchers: isOurs("replicas") ? 1 : 0 };
}

const WITHOUT_SETUP = { model: "", answers: {}, kind: kindOf(), watchers: METRICS_URL ? 1 : 0 };

// k6 run --iterations, --duration or --stage puts a scenario of its own in the place of all of ours.
function isOurs(scenario) {
  return scenario in exec.test.options.scenarios;
}

export default function (found) {
  const first = found || WITHOUT_SETUP;
  slices.begin();
  users.add(exec.instance.vusActive - first.watchers);
  group("health", () => {
    const response = http.get(`${BASE_URL}/project/health`, { ...PARAMS, tags: { route: "health" } });
    count(response);
    check(response, { "is healthy": (r) => r.status === 200 && String(r.body).includes('"healthy"') });
  });
  group("predict", () => {
    const asked = texts();
    const response = post(asked, { tags: { route: "predict" } });
    count(response);
    predictDuration.add(response.timings.duration);
    const predictions = predictionsOf(response);
    const good = check(predictions, { [CHECK_OF_EACH]: (p) => wellFormed(p, asked, first.kind) });
    if (!good) return;
    check(predictions, { "is as before": (p) => asBefore(p, asked, modelOf(response), first) });
    if (first.kind.polar) {
      const right = (answer, i) => !FIXED[asked[i]] || isFirst(answer, FIXED[asked[i]]);
      check(predictions, { "has the right labels": (p) => p.every(right) });
    }
    recordHeaders(response.headers);
  });
}

export function watchReplicas() {
  slices.begin();
  readReplicas(METRICS_URL);
}

export function handleSummary(data) {
  const found = figures(data, slices);
  const maxUsers = found.metrics.users ? found.metrics.users.values.max : null;
  const [people, lasted] = isOurs(SCENARIO) ? [USERS, SECONDS] : [maxUsers, found.ran_s];
  const settings = { scenario: SCENARIO, users: people, seconds: lasted, cache_rate: CACHE_RATE, url: SHOWN_URL };
  const report = { settings, ...found };
  const written = [REPORT, SUMMARY].filter(Boolean);
  const files = { stdout: summary(report, written) };
  if (REPORT) files[REPORT] = page(report);
  if (SUMMARY) files[SUMMARY] = JSON.stringify(report, null, 1);
  return files;
}
