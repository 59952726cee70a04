"""What recurs in the lines of a log is sent to the server as one byte; the script that appends writes it out again.

So less than two thirds of an event crosses the socket, and what is stored stays JSON that every version reads. A byte
that stands for a text is a control character, which JSON has only escaped (RFC 8259, 7). This module knows no event: a
text that never occurs costs nothing.
"""

from __future__ import annotations

TEXTS = (
    # Long ones first: a part of one may be another.
    '{"v":1,"kind":"step_chosen","id":"',
    '{"v":1,"kind":"tool_finished","id":"',
    '{"v":1,"kind":"message_sent","id":"',
    '{"v":1,"kind":"',
    '"},"begun":true,"model":"',
    '","usage":{"input_tokens":',
    ',"output_tokens":',
    ',"cached_tokens":',
    '/finished","at":"',
    '/chosen","at":"',
    '","arguments":{"',
    '","intent":"',
    'Z","step":"',
    '","result":',
)
"""They hold no `'` and no backslash, so they stand in Lua as they are. Every script carries its own, so they may change
at any time."""
_CODES = (*range(1, 9), *range(14, 32))
_SHORT = tuple((text.encode(), bytes([code])) for text, code in zip(TEXTS, _CODES, strict=False))

_ROWS = ", ".join(rf"['\{code}'] = '{text}'" for text, code in zip(TEXTS, _CODES, strict=False))
LUA = rf"""
local TEXTS = {{{_ROWS}}}
local function written_out(line) return (string.gsub(line, '[\1-\8\14-\31]', TEXTS)) end
"""


def shortened(line: bytes) -> bytes:
    """A line of JSON for the script, which has `LUA`."""
    for text, code in _SHORT:
        line = line.replace(text, code)
    return line
