"""What pods of a pipeline reach, and who reaches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

METADATA_SERVERS = (("0.0.0.0/0", "169.254.169.254/32"), ("::/0", "fd00:ec2::254/128"))
"""Everything, and in it where clouds give a machine's own credentials to whoever asks."""


def build_network_rules(labels: Mapping[str, str], ports: Sequence[int] = ()) -> dict[str, Any]:
    """The specification of a NetworkPolicy: pods of these labels reach everything but metadata servers, and are reached at ``ports`` alone."""
    everywhere = [{"ipBlock": {"cidr": cidr, "except": [excepted]}} for cidr, excepted in METADATA_SERVERS]
    within: list[dict[str, Any]] = [{"namespaceSelector": {}}]
    return {
        "podSelector": {"matchLabels": dict(labels)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": port} for port in ports]}] if ports else [],
        "egress": [
            {"to": within, "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]},
            {"to": [*everywhere, *within]},
        ],
    }
