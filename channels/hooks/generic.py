"""Any service that signs its posts with a shared secret, or sends one: the team file says how. Pure.

It brings no events of its own: rules name the fields of the body (`body.service`). All text in it counts as words,
but for the fields that a rule vouches for (`facts`).
"""

from __future__ import annotations

import re

from channels.hooks.kind import Delivery, Kind, Options, Posted, Proof, Unreadable
from channels.hooks.payload import digest_of, json_of, value_at
from channels.hooks.proofs import Hmac, Secret

BODY = "body."
"""How a path into the body begins."""
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_EVENT_CHARS_MAX = 100


def _proof(options: Options) -> Proof:
    return Hmac(options.signature) if options.signature else Secret()


def _unfit(options: Options) -> str:
    if bool(options.signature) == options.bearer:
        return "must have either a signature, with the header that holds it, or bearer = true."
    return ""


def _read(posted: Posted, options: Options) -> Delivery:
    body = json_of(posted)
    delivery_id = posted.headers.get(options.delivery.lower(), "") if options.delivery else digest_of(posted)
    if not _ID.fullmatch(delivery_id):
        raise Unreadable(f"The header {options.delivery} must be there, with an id of at most 200 characters.")
    name: object = "event"
    if options.event.startswith(BODY):
        name = value_at(body, options.event.removeprefix(BODY))
    elif options.event:
        name = posted.headers.get(options.event.lower(), "")
    if not isinstance(name, str) or not name.strip():
        raise Unreadable(f"There is no event in {options.event}.")
    return Delivery(delivery_id, name.strip()[:_EVENT_CHARS_MAX], body)


KIND = Kind(
    name="generic",
    proof=_proof,
    read=_read,
    unfit=_unfit,
    signed_with="what the service signs with, or sends as its token, such as `openssl rand -hex 32` prints",
    options=frozenset(("signature", "bearer", "delivery", "event")),
)
