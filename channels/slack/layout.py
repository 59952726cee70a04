"""Lays out text for Slack: styled runs become blocks of limited size, and blocks become messages. Pure.

Text becomes Runs (pieces of one style), Runs become Parts (a paragraph, a list item, a code block), Parts become blocks
of limited size, and blocks become messages. Text is never clipped, only split: preferably between blocks, then between
items, after paragraphs, lines, sentences and words, and inside a word only if it is longer than a block.

It never makes a mrkdwn object, or an element of type usergroup, channel, broadcast or emoji, nor one of type user but
for a Run that `mentions`. Text is sanitised before it comes here, by `channels.slack.text`.
Sources: docs.slack.dev/reference/block-kit; the total for a message is bolt-js 2509; empty texts are refused with
"must be more than 0 characters".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

Block: TypeAlias = dict[str, Any]

# Slack allows 50; the rest is for what the caller puts around the text.
BLOCKS_MAX = 45
# Slack refused about 13,200 characters, and 125 less for each block more, without saying how it counts. So we count
# characters as they are after escaping, in UTF-16, and something for each block and element: `weight`.
MESSAGE_WEIGHT_MAX = 12_000
BLOCK_WEIGHT_MAX = 5_800  # two fill a message
ELEMENT_CHARS_MAX = 3_000
INDENT_MAX = 8

_BLOCK_WEIGHT = 130
_ELEMENT_WEIGHT = 10
_GLUE_WEIGHT = _ELEMENT_WEIGHT + 2  # the blank line between two paragraphs
_GRAPHEME_CHARS_MAX = 32
_FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))  # two of them are a flag

Style: TypeAlias = Literal["bold", "italic", "strike", "code"]
Kind: TypeAlias = Literal["section", "quote", "item", "code"]


@dataclass(frozen=True, slots=True)
class Run:
    """Text of one style. Its text is visible; with a url it is a link, and the url is safe."""

    text: str
    styles: frozenset[Style] = frozenset()
    url: str = ""
    mentions: bool = False
    """The text is the id of a user, whom Slack shows by name."""

    @property
    def weight(self) -> int:
        return weight_of_text(self.text) + weight_of_text(self.url) + _ELEMENT_WEIGHT


@dataclass(frozen=True, slots=True)
class Part:
    """What stands by itself on the page. `owner` tells one quote or list item from the next."""

    kind: Kind
    runs: list[Run]
    owner: int = 0
    quoted: bool = False
    indent: int = 0
    number: int | None = None  # of an item in an ordered list, from 1
    language: str = ""

    @property
    def weight(self) -> int:
        return sum(run.weight for run in self.runs) + _GLUE_WEIGHT


def blocks_of(parts: list[Part]) -> list[Block]:
    """Rich text blocks that hold these parts in order, each within BLOCK_WEIGHT_MAX."""
    groups: list[list[Part]] = [[]]
    left = BLOCK_WEIGHT_MAX
    for piece in (piece for part in parts for piece in _divided(part)):
        if piece.weight > left and groups[-1]:
            groups.append([])
            left = BLOCK_WEIGHT_MAX
        groups[-1].append(piece)
        left -= piece.weight
    return [block_of(group) for group in groups if group]


def block_of(parts: list[Part]) -> Block:
    """One block of whatever size, for a place that has limits of its own."""
    return {"type": "rich_text", "elements": _elements(parts)}


def packed(blocks: list[Block]) -> list[list[Block]]:
    """The blocks as messages.

    A table ends its message: Slack takes one in a message, and some of its clients show it below everything else.
    """
    messages: list[list[Block]] = []
    left = 0
    for block in blocks:
        cost = weight(block)
        last = messages[-1] if messages else []
        if not last or len(last) == BLOCKS_MAX or cost > left or last[-1]["type"] == "table":
            # A heading goes with what is under it.
            heading = [last.pop()] if len(last) > 1 and last[-1]["type"] == "header" else []
            messages.append(heading)
            left = MESSAGE_WEIGHT_MAX - sum(map(weight, heading))
        messages[-1].append(block)
        left -= cost
    return messages


def weight(block: Block) -> int:
    """What the block counts against MESSAGE_WEIGHT_MAX."""
    return _BLOCK_WEIGHT + _weight_of(block)


def _weight_of(node: Any) -> int:
    match node:
        case dict():
            own = _ELEMENT_WEIGHT if node.get("type") in ("text", "link") else 0
            own += sum(weight_of_text(node[key]) for key in ("text", "url") if isinstance(node.get(key), str))
            return own + sum(_weight_of(value) for value in node.values())
        case list():
            return sum(map(_weight_of, node))
    return 0


def weight_of_text(text: str) -> int:
    escaped = 4 * text.count("&") + 3 * text.count("<") + 3 * text.count(">")
    return escaped + len(text.encode("utf-16-le", "surrogatepass")) // 2


def _elements(parts: list[Part]) -> list[Block]:
    """Paragraphs of the same text share an element, with a blank line between them, as Slack's own composer writes."""
    elements: list[Block] = []
    before: Part | None = None
    for part in parts:
        inside = _inline(part.runs)
        if before and _continues(part, before):
            if part.kind == "item":
                elements[-1]["elements"].append({"type": "rich_text_section", "elements": inside})
            else:
                elements[-1]["elements"] += [{"type": "text", "text": "\n\n"}, *inside]
        else:
            elements.append(_element(part, inside))
        before = part
    return elements


def _continues(part: Part, before: Part) -> bool:
    match part.kind:
        case "item":
            following = None if before.number is None else before.number + 1
            same = (before.kind, before.indent, before.quoted) == ("item", part.indent, part.quoted)
            return same and part.number == following
        case "section" | "quote":
            return (before.kind, before.owner) == (part.kind, part.owner)
        case "code":
            return False


def _element(part: Part, inside: list[Block]) -> Block:
    border = {"border": 1} if part.quoted else {}
    match part.kind:
        case "section" | "quote":
            return {"type": f"rich_text_{part.kind}", "elements": inside}
        case "code":
            language = {"language": part.language} if part.language else {}
            return {"type": "rich_text_preformatted", "elements": inside, **border, **language}
        case "item":
            section = {"type": "rich_text_section", "elements": inside}
            style = "bullet" if part.number is None else "ordered"
            offset = {"offset": part.number - 1} if part.number and part.number > 1 else {}
            return {
                "type": "rich_text_list",
                "style": style,
                "indent": part.indent,
                "elements": [section],
                **offset,
                **border,
            }


def _inline(runs: list[Run]) -> list[Block]:
    return [_run(piece) for run in joined(runs) for piece in _split_run(run)]


def _run(run: Run) -> Block:
    if run.mentions:
        return {"type": "user", "user_id": run.text}
    style = {"style": dict.fromkeys(sorted(run.styles), True)} if run.styles else {}
    if not run.url:
        return {"type": "text", "text": run.text, **style}
    text = {"text": run.text} if run.text != run.url else {}
    return {"type": "link", "url": run.url, **text, **style}


def joined(runs: list[Run]) -> list[Run]:
    """Neighbours of one style as one run."""
    texts: list[tuple[Run, list[str]]] = []
    for run in runs:
        if texts and _look(texts[-1][0]) == _look(run):
            texts[-1][1].append(run.text)
        else:
            texts.append((run, [run.text]))
    return [replace(run, text="".join(pieces)) for run, pieces in texts]


def _look(run: Run) -> tuple[frozenset[Style], str, bool]:
    return run.styles, run.url, run.mentions


def _split_run(run: Run) -> Iterator[Run]:
    text = run.text
    while len(text) > ELEMENT_CHARS_MAX:
        end = between_graphemes(text, ELEMENT_CHARS_MAX)
        yield replace(run, text=text[:end])
        text = text[end:]
    yield replace(run, text=text)


# Dividing


@dataclass(slots=True)
class _Piece:
    runs: list[Run] = field(default_factory=list)
    left: int = BLOCK_WEIGHT_MAX - _GLUE_WEIGHT


def _divided(part: Part) -> list[Part]:
    """The part, or when it is too heavy, pieces that read on from one to the next."""
    if part.weight <= BLOCK_WEIGHT_MAX:
        return [part]
    pieces = [_Piece()]
    for run in joined(part.runs):
        overhead = run.weight - weight_of_text(run.text)
        text = run.text
        while text:
            piece = pieces[-1]
            end = fitting(text, piece.left - overhead)
            if end < len(text):
                # At a sensible place; else whole in the next piece; else anywhere, for it fits nowhere whole.
                end = _sensible(text, end) or (0 if piece.runs else between_graphemes(text, end))
            if end:
                piece.runs.append(replace(run, text=text[:end]))
                piece.left -= piece.runs[-1].weight
            text = text[end:]
            if text:
                pieces.append(_Piece())
    if part.kind == "code":
        return [replace(part, runs=_without_last_newline(piece.runs)) for piece in pieces]
    rest = replace(part, kind="section") if part.kind == "item" else part
    return [replace(part if index == 0 else rest, runs=piece.runs) for index, piece in enumerate(pieces)]


def _without_last_newline(runs: list[Run]) -> list[Run]:
    """The end of a box ends its last line too."""
    last = replace(runs[-1], text=runs[-1].text.removesuffix("\n") or "\n")
    return [*runs[:-1], last]


def fitting(text: str, weight_max: int) -> int:
    """How many characters from the beginning are within that weight, nearly as many as possible."""
    end = max(0, min(len(text), weight_max))
    while end and (cost := weight_of_text(text[:end])) > weight_max:
        end = min(end - 1, end * weight_max // cost)
    return end


def _sensible(text: str, end: int) -> int:
    """A place to divide the text in the second half of what would fit, or 0."""
    for mark in ("\n\n", "\n", ". ", "! ", "? ", " "):
        if (at := text.rfind(mark, end // 2, end)) >= 0:
            return at + len(mark)
    return 0


def between_graphemes(text: str, end: int) -> int:
    """The place or one shortly before it, so that no accent, skin tone or flag is cut off from its character."""
    for at in range(end, max(0, end - _GRAPHEME_CHARS_MAX), -1):
        if at >= len(text) or not _clings(text, at):
            return at
    return end


def _clings(text: str, at: int) -> bool:
    if unicodedata.category(text[at]).startswith("M") or "\U0001f3fb" <= text[at] <= "\U0001f3ff":
        return True
    flags = at - len(text[:at].rstrip(_FLAG_LETTERS))
    return text[at] in _FLAG_LETTERS and flags % 2 == 1
