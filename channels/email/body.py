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

from channels.email import look
from channels.messages import Approval, Notice, Question, Reminded, Text
from channels.plain import card, counted, fields, render, terms
from store.text import one_line, visible

MARKDOWN_CHARS_MAX = 100_000
TITLE_CHARS_MAX = 200

ASKER_CHARS_MAX = 50
DANGER_CHARS_MAX = 1_000
WORDS_CHARS_MAX = 600
"""Shown of the words that led to a request."""


class Body:
    def __init__(self, title: str) -> None:
        self.title = one_line(title, TITLE_CHARS_MAX)
        self._text: list[str] = []
        self._html: list[str] = []
        self._at_links: int | None = None
        """Where the links go in the HTML; None: to its end."""

    @property
    def text(self) -> str:
        return "\n\n".join(self._text) + "\n"

    @property
    def html(self) -> str:
        return look.mail(self.title, "\n".join(self._html))

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
        """The request with all arguments and facts, in full. The links to decide stand above those that warn nobody."""
        self._text.append("\n".join(filter(None, (card(request, says_words=False), _words(request, "  ")))))
        self._html.append(question_of(request))
        self._at_links = len(self._html)
        self._html.append(words(request))
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
        warned = [f"  {one_line(request.danger, DANGER_CHARS_MAX)}"] if request.danger else []
        rows = "\n".join((*warned, *fields(request.danger_rows, "  "), *fields(request.rows, "  ")))
        self._text.append(f"{render(request)}\n{rows}".rstrip())
        self._html.append(f"<p><b>{_escaped(render(request))}</b></p>{dangers(request)}{details(request)}")
        return self

    def add_links(self, links: Sequence[tuple[str, str]]) -> Body:
        self._text.append("\n".join(f"{one_line(name, 200)}: {url}" for name, url in links))
        buttons = (look.link_button(visible(name), url, role_of(name)) for name, url in links)
        at = len(self._html) if self._at_links is None else self._at_links
        self._html.insert(at, f"<p>{''.join(buttons)}</p>")
        return self

    def add_note(self, note: str) -> Body:
        self._text.append(note)
        self._html.append(f"<p><small>{_escaped(note)}</small></p>")
        return self


def request_subject(request: Approval) -> str:
    """It names the decision, and who asked for it: in a full mailbox, `Re: …` is read by nobody.

    It is the subject of all mails about the request. Programs that group by References keep them in their thread;
    those that group by subject too show them as a conversation of their own.
    """
    return f"Approval needed: {request.headline}, asked for by {one_line(request.requested_by, ASKER_CHARS_MAX)}"


def question_of(request: Approval) -> str:
    """The question that is decided, and right below what is dangerous about it, as HTML."""
    return f"<h1>{_escaped(request.question)}</h1>{dangers(request)}"


def terms_of(request: Approval) -> str:
    """Who asked, who may decide, and until when, as HTML."""
    return f"<p><small>{'<br>'.join(map(_escaped, terms(request, says_words=False)))}</small></p>"


def dangers(request: Approval) -> str:
    """What warns people, as HTML."""
    said = f'<div class="danger" style="{look.WARNING}">{_escaped(request.danger)}</div>' if request.danger else ""
    heading = "" if said or not request.danger_rows else "<p><b>Warning</b></p>"
    return said + heading + table(request.danger_rows, warns=True)


def details(request: Approval) -> str:
    """The arguments and the facts that warn nobody, as HTML."""
    return table(request.rows)


def words(request: Approval) -> str:
    """The words that led to the request, as HTML; empty: there are none."""
    said = _words(request, "")
    who, _, text = said.partition("\n")
    return f'<p>{_escaped(who)}</p><blockquote style="{look.QUOTE}">{_escaped(text)}</blockquote>' if said else ""


def _words(request: Approval, indent: str) -> str:
    said = visible(request.words).strip()
    if not said:
        return ""
    said = said if len(said) <= WORDS_CHARS_MAX else f"{said[:WORDS_CHARS_MAX]} …"
    lines = [f"{one_line(request.requested_by, TITLE_CHARS_MAX)} wrote:", *(f"  {line}" for line in said.split("\n"))]
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def role_of(name: str) -> look.Role:
    """How a link of this name looks."""
    word = name.rpartition(" ")[2]
    return "approve" if word == "Approve" else "reject" if word == "Reject" else "other"


def table(*data: dict[str, JsonValue], warns: bool = False) -> str:
    """The data in full, as an HTML table."""
    rows = [
        f'<tr><th style="{look.NAME}">{_escaped(name)}</th><td style="{look.VALUE}">{_value(value)}</td></tr>'
        for part in data
        for name, value in part.items()
    ]
    kind, style = ("row danger", look.DANGER) if warns else ("row", look.TABLE)
    return f'<table class="{kind}" style="{style}">{"".join(rows)}</table>' if rows else ""


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
