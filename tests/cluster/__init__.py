"""Scales, upgrades, evicts and kills the service on a real cluster under load: docs/how-to/cluster-test.md."""
