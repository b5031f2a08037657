// What k6 has added up, as figures by slice and as tables.
import { DEPLOYMENTS } from "./replicas.js";

export const STAGES = ["cache", "queue", "tokenize", "model"];
export const STATUSES = [0, 404, 413, 422, 429, 500, 502, 503, 504]; // those that are counted apart; 0: no answer

// k6's own metrics, with the slices as a list instead of hundreds of metrics:
// {slices: [{start_s, seconds, users, predicts_per_s, predict_ms, hit_rate, stage_ms, failed_requests, failed_checks,
// replicas}], checks: [{name, passes, fails}], failures: {status: count}, metrics}. What was not measured is null.
export function figures(data, slices) {
  const all = data.metrics;
  const metrics = Object.fromEntries(Object.entries(all).filter(([name]) => !/[{,]slice:/.test(name)));
  return { slices: bySlice(all, slices), checks: checksOf(data.root_group), failures: failuresOf(all), metrics };
}

export function failedThresholds(metrics) {
  return thresholds(metrics).filter((each) => !each.ok).map((each) => `${each.metric} ${each.rule}`);
}

export function thresholds(metrics) {
  return Object.entries(metrics).flatMap(([metric, { thresholds: rules = {} }]) =>
    Object.entries(rules).map(([rule, { ok }]) => ({ metric, rule, ok })),
  );
}

function checksOf(group) {
  return [...group.checks, ...group.groups.flatMap(checksOf)].map(({ name, passes, fails }) => ({ name, passes, fails }));
}

function failuresOf(metrics) {
  const counts = [...STATUSES, "another"].map((status) => [status, metrics[`failures{status:${status}}`].values.count]);
  return Object.fromEntries(counts.filter(([, count]) => count));
}

function bySlice(metrics, slices) {
  const read = (metric) => slices.values(metrics, metric);
  const asked = read("http_reqs{route:predict");
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
      predicts_per_s: asked[i].count / slices.seconds,
      predict_ms: asked[i].count ? times[i] : null,
      hit_rate: answered ? hits[i].rate : null,
      stage_ms: answered ? pick(stages) : null,
      failed_requests: requests[i].passes,
      failed_checks: checks[i].fails,
      replicas: reads.passes ? Object.fromEntries(replicas.map(([name, values]) => [name, values[i].min])) : null,
    };
  });
}
