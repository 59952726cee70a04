"""Vercel's webhooks, of a team or of an integration. Pure.

https://vercel.com/docs/webhooks/webhooks-api: an HMAC-SHA1 of the raw body, with the secret that Vercel shows once, or
the client secret of the integration. The body's `id` names the delivery. Messages and branches of commits are words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import JsonValue

from channels.hooks.kind import Delivery, Kind, Occurrence, Options, Posted, Proof, Ready, Signature, Unreadable
from channels.hooks.payload import json_of, text_at
from channels.hooks.proofs import Hmac
from store import awaited

_ID = re.compile(r"[\w-]{1,100}", re.ASCII)
_NAME = re.compile(r"[a-z0-9.-]{2,80}")
_PROOF = Hmac(Signature(header="x-vercel-signature", algorithm="sha1"))
_CHARS_MAX = 500


def _proof(_: Options) -> Proof:
    return _PROOF


def _read(posted: Posted, _: Options) -> Delivery:
    body = json_of(posted)
    delivery_id, event = text_at(body, "id"), text_at(body, "type")
    if not _ID.fullmatch(delivery_id) or not _NAME.fullmatch(event):
        raise Unreadable("The body must have an id and a type.")
    deployment = text_at(body, "payload.deployment.id")
    return Delivery(
        id=delivery_id,
        event=event,
        body=body,
        ready=_status(event, deployment, body) if event.startswith("deployment.") and deployment else None,
        awaited=(awaited.vercel_deployment(deployment),) if deployment else (),
    )


def _status(event: str, deployment: str, body: Mapping[str, JsonValue]) -> Occurrence:
    fields: dict[str, JsonValue] = {"deployment": deployment[:_CHARS_MAX], "state": event.removeprefix("deployment.")}
    for name, path in _FIELDS.items():
        if text := text_at(body, f"payload.{path}"):
            fields[name] = text[:_CHARS_MAX]
    return Occurrence("deployment_status", fields)


_FIELDS = {
    "project": "project.id",
    "name": "deployment.name",
    "environment": "target",
    "sha": "deployment.meta.githubCommitSha",
    "repository": "deployment.meta.githubRepo",
    "address": "deployment.url",
    "url": "links.deployment",
    "branch": "deployment.meta.githubCommitRef",
    "message": "deployment.meta.githubCommitMessage",
}

KIND = Kind(
    name="vercel",
    proof=_proof,
    read=_read,
    signed_with="what Vercel shows once, when the webhook is made; of an integration, its client secret",
    events={
        "deployment_status": Ready(
            facts=("deployment", "state", "project", "name", "environment", "sha", "repository", "address", "url"),
            words=("branch", "message"),
        )
    },
    wakes=True,
)
