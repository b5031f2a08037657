"""The service on a real cluster, under load, while it is scaled, upgraded, evicted and killed: docs/cluster-test.md."""
