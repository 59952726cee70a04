"""Grafana's alerting, a contact point of the kind webhook. Pure.

https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
Its HMAC is of the raw body, in hex; if a header for the time is set up there, of the time, a colon and the body. Older
versions sign nothing: they send the secret as the credentials of the Authorization header (`bearer = true`).
"""

from __future__ import annotations

from dataclasses import replace

from channels.hooks.alerts import EVENTS, grouped
from channels.hooks.kind import Delivery, Kind, Options, Posted, Proof, Signature
from channels.hooks.proofs import Hmac, Secret

HEADER = "X-Grafana-Alerting-Signature"


def _proof(options: Options) -> Proof:
    if options.bearer:
        return Secret()
    chosen = options.signature or Signature(header=HEADER)
    return Hmac(replace(chosen, prefix="", algorithm="sha256", encoding="hex", separator=":"))


def _unfit(options: Options) -> str:
    return "has both a signature and bearer: leave one of them out." if options.bearer and options.signature else ""


def _read(posted: Posted, _: Options) -> Delivery:
    return grouped(posted)


KIND = Kind(
    name="grafana",
    proof=_proof,
    read=_read,
    unfit=_unfit,
    signed_with="the secret of the HMAC signature at the contact point, or its credentials where the hook says bearer",
    options=frozenset(("signature", "bearer")),
    events=EVENTS,
    raw=("firing", "resolved"),
)
