// Reads and checks the settings of load.js before the first request: k6 itself would notice a wrong one late, or never.
const [FILE, FOLDER, NONE, CLOSED] = ["file", "folder", "none", "closed"];
const NO_NAME = "no-file-has-this-name";
const ESCAPED = "%[\\da-f]{2}";
const USER = `(?:[\\w.~!$&'()*+,;=:@-]|${ESCAPED})*@`;
const HOST = "(?:[\\w.\\u0080-\\uffff-]+|\\[[\\da-f:.]+(?:%25[\\w.-]+)?\\])(?::\\d+)?";
const PATH = `(?:/(?:[^\\x00-\\x20\\x7f?#%]|${ESCAPED})*)?`;
// As strict as k6: its error for a URL that it cannot parse comes with each request, and shows the password.
const ADDRESS = new RegExp(`^(https?://)(${USER})?(${HOST})(${PATH})$`, "i");

export function number(name, usual, min, max, { whole = false } = {}) {
  const value = Number(__ENV[name] || usual);
  if (!(value >= min && value <= max) || (whole && !Number.isInteger(value))) {
    throw new Error(`${name} is ${__ENV[name]}; give a ${whole ? "whole " : ""}number from ${min} to ${max}`);
  }
  return value;
}

// A second is the shortest duration that k6 takes for the scenario that reads METRICS_URL.
export function seconds(duration) {
  const units = { s: 1, m: 60, h: 3600 };
  const parts = /^(\d+(\.\d+)?[hms])+$/.test(duration) ? [...duration.matchAll(/([\d.]+)([hms])/g)] : [];
  const sum = parts.reduce((total, [, count, unit]) => total + Number(count) * units[unit], 0);
  if (!(sum >= 1)) throw new Error(`DURATION is ${duration}; give it as 30s, 10m or 1h30m, at least 1s`);
  return sum;
}

// [url, shown]: the address without a final slash or /project, and the same without user and password.
export function address(given) {
  const parts = given.match(ADDRESS);
  if (!parts) throw new Error(`the service's URL is ${withoutUser(given)}; give BASE_URL as http://host:port, or NAMESPACE as a name`);
  const [, scheme, user = "", host, path] = parts;
  const place = `${host}${path.replace(/\/*(\/project)?\/*$/, "")}`;
  return [`${scheme}${user}${place}`, `${scheme}${place}`];
}

export function metricsUrl(given) {
  if (given && !/^https?:\/\/[^\s/]/i.test(given)) {
    throw new Error(`METRICS_URL is ${withoutUser(given)}; give it as http://host:port/metrics`);
  }
  return given;
}

function withoutUser(url) {
  return url.replace(/^(\w+:\/\/)?[\s\S]*@/, "$1");
}

// The header of an API key, if there is one. No message repeats the key.
export function keyHeader(key) {
  if (!key) return {};
  if (!/^[!-~]+$/.test(key)) throw new Error("LOAD_API_KEY has a blank or another character that no key has");
  return { "X-API-Key": key };
}

// The paths at which k6 writes these files. k6 reports only after the run, when its figures are lost, that it could not
// write one. So a path at which no file can be is refused here, as far as open() shows that: it does not show whether k6
// may write there. k6 makes no folder, so a file in a missing folder goes to the folder in which k6 runs.
export function places(files) {
  // PWD may name another folder if a program started k6; an archive has neither
  const here = ["/proc/self/cwd", __ENV.PWD].find((folder) => folder && kindAt(folder) === FOLDER);
  const paths = Object.entries(files).map(([name, path]) => (path && here ? place(name, path, here) : path));
  const [first, second] = paths.map((path) => path.replace(/(^|\/)(\.?\/)+/g, "$1"));
  if (first && first === second) throw new Error(`${Object.keys(files).join(" and ")} are both ${first}; name two files`);
  return paths;
}

function place(name, path, here) {
  const end = path.lastIndexOf("/") + 1;
  const from = path.startsWith("/") ? "" : `${here}/`;
  const folder = kindAt(from + path.slice(0, end));
  const written = folder === NONE ? path.slice(end) : path;
  const kind = kindAt(folder === NONE ? `${here}/${written}` : from + path);
  if (end === path.length || folder === FILE || folder === CLOSED || kind === FOLDER || kind === CLOSED) {
    throw new Error(`${name} is ${path}, where no file can be written; give the name of a file in a folder`);
  }
  return written;
}

// What is at a path, by the errors of open(), k6's only way to look. A file itself is not opened: a pipe may never end.
function kindAt(path) {
  const below = errorOf(`${path}/${NO_NAME}`);
  if (below.includes("not a directory")) return FILE;
  if (!below.includes("no such file")) return CLOSED;
  return errorOf(path).includes("no such file") ? NONE : FOLDER;
}

function errorOf(path) {
  try {
    open(path);
  } catch (error) {
    return String(error);
  }
  return "";
}
