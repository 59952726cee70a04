"""Who wrote a mail: a From line is not proof.

Proof is what our own receiving server says in Authentication-Results (RFC 8601): that DMARC (RFC 7489) passed for the
domain of the From address. Only the topmost such header counts, and only if it bears our server's name; the server must
take away what senders put in under that name, as every common one does.

Whether somebody may decide a request is not judged here: this says only how sure we are of who they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Any, Literal

import authres

Alignment = Literal["aligned", "unaligned", "unknown"]
"""`unaligned`: our server looked and does not vouch for the From address; `unknown`: it did not say."""
HEADER_CHARS_MAX = 10_000

_DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")


@dataclass(frozen=True, slots=True)
class AllowedSenders:
    """Addresses, and domains for everybody in them. Empty: nobody."""

    addresses: frozenset[str]
    domains: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> AllowedSenders:
        """`ana@example.com, example.org`. Raises ValueError with what is neither an address nor a domain."""
        addresses, domains = set[str](), set[str]()
        for entry in text.replace(",", " ").lower().split():
            local, _, domain = entry.rpartition("@")
            if (
                any(char in entry for char in "<>*;:/\\")
                or not _DOMAIN.fullmatch(domain)
                or (local and not can_be_written_to(entry))
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
        """A domain counts for itself alone, not for what lies under it."""
        address = address.lower()
        return address in self.addresses or address.rpartition("@")[2] in self.domains


def can_be_written_to(address: str) -> bool:
    """Whether it can stand in a header of ours: one plain ASCII address."""
    try:
        return address.isascii() and Address(addr_spec=address).addr_spec == address
    except Exception:
        # `Address` raises whatever its parser meets.
        return False


def tag_of(address: str) -> str:
    """What stands after the plus, `bot+TAG@example.com`; empty: nothing."""
    return address.partition("@")[0].partition("+")[2]


def alignment(headers: Sequence[str], authserv_id: str, sender: str) -> Alignment:
    """What the Authentication-Results of a mail, topmost first, say of its From address."""
    if not authserv_id or not headers or len(headers[0]) > HEADER_CHARS_MAX:
        return "unknown"
    try:
        top = authres.AuthenticationResultsHeader.parse(f"Authentication-Results: {headers[0]}")
    except Exception:
        # The parser is not ours, and the header is whatever somebody wrote: what it cannot read says nothing.
        return "unknown"
    if (top.authserv_id or "").lower() != authserv_id.lower():
        return "unknown"
    verdicts = [result for result in top.results if result.method == "dmarc"]
    if not verdicts:
        return "unaligned"
    domain = sender.rpartition("@")[2].lower()
    passed = all(verdict.result.lower() == "pass" and _domain_in(verdict) == domain for verdict in verdicts)
    return "aligned" if passed else "unaligned"


def _domain_in(verdict: Any) -> str:
    """Of the From header that was judged; empty where it does not say."""
    said = (str(p.value) for p in verdict.properties if (p.type.lower(), p.name.lower()) == ("header", "from"))
    return " ".join(one.rpartition("@")[2].lower() for one in said)
