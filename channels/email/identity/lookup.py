"""Looks up TXT records, in bounded time. It blocks, so it runs in a worker thread.

Many mails may wait to be read while the DNS is away. So what belongs to a domain for which it gave no answer is not
asked for again for AWAY_SECONDS. Another domain is: only the name servers of the first may be away.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import dns.exception
import dns.name
import dns.resolver

from channels.email.servers import resolver_address

LOOKUP_SECONDS = 3.0
"""Of one name. It is asked for again within this time."""
TXT_BYTES_MAX = 2_000
"""The key of an RSA signature of 8192 bits has fewer. Checking a signature takes longer than the key is long."""

AWAY_SECONDS = 30.0

_EACH_SECONDS = 1.0


class DnsUnavailable(Exception):
    """The DNS did not answer, or said that it cannot answer now."""


FindTxt = Callable[[str, float], bytes]
"""The TXT record of a name, within so many seconds; empty: there is none. Raises DnsUnavailable."""


class Resolver:
    def __init__(self, server: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """`server`: the address of a resolver, as in `resolver_address`; empty: the system's."""
        self._server = server
        self._clock = clock
        self._away_until: dict[str, float] = {}
        """By domain."""
        self._resolver: dns.resolver.Resolver | None = None

    def find_txt(self, name: str, seconds: float) -> bytes:
        lifetime = max(min(seconds, LOOKUP_SECONDS), 0.01)
        try:
            asked = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError):
            return b""  # It is no name.
        domain = name.rstrip(".").rpartition("._domainkey.")[2].lower()
        now = self._clock()
        self._away_until = {one: until for one, until in self._away_until.items() if now < until}
        if domain in self._away_until:
            raise DnsUnavailable(f"no answer just now for {domain[:200]}")
        try:
            answer = self._opened().resolve(asked, "TXT", lifetime=lifetime, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return b""
        except dns.exception.DNSException as error:
            # A timeout, or SERVFAIL by every server, or no resolver is configured.
            if lifetime >= min(_EACH_SECONDS, LOOKUP_SECONDS):  # Else it had no time to answer.
                self._away_until[domain] = self._clock() + AWAY_SECONDS
            raise DnsUnavailable(f"{type(error).__name__} for {name[:200]}") from error
        records = [b"".join(record.strings) for record in answer.rrset or ()]
        # RFC 6376, 3.6.2.2: with several records the result is undefined.
        return records[0] if len(records) == 1 and len(records[0]) <= TXT_BYTES_MAX else b""

    def _opened(self) -> dns.resolver.Resolver:
        """Not before it is needed: a machine without a resolver can still read mail."""
        if self._resolver is None:
            resolver = dns.resolver.Resolver(configure=not self._server)
            if self._server:
                host, resolver.port = resolver_address(self._server)
                resolver.nameservers = [host]
            resolver.timeout = _EACH_SECONDS
            resolver.retry_servfail = True
            self._resolver = resolver
        return self._resolver
