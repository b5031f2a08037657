// What k6 has added up, as figures by slice and as tables.
import { DEPLOYMENTS } from "./replicas.js";

export const STAGES = ["cache", "queue", "tokenize", "model"];
export const CHECK_OF_EACH = "is well-formed"; // the check that every predict gets, whatever comes back
export const STATUSES = [0, 401, 403, 404, 413, 422, 429, 500, 502, 503, 504]; // those that are counted apart; 0: no answer

// k6's own metrics, with the slices as a list instead of hundreds of metrics:
// {slices: [{start_s, seconds, users, predicts_per_s, predict_ms, hit_rate, stage_ms, failed_requests, failed_checks,
// replicas}], checks: [{name, passes, fails}], failures: {status: count}, predicts: {count, rate}, ran_s, metrics}.
// What was not measured is null. Any metric and any statistic may be missing: with --no-thresholds k6 hands over no metric
// without a sample, and some of its versions no sub-metric; there are no slices then, and failures have no status ("any").
export function figures(data, slices) {
  const all = data.metrics || {};
  const kept = Object.entries(all).filter(([name]) => !/[{,]slice:/.test(name));
  const metrics = Object.fromEntries(kept.map(([name, metric]) => [name, { ...metric, values: metric.values || {} }]));
  const checks = checksOf(data.root_group || {});
  const ran_s = ((data.state || {}).testRunDurationMs || 0) / 1000;
  const predicts = predictsOf(metrics, checks, ran_s);
  const { passes: hits = 0, fails: misses = 0 } = valuesOf(metrics, "cache_hit_rate");
  if (!predicts.count) forget(metrics, ["predict_duration"]);
  if (!(hits + misses)) forget(metrics, ["cache_hit_rate", ...STAGES.map((name) => `stage_${name}`)]);
  return { slices: bySlice(all, slices, ran_s), checks, failures: failuresOf(all), predicts, ran_s, metrics };
}

export function failedThresholds(metrics) {
  return thresholds(metrics).filter((each) => !each.ok).map((each) => `${each.metric} ${each.rule}`);
}

export function thresholds(metrics) {
  return Object.entries(metrics).flatMap(([metric, { thresholds: rules = {} }]) =>
    Object.entries(rules).map(([rule, { ok }]) => ({ metric, rule, ok })),
  );
}

function checksOf({ checks = [], groups = [] }) {
  return [...checks, ...groups.flatMap(checksOf)].map(({ name, passes, fails }) => ({ name, passes, fails }));
}

// k6 gives 0 for each figure of a metric that has thresholds and no sample.
function forget(metrics, names) {
  for (const name of names) if (metrics[name]) metrics[name] = { ...metrics[name], values: {} };
}

function predictsOf(metrics, checks, ran_s) {
  const { count, rate } = valuesOf(metrics, "http_reqs{route:predict}");
  if (count !== undefined) return { count, rate };
  const checked = checks.find(({ name }) => name === CHECK_OF_EACH);
  if (!checked) return { count: null, rate: null };
  const sum = checked.passes + checked.fails;
  return { count: sum, rate: ran_s ? sum / ran_s : null };
}

function failuresOf(metrics) {
  const counted = [...STATUSES, "another"].map((status) => [status, valuesOf(metrics, `failures{status:${status}}`).count]);
  const known = counted.some(([, count]) => count !== undefined);
  const counts = known ? counted : [["any", valuesOf(metrics, "failures").count]];
  return Object.fromEntries(counts.filter(([, count]) => count));
}

function valuesOf(metrics, name) {
  return (metrics[name] || {}).values || {};
}

function bySlice(metrics, slices, ran_s) {
  const read = (metric) => slices.values(metrics, metric, ran_s);
  const asked = read("http_reqs{route:predict");
  if (asked.every(({ count }) => count === undefined)) return [];
  const [requests, checks, times, hits, users] =
    ["http_req_failed{", "checks{", "predict_duration{", "cache_hit_rate{", "users{"].map(read);
  const stages = STAGES.map((name) => [name, read(`stage_${name}{`)]);
  const replicas = DEPLOYMENTS.map((name) => [name, read(`replicas_${name}{`)]);
  return read("replicas_read{").map((reads, i) => {
    const answered = hits[i].passes + hits[i].fails > 0;
    const pick = (list) => Object.fromEntries(list.map(([name, values]) => [name, values[i]]));
    return {
      start_s: i * slices.seconds,
      seconds: slices.seconds,
      users: asked[i].count ? users[i].max : null,
      predicts_per_s: (asked[i].count || 0) / slices.seconds,
      predict_ms: asked[i].count ? times[i] : null,
      hit_rate: answered ? hits[i].rate : null,
      stage_ms: answered ? pick(stages) : null,
      failed_requests: requests[i].passes || 0,
      failed_checks: checks[i].fails || 0,
      replicas: reads.passes ? Object.fromEntries(replicas.map(([name, values]) => [name, values[i].min])) : null,
    };
  });
}
