"""Converts text to and from Slack's formats, safely and without loss. Pure.

Outgoing text is literal. Slack does not parse `<!channel>`, `<@U1>`, `*` or `:emoji:` in the text elements of a
`rich_text` block, so `rich` and `linked` need no escaping. Only the `text` of a message, which notifications and screen
readers use, must be escaped, by `plain`.

This module does not know Markdown (see `channels.slack.markdown`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from channels.slack.layout import Block, Part, Run, Style, between_graphemes, blocks_of, fitting, weight_of_text
from store.text import visible

URL_WEIGHT_MAX = 2_000

_HOST = r"[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]++)*+"
_PATH = r"[\w!#$%&'()*+,\-./:;=?@\[\]~]"
# A host must end where it seems to end: `https://good.example@evil.example` and non-ASCII hosts are no links.
_WEB = rf"https?://{_HOST}(?::\d{{1,5}}+)?+(?![\w@:%])(?:[/?#]{_PATH}*)?"
_BARE_URL = re.compile(rf"(?<![A-Za-z0-9]){_WEB}", re.IGNORECASE)
_SAFE_URL = re.compile(rf"{_WEB}|mailto:[\w.!#$%&'*+/=?~-]+@{_HOST}(?:\?{_PATH}*)?", re.IGNORECASE | re.ASCII)


def escape(text: str) -> str:
    """Escapes text for mrkdwn and for the `text` of a message, so that no mention, link or date token is live.

    It escapes `&`, `<` and `>`, which all of those need, and removes hidden characters. Slack has no escape for mere
    formatting (`*`, `_`, `~`, backquotes, `:emoji:`); use `rich` if text must be literal. A bare `@channel` stays text,
    because chat.postMessage has `link_names` off and `parse` at "none" by default.
    """
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(text: str, chars_max: int) -> str:
    """The `text` of a message, for notifications and screen readers: escaped, without blank lines, clipped.

    The limit applies to the escaped text, and no entity is cut. Markdown stays as written.
    """
    lines = (line.strip() for line in visible(text).split("\n"))
    text = "\n".join(line for line in lines if line)
    escaped = escape(text)
    if len(escaped) <= chars_max:
        return escaped
    if chars_max < 1:
        return ""
    return escape(text[: between_graphemes(text, fitting(text, chars_max - 1))]).rstrip() + "…"


def rich(text: str) -> list[Block]:
    """The text as blocks, verbatim except that http(s) URLs become links. `packed` makes messages of the blocks."""
    if not text.strip():
        return []
    return blocks_of([Part("section", linked(visible(text)))])


# The way in

_TAG = re.compile(r"<([^<>]+)>")


def unescaped(text: str, names: Mapping[str, str]) -> str:
    """The text of a Slack message as a person reads it. `names` has names by the ids of people and channels.

    Ids without a name, and tags that Slack does not document, stay as they are.
    Source: docs.slack.dev/messaging/formatting-message-text, "Retrieving messages".
    """
    pieces = _TAG.split(text)
    pieces[::2] = map(_entities, pieces[::2])
    pieces[1::2] = (_read(tag, names) for tag in pieces[1::2])
    return "".join(pieces)


def _entities(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _read(tag: str, names: Mapping[str, str]) -> str:
    target, _, label = tag.partition("|")
    label, key = _entities(label), target[1:]
    match target[:1]:
        case "@" | "#" as sign if name := names.get(key) or label:
            return sign + name.removeprefix(sign)
        case "!" if key.startswith("date^") and label:
            return label
        case "!" if key.startswith("subteam^") and (name := label or names.get(key.removeprefix("subteam^"), "")):
            return "@" + name.removeprefix("@")
        case "!" if key in ("here", "channel", "everyone"):
            return "@" + key
        case "@" | "#" | "!":
            return f"<{_entities(tag)}>"
    if not re.match(r"[a-z][a-z0-9+.-]*:", target, re.IGNORECASE):
        return f"<{_entities(tag)}>"
    url = _entities(target)
    # Slack makes `<http://good.example|good.example>` of a typed "good.example": one is enough.
    same = (url, url.removeprefix("mailto:"), url.removeprefix("tel:"), re.sub(r"^https?://|/$", "", url))
    if label in same:
        return label if url.startswith(("mailto:", "tel:")) else url
    return f"{label} ({url})" if label else url


# Links


def is_safe(url: str) -> bool:
    """Whether the URL may be a link: http, https or mailto, to a host that can be read."""
    return weight_of_text(url) <= URL_WEIGHT_MAX and bool(_SAFE_URL.fullmatch(url))


def linked(text: str, styles: frozenset[Style] = frozenset()) -> list[Run]:
    """The text, in which each bare http(s) URL is a link to itself."""
    runs: list[Run] = []
    done = 0
    for found in _BARE_URL.finditer(text):
        url = _without_closing_marks(found[0]) if len(found[0]) <= URL_WEIGHT_MAX else ""
        if is_safe(url):
            runs += [Run(text[done : found.start()], styles), Run(url, styles, url)]
            done = found.start() + len(url)
    runs.append(Run(text[done:], styles))
    return [run for run in runs if run.text]


def _without_closing_marks(url: str) -> str:
    """As in GitHub's Markdown: a sentence's marks are not the URL's, nor is a bracket that it did not open."""
    while url:
        last = url[-1]
        opening = {")": "(", "]": "["}.get(last)
        if last not in ".,;:!?'*_~" and not (opening and url.count(last) > url.count(opening)):
            break
        url = url[:-1]
    return url
