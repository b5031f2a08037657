// What a model's answers look like, by the labels that the service names.
const TOLERANCE = 1e-5;
const MULTI_LABEL = "multi_label_classification"; // each label has a probability of its own
const POLAR = ["NEGATIVE", "POSITIVE"];

// {labels, addsUp, polar} of a GET /project/model: the labels sorted, whether the scores of a text add up to 1, and
// whether the labels are negative and positive. A service that does not name its labels has those two.
export function kindOf(response) {
  const card = cardOf(response);
  const labels = (Array.isArray(card.labels) && card.labels.length ? card.labels : POLAR).map(String).sort();
  const upper = labels.map((label) => label.toUpperCase()).sort();
  return {
    labels,
    addsUp: labels.length > 1 && card.problem_type !== MULTI_LABEL,
    polar: upper.length === POLAR.length && upper.every((label, i) => label === POLAR[i]),
  };
}

function cardOf(response) {
  try {
    return (response && response.status === 200 && response.json()) || {};
  } catch {
    return {}; // no JSON
  }
}

// One entry for each label, the highest score first.
export function wellFormed(predictions, asked, kind) {
  return (
    Array.isArray(predictions) && predictions.length === asked.length && predictions.every((answer) => isAnswer(answer, kind))
  );
}

function isAnswer(answer, { labels, addsUp }) {
  if (!Array.isArray(answer) || answer.length !== labels.length) return false;
  if (!answer.every((each) => each && typeof each.score === "number" && each.score >= 0 && each.score <= 1)) return false;
  const named = answer.map((each) => String(each.label)).sort();
  const sum = answer.reduce((total, { score }) => total + score, 0);
  return (
    named.every((label, i) => label === labels[i]) &&
    answer.every(({ score }, i) => i === 0 || answer[i - 1].score >= score) &&
    (!addsUp || Math.abs(sum - 1) < TOLERANCE)
  );
}

// Computed in another batch, scores are not the same to the last digit.
export function agree(answer, before) {
  const scores = new Map(before.map(({ label, score }) => [label, score]));
  return answer.every(({ label, score }) => Math.abs(scores.get(label) - score) < 2 * TOLERANCE);
}

export function isFirst(answer, label) {
  return answer[0].label.toUpperCase() === label;
}
