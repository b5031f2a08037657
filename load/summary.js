// What a run came to, as lines for the terminal.
import { failedThresholds, STAGES, thresholds } from "./figures.js";
import { short } from "./plot.js";

export function summary({ settings, metrics, predicts }, written) {
  const values = (name) => (metrics[name] ? metrics[name].values : {});
  const ms = (name) => ["med", "p(95)", "p(99)", "max"].map((key) => `${key} ${short(values(name)[key])}`).join("  ");
  const percent = (share, digits) => (share === undefined ? "–" : (100 * share).toFixed(digits));
  const failed = failedThresholds(metrics);
  const lines = [
    `${settings.scenario}, up to ${short(settings.users)} users, ${short(settings.seconds)} s at ${settings.url}`,
    `  predicts    ${short(predicts.count)}, ${predicts.rate === null ? "–" : predicts.rate.toFixed(1)} a second`,
    `  failed      ${percent(values("http_req_failed").rate, 3)} % of the requests`,
    `  checks      ${short(values("checks").passes)} right, ${short(values("checks").fails)} wrong`,
    `  texts       ${percent(values("cache_hit_rate").rate, 1)} % from the cache`,
    `  predict ms  ${ms("predict_duration")}`,
    ...STAGES.map((name) => `  ${name.padEnd(11)} ${ms(`stage_${name}`)}`),
    failed.length ? `  FAILED      ${failed.join("; ")}` : `  ${verdictOf(metrics)}`,
    ...(written.length ? [`  report      ${written.join(", ")}`] : []),
    "",
  ];
  return `\n${lines.join("\n")}`;
}

function verdictOf(metrics) {
  return thresholds(metrics).length ? "every threshold holds" : "no threshold was judged";
}
