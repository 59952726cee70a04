"""Who sent a mail: puts together what proves its From address, and what contradicts it.

Two things can prove it: a signature of the sender's domain that we verify ourselves (`signatures`), and what our own
receiving server says about DMARC (`receiver`). For the words of a mail one of them is enough, or the seal of a
forwarder that the team names (`seals`). To decide by a reply takes our own verification, and the server must not
contradict it. What contradicts the sender always makes a mail unverified.

All of it proves a domain, not a person: whoever the domain lets write a From address is anybody of it. So a reply that
decides also needs the address that only one person got (`tokens`), which `channels.email.deciding` asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from channels.email.identity.domains import domain_of
from channels.email.identity.lookup import FindTxt
from channels.email.identity.receiver import Alignment, Verdict, verdict_of
from channels.email.identity.results import Results
from channels.email.identity.seals import sealed_by
from channels.email.identity.signatures import Signed, check_signatures
from channels.email.parse import Mail
from store.text import one_line


@dataclass(frozen=True, slots=True)
class Identity:
    """What was found about who sent a mail."""

    is_verified: bool
    """Whether its words are those of whom From names."""
    may_decide: bool
    """Whether a reply of this sender may decide, as far as the mail itself proves them."""
    why: str
    """Why it is not verified, or may not decide, in words that follow "because"; empty: it is and may."""
    is_anothers: bool
    """Whether something says that somebody else sent it."""
    alignment: Alignment
    """As the log keeps it."""
    dkim_domain: str
    """The domain whose signature we verified; empty: none."""
    covers_reply: bool
    """Whether that signature covers which mail it replies to. Microsoft's and Apple's do not."""
    sealed_by: str
    """The forwarder that vouches for the sender; empty: none."""
    server: tuple[Results, ...]
    """What our own server wrote, header by header, topmost first."""


@dataclass(frozen=True)
class Prover:
    names: str
    """Of our receiving server, as in `receiver.is_our_server`."""
    find_txt: FindTxt
    sealers: tuple[str, ...] = ()
    """The domains of forwarders whose seals count."""
    clock: Callable[[], float] = time.time

    def identity_of(self, mail: Mail, raw: bytes, *, is_whole: bool) -> Identity:
        """`raw`: the bytes of the mail; `is_whole`: none are missing. It blocks for some seconds at most."""
        verdict = verdict_of(mail.trace, self.names, mail.sender)
        if is_whole:
            signed = check_signatures(raw, mail.sender, self.find_txt, now=self.clock())
        else:
            signed = Signed("none", why="it is too large to be checked")
        sealer = ""
        if signed.state != "valid" and not mail.sent_by:
            sealer = sealed_by(raw, mail.sender, self.sealers, self.find_txt) if is_whole else ""
        return _judged(mail, verdict, signed, sealer, has_names=bool(self.names.strip()))


def _judged(mail: Mail, verdict: Verdict, signed: Signed, sealer: str, *, has_names: bool) -> Identity:
    anothers = "" if sealer else _contradiction(mail, verdict)
    against = anothers or (signed.why if signed.state == "broken" and not sealer else "")
    is_verified = not against and (signed.state == "valid" or verdict.alignment == "aligned" or bool(sealer))
    may_decide = is_verified and signed.state == "valid" and has_names
    if against:
        why = against
    elif signed.state != "valid":
        why = signed.why
    else:
        why = "" if has_names else "nobody told me the name of our receiving server (EMAIL_AUTHSERV_ID)"
    alignment: Alignment = "aligned" if is_verified else "unaligned" if against else verdict.alignment
    return Identity(
        is_verified=is_verified,
        may_decide=may_decide,
        why=why,
        is_anothers=bool(anothers),
        alignment=alignment,
        dkim_domain=signed.domain if signed.state == "valid" else "",
        covers_reply="in-reply-to" in signed.covers,
        sealed_by=sealer,
        server=verdict.headers,
    )


def _contradiction(mail: Mail, verdict: Verdict) -> str:
    """What says that somebody else sent it; empty: nothing."""
    domain, sender = domain_of(mail.sender), mail.sender.lower()
    others = [one for one in (*mail.sent_by, mail.envelope) if one and one.lower() != sender]
    others += [one for one in verdict.senders if one not in (sender, domain)]
    if others:
        # DMARC and a signature prove the domain, and the domain's server says that somebody else of it sent this.
        return f"{one_line(others[0], 200)} sent it, not the address in From"
    if verdict.contradiction:
        return f"our mail server does not confirm the sender ({one_line(verdict.contradiction, 200)})"
    return ""
