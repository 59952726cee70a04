"""Signs a delivery as its service would: for each kind, the headers that prove it, as that service publishes it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from channels.hooks.kind import Options, Signature

SECRET = "a-secret-of-this-very-hook-0123456789"
ANOTHER = "another-secret-that-nobody-here-has-9876543210"
NOW = datetime(2026, 11, 27, 11, 0, tzinfo=UTC)

Sign = Callable[[bytes, str, datetime], dict[str, str]]
GENERIC = Options(signature=Signature(header="X-Signature", prefix="sha256=", timestamp="X-Time"), event="body.type")
BASE64 = Options(signature=Signature(header="X-Signature", algorithm="sha512", encoding="base64"))
BEARER = Options(bearer=True)


def _hex(secret: str, signed: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), signed, algorithm).hexdigest()


def github(body: bytes, secret: str, _: datetime) -> dict[str, str]:
    return {"X-Hub-Signature-256": f"sha256={_hex(secret, body)}"}


def vercel(body: bytes, secret: str, _: datetime) -> dict[str, str]:
    return {"x-vercel-signature": _hex(secret, body, "sha1")}


def pagerduty(body: bytes, secret: str, _: datetime) -> dict[str, str]:
    return {"X-PagerDuty-Signature": f"v1={_hex(ANOTHER, b'for another secret')},v1={_hex(secret, body)}"}


def grafana(body: bytes, secret: str, _: datetime) -> dict[str, str]:
    return {"X-Grafana-Alerting-Signature": _hex(secret, body)}


def grafana_with_time(body: bytes, secret: str, at: datetime) -> dict[str, str]:
    time = str(int(at.timestamp()))
    return {"X-Sig": _hex(secret, time.encode() + b":" + body), "X-Sig-Time": time}


def generic(body: bytes, secret: str, at: datetime) -> dict[str, str]:
    time = str(int(at.timestamp() * 1000))
    return {"X-Signature": f"sha256={_hex(secret, time.encode() + b'.' + body)}", "X-Time": time}


def generic_base64(body: bytes, secret: str, _: datetime) -> dict[str, str]:
    return {"X-Signature": base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha512).digest()).decode()}


def bearer(_: bytes, secret: str, __: datetime) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def basic(_: bytes, secret: str, __: datetime) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anybody:{secret}".encode()).decode()}


WITH_TIME = Options(signature=Signature(header="X-Sig", timestamp="X-Sig-Time"))
WAYS: Mapping[str, tuple[str, Options, Sign]] = {
    "github": ("github", Options(), github),
    "vercel": ("vercel", Options(), vercel),
    "pagerduty": ("pagerduty", Options(), pagerduty),
    "grafana": ("grafana", Options(), grafana),
    "grafana with a time": ("grafana", WITH_TIME, grafana_with_time),
    "grafana with its secret": ("grafana", BEARER, bearer),
    "alertmanager": ("alertmanager", Options(), bearer),
    "alertmanager with a password": ("alertmanager", Options(), basic),
    "generic with a time": ("generic", GENERIC, generic),
    "generic in base64": ("generic", BASE64, generic_base64),
    "generic with its secret": ("generic", BEARER, bearer),
    "mail that is signed": ("email", BASE64, generic_base64),
    "mail with its secret": ("email", BEARER, basic),
    "mail of Postmark": ("email", Options(bearer=True, form="postmark"), basic),
    "mail of SendGrid": ("email", Options(bearer=True, form="sendgrid"), basic),
}
"""How deliveries are proven: the kind, what the team file says of the hook, and how the service signs."""
SIGNS = {kind: sign for kind, options, sign in reversed([*WAYS.values()]) if options in (Options(), GENERIC, BEARER)}
SIGNS |= {"grafana": grafana, "generic": generic}
"""Of each kind one way, with the options that it has there."""
