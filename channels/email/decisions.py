"""Reads what a reply to a request decides: for certain, nearly, or not at all. Pure.

For certain: the new text is `approve`, or `reject` and a reason, and all that is left out or follows was added by a
program, a gateway or a firm (`channels.email.added`). Nearly: a person would take it for a yes or a no, in one of the
common languages, so its author is asked to confirm. All else decides nothing. Nothing here depends on a model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from channels.email.added import is_banner, is_disclaimer, is_neutral, is_of_program, without_banners
from channels.email.phrases import NO, PHRASE_WORDS_MAX, PLEASANT, YES, words_of

NEARLY_CHARS_MAX = 120
"""A longer first line is no yes or no."""
SIGNATURE_LINES_MAX = 10
SIGNATURE_CHARS_MAX = 80

_APPROVE = re.compile(r"(?:i )?approved?[.!]{0,3}", re.IGNORECASE)
_REJECT = re.compile(r"(?:i )?reject(?:ed)?(?:[.!]{0,3}|\s*(?:[:,;.!–—-]|\n)\s*(?P<reason>\S.*))", re.I | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Decision:
    approved: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Nearly:
    """It reads as a decision, but not for certain."""

    approved: bool


def parse_decision(text: str) -> Decision | None:
    """The decision that is all of this text: exactly `approve`, or `reject` and a reason.

    `approve, but only staging` is none, nor is `don't approve`.
    """
    text = text.strip()
    if _APPROVE.fullmatch(text):
        return Decision(True)
    if found := _REJECT.fullmatch(text):
        return Decision(False, (found["reason"] or "").strip())
    return None


def read_decision(text: str, *, is_complete: bool, name: str = "", address: str = "") -> Decision | Nearly | None:
    """What the new text of a mail decides.

    `is_complete`: as in `channels.email.replies.SplitBody`; `name` and `address` are the sender's.
    """
    given = [one.strip("\n") for one in re.split(r"\n[ \t]*\n", text.strip()) if one.strip()]
    paragraphs = without_banners(given)
    own = _without_tail(paragraphs, name, address)
    decision = parse_decision("\n\n".join(own))
    if decision and is_complete:
        return decision
    approved = decision.approved if decision else _nearly(own)
    return None if approved is None else Nearly(approved)


def _without_tail(paragraphs: list[str], name: str, address: str) -> list[str]:
    """The paragraphs, less what was certainly added at their end. The first line always stays."""
    kept = list(paragraphs)
    while len(kept) > 1 and (is_disclaimer(kept[-1]) or is_banner(kept[-1])):
        kept.pop()
    first, _, rest = kept[0].partition("\n") if kept else ("", "", "")
    if len(kept) == 1 and is_disclaimer(rest):
        return [first]
    lines = "\n\n".join(kept).split("\n")
    while len(lines) > 1 and (is_of_program(lines[-1]) or is_neutral(lines[-1], name, address)):
        lines.pop()
    return [one for one in "\n".join(lines).split("\n\n") if one]


# What nearly decides


def _nearly(own: list[str]) -> bool | None:
    """Whether it reads as an approval or as a rejection; None: as neither."""
    lines = [line.strip() for paragraph in own for line in paragraph.split("\n") if line.strip()]
    if lines and _GREETING.fullmatch(lines[0]):
        lines = lines[1:]
    said = set[str]()
    while lines and (one := _says(lines[0])):
        said.add(one)
        lines = lines[1:]
    said -= {"nothing"}
    if not said:
        return _below_banner(own)
    return "yes" in said if len(said) == 1 and _may_be_signature(lines) else None


def _below_banner(own: list[str]) -> bool | None:
    """What the last paragraph decides, if all above it is a banner that we do not know."""
    decision = parse_decision(own[-1]) if len(own) in (2, 3) and _BANNER.search(own[0]) else None
    return decision.approved if decision else None


def _may_be_signature(lines: list[str]) -> bool:
    """Short lines without a sentence. Whoever meant something by them is asked before anything is decided."""
    if len(lines) > SIGNATURE_LINES_MAX:
        return False
    return all(
        len(line) <= SIGNATURE_CHARS_MAX and not line[:1].islower() and not _SENTENCE.search(line) for line in lines
    )


def _says(line: str) -> Literal["yes", "no", "nothing"] | None:
    """`nothing`: only a pleasantry. None: something else."""
    if len(line) > NEARLY_CHARS_MAX:
        return None
    words = words_of(line)
    said: Literal["yes", "no", "nothing"] = "nothing"
    at = 0
    while at < len(words):
        for size in range(min(PHRASE_WORDS_MAX, len(words) - at), 0, -1):
            phrase = " ".join(words[at : at + size])
            one: Literal["yes", "no", "nothing"] = "yes" if phrase in YES else "no" if phrase in NO else "nothing"
            if one == "nothing" and phrase not in PLEASANT:
                continue
            if one != "nothing" and said not in ("nothing", one):
                return None
            said = said if one == "nothing" else one
            at += size
            break
        else:
            return None
    return said if words else None


_GREETING = re.compile(
    r"(?:hi|hello|hey|dear|hallo|guten (?:tag|morgen)|moin|servus|bonjour|salut|hola|buenos días|olá|oi|ciao|buongiorno"
    r"|dag|hej|cześć|привет|здравствуйте)\b[\w\s.'’-]{0,40}[,!.]?",
    re.IGNORECASE,
)
_SENTENCE = re.compile(
    r"[?]|[.!…]$|\b(?:but|only|except|unless|until|after|before|not|don['’]t|if|wait|first|instead|aber|nur|erst|nicht"
    r"|wenn|mais|seulement|pas|pero|solo|sólo|mas|apenas|ma|però|maar|alleen|men|ale|tylko|но|только)\b",
    re.IGNORECASE,
)
_BANNER = re.compile(r"\b(?:external|outside|caution|warning|sender|extern\w*|achtung|vorsicht)\b", re.IGNORECASE)
