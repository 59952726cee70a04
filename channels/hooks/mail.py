"""Mail that a service has received for us and posts: as it is (`raw`), or in the form of Postmark or SendGrid. Pure.

The mail goes the way of all mail, by its raw bytes: `channels.email` reads it and looks who sent it. That a service
posts it proves nothing about its sender. Postmark and SendGrid send the secret, as the password in the hook's URL:

- https://postmarkapp.com/developer/user-guide/inbound/configure-an-inbound-server, with the raw mail in the JSON
- https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook, raw and full
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

from channels.hooks.kind import JSON, Delivery, Kind, Options, Posted, Proof, Unreadable
from channels.hooks.payload import json_of, text_at, value_at
from channels.hooks.proofs import Hmac, Secret

RAW, FORM = "message/rfc822", "multipart/form-data"
PARTS_MAX = 50
"""Of a form."""
RECIPIENTS_MAX = 50
_MEDIA_TYPES = {"raw": RAW, "postmark": JSON, "sendgrid": FORM}
_ADDRESS = re.compile(r"[\x21-\x7e]{3,300}")
_HEADER = re.compile(rb"[\x21-\x39\x3b-\x7e]+[ \t]*:")
_BOUNDARY = re.compile(r'boundary="?([^";]{1,200})"?', re.IGNORECASE)
_NAME = re.compile(rb'^content-disposition:[^\r\n]*[; ]name="([^"\r\n]*)"', re.IGNORECASE | re.MULTILINE)


def _form(options: Options) -> str:
    return options.form or "raw"


def _proof(options: Options) -> Proof:
    return Hmac(options.signature) if options.signature else Secret()


def _unfit(options: Options) -> str:
    if _form(options) != "raw":
        wrong = options.signature or not options.bearer
        return f"must have bearer = true: {options.form} sends the secret, and signs no mail." if wrong else ""
    if bool(options.signature) == options.bearer:
        return "must have either a signature, with the header that holds it, or bearer = true."
    return ""


def _read(posted: Posted, options: Options) -> Delivery:
    form = _form(options)
    media_type = posted.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type and media_type != _MEDIA_TYPES[form]:
        raise Unreadable(f"The body must be {_MEDIA_TYPES[form]}, as its Content-Type says.", 415)
    match form:
        case "postmark":
            raw, recipients = _of_postmark(posted)
        case "sendgrid":
            raw, recipients = _of_sendgrid(posted)
        case _:
            raw, recipients = posted.body, []
    if not _HEADER.match(raw):
        raise Unreadable("There is no mail in it, which begins with a header.")
    return Delivery(hashlib.sha256(raw).hexdigest()[:32], "mail", {}, mail=_for(recipients) + raw)


def _of_postmark(posted: Posted) -> tuple[bytes, list[str]]:
    body = json_of(posted)
    mail = value_at(body, "RawEmail")
    if not isinstance(mail, str) or not mail:
        raise Unreadable("There is no RawEmail: let Postmark include the raw email content in the JSON payload.")
    # Bytes that were no UTF-8 have become characters there.
    return mail.encode(errors="replace"), [text_at(body, "OriginalRecipient")]


def _of_sendgrid(posted: Posted) -> tuple[bytes, list[str]]:
    fields = _fields(posted)
    if "email" not in fields:
        raise Unreadable("There is no field email: let SendGrid post the raw, full MIME message.")
    try:
        envelope = json.loads(fields.get("envelope", b"{}"))
    except (ValueError, RecursionError):
        raise Unreadable("The field envelope is not JSON.") from None
    named = envelope.get("to") if isinstance(envelope, dict) else None
    return fields["email"], [one for one in named if isinstance(one, str)] if isinstance(named, list) else []


def _fields(posted: Posted) -> dict[str, bytes]:
    """Of a form (RFC 7578), each to the byte: signatures in a mail cover them."""
    given = _BOUNDARY.search(posted.headers.get("content-type", ""))
    first = posted.body.partition(b"\r\n")[0]
    mark = b"--" + given[1].encode(errors="replace") if given else first
    if len(mark) < 3 or not mark.startswith(b"--"):
        raise Unreadable("The body is no form.")
    found: dict[str, bytes] = {}
    for part in (b"\r\n" + posted.body).split(b"\r\n" + mark)[1 : PARTS_MAX + 1]:
        head, gap, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if gap and (name := _NAME.search(head)):
            found[name[1].decode(errors="replace")] = content
    return found


def _for(recipients: Iterable[str]) -> bytes:
    """Whom the envelope named, as a receiving server would note it above the mail."""
    named = [one for one in recipients if _ADDRESS.fullmatch(one)][:RECIPIENTS_MAX]
    return b"".join(f"X-Original-To: {one}\r\n".encode() for one in named)


KIND = Kind(
    name="email",
    proof=_proof,
    read=_read,
    unfit=_unfit,
    signed_with="what the service signs with, or sends as the password in the hook's URL: `openssl rand -hex 32`",
    options=frozenset(("signature", "bearer", "form")),
    media_types=tuple(_MEDIA_TYPES.values()),
    is_mail=True,
)
