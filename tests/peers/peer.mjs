// Node's fetch, and its older http with a kept connection and a chunked body.
import http from "node:http";

const url = process.argv[2];
const body = (count) => JSON.stringify({ text: Array.from({ length: count }, (_, i) => `peer ${i} ü`) });

async function show(name, response) {
  const { predictions } = await response.json();
  console.log(name, response.status, predictions.length);
}

await show("json", await fetch(`${url}/project/predict`, { method: "POST", body: body(2), headers: { "Content-Type": "application/json" } }));
await show("large", await fetch(`${url}/project/predict`, { method: "POST", body: body(100) }));
await show("slash", await fetch(`${url}/project/predict/`, { method: "POST", body: body(1) }));
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
for (const name of ["chunked", "again"]) {
  await new Promise((done, failed) => {
    const request = http.request(`${url}/project/predict`, { method: "POST", agent }, (response) => {
      let text = "";
      response.on("data", (part) => (text += part));
      response.on("end", () => {
        console.log(name, response.statusCode, JSON.parse(text).predictions.length);
        done();
      });
    });
    request.on("error", failed);
    request.write(body(3).slice(0, 10));
    request.end(body(3).slice(10));
  });
}
agent.destroy();
