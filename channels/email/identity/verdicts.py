"""Counts what receiving servers have said about the last mails, for the person who sets EMAIL_AUTHSERV_ID. Pure.

It only describes: nothing here verifies a sender, and a forged header counts like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from channels.email.identity.receiver import is_by_our_server
from channels.email.identity.results import Results, read_results
from store.text import one_line

MAILS = 50
"""So many of the newest mails are looked at."""
NAMES_MAX = 6
"""Names said; strangers can invent more."""
RESULT_CHARS_MAX = 20

Headers = Sequence[Results | None]
"""The Authentication-Results headers of a mail, topmost first; None: one that cannot be read."""


def read(headers: Iterable[str]) -> Headers:
    return [read_results(header) for header in headers]


def in_words(mails: Sequence[Headers]) -> str:
    if not mails:
        return "There is no mail yet, so nothing is known of the names that our server writes."
    verdicts: dict[str, Counter[str]] = {}
    for headers in mails:
        of_mail: dict[str, str] = {}
        for header in filter(None, headers):
            said = header.of("dmarc")
            name = header.authserv_id
            if not of_mail.get(name):
                of_mail[name] = one_line(said[0].result, RESULT_CHARS_MAX) if said else ""
        for name, verdict in of_mail.items():
            verdicts.setdefault(name, Counter())[verdict] += 1
    texts = [_of_name(name, counts) for name, counts in _most_frequent(verdicts)]
    if len(verdicts) > NAMES_MAX:
        texts.append(f"and {len(verdicts) - NAMES_MAX} more names")
    if unreadable := sum(None in headers for headers in mails):
        texts.append(f"{unreadable} with one that cannot be read")
    if without := sum(not headers for headers in mails):
        texts.append(f"{without} without any")
    return f"Authentication-Results in the last {len(mails)} mails: {'; '.join(texts)}."


def count_of_ours(mails: Iterable[Headers], authserv_ids: str) -> int:
    """How many of the mails have a header of our server."""
    return sum(any(header and is_by_our_server(header, authserv_ids) for header in headers) for headers in mails)


def _most_frequent(verdicts: dict[str, Counter[str]]) -> list[tuple[str, Counter[str]]]:
    return sorted(verdicts.items(), key=lambda item: (-item[1].total(), item[0]))[:NAMES_MAX]


def _of_name(name: str, counts: Counter[str]) -> str:
    said = (f"{f'dmarc={verdict}' if verdict else 'no dmarc'} {n}" for verdict, n in counts.items())
    return f"{one_line(name, 80) or '(no name)'} in {counts.total()} ({', '.join(said)})"
