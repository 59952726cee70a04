"""Converts an HTML mail to the text that a reader would see. Pure.

It handles libxml2's parser events and builds no tree, so nesting depth does not matter. Hidden elements are left out;
otherwise a mail could say one thing to its reader and another to us. Lines of a blockquote get a `>`, as in plain text,
for `channels.email.replies` to recognise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lxml import etree

HTML_CHARS_MAX = 1_000_000
QUOTES_MAX = 9
STYLE_CHARS_MAX = 2_000

_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
_HIDDEN_TAGS = frozenset(
    ("script", "style", "head", "title", "template", "noscript", "xml", "object", "svg", "math", "iframe")
)
_SPACED = frozenset(("p", "ul", "ol", "table", "pre", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6"))
"""Blocks separated by an empty line."""
_BLOCKS = _SPACED | frozenset(
    ("div", "tr", "li", "section", "article", "header", "footer", "center", "hr", "dl", "dt", "dd", "address", "form")
)
_SIGNATURES = frozenset(("gmail_signature", "gmail_signature_prefix", "moz-signature", "protonmail_signature_block"))
_OUTLOOK_SIGNATURE = "ms-outlook-mobile-signature"
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all"
    r"|(?:max-height|font-size|opacity)\s*:\s*0(?:px|pt|em|%)?\s*(?:;|$|!)",
    re.IGNORECASE,
)


def text_of_html(html: str) -> str:
    """Never raises. HTML beyond HTML_CHARS_MAX is ignored."""
    parser = etree.HTMLParser(target=_TextBuilder(), encoding="utf-8", huge_tree=True)
    data = html[:HTML_CHARS_MAX].replace("\0", "").encode("utf-8", "replace")
    try:
        parser.feed(data or b" ")
        return str(parser.close())
    except etree.LxmlError:
        return ""


class _TextBuilder:
    """A parser target for `lxml.etree`."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._open: list[tuple[str, bool, bool]] = []
        """For each open element: its tag, whether it is hidden, whether it is a quotation."""
        self._hidden = self._quotes = self._pre = 0
        self._spaced = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        hides = bool(self._hidden) or tag in _HIDDEN_TAGS or _is_hidden(attributes)
        quotes = False
        if not hides:
            self._begin(tag)
            quotes = tag == "blockquote" or "yahoo_quoted" in _classes(attributes)
            self._quotes += quotes
            self._pre += tag == "pre"
        self._open.append((tag, hides, quotes))
        self._hidden += hides

    def _begin(self, tag: str) -> None:
        if tag == "br":
            if "".join(self._line).strip():
                self._end_line()
            else:
                self._line.clear()
                self._spaced = True
        elif tag == "hr":
            self._end_line()
            self._lines.append("_" * 32)
        elif tag in _BLOCKS:
            self._end_line(spaced=tag in _SPACED)
        if tag == "li":
            self._line.append("- ")
        elif tag in ("td", "th") and "".join(self._line[-3:]).strip():
            self._line.append(" | ")

    def end(self, _: str) -> None:
        if not self._open:
            return
        tag, hides, quotes = self._open.pop()
        self._hidden -= hides
        if hides or tag in _VOID:
            return
        if tag in _BLOCKS:
            self._end_line(spaced=tag in _SPACED)
        self._quotes -= quotes
        self._pre -= tag == "pre"

    def data(self, data: str) -> None:
        if self._hidden:
            return
        first, *more = data.split("\n") if self._pre else [data]
        self._line.append(first)
        for line in more:
            self._end_line()
            self._line.append(line)

    def close(self) -> str:
        self._end_line()
        return "\n".join(self._lines)

    def _end_line(self, *, spaced: bool = False) -> None:
        words = "".join(self._line)
        self._line.clear()
        words = words.rstrip() if self._pre else " ".join(words.split())
        if words.strip():
            mark = ">" * min(self._quotes, QUOTES_MAX)
            if self._spaced and self._lines:
                self._lines.append(mark)
            self._lines.append(f"{mark} {words}" if mark else words)
            self._spaced = False
        self._spaced = self._spaced or spaced


def _is_hidden(attributes: Mapping[str, str]) -> bool:
    return (
        "hidden" in attributes
        or attributes.get("id") == _OUTLOOK_SIGNATURE
        or bool(_SIGNATURES & _classes(attributes))
        or bool(_HIDDEN.search(attributes.get("style", "")[:STYLE_CHARS_MAX]))
    )


def _classes(attributes: Mapping[str, str]) -> set[str]:
    return set(attributes.get("class", "")[:500].split())
