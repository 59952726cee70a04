"""Whether a name stands in what people wrote: whole, its beginning, misspelt, as two words, in any script.

Generous, because a name that is missed costs people a question. Its cost is bounded, whatever they write. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import islice, pairwise

BEGINNING_CHARS = 4
"""So many letters name what begins with them: `prod`, `stag`. A shorter name must stand there whole."""
WHOLE_CHARS = 2
"""A name up to this long must be a word of its own: any text has words that begin with `eu`."""
ALIKE = 0.8
"""How much of a misspelt word must be the name's, of 1."""
ALIKE_CHARS_MIN = 4
"""A shorter name is like too many words."""
CHARS_MAX = 200_000
"""Of more, the newest are looked at."""
WORDS_COMPARED_MAX = 2_000
"""Of more different words, the newest are looked at for misspelt names."""

_WORD = re.compile(r"[a-z0-9]+")
_ACCENT = re.compile("[\u0300-\u036f]")


@dataclass(frozen=True)
class Words:
    """What people wrote, the newest first."""

    texts: tuple[str, ...]
    """As they are compared."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Words:
        kept, left = [], CHARS_MAX
        for text in texts:
            if left <= 0:
                break
            kept.append(_plain(text[:left]))
            left -= len(text)
        return cls(tuple(kept))

    def have(self, name: str) -> bool:
        """Whether they name it."""
        plain = _plain(name)
        parts = _WORD.findall(plain)
        if not parts or not plain.isascii():
            return any(plain in text for text in self.texts)  # Many scripts put no blanks between words.
        if len(parts) > 1 and any(" ".join(parts) in text for text in self._spaced):
            return True
        whole = "".join(parts)
        if len(whole) <= WHOLE_CHARS:
            return whole in self._words
        beginning = whole[:BEGINNING_CHARS]
        return any(word.startswith(beginning) for word in self._words) or self._have_alike(whole)

    def have_exactly(self, words: str) -> bool:
        """Whether these words stand in them letter by letter; of a hash, more of it may follow."""
        plain = _plain(words)
        more = "[0-9a-f]*" if re.fullmatch("[0-9a-f]{7,}", plain) else ""
        whole = re.compile(rf"(?<![\w.-]){re.escape(plain)}{more}(?![\w-]|\.\w)")
        return bool(plain) and any(whole.search(text) for text in self.texts)

    def _have_alike(self, name: str) -> bool:
        if len(name) < ALIKE_CHARS_MIN:
            return False
        matcher = SequenceMatcher(autojunk=False, b=name)  # It remembers what it learns of `b`.
        for word in islice(self._words, WORDS_COMPARED_MAX):
            if abs(len(word) - len(name)) > 2:
                continue
            matcher.set_seq1(word)
            if matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE:
                return True
        return False

    @cached_property
    def _spaced(self) -> tuple[str, ...]:
        return tuple(" ".join(_WORD.findall(text)) for text in self.texts)

    @cached_property
    def _words(self) -> dict[str, None]:
        """Also two words that follow each other as one: pay-api is called `pay api` too. Kept in order."""
        found: dict[str, None] = {}
        for text in self._spaced:
            words = text.split()
            found.update(dict.fromkeys(words))
            found.update((one + two, None) for one, two in pairwise(words))
        return found


def _plain(text: str) -> str:
    """Without accents and fonts: `Ｐｒｏｄｕçãｏ` is `producao`."""
    return _ACCENT.sub("", unicodedata.normalize("NFKD", text).casefold())
