"""Says which domain may sign for which From address, so that all proofs of a sender agree on it. Pure."""

from __future__ import annotations


def domain_of(address: str) -> str:
    """The domain of an address, or of `@example.com`; of a domain, itself. In lower case."""
    return address.rpartition("@")[2].lower().rstrip(".")


def may_sign_for(signer: str, domain: str) -> bool:
    """Whether a signature by `signer` proves a From address in `domain`: it is the same domain, or one above it.

    This is narrower than the relaxed alignment of DMARC, and needs no list of public suffixes. Whoever has a domain
    can also give the names below it to somebody else, so its signature claims nothing that it could not have anyway.
    The reverse is not true: a domain below is often a newsletter service's, which must not speak for a person.
    """
    return bool(signer) and "." in signer and (domain == signer or domain.endswith(f".{signer}"))
