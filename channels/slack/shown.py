"""Reads the blocks of a Slack message as text, as a person sees them. Pure.

The result is Slack's markup, as in the `text` of a message: literal text is escaped, and references (`<@U1>`, `<#C1>`,
dates, links) stay for `channels.slack.text.unescaped`. Blocks are untrusted: a malformed one is skipped, and the kinds
that cannot be shown as text are returned, so that they can be named as left out.

The shapes: https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Shape = Mapping[Any, Any]

PARTS_MAX = 200
"""Items of one list in a payload that are read. Slack allows 50 blocks."""

_ENTITY = re.compile(r"&(?!amp;|lt;|gt;)")
_SILENT = {"divider"}


class Reading:
    """The lines of some blocks, and what cannot be text."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.unread: list[str] = []
        """Kinds of blocks and images."""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def add(self, text: str) -> None:
        if text.strip():
            self.lines.append(text.strip("\n"))


def read_blocks(blocks: object) -> Reading:
    found = Reading()
    for block in shapes(blocks):
        _block(found, block)
    return found


def shapes(items: object) -> Iterator[Shape]:
    """The objects in a list of a payload."""
    for item in items[:PARTS_MAX] if isinstance(items, list) else ():
        if isinstance(item, Mapping):
            yield item


def string(data: Shape, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def literal(text: str) -> str:
    """Literal text as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def labels(elements: object) -> str:
    """The buttons of a row: a label, and its link if it has one."""
    found = []
    for element in shapes(elements):
        label = text_of(element.get("text")) or text_of(element.get("placeholder"))
        url = string(element, "url")
        if label and url:
            found.append(link(url, label))
        elif label:
            found.append(f"[{label}]")
    return " ".join(found)


def link(url: str, label: str) -> str:
    """A link in markup. A URL that would end the tag is text."""
    if re.search(r"[<>|\s]", url):
        return f"{label} ({literal(url)})" if label else literal(url)
    label = label.replace("<", "&lt;").replace(">", "&gt;")
    return f"<{url}|{label}>" if label else f"<{url}>"


def text_of(text: object) -> str:
    """A text object, or a bare string, as markup."""
    match text:
        case str():
            return text
        case {"type": "mrkdwn", "text": str(markup)}:
            return markup
        case {"text": str(plain)}:
            # Slack returns some plain texts escaped and others as they were sent.
            return _ENTITY.sub("&amp;", plain).replace("<", "&lt;").replace(">", "&gt;")
        case _:
            return ""


def _block(found: Reading, block: Shape) -> None:
    match string(block, "type"):
        case "section":
            found.add(text_of(block.get("text")))
            for field in shapes(block.get("fields")):
                found.add(text_of(field))
            _element(found, block.get("accessory"))
        case "header":
            found.add(text_of(block.get("text")))
        case "context":
            found.add(" ".join(filter(None, map(text_of, shapes(block.get("elements"))))))
            found.unread += ["image" for each in shapes(block.get("elements")) if each.get("type") == "image"]
        case "rich_text":
            for part in shapes(block.get("elements")):
                found.add(_rich_part(part))
        case "markdown":
            found.add(literal(string(block, "text")))
        case "actions" | "context_actions":
            found.add(labels(block.get("elements")))
        case "input":
            found.add(text_of(block.get("label")))
        case "image":
            _element(found, block)
        case "video":
            found.add(text_of(block.get("title")))
            found.add(text_of(block.get("description")))
            found.unread.append("video")
        case "alert" | "card" as kind:
            found.add(
                "\n".join(filter(None, (text_of(block.get(key)) for key in ("title", "subtitle", "text", "body"))))
            )
            found.add(labels(block.get("actions")))
            if kind == "card" and block.get("hero_image"):
                found.unread.append("image")
        case "table":
            for row in block["rows"][:PARTS_MAX] if isinstance(block.get("rows"), list) else ():
                found.add(" | ".join(_cell(cell) for cell in shapes(row)))
        case kind if kind not in _SILENT:
            found.unread.append("block of another kind")


def _element(found: Reading, element: object) -> None:
    """An image, with the words under it, or a button beside a text."""
    if not isinstance(element, Mapping):
        return
    if element.get("type") == "image":
        found.add(text_of(element.get("title")) or literal(string(element, "alt_text")))
        found.unread.append("image")
    else:
        found.add(labels([element]))


def _cell(cell: Shape) -> str:
    if cell.get("type") == "rich_text":
        return " ".join(filter(None, (_rich_part(part) for part in shapes(cell.get("elements")))))
    return text_of(cell)


# Rich text


def _rich_part(part: Shape) -> str:
    match string(part, "type"):
        case "rich_text_section":
            return _inline(part)
        case "rich_text_preformatted":
            return f"```\n{_inline(part)}\n```"
        case "rich_text_quote":
            return quoted(_inline(part))
        case "rich_text_list":
            return "\n".join(_items(part))
        case _:
            return ""


def quoted(markup: str) -> str:
    """Each line of it marked as a quotation, so that nothing in it can pass for a line of its surroundings."""
    return "\n".join(f"&gt; {line}" for line in markup.splitlines())


def _items(part: Shape) -> Iterator[str]:
    indent, offset = part.get("indent"), part.get("offset")
    margin = "    " * min(indent, 8) if isinstance(indent, int) and indent > 0 else ""
    first = 1 + (offset if isinstance(offset, int) else 0)
    for number, item in enumerate(shapes(part.get("elements")), first):
        sign = f"{number}." if part.get("style") == "ordered" else "•"
        yield f"{margin}{sign} {_inline(item)}"


def _inline(part: Shape) -> str:
    return "".join(map(_piece, shapes(part.get("elements"))))


def _piece(element: Shape) -> str:
    match element:
        case {"type": "text", "text": str(text)}:
            return literal(text)
        case {"type": "link", "url": str(url)}:
            return link(url, literal(string(element, "text")))
        case {"type": "user", "user_id": str(user)}:
            return _reference("@", user)
        case {"type": "channel", "channel_id": str(channel)}:
            return _reference("#", channel)
        case {"type": "usergroup", "usergroup_id": str(group)}:
            return _reference("!subteam^", group)
        case {"type": "broadcast", "range": str(everyone)}:
            return _reference("!", everyone)
        case {"type": "emoji", "name": str(name)}:
            tone = element.get("skin_tone")
            return literal(f":{name}:" + (f":skin-tone-{tone}:" if isinstance(tone, int) else ""))
        case {"type": "date", "timestamp": int(seconds)}:
            fallback = string(element, "fallback")
            shown = re.sub(r"[<>|^]", "", string(element, "format")) or "{date_num} {time}"
            return f"<!date^{seconds}^{shown}|{literal(fallback)}>"
        case {"type": "color", "value": str(value)}:
            return literal(value)
        case _:
            return literal(string(element, "text"))


def _reference(sign: str, name: str) -> str:
    return f"<{sign}{name}>" if re.fullmatch(r"\w+", name) else literal(f"{sign}{name}")
