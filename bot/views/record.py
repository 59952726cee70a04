"""The exported record of a thread: JSON lines, each chained to the one before by a hash.

    {"record": "deploybot/2", "thread": "t…", "prev": "", "hash": "…"}
    {"n": 1, "event": {…}, "prev": "…", "hash": "…"}             one for each event: requested, shown, decided …
    {"end": 41, "key": "…", "prev": "…", "hash": "…", "signature": "…"}

A hash is SHA-256 over the previous hash and the line's own content as canonical JSON. It reveals a line that was
changed, removed, added or moved, and a missing end. A line that is not itself canonical, byte for byte, is refused:
other readers could understand a repeated key differently. Somebody who rewrites the whole record can compute all
hashes anew. Against that, the last hash is signed if BOT_SECRET_KEY is set, and `key` names the key that signed it
(`bot.views.signatures`). Records of `deploybot/1` are signed with HMAC-SHA-256 instead, which only the secret itself
can verify. It reads a thread and changes none.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from bot.views.signatures import PublicKey, SigningKey
from store.codec import encode
from store.thread import Thread

FORMAT = "deploybot/2"
FORMAT_WITH_HMAC = "deploybot/1"
LINE_CHARS_MAX = 2_000_000


class NotVerified(Exception):
    """The record was altered, or nobody whom we know signed it. The message is one line: where, and what."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. Without a verified signature, only that the lines are consistent with each other."""

    thread: str
    events: int
    head: str
    """The last hash."""
    signature: Literal["verified", "unverified", "missing"]
    signer: str
    """The fingerprint of the key that the record names. Empty: it names none."""


def record(thread: Thread, key: SigningKey | None = None) -> Iterator[str]:
    """The lines, without line breaks. `key` signs the last one."""
    head = ""
    contents: list[dict[str, Any]] = [{"record": FORMAT, "thread": thread.id}]
    contents += ({"n": n, "event": json.loads(encode(event))} for n, event in enumerate(thread.events, 1))
    for content in contents:
        line = _line(content, head)
        head = line["hash"]
        yield _canonical(line)
    end = _line({"end": thread.version} | ({"key": key.public.fingerprint} if key else {}), head)
    if key:
        end["signature"] = key.sign(end["hash"])
    yield _canonical(end)


def verify(lines: Iterable[str], keys: Sequence[PublicKey] = (), secrets: Sequence[str] = ()) -> Verified:
    """Check a record. Raises NotVerified. With `keys` or `secrets`, one of them must have signed it.

    A line may end with a line feed. `secrets` are those of BOT_SECRET_KEY: they verify records of `deploybot/1`.
    """
    head, thread, count, end, form = "", "", 0, None, ""
    for number, text in enumerate(lines, 1):
        where = f"Line {number}"
        if end is not None:
            raise NotVerified(f"{where} follows the end of the record.")
        line = _parsed(text.removesuffix("\n"), where)
        signature = line.pop("signature", "")
        if line.pop("prev", None) != head or line.pop("hash", None) != _hash(line, head):
            raise NotVerified(f"{where} was changed after the export.")
        head = _hash(line, head)
        match line:
            case {"record": str(form), "thread": str(thread), **rest} if number == 1 and not rest:
                if form not in (FORMAT, FORMAT_WITH_HMAC):
                    raise NotVerified(f"{where}: the format {form!r} is unknown; expected {FORMAT!r}.")
            case {"n": n, "event": dict(), **rest} if n == count + 1 and number > 1 and not rest:
                count = n
            case {"end": n, **rest} if n == count and number > 1 and rest.keys() <= {"key"}:
                end = (signature, rest.get("key", ""))
                continue
            case _:
                raise NotVerified(f"{where} does not continue the line before it.")
        if signature:
            raise NotVerified(f"{where} has a signature, which belongs to the end.")
    if end is None:
        raise NotVerified("The record has no end: the last lines are missing.")
    signature, signer = end
    if not isinstance(signature, str) or not isinstance(signer, str):
        raise NotVerified("The signature is not one.")
    if keys or secrets:
        _must_be_signed(form, head, signature, signer, keys, secrets)
        return Verified(thread, count, head, "verified", signer)
    return Verified(thread, count, head, "unverified" if signature else "missing", signer)


def _must_be_signed(
    form: str, head: str, signature: str, signer: str, keys: Sequence[PublicKey], secrets: Sequence[str]
) -> None:
    """Raises NotVerified."""
    if not signature:
        raise NotVerified("The record is not signed.")
    if form == FORMAT_WITH_HMAC:
        if not secrets:
            raise NotVerified(
                f"The record is of the format {FORMAT_WITH_HMAC}, which no public key verifies: "
                "verify it where BOT_SECRET_KEY is set, without --key."
            )
        if not any(hmac.compare_digest(signature.encode(), _hmac(head, secret).encode()) for secret in secrets):
            raise NotVerified("The record is not signed with the key in BOT_SECRET_KEY.")
        return
    known = {key.fingerprint: key for key in keys}
    if signer not in known:
        yours = ", ".join(known)
        raise NotVerified(f"The record is not signed with your key ({yours}): it names the key {signer[:80]!r}.")
    if not known[signer].has_signed(head, signature):
        raise NotVerified(f"The record is not signed with the key {signer} that it names: the signature is wrong.")


def _line(content: dict[str, Any], prev: str) -> dict[str, Any]:
    return content | {"prev": prev, "hash": _hash(content, prev)}


def _hash(content: dict[str, Any], prev: str) -> str:
    return hashlib.sha256(f"{prev}\n{_canonical(content)}".encode()).hexdigest()


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _hmac(head: str, secret: str) -> str:
    return hmac.digest(secret.encode(), f"audit\n{head}".encode(), "sha256").hex()


def _parsed(text: str, where: str) -> dict[str, Any]:
    """Raises NotVerified."""
    if len(text) > LINE_CHARS_MAX:
        raise NotVerified(f"{where} is longer than any line of a record.")
    try:
        line = json.loads(text, parse_constant=_no_number)
        canonical = _canonical(line)
    except (ValueError, RecursionError):
        raise NotVerified(f"{where} is not a line of a record.") from None
    if not isinstance(line, dict):
        raise NotVerified(f"{where} is not a line of a record.")
    if text != canonical:
        raise NotVerified(
            f"{where} was changed after the export: it is not the canonical form of what it says "
            "(a repeated key, white space, the order of keys, or how a number or letter is written)."
        )
    return line


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
