// Figures over time. k6 hands its summary only what it has added up over the whole run, so each measurement is tagged
// with the slice of time that it belongs to, and k6 is asked to keep each slice as a sub-metric.
import exec from "k6/execution";
import { STAGES } from "./figures.js";
import { DEPLOYMENTS } from "./replicas.js";

const MAX_SLICES = 60;
const LATE = 0.1; // of a slice: the last users may begin a little after the end
const SLICED = [
  "http_reqs{route:predict",
  "http_req_failed{",
  "checks{",
  "predict_duration{",
  "cache_hit_rate{",
  "users{",
  "replicas_read{",
  ...STAGES.map((name) => `stage_${name}{`),
  ...DEPLOYMENTS.map((name) => `replicas_${name}{`),
];

export class Slices {
  constructor(seconds) {
    this.count = Math.min(MAX_SLICES, Math.max(1, Math.floor(seconds)));
    this.seconds = seconds / this.count;
  }

  // For `options.thresholds`: k6 keeps a sub-metric that has a list of thresholds, also an empty one.
  kept() {
    const numbers = Array.from({ length: this.count }, (_, slice) => slice);
    return Object.fromEntries(numbers.flatMap((slice) => SLICED.map((name) => [this.name(name, slice), []])));
  }

  // Tags all that this user measures from here on with the present slice. `k6 run --duration` may go on for longer than
  // the slices last; that has no place among them.
  begin() {
    const passed = (Date.now() - exec.scenario.startTime) / 1000;
    const slice = passed < (this.count + LATE) * this.seconds ? Math.min(this.count - 1, Math.floor(passed / this.seconds)) : "later";
    exec.vu.metrics.tags.slice = String(slice);
  }

  name(metric, slice) {
    return `${metric}${metric.endsWith("{") ? "" : ","}slice:${slice}}`;
  }

  // The values of a sliced metric, slice by slice, of those that a run of `ran_s` seconds has seen.
  values(metrics, metric, ran_s) {
    const seen = Math.min(this.count, Math.max(1, Math.ceil(ran_s / this.seconds)));
    return Array.from({ length: seen }, (_, slice) => (metrics[this.name(metric, slice)] || {}).values || {});
  }
}
