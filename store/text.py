"""Makes foreign text safe to display, and owns the one way to write an instant and a call.

Text from outside can hide, reorder or control the text around it; `visible` prevents that. Escaping for a medium (HTML,
Slack, YAML) belongs to the code that writes for that medium.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

# C0 and C1 controls except newline and tab, line separators that YAML knows, direction marks and overrides, joiners and
# other invisible characters, byte order marks, half surrogates, fillers, and the tags and variation selectors that can
# hide a whole message.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)


_HALF_SURROGATE = re.compile("[\ud800-\udfff]")


def without_half_surrogates(text: str) -> str:
    """Replace half surrogate pairs, which UTF-8 cannot encode, by U+FFFD."""
    return _HALF_SURROGATE.sub("\ufffd", text)


def visible(text: str) -> str:
    """The text with hidden characters written out, as in `\\u{202e}`; newlines and tabs stay."""
    return _HIDDEN.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", text.replace("\r\n", "\n"))


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
