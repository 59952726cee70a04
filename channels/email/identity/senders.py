"""Who may write to us, by address or domain. A From address alone proves nothing: `channels.email.identity.proof`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_BATV = re.compile(r"^prvs=[0-9a-z]{1,30}=", re.IGNORECASE)


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


def parse_domains(text: str) -> tuple[str, ...]:
    """`example.com, example.net`. Raises ValueError that quotes the malformed entry."""
    domains = tuple(text.replace(",", " ").lower().split())
    for one in domains:
        if not _DOMAIN.fullmatch(one):
            raise ValueError(f"holds {one!r}, which is not a domain (example.com)")
    return domains


def is_plain_address(address: str) -> bool:
    """Whether it is one bare ASCII address, which we can put into a header."""
    # Not at the top: every command reads the settings, few of them an address.
    from email.headerregistry import Address

    try:
        return address.isascii() and Address(addr_spec=address).addr_spec == address
    except Exception:
        # `Address` documents no complete list of what it raises.
        return False


def envelope_address(given: str) -> str:
    """Without what some servers put in front of it, by which they recognise their own bounces."""
    return _BATV.sub("", given.strip("<> "))


def plus_tag(address: str) -> str:
    """The TAG of `bot+TAG@example.com`; empty: none."""
    return address.partition("@")[0].partition("+")[2]
