// How many replicas are well, as Ray reports on its metrics port.
import http from "k6/http";
import { Gauge, Rate } from "k6/metrics";

export const DEPLOYMENTS = ["ingress", "classifier"];
const gauges = Object.fromEntries(DEPLOYMENTS.map((name) => [name, new Gauge(`replicas_${name}`)]));
const read = new Rate("replicas_read");

// A port that cannot be reached fails nothing: the load is not about it.
export function readReplicas(url) {
  const response = http.get(url, { responseCallback: null, timeout: "2s", tags: { route: "metrics" } });
  read.add(response.status === 200);
  if (response.status !== 200) return;
  const healthy = Object.fromEntries(DEPLOYMENTS.map((name) => [name, 0]));
  for (const [, labels, value] of response.body.matchAll(/^ray_serve_deployment_replica_healthy\{(.*)\} (\S+)$/gm)) {
    const [, deployment] = labels.match(/deployment="(\w+)"/) || [];
    if (deployment in healthy) healthy[deployment] += Number(value);
  }
  for (const name of DEPLOYMENTS) gauges[name].add(healthy[name]);
}
