"""How many tokens a text has, estimated: no vocabulary can be had without downloading it.

The text is cut as OpenAI's o200k does before it looks anything up: words with the space or sign in front of them,
numbers of up to three digits, runs of signs, line ends. That alone settles most of it, because nearly every piece of
our texts (SHAs, dates, JSON's signs, short words) is one token. Longer pieces are counted by their length.

Against the real vocabulary, on all recorded threads: see ERROR_MAX.
"""

from __future__ import annotations

import re
from math import ceil

ERROR_MAX = 0.02
"""How far off the estimate was, as a part of the count, on each of the three forms of all recorded threads together."""

# https://github.com/openai/tiktoken/blob/main/tiktoken_ext/openai_public.py, o200k_base; `\p{…}` as far as `re` has it.
_PIECE = re.compile(
    r"(?P<word>(?:[^\r\n\w]|_)?(?:[A-ZÀ-ÖØ-Þ]*[a-zß-öø-ÿ]+|[A-ZÀ-ÖØ-Þ]+)(?:'(?:s|t|re|ve|m|ll|d))?)"
    r"|(?P<number>\d{1,3})"
    r"|(?P<signs> ?(?:[^\s\w]|_)+[\r\n/]*)"
    r"|(?P<space>\s*[\r\n]+|\s+(?!\S)|\s+)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_VOWELS = frozenset("aeiouyAEIOUYäöüëéèáà")


def tokens(text: str) -> int:
    return sum(_of_piece(str(found.lastgroup), found[0]) for found in _PIECE.finditer(text))


def _of_piece(kind: str, piece: str) -> int:
    match kind:
        case "word":
            first = piece[0]
            letters = piece if first.isalpha() else piece[1:]
            # The vocabulary has most words with a space in front, few with another sign.
            sign = not first.isalpha() and first not in " _." and len(letters) > 1
            if len(letters) <= 3:
                return 1 + sign
            if letters.isupper() or not _VOWELS & set(letters):
                return sign + ceil(len(letters) / 2.5)  # no word, so it is spelled
            return 1 + sign + (len(letters) > (12 if first == " " else 8))
        case "signs":
            return 1 if len(piece) <= 5 else ceil(len(piece) / 2.5)
        case _:
            return 1
