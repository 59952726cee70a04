"""Which hosts are this machine: what is sent there without TLS crosses no network.

Nothing here resolves a name.
"""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
