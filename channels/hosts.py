"""Tells whether a host is this machine, so that traffic to it without TLS crosses no network.

It never resolves a name.
"""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
