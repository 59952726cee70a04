"""Checks the signatures of a mail (DKIM, RFC 6376) ourselves, so that its sender need not be taken on trust.

Only signatures count that the domain of the From address made (`domains.may_sign_for`), that cover the From header and
the whole body, and whose key is at least KEY_BITS_MIN long. Anybody can send us a mail, so everything is bounded: the
size of the head, the number of signatures, and the time that the DNS may take. It blocks, so it runs in a worker
thread.
"""

from __future__ import annotations

import email.utils
import logging
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import dkim
from dkim.util import InvalidTagValueList, parse_tag_value

from channels.email.identity.domains import domain_of, may_sign_for
from channels.email.identity.lookup import DnsUnavailable, FindTxt
from channels.email.structure import LINES_MAX, end_of_head

DNS_SECONDS = 5.0
"""For all keys of a mail together."""
HEAD_BYTES_MAX = 100_000
HEAD_LINES_MAX = 5_000
SIGNATURES_MAX = 20
"""Of all domains. The signatures of a mail with more are not checked."""
CHECKED_MAX = 3
"""Of the From address's own domain."""
KEY_BITS_MIN = 1024
"""RFC 8301. Shorter ones can be broken."""
KEY_BITS_MAX = 4096
_EXPONENT_MAX = 2**32
_ONCE = (
    *(b"to", b"cc", b"sender", b"reply-to", b"subject", b"date", b"message-id", b"in-reply-to", b"references"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding"),
)
"""RFC 5322, 3.6, and RFC 2045."""
_SIGNATURE_BYTES_MAX = 8_000
_COVERED_MAX = 200
_LONG_BLANK = re.compile(rb"\s{80}")
"""The library takes quadratic time over these."""
_BLANKS = re.compile(rb"[ \t]+")

QUIET = logging.Logger("dkim", logging.CRITICAL + 1)
"""What the library would log is in our findings."""
QUIET.addHandler(logging.NullHandler())

State = Literal["valid", "unavailable", "broken", "none"]
"""`unavailable`: the DNS did not answer; `broken`: what it covers was changed; `none`: there is none that counts."""
_BEST_FIRST: tuple[State, ...] = ("valid", "unavailable", "broken", "none")


@dataclass(frozen=True, slots=True)
class Signed:
    """What the signatures of a mail prove."""

    state: State
    domain: str = ""
    """Of the signature; empty: none."""
    why: str = ""
    """Why it is not valid, in words that follow "because"."""
    covers: frozenset[str] = frozenset()
    """The names of the headers that a valid signature covers, in lower case."""


class _Refused(Exception):
    """The message says why a signature does not count."""


class Keys:
    """Finds the keys of signatures, within DNS_SECONDS altogether."""

    def __init__(self, find_txt: FindTxt) -> None:
        self._find_txt = find_txt
        self._until = time.monotonic() + DNS_SECONDS

    def find(self, name: bytes, timeout: float = DNS_SECONDS) -> bytes:
        """The record, if its key can be used; else empty. Raises DnsUnavailable. `timeout` is the library's."""
        try:
            return self.usable(name)
        except _Refused:
            return b""

    def usable(self, name: bytes) -> bytes:
        """Raises DnsUnavailable, _Refused."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise DnsUnavailable("the time for the DNS is used up")
        record = self._find_txt(name.decode("ascii", "replace"), left)
        if not record:
            raise _Refused("its key is not in the DNS")
        try:
            tags = parse_tag_value(record)
            key, bits, kind, _ = dkim.evaluate_pk(name, record)
        except Exception:
            raise _Refused("its key in the DNS is not usable") from None
        if b"y" in (flag.strip() for flag in tags.get(b"t", b"").split(b":")):
            raise _Refused("its domain is only testing signatures")
        if kind != b"rsa" or key["publicExponent"] > _EXPONENT_MAX or bits > KEY_BITS_MAX:
            raise _Refused("its key is of a kind that I cannot check")
        if bits < KEY_BITS_MIN:
            raise _Refused(f"its key is shorter than {KEY_BITS_MIN} bits")
        return record


def check_signatures(raw: bytes, sender: str, find_txt: FindTxt, *, now: float) -> Signed:
    """`raw`: the whole mail; `now`: seconds since the epoch. It never raises."""
    domain = domain_of(sender)
    if why := why_unreadable(raw):
        return Signed("none", why=why)
    try:
        parsed = dkim.DKIM(raw, logger=QUIET, minkey=KEY_BITS_MIN)
        signatures = [value for name, value in parsed.headers if name.lower() == b"dkim-signature"]
        froms = [value for name, value in parsed.headers if name.lower() == b"from"]
        counts = Counter(name.lower() for name, _ in parsed.headers)
    except Exception:
        return Signed("none", why="its head is not written as that of a mail is")
    if len(froms) != 1 or _addresses(froms[0]) != [sender.lower()]:
        # The library divides the head into lines in another way than our parser.
        return Signed("none", why="its From header is ambiguous")
    if any(counts[name] > 1 for name in _ONCE):
        # A signature covers one of them, and need not cover another that was added above it.
        return Signed("none", why="a header that may stand once stands twice in it")
    if len(signatures) > SIGNATURES_MAX:
        return Signed("none", why=f"it has more than {SIGNATURES_MAX} signatures")
    ours = [(index, tags) for index, tags in _tags_of(signatures) if may_sign_for(_domain(tags), domain)]
    keys = Keys(find_txt)
    found = [_checked(parsed, index, tags, keys, now) for index, tags in ours[:CHECKED_MAX]]
    found.sort(key=lambda one: _BEST_FIRST.index(one.state))
    return found[0] if found else Signed("none", why=f"{domain} did not sign it (DKIM)")


def key_name(head: bytes) -> str:
    """The name in the DNS of the key that the topmost signature of a mail needs; empty: there is none to be read."""
    try:
        headers = [] if why_unreadable(head) else dkim.DKIM(head, logger=QUIET).headers
    except Exception:
        return ""
    signatures = [value for name, value in headers if name.lower() == b"dkim-signature"]
    named = (tags for _, tags in _tags_of(signatures[:SIGNATURES_MAX]) if b"s" in tags and b"d" in tags)
    return next(((tags[b"s"] + b"._domainkey." + tags[b"d"]).decode("ascii", "replace") for tags in named), "")


def why_unreadable(raw: bytes) -> str:
    """Why the signatures of this mail are not checked; empty: they can be."""
    head = raw[: end_of_head(raw)]
    if len(head) > HEAD_BYTES_MAX or head.count(b"\n") > HEAD_LINES_MAX:
        return "its head is too large"
    if raw.count(b"\n") > LINES_MAX:
        return "it has too many lines"
    if b"\r" in head.replace(b"\r\n", b""):
        # A header for our parser, and part of another one for whoever signed it.
        return "its head has line ends that programs read differently"
    return ""


def may_be_checked(value: bytes) -> bool:
    """Whether the library takes linear time over this header."""
    return len(value) <= _SIGNATURE_BYTES_MAX and not _LONG_BLANK.search(value)


def with_single_blanks(body: bytes) -> bytes:
    """A body that "relaxed" canonicalization makes the same of. The library takes quadratic time over long blanks."""
    return _BLANKS.sub(b" ", body)


def _tags_of(signatures: list[bytes]) -> Iterator[tuple[int, Mapping[bytes, bytes]]]:
    for index, value in enumerate(signatures):
        if may_be_checked(value):
            try:
                yield index, parse_tag_value(value)
            except InvalidTagValueList:
                continue


def _checked(parsed: dkim.DKIM, index: int, tags: Mapping[bytes, bytes], keys: Keys, now: float) -> Signed:
    domain = _domain(tags)
    try:
        _check_tags(tags, now)
        record = keys.usable(tags[b"s"] + b"._domainkey." + tags[b"d"] + b".")
        if _is_valid(parsed, index, tags, record):
            return Signed("valid", domain, covers=frozenset(_covered(tags)))
    except DnsUnavailable:
        return Signed("unavailable", domain, f"the DNS did not answer when I asked it for the key of {domain}")
    except _Refused as refused:
        return Signed("none", domain, f"the signature of {domain} does not count: {refused}")
    except dkim.ValidationError as error:
        if not str(error).startswith("body hash mismatch"):
            return Signed("none", domain, f"the signature of {domain} is malformed")
    except Exception:
        return Signed("none", domain, f"the signature of {domain} is malformed")
    return Signed("broken", domain, f"it was changed after {domain} had signed it")


def _check_tags(tags: Mapping[bytes, bytes], now: float) -> None:
    """Raises _Refused, KeyError, ValueError."""
    covered = _covered(tags)
    if tags[b"a"].lower() != b"rsa-sha256":
        raise _Refused("it is of a kind that I cannot check")
    if b"l" in tags:
        raise _Refused("it does not cover the whole text")
    if "from" not in covered or len(covered) > _COVERED_MAX:
        raise _Refused("it does not cover the From header")
    if b"x" in tags and int(tags[b"x"]) < now:
        raise _Refused("it has expired")


def _covered(tags: Mapping[bytes, bytes]) -> list[str]:
    return [name.strip().lower().decode("ascii", "replace") for name in tags[b"h"].split(b":")]


def _is_valid(parsed: dkim.DKIM, index: int, tags: Mapping[bytes, bytes], record: bytes) -> bool:
    body = parsed.body
    if tags.get(b"c", b"").partition(b"/")[2].strip() == b"relaxed":
        parsed.body = with_single_blanks(body)
    try:
        valid: bool = parsed.verify(index, dnsfunc=lambda name, timeout=0: record)
        return valid
    finally:
        parsed.body = body


def _domain(tags: Mapping[bytes, bytes]) -> str:
    return tags.get(b"d", b"").decode("ascii", "replace").strip().lower().rstrip(".")


def _addresses(value: bytes) -> list[str]:
    found = email.utils.getaddresses([" ".join(value.decode("utf-8", "replace").split())])
    return [address.lower() for _, address in found if address]
