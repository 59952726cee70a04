"""Reads the seals (ARC, RFC 8617) of a forwarder that the team trusts, such as the server of a mailing list.

A forwarder changes the envelope, and often the text, so that neither DMARC nor the sender's own signature holds any
more. In its seal it says what it found before. We verify the whole chain ourselves, and believe what the outermost
sealers say as far as the team names them. It blocks, so it runs in a worker thread.
"""

from __future__ import annotations

import dkim
from dkim.util import parse_tag_value

from channels.email.identity.domains import domain_of
from channels.email.identity.lookup import FindTxt
from channels.email.identity.results import Results, read_arc_results
from channels.email.identity.signatures import (
    KEY_BITS_MIN,
    QUIET,
    Keys,
    may_be_checked,
    why_unreadable,
    with_single_blanks,
)

SETS_MAX = 5
"""How often a mail may have been sealed."""
_HEADERS = (b"arc-seal", b"arc-message-signature", b"arc-authentication-results")


def sealed_by(raw: bytes, sender: str, sealers: tuple[str, ...], find_txt: FindTxt) -> str:
    """The sealer who vouches for the sender; empty: none of `sealers` does. It never raises."""
    if not sealers or why_unreadable(raw):
        return ""
    try:
        chain = dkim.ARC(raw, logger=QUIET, minkey=KEY_BITS_MIN)
        sealed = [value for name, value in chain.headers if name.lower() in _HEADERS]
        outermost, _ = chain.sorted_arc_headers()
        if not 0 < outermost <= SETS_MAX or len(sealed) > 3 * SETS_MAX or not all(map(may_be_checked, sealed)):
            return ""
        if not any(one.encode() in value.lower() for one in sealers for value in sealed):
            return ""  # Before the DNS is asked.
        if any(b"l" in parse_tag_value(value) for name, value in chain.headers if name.lower() == _HEADERS[1]):
            return ""
        chain.body = with_single_blanks(chain.body)
        result, sets, _ = chain.verify(dnsfunc=Keys(find_txt).find)
    except Exception:
        # A third-party library on untrusted input: what it cannot verify proves nothing.
        return ""
    if result != dkim.CV_Pass:
        return ""
    for each in sets:  # The outermost first.
        sealer = str(each["as-domain"], "ascii", "replace").lower()
        if sealer not in sealers or each["ams-domain"].lower() != each["as-domain"].lower():
            return ""
        found = read_arc_results(" ".join(each["aar-value"].decode("utf-8", "replace").split()))
        if found and _vouches(found, sender):
            return sealer
    return ""


def _vouches(found: Results, sender: str) -> bool:
    domain = domain_of(sender)
    dmarc = found.of("dmarc")
    mailed_by = [said for one in found.of("spf") for said in one.said("smtp.mailfrom")]
    return (
        bool(dmarc)
        and all(one.result == "pass" and one.said("header.from") == (domain,) for one in dmarc)
        and all(said in (sender.lower(), domain) for said in mailed_by)
    )
