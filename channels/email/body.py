"""Builds the body of a mail, as plain text and as simple HTML. Pure.

The HTML holds no image, script or external style. The model's Markdown keeps its formatting only, and every link shows
its target. `channels.email.letters` chooses the recipients and the content, never this module.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pydantic import JsonValue

from channels.messages import Approval, Notice, Question, Reminded, Text
from channels.plain import counted, fields, render, terms
from store.text import one_line, visible

MARKDOWN_CHARS_MAX = 100_000
TITLE_CHARS_MAX = 150

_BODY = 'style="font-family:sans-serif;font-size:14px;line-height:1.45;color:#1d1c1d"'
_CELL = 'style="text-align:left;vertical-align:top;padding:3px 14px 3px 0;border-bottom:1px solid #ddd"'
_TABLE = "border-collapse:collapse"
_BOLD = f"{_TABLE};font-weight:bold"
_BUTTON = 'style="display:inline-block;margin:4px 12px 4px 0;padding:8px 16px;border:1px solid #666;color:#1d1c1d"'


class Body:
    def __init__(self, title: str) -> None:
        self.title = one_line(title, TITLE_CHARS_MAX)
        self._text: list[str] = []
        self._html: list[str] = []

    @property
    def text(self) -> str:
        return "\n\n".join(self._text) + "\n"

    @property
    def html(self) -> str:
        return f"<!doctype html>\n<html><body {_BODY}>\n" + "\n".join(self._html) + "\n</body></html>\n"

    def add_text(self, message: Text | Notice) -> Body:
        self._text.append(visible(message.text))
        self._html.append(markdown(message.text) if isinstance(message, Text) else _paragraphs(message.text))
        return self

    def add_question(self, question: Question) -> Body:
        self._text.append(render(question))
        urgent = "Urgent: " if question.urgency == "high" else ""
        self._html.append(f"<p><b>{_escaped(urgent + question.question)}</b></p>")
        if question.context:
            self._html.append(_paragraphs(question.context))
        if question.choices:
            self._html.append("<ul>" + "".join(f"<li>{_escaped(one)}</li>" for one in question.choices) + "</ul>")
        return self

    def add_request(self, request: Approval) -> Body:
        """The request with all arguments and facts, in full."""
        self._text.append(render(request))
        self._html.append(f"<h3>Approval needed: {_escaped(request.headline)}</h3>")
        self._html.append(details(request))
        self._html.append(terms_of(request))
        return self

    def add_update(self, request: Approval) -> Body:
        """An update about a waiting request: another approval, or a reminder."""
        reminds = isinstance(request.state, Reminded)
        text = render(request) if reminds else f"{one_line(request.headline, TITLE_CHARS_MAX)}: {counted(request)}"
        self._text.append(text)
        self._html.append(f"<p><b>{_escaped(text.partition(chr(10))[0])}</b></p>")
        if reminds:
            self._html.append(terms_of(request))
        return self

    def add_outcome(self, request: Approval) -> Body:
        rows = "\n".join((*fields(request.arguments, "  "), *fields(request.facts, "  ")))
        self._text.append(f"{render(request)}\n{rows}".rstrip())
        self._html.append(f"<p><b>{_escaped(render(request))}</b></p>{details(request)}")
        return self

    def add_links(self, links: Sequence[tuple[str, str]]) -> Body:
        self._text.append("\n".join(f"{one_line(name, 200)}: {url}" for name, url in links))
        buttons = (f'<a href="{html.escape(url)}" {_BUTTON}>{_escaped(name)}</a>' for name, url in links)
        self._html.append(f"<p>{''.join(buttons)}</p>")
        return self

    def add_note(self, note: str) -> Body:
        self._text.append(note)
        self._html.append(f"<p><small>{_escaped(note)}</small></p>")
        return self


def terms_of(request: Approval) -> str:
    """Who asked, who may decide, and until when, as HTML."""
    return f"<p><small>{'<br>'.join(map(_escaped, terms(request)))}</small></p>"


def details(request: Approval) -> str:
    """What warns people, in bold, and then the arguments and the other facts, as HTML."""
    warnings = f"<p><b>Warning</b></p>{table(request.warnings, style=_BOLD)}" if request.warnings else ""
    tool: dict[str, JsonValue] = {} if request.names_its_tool else {"tool": request.intent}
    return warnings + table(tool, request.arguments, request.other_facts)


def table(*data: dict[str, JsonValue], style: str = _TABLE) -> str:
    """The data in full, as an HTML table."""
    rows = [
        f"<tr><th {_CELL}>{_escaped(name)}</th><td {_CELL}>{_value(value)}</td></tr>"
        for part in data
        for name, value in part.items()
    ]
    return f'<table style="{style}">{"".join(rows)}</table>' if rows else ""


def _value(value: JsonValue) -> str:
    if isinstance(value, str):
        return _lines(visible(value).split("\n"))
    # Same layout as in the plain text, which needs a name.
    first, *more = fields({"x": value}, "")
    first = first.removeprefix("x:").strip()
    return _lines(([first] if first else []) + [line.removeprefix("  ") for line in more])


def is_web_link(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and text.isprintable() and " " not in text


def _lines(lines: Iterable[str]) -> str:
    return "<br>".join(_linked(line) for line in lines)


def _linked(line: str) -> str:
    """The line with its indentation. A URL at its end becomes a link."""
    start, space, last = line.rpartition(" ")
    if not is_web_link(last):
        return _escaped(line).replace("  ", "&nbsp; ")
    url = html.escape(last)
    return f'{_escaped(start + space).replace("  ", "&nbsp; ")}<a href="{url}" rel="noreferrer">{url}</a>'


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_lines(part.split(chr(10)))}</p>" for part in text.split("\n\n") if part.strip())


def _escaped(text: str) -> str:
    return html.escape(visible(text))


# Markdown


class _Renderer(RendererHTML):
    def link_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Appends the target to a link's text, unless the text is the target."""
        depth, opened = 1, idx
        while depth and opened:
            opened -= 1
            depth += {"link_close": 1, "link_open": -1}.get(tokens[opened].type, 0)
        url = str(tokens[opened].attrGet("href") or "")
        words = "".join(token.content for token in tokens[opened + 1 : idx])
        shown = "" if words.strip().rstrip("/") == url.rstrip("/") else f" ({_escaped(url)})"
        return f"</a>{shown}"


_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True}, renderer_cls=_Renderer).enable("table")
_MARKDOWN.disable("image")
_MARKDOWN.validateLink = is_web_link  # type: ignore[method-assign, assignment]


def markdown(text: str) -> str:
    """The model's Markdown as HTML. Text that cannot be parsed is shown verbatim."""
    text = visible(text)
    if len(text) > MARKDOWN_CHARS_MAX:
        return f"<pre>{html.escape(text)}</pre>"
    try:
        return visible(str(_MARKDOWN.render(text)))  # again, because entities may have hidden control characters
    except Exception:
        # A third-party parser may raise anything, and the text must be shown all the same.
        return f"<pre>{html.escape(text)}</pre>"
