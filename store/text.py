"""Makes foreign text safe to display, and owns the one way to write an instant and a call.

Text from outside can hide, reorder or control the text around it; `visible` prevents that. Escaping for a medium (HTML,
Slack, YAML) belongs to the code that writes for that medium.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

# All that is drawn as nothing, as an empty place, or differently with each font, and all that moves the text around it:
# C0 and C1 controls except newline and tab, line separators that YAML knows, direction marks and overrides, joiners,
# fillers and blanks (the empty Braille pattern, the null notehead, blank hieroglyphs), byte order marks, annotation
# marks, half surrogates, noncharacters, private characters, and the tags and variation selectors that can hide a whole
# message.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\ufffe\uffff"
    "\U00013441\U00013442\U00016fe4\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\U000f0000-\U0010ffff]"
)
# U+FE0F turns these characters into pictures (those of emoji-variation-sequences.txt that are text by default), and
# digits into keys. After any other it changes nothing that can be seen.
_PICTURE = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u2328\u23cf\u23ed-\u23ef\u23f1\u23f2\u23f8-\u23fa\u24c2"
    "\u25aa\u25ab\u25b6\u25c0\u25fb\u25fc\u2600-\u2604\u260e\u2611\u2618\u261d\u2620\u2622\u2623\u2626\u262a\u262e\u262f"
    "\u2638-\u263a\u2640\u2642\u265f\u2660\u2663\u2665\u2666\u2668\u267b\u267e\u2692\u2694-\u2697\u2699\u269b\u269c\u26a0"
    "\u26a7\u26b0\u26b1\u26c8\u26cf\u26d1\u26d3\u26e9\u26f0\u26f1\u26f4\u26f7-\u26f9\u2702\u2708\u2709\u270c\u270d\u270f"
    "\u2712\u2714\u2716\u271d\u2721\u2733\u2734\u2744\u2747\u2763\u2764\u27a1\u2934\u2935\u2b05-\u2b07\u3030\u303d\u3297"
    "\u3299\U0001f170\U0001f171\U0001f17e\U0001f17f\U0001f202\U0001f237\U0001f321\U0001f324-\U0001f32c\U0001f336\U0001f37d"
    "\U0001f396\U0001f397\U0001f399-\U0001f39b\U0001f39e\U0001f39f\U0001f3cb-\U0001f3ce\U0001f3d4-\U0001f3df\U0001f3f3"
    "\U0001f3f5\U0001f3f7\U0001f43f\U0001f441\U0001f4fd\U0001f549\U0001f54a\U0001f56f\U0001f570\U0001f573-\U0001f579\U0001f587"
    "\U0001f58a-\U0001f58d\U0001f590\U0001f5a5\U0001f5a8\U0001f5b1\U0001f5b2\U0001f5bc\U0001f5c2-\U0001f5c4"
    "\U0001f5d1-\U0001f5d3\U0001f5dc-\U0001f5de\U0001f5e1\U0001f5e3\U0001f5e8\U0001f5ef\U0001f5f3\U0001f5fa\U0001f6cb"
    "\U0001f6cd-\U0001f6cf\U0001f6e0-\U0001f6e5\U0001f6e9\U0001f6f0\U0001f6f3]\ufe0f|[#*0-9]\ufe0f\u20e3"
)
_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


def without_half_surrogates(text: str) -> str:
    """Replace half surrogate pairs, which UTF-8 cannot encode, by U+FFFD."""
    return _HALF_SURROGATE.sub("\ufffd", text)


def visible(text: str) -> str:
    """The text with hidden characters written out, as in `\\u{202e}`; newlines and tabs stay.

    All text from outside goes through here before a person or the model sees it.
    """
    if text.isascii() and text.isprintable():
        return text  # Most of it, and at once.
    return _HIDDEN.sub(_written_out, text.replace("\r\n", "\n"))


def _written_out(found: re.Match[str]) -> str:
    char, before = found[0], found.start() - 1
    if char == "\ufe0f" and before >= 0 and _PICTURE.match(found.string, before):
        return char
    return f"\\u{{{ord(char):x}}}"


def one_line(text: str, chars_max: int) -> str:
    """The text on one line, clipped at the end."""
    line = " ".join(visible(text).split())
    return line if len(line) <= chars_max else line[: chars_max - 1] + "…"


def instant(at: datetime) -> str:
    """A point in time, the same for people and the model: `2026-11-26 04:46 UTC`."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def call_in_words(intent: str, arguments: Mapping[str, object]) -> str:
    """A step with its arguments: `deploy component=shop environment=live revision=v1.4.2`."""
    return " ".join([intent, *(f"{name}={value}" for name, value in _flat(arguments))])


def _flat(arguments: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """What is nested, by its path: `waiver.message`."""
    for name, value in arguments.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{path}", item) for path, item in _flat(value))
        else:
            yield name, value
