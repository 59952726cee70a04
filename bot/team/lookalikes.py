"""Whether a text may be meant by what the team file says, though it is written in another way.

A tool may read `Payments`, ` payments` or a word with a Cyrillic letter as `payments`, so a rule about `payments` must
not pass over such a call. It must not hold for certain either: to another tool these are other accounts. Pure.
"""

from __future__ import annotations

import unicodedata
from fnmatch import fnmatchcase

_ASCII = "ASCII"


def may_be_meant(pattern: str, value: str, *, is_glob: bool) -> bool:
    """Whether a value that does not match exactly may be one that the pattern means."""
    wanted, given = _folded(pattern), _folded(value)
    if fnmatchcase(given, wanted):
        return True
    if is_glob:
        return not _scripts(given) <= (_scripts(wanted) or {_ASCII})
    return len(given) == len(wanted) and all(map(_look_alike, given, wanted))


def _folded(text: str) -> str:
    """Without case, accents, control and invisible characters, and with single spaces between words."""
    bare = (
        each
        for each in unicodedata.normalize("NFKD", text)
        if each.isspace() or unicodedata.category(each)[0] not in "CM"
    )
    return " ".join("".join(bare).casefold().split())


def _look_alike(one: str, other: str) -> bool:
    """Characters of different scripts may look the same; those of one script do not."""
    return one == other or _script(one) != _script(other)


def _scripts(text: str) -> set[str]:
    return {_script(each) for each in text if each.isalpha() or not each.isascii()}


def _script(character: str) -> str:
    """`ASCII`, or the first word of its name: `CYRILLIC`, `GREEK`."""
    return _ASCII if character.isascii() else unicodedata.name(character, "").partition(" ")[0]
