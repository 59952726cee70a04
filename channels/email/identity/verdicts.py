"""Counts what receiving servers have said about the last mails, for the person who sets EMAIL_AUTHSERV_ID. Pure.

It only describes: nothing here verifies a sender, and a forged header counts like any other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from channels.email.identity.receiver import is_our_server
from store.text import one_line

MAILS = 50
"""So many of the newest mails are looked at."""
NAMES_MAX = 6
"""Names said; strangers can invent more."""

_NAME = re.compile(r"\s*(?:\([^)]{0,200}\)\s*)?([^\s;=()]{1,200})\s*\d*\s*(?:;|$)")
_DMARC = re.compile(r"\bdmarc\s{0,9}=\s{0,9}([a-z]{1,20})", re.IGNORECASE)


def name_in(header: str) -> str:
    """The authserv-id of an Authentication-Results header; empty: it has none, as Microsoft's."""
    found = _NAME.match(header[:1_000])
    return found[1].lower() if found else ""


def in_words(mails: Sequence[Sequence[str]]) -> str:
    """`mails`: of each, its Authentication-Results headers, topmost first."""
    if not mails:
        return "There is no mail yet, so nothing is known of the names that our server writes."
    verdicts: dict[str, Counter[str]] = {}
    for headers in mails:
        of_mail: dict[str, str] = {}
        for header in headers:
            said = _DMARC.search(header[:10_000])
            name = name_in(header)
            if name not in of_mail or of_mail[name] == "nothing":
                of_mail[name] = said[1].lower() if said else "nothing"
        for name, verdict in of_mail.items():
            verdicts.setdefault(name, Counter())[verdict] += 1
    without = sum(not headers for headers in mails)
    texts = [_of_name(name, counts) for name, counts in _most_frequent(verdicts)]
    if len(verdicts) > NAMES_MAX:
        texts.append(f"and {len(verdicts) - NAMES_MAX} more names")
    if without:
        texts.append(f"{without} without any")
    return f"Authentication-Results in the last {len(mails)} mails: {'; '.join(texts)}."


def names_of_ours(mails: Iterable[Sequence[str]], authserv_ids: str) -> int:
    """How many of the mails have a header with one of our names."""
    return sum(any(is_our_server(name_in(header), authserv_ids) for header in headers) for headers in mails)


def _most_frequent(verdicts: dict[str, Counter[str]]) -> list[tuple[str, Counter[str]]]:
    return sorted(verdicts.items(), key=lambda item: (-item[1].total(), item[0]))[:NAMES_MAX]


def _of_name(name: str, counts: Counter[str]) -> str:
    said = (f"{'no dmarc' if verdict == 'nothing' else f'dmarc={verdict}'} {n}" for verdict, n in counts.items())
    return f"{one_line(name, 80) or '(no name)'} in {counts.total()} ({', '.join(said)})"
