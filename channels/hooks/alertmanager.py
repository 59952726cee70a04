"""Prometheus' Alertmanager (`webhook_configs`). It signs nothing, so it sends the secret itself. Pure.

    http_config: {authorization: {credentials_file: /etc/alertmanager/deploybot}}

A delivery has no id: the same bytes are the same delivery. When a group is told again, they differ by nothing, so it is
heard once.
"""

from __future__ import annotations

from channels.hooks.alerts import EVENTS, grouped
from channels.hooks.kind import Delivery, Kind, Options, Posted, Proof
from channels.hooks.proofs import Secret


def _proof(_: Options) -> Proof:
    return Secret()


def _read(posted: Posted, _: Options) -> Delivery:
    return grouped(posted)


KIND = Kind(
    name="alertmanager",
    proof=_proof,
    read=_read,
    signed_with="the credentials of `http_config.authorization` there, such as `openssl rand -hex 32` prints",
    events=EVENTS,
    raw=("firing", "resolved"),
)
