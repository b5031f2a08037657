"""Who may reach which port, by the network policies of every overlay."""

from __future__ import annotations

from tests.support.manifests import PORT, Manifest, each_ray_overlay, of_kind


@each_ray_overlay
def test_rays_ports_are_closed_to_others(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    for rule in _rules_from_outside(policies):
        ports = {port["port"] for port in rule.get("ports", [])}
        assert ports, "a rule for others that names no port opens all"
        assert ports <= {PORT, 6379, 8080, 8265, 9101, 44217, 44227}
    for name in ("from-gateway", *(name for name in policies if name == "from-nodeport")):
        assert [port["port"] for port in policies[name]["spec"]["ingress"][0]["ports"]] == [PORT]


@each_ray_overlay
def test_only_the_head_may_be_asked_by_the_operator_and_ask_the_api_server(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    head = policies.pop("project-prediction-head")["spec"]
    assert head["podSelector"]["matchLabels"]["ray.io/node-type"] == "head"
    assert {port["port"] for port in head["egress"][0]["ports"]} == {443, 6443, 8443, 16443}
    for name, policy in policies.items():
        for rule in policy["spec"].get("egress", []):
            assert "to" in rule or {port["port"] for port in rule["ports"]} == {53}, name
        for rule in policy["spec"].get("ingress", []):
            assert 8265 not in {port["port"] for port in rule.get("ports", [])}, name


def _rules_from_outside(policies: dict[str, Manifest]) -> list[Manifest]:
    own = {"podSelector": {"matchLabels": {"app": "project-prediction"}}}
    return [
        rule for policy in policies.values() for rule in policy["spec"].get("ingress", []) if rule.get("from") != [own]
    ]
