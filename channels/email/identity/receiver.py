"""What our own receiving server says about who sent a mail. Pure.

Its results stand at the top of a mail, in one Authentication-Results header or in several that follow each other. The
sender can write such headers too, below those of our server. So only the first ones count, as far as they are ours;
the topmost of them that has a result of DMARC (RFC 7489) decides whether it passed, and the others can only contradict.

Where a server accepts mail from its own users it may check nothing and remove nothing, as OpenDKIM and OpenDMARC do:
the topmost such header is then the sender's own. It stands below the Received header that our server wrote, so what
stands there is believed only of servers that are known to write there, or if the mail came from outside.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from channels.email.identity.domains import domain_of, may_sign_for
from channels.email.identity.results import Result, Results, read_results
from channels.email.identity.senders import envelope_address

Alignment = Literal["aligned", "unaligned", "unknown"]
"""`unaligned`: our server checked, and DMARC did not pass; `unknown`: there is no result of our server."""

_SUFFIX = re.compile(r"\*(\.[a-z0-9_-]+){2,}")
"""A suffix of one label would stand for every server below com."""
_ANONYMOUS = "mx.microsoft.com"
"""Microsoft 365 leaves its name out, so its header can contradict a sender, but can verify none."""
_WRITE_BELOW = ("google.com", "messagingengine.com")
"""Hosters whose results stand below a Received header of their own. They remove what senders write in their name."""
_DELIVERY = ("lmtp", "http")
"""Protocols by which a server hands a mail to its own mailboxes."""
_SAYS_NOTHING = ("none", "unknown", "neutral", "temperror", "permerror", "skipped", "bestguesspass")
"""Results of DMARC that neither verify nor contradict: no policy, or no answer from the DNS."""
_BY = re.compile(r"(?:^|\s)by\s+([^\s;]+)", re.IGNORECASE)
_WITH = re.compile(r"\swith\s+([a-z0-9]+)", re.IGNORECASE)
_CLIENT = re.compile(r"\[(?:IPv6:)?([0-9a-f:.]+)\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What our server says."""

    headers: tuple[Results, ...] = ()
    """Its headers, topmost first."""
    alignment: Alignment = "unknown"
    contradiction: str = ""
    """What contradicts the From address, as the header says it; empty: nothing."""
    senders: tuple[str, ...] = ()
    """The addresses or domains in `smtp.mailfrom`."""


def is_our_server(authserv_id: str, names: str) -> bool:
    """`names`: `mx.example.com, *.example.net`. The second stands for every name below example.net, and not for it."""
    given = authserv_id.lower()
    return any(
        given.endswith(name[1:]) and len(given) >= len(name) if _SUFFIX.fullmatch(name) else given == name != "*"
        for name in names.replace(",", " ").lower().split()
    )


def is_by_our_server(header: Results, names: str) -> bool:
    """Whether our server wrote it, as far as its name says."""
    return is_our_server(header.authserv_id or _ANONYMOUS, names)


def verdict_of(trace: Sequence[tuple[str, str]], names: str, sender: str) -> Verdict:
    """`trace`: the Received and Authentication-Results headers of a mail, topmost first, their names in lower case."""
    headers, is_placed = _own(trace, names)
    if not headers:
        return Verdict()
    domain = domain_of(sender)
    contradiction = _contradiction([one for header in headers for one in header.results], domain)
    # Microsoft's, which give no name, only contradict.
    dmarc = next((found for header in headers if header.authserv_id and (found := header.of("dmarc"))), ())
    alignment: Alignment = "unaligned"
    if not contradiction and not (is_placed and any(header.authserv_id for header in headers)):
        alignment = "unknown"
    elif not contradiction and dmarc and all(_passed(one, domain) for one in dmarc):
        alignment = "aligned"
    spf = [one for header in headers for one in header.of("spf")]
    senders = tuple(dict.fromkeys(envelope_address(said) for one in spf for said in one.said("smtp.mailfrom")))
    return Verdict(headers, alignment, contradiction, senders)


def _own(trace: Sequence[tuple[str, str]], names: str) -> tuple[tuple[Results, ...], bool]:
    """Our server's headers, and whether they stand where only our server can have written them."""
    headers: list[Results] = []
    is_placed = True
    for name, value in trace if names.strip() else ():
        if name == "received":
            if headers:
                break
            is_placed = is_placed and _may_stand_above(value, names)
            continue
        header = read_results(value)
        if header is None or not is_by_our_server(header, names):
            break
        headers.append(header)
    return tuple(headers), is_placed


def _may_stand_above(received: str, names: str) -> bool:
    """Whether our server's own results may stand below this Received header."""
    found = _BY.search(received)
    host = found[1].lower() if found else ""
    protocol = (_WITH.search(received, found.end() if found else 0) or ("", ""))[1].lower()
    if not _is_in(host, _zones(names)) or protocol.startswith(_DELIVERY) or _is_in(host, _WRITE_BELOW):
        return True  # Written after our server's check, inside the house.
    clients = _CLIENT.findall(received[: found.start()] if found else "")
    return bool(clients) and not protocol.endswith("a") and all(map(_is_public, clients))


def _is_in(host: str, zones: Sequence[str]) -> bool:
    return any(host == zone or host.endswith(f".{zone}") for zone in zones)


def _zones(names: str) -> list[str]:
    """The domains that our server's names are in."""
    plain = (name.removeprefix("*.") for name in names.replace(",", " ").lower().split())
    return [name if name.count(".") < 2 else name.partition(".")[2] for name in plain]


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _contradiction(results: Sequence[Result], domain: str) -> str:
    dmarc = [one for one in results if one.method == "dmarc"]
    for one in dmarc:
        if one.result not in ("pass", *_SAYS_NOTHING) or (one.result == "pass" and not _is_about(one, domain)):
            return _shown(one)
    if any(one.result == "pass" for one in dmarc):
        return ""
    signed = [one for one in results if one.method == "dkim" and any(may_sign_for(d, domain) for d in _signers(one))]
    failed = [one for one in signed if one.result in ("fail", "permfail", "hardfail")]
    return _shown(failed[0]) if len(failed) == len(signed) and failed else ""


def _signers(result: Result) -> list[str]:
    return [domain_of(one) for one in (*result.said("header.d"), *result.said("header.i"))]


def _is_about(result: Result, domain: str) -> bool:
    """Whether the result names no other domain."""
    return all(domain_of(one) == domain for one in result.said("header.from"))


def _passed(result: Result, domain: str) -> bool:
    return result.result == "pass" and bool(result.said("header.from")) and _is_about(result, domain)


def _shown(result: Result) -> str:
    about = (*result.said("header.from"), *result.said("header.d"))
    return " ".join((f"{result.method}={result.result}", *about[:1]))[:200]
