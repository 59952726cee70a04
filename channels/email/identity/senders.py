"""Verifies the sender of a mail, because a From header alone proves nothing.

A sender is verified if our own receiving server says in Authentication-Results (RFC 8601) that DMARC (RFC 7489) passed
for the domain of the From address. Only the topmost such header counts, and only if it has a name of our server. Our
server must remove forged headers with its names from incoming mail, as every common server does.

This module does not judge whether a sender may decide a request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Any, Literal

Alignment = Literal["aligned", "unaligned", "unknown"]
"""`unaligned`: our server checked, and DMARC did not pass; `unknown`: there is no result of our server."""
HEADER_CHARS_MAX = 10_000

_DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_SUFFIX = re.compile(r"\*(\.[a-z0-9_-]+){2,}")
"""A suffix of one label would stand for every server below com."""


@dataclass(frozen=True, slots=True)
class AllowedSenders:
    """The addresses and domains that may write to us. Empty: none may."""

    addresses: frozenset[str]
    domains: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> AllowedSenders:
        """`ana@example.com, example.org`. Raises ValueError that quotes the malformed entry."""
        addresses, domains = set[str](), set[str]()
        for entry in text.replace(",", " ").lower().split():
            local, _, domain = entry.rpartition("@")
            if (
                any(char in entry for char in "<>*;:/\\")
                or not _DOMAIN.fullmatch(domain)
                or (local and not is_plain_address(entry))
                or entry.startswith("@@")
            ):
                raise ValueError(f"holds {entry!r}, which is neither an address nor a domain (example.com)")
            if local:
                addresses.add(entry)
            else:
                domains.add(domain)
        return cls(frozenset(addresses), frozenset(domains))

    def __bool__(self) -> bool:
        return bool(self.addresses or self.domains)

    def allow(self, address: str) -> bool:
        """A domain does not include its subdomains."""
        address = address.lower()
        return address in self.addresses or address.rpartition("@")[2] in self.domains


def is_plain_address(address: str) -> bool:
    """Whether it is one bare ASCII address, which we can put into a header."""
    try:
        return address.isascii() and Address(addr_spec=address).addr_spec == address
    except Exception:
        # `Address` documents no complete list of what it raises.
        return False


def plus_tag(address: str) -> str:
    """The TAG of `bot+TAG@example.com`; empty: none."""
    return address.partition("@")[0].partition("+")[2]


def is_our_server(authserv_id: str, names: str) -> bool:
    """`names`: `mx.example.com, *.example.net`. The second stands for every name below example.net, and not for it."""
    given = authserv_id.lower()
    return any(
        given.endswith(name[1:]) and len(given) >= len(name) if _SUFFIX.fullmatch(name) else given == name != "*"
        for name in names.replace(",", " ").lower().split()
    )


def alignment(headers: Sequence[str], authserv_ids: str, sender: str) -> Alignment:
    """Whether our server authenticated the sender. `headers`: the Authentication-Results of a mail, topmost first."""
    if not authserv_ids or not headers or len(headers[0]) > HEADER_CHARS_MAX:
        return "unknown"
    import authres  # not at the top: the settings are read here too, and mail may not be set up

    try:
        top = authres.AuthenticationResultsHeader.parse(f"Authentication-Results: {headers[0]}")
    except Exception:
        # A third-party parser on untrusted input: a header that it cannot parse proves nothing.
        return "unknown"
    if not is_our_server(top.authserv_id or "", authserv_ids):
        return "unknown"
    verdicts = [result for result in top.results if result.method == "dmarc"]
    if not verdicts:
        return "unaligned"
    domain = sender.rpartition("@")[2].lower()
    passed = all(verdict.result.lower() == "pass" and _from_domain_of(verdict) == domain for verdict in verdicts)
    return "aligned" if passed else "unaligned"


def _from_domain_of(verdict: Any) -> str:
    """The From domain that the result is about; empty: it does not say."""
    said = (str(p.value) for p in verdict.properties if (p.type.lower(), p.name.lower()) == ("header", "from"))
    return " ".join(one.rpartition("@")[2].lower() for one in said)
