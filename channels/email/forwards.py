"""Recognises mail that may pass on somebody else's words as its sender's own. Pure.

`channels.email.replies` takes quotations out of a mail where it knows how the mail program marks them. It knows some
languages, and there are more. So this module knows no language of heads: whatever looks like the head of another mail,
or like a forward in the subject, is taken for one. A wrong guess costs an approval; a missed forward would make a
stranger's words those of a verified person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from channels.email.replies import WHEN, WIDTH_MAX

LETTERS_MAX = 4
"""A prefix of a subject up to this long is a forward's, unless it is known for a reply's."""
HEADS_MIN = 2
"""This many heads with an address in them are those of a mail."""
DATED_HEADS_MIN = 3
"""As many with a date: between colleagues some mail programs write names only."""

_REPLY = frozenset(
    (
        *("re", "aw", "sv", "vs", "antw", "odp", "res", "rif", "r", "ynt", "atb", "bls", "vá", "отв", "απ"),
        *("回复", "回覆", "答复", "返信", "회신", "답장"),
    )
)
_LONG_FORWARDS = frozenset(
    (
        *("forward", "forwarded", "weitergeleitet", "doorgestuurd", "doorsturen", "továbbítás", "переслано"),
        *("пересланное", "přeposláno", "preposlané", "videresendt", "vidarebefordrat", "välitetty", "přeposlat"),
        *("encaminhado", "reenviado", "inoltrato", "transféré", "przekazano"),
    )
)
# Tags in brackets, a word, perhaps a count (`Re[2]:`), and a colon. Old programs put brackets around `Fwd: subject`.
_PREFIX = re.compile(r"\s*(?:\[[^\]:]{0,40}\]\s*)*\[?([^\W\d_]{1,20})\s?(?:[\[(]\d{1,3}[\])])?\s?[:\uff1a]")
_HEAD = re.compile(r"[*_\s|-]{0,9}[^\W\d_][\w .'()/-]{0,39}[*_]{0,3}\s?[:\uff1a](?![/:])[*_]{0,3}(?P<value>.*)")
_ADDRESS = re.compile(r"[^\s<>@:\[(]{1,64}@[^\s<>@,;)\]]{1,200}")
_QUOTED = re.compile(r"\s{0,4}(?:[|»}]|\w{1,4}>)\s?\S")
"""Quotation marks other than `>`, and initials before it."""


def passes_on(subject: str, text: str, sender: str, *, opens: bool) -> bool:
    """Whether the subject or the new text of a mail may be somebody else's words.

    `opens`: the mail opens a thread. Then the subject of a reply is not its sender's, either: whoever wrote the mail
    that it replies to has chosen it, and the thread does not have that mail.
    """
    return _has_others_subject(subject, opens=opens) or _holds_another_mail(text, sender)


def _has_others_subject(subject: str, *, opens: bool) -> bool:
    at = 0
    while found := _PREFIX.match(subject, at):
        word = found[1].casefold()
        if word in _REPLY:
            if opens:
                return True
            at = found.end()
            continue
        return len(word) <= LETTERS_MAX or word in _LONG_FORWARDS
    return False


def _holds_another_mail(text: str, sender: str) -> bool:
    lines = [line[:WIDTH_MAX] for line in text.split("\n") if line.strip()]
    return (
        any(map(_QUOTED.match, lines))
        or any(_says_who_and_when(lines, end) for end in range(1, len(lines) + 1))
        or any(_is_of_a_mail(heads, sender) for heads in _blocks(lines))
    )


def _says_who_and_when(lines: list[str], end: int) -> bool:
    """Whether these lines end with one that stands above a quotation, whatever the verb is."""
    if not lines[end - 1].rstrip().endswith((":", "\uff1a")):
        return False
    said = " ".join(lines[max(end - 3, 0) : end])
    return bool(_ADDRESS.search(said) and WHEN.search(said))


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Successive `word: value` lines. A value may stand in the next line, and go on there after a comma."""
    heads: list[str] = []
    goes_on = False
    for line in lines:
        if found := _HEAD.match(line):
            heads.append(line)
            goes_on = not found["value"].strip() or line.rstrip().endswith((",", ";"))
        elif goes_on:
            heads[-1] += f" {line}"
            goes_on = line.rstrip().endswith((",", ";"))
        else:
            yield heads
            heads, goes_on = [], False
    yield heads


def _is_of_a_mail(heads: list[str], sender: str) -> bool:
    """Whether it is the head of a mail, and not a signature with the sender's own address."""
    text = "\n".join(heads)
    others = {one.lower().rstrip(".,;") for one in _ADDRESS.findall(text)} - {sender.lower()}
    return (len(heads) >= HEADS_MIN and bool(others)) or (len(heads) >= DATED_HEADS_MIN and bool(WHEN.search(text)))
