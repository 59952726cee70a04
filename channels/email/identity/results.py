"""Reads Authentication-Results (RFC 8601): what a receiving server found out about who sent a mail. Pure.

Receivers differ in how closely they follow the RFC, and some write one header for each check. So this parser takes
what it can use, in linear time. Text in quotes or comments may be the sender's own, so it is never read as a result. A
header that cannot be read says nothing. `channels.email.identity.receiver` says which headers are our own server's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

HEADER_CHARS_MAX = 10_000
_COMMENT_DEPTH_MAX = 20
_PLAIN = re.compile(r"[^\s;\"()]+")
_INSTANCE = re.compile(r"\s*i\s*=\s*\d+\s*;")
_IN_QUOTES = str.maketrans({"=": "\ufffd"})
"""A quoted string must not look like a result or a property."""


@dataclass(frozen=True, slots=True)
class Result:
    """One check, such as `dmarc=pass header.from=example.com`."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    """Such as (`header.from`, `example.com`)."""

    def said(self, name: str) -> tuple[str, ...]:
        """The values of this property, in lower case."""
        return tuple(value.lower() for key, value in self.properties if key == name)


@dataclass(frozen=True, slots=True)
class Results:
    """One header."""

    authserv_id: str
    """The name of the server that wrote it, in lower case; empty: it does not say, as Microsoft's."""
    results: tuple[Result, ...]

    def of(self, method: str) -> tuple[Result, ...]:
        return tuple(one for one in self.results if one.method == method)


class _Unreadable(Exception):
    pass


def read_results(value: str) -> Results | None:
    """The content of one header; None: it cannot be read."""
    if len(value) > HEADER_CHARS_MAX:
        return None
    try:
        segments = [_joined(segment) for segment in _segments(value)]
        first = segments[0]
        is_named = bool(first) and not any("=" in word for word in first)
        if is_named and (len(first) > 2 or first[1:] not in ([], ["1"])):
            return None
        results = [_result(segment) for segment in segments[is_named:] if segment and segment != ["none"]]
    except _Unreadable:
        return None
    return Results(first[0].lower() if is_named else "", tuple(results))


def read_arc_results(value: str) -> Results | None:
    """The content of an ARC-Authentication-Results header (RFC 8617), which has its number before the server's name."""
    found = _INSTANCE.match(value)
    return read_results(value[found.end() :]) if found else None


def _result(words: list[str]) -> Result:
    method, is_given, result = words[0].partition("=")
    name, _, version = method.partition("/")
    if not is_given or not name or not result or version not in ("", "1"):
        raise _Unreadable
    properties = [(key.lower(), value) for key, _, value in (word.partition("=") for word in words[1:]) if value]
    return Result(name.lower(), result.lower(), tuple(properties))


def _joined(words: list[str]) -> list[str]:
    """With `a = b` and `a= b` as the one word `a=b`."""
    joined: list[str] = []
    for word in words:
        if joined and (word.startswith("=") or (joined[-1].endswith("=") and joined[-1].count("=") == 1)):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _segments(value: str) -> Iterator[list[str]]:
    """The words between semicolons, without comments. Raises _Unreadable."""
    words: list[str] = []
    pieces: list[str] = []  # of the current word
    at = 0
    while at < len(value):
        if found := _PLAIN.match(value, at):
            pieces.append(found[0])
            at = found.end()
            continue
        if value[at] == '"':
            at = _quoted(value, at, pieces)
            continue
        if pieces:
            words.append("".join(pieces))
            pieces = []
        match value[at]:
            case "(":
                at = _end_of_comment(value, at)
            case ")":
                raise _Unreadable
            case ";":
                yield words
                words = []
                at += 1
            case _:
                at += 1
    yield [*words, "".join(pieces)] if pieces else words


def _quoted(value: str, at: int, pieces: list[str]) -> int:
    """Add what stands in the quotes that open at `at`. Returns where it goes on."""
    start = at + 1
    at = start
    while at < len(value) and value[at] != '"':
        at += 2 if value[at] == "\\" else 1
    if at >= len(value):
        raise _Unreadable
    pieces.append(value[start:at].translate(_IN_QUOTES))
    return at + 1


def _end_of_comment(value: str, at: int) -> int:
    """Where it goes on after the comment that opens at `at`."""
    depth = 0
    while at < len(value):
        match value[at]:
            case "\\":
                at += 1
            case "(":
                depth += 1
                if depth > _COMMENT_DEPTH_MAX:
                    raise _Unreadable
            case ")":
                depth -= 1
                if not depth:
                    return at + 1
            case _:
                pass
        at += 1
    raise _Unreadable
