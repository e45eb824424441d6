"""Whether NetworkPolicies let a pod reach another, as a network plugin would judge (networking.k8s.io/v1)."""

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """A pod by namespace and labels, or an address outside."""

    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    address: str = ""


def reaches(policies: list[Body], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """True where the source's egress and the target's ingress both allow it."""
    return _allowed(policies, source, target, "Egress", port, protocol) and _allowed(
        policies, target, source, "Ingress", port, protocol
    )


def _allowed(policies: list[Body], subject: Peer, other: Peer, direction: str, port: int, protocol: str) -> bool:
    ours = [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == subject.namespace
        and direction in policy["spec"]["policyTypes"]
        and _selects(policy["spec"]["podSelector"], subject.labels)
    ]
    side, key = ("to", "egress") if direction == "Egress" else ("from", "ingress")
    rules = [rule for policy in ours for rule in policy["spec"].get(key, ())]
    return not ours or any(
        (side not in rule or any(_is_peer(peer, subject, other) for peer in rule[side]))
        and ("ports" not in rule or any(_is_port(each, port, protocol) for each in rule["ports"]))
        for rule in rules
    )


def _is_port(entry: Body, port: int, protocol: str) -> bool:
    return entry.get("port", port) == port and entry.get("protocol", "TCP") == protocol


def _is_peer(peer: Body, subject: Peer, other: Peer) -> bool:
    if "ipBlock" in peer:
        return bool(other.address) and ipaddress.ip_address(other.address) in ipaddress.ip_network(
            peer["ipBlock"]["cidr"]
        )
    if other.address:
        return False
    names = {"kubernetes.io/metadata.name": other.namespace}
    namespace = (
        _selects(peer["namespaceSelector"], names)
        if "namespaceSelector" in peer
        else (other.namespace == subject.namespace)
    )
    return namespace and _selects(peer.get("podSelector", {}), other.labels)


def _selects(selector: Body, labels: dict[str, str]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", ())
    )
