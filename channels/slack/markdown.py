"""Renders a language model's Markdown as Slack messages. Pure.

The text is untrusted. It can mention nobody and load no image, and every link shows its target. No text is lost, even
where CommonMark drops it:

- link definitions (`[1]: https://…`) and HTML are not supported and stay text;
- titles of links and images, surplus table cells, and the words after a code fence are shown;
- text beyond NESTING_MAX or MARKDOWN_CHARS_MAX, or text on which the parser fails, is shown verbatim.

Only formatting that Slack cannot show is lost: the level of a heading, styles in a `header` block, the depth of quotes,
and the language of a code block.

A newline stays a newline, as usual in chats; CommonMark would make it a space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_block.table import escapedSplit
from markdown_it.token import Token

from channels.slack.layout import INDENT_MAX, Block, Part, Run, Style, block_of, blocks_of, joined, packed, weight
from channels.slack.text import is_safe, linked, rich
from store.text import visible

MARKDOWN_CHARS_MAX = 40_000  # a second of parsing at worst
NESTING_MAX = 40
HEADER_CHARS_MAX = 150
TABLE_ROWS_MAX = 100
TABLE_COLUMNS_MAX = 20
TABLE_WEIGHT_MAX = 9_500  # Slack: 10,000 characters in all cells
_CELL_CHARS_PADDED_MAX = 40
_PADDING_MAX = 3  # times the text

# The languages that Slack's reference names. It has no list of them, and to refuse one is to refuse the message.
_LANGUAGES = {"python": "python", "py": "python", "javascript": "javascript", "js": "javascript", "json": "json"}
_STYLES: dict[str, Style] = {"strong": "bold", "em": "italic", "s": "strike"}
_TASK = re.compile(r"\[([ xX])\](?=\s)")
# In plain_text, what Slack does with these is not documented.
_AMBIGUOUS = re.compile(r"[<>\n]|&#?\w+;")
_NAMED_HOST = re.compile(r"(?:[\w-]{1,63}[.\u3002]){1,9}[^\W\d_][\w-]+")


def messages_of(markdown: str) -> list[list[Block]]:
    """The text as messages for chat.postMessage, in order; none for blank text."""
    if not markdown.strip():
        return []
    return packed(_blocks(visible(markdown)) or rich(markdown))


def _blocks(markdown: str) -> list[Block]:
    if len(markdown) > MARKDOWN_CHARS_MAX:
        return []
    try:
        tokens = _PARSER.parse(markdown)
    except Exception:
        # The parser is not ours, and this text must arrive whatever it is.
        return []
    if any(token.level >= NESTING_MAX - 1 for token in tokens):
        # Where the parser stops, it drops the rest.
        return []
    return _Page().read(tokens)


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The parser's own rule, but it keeps what a row has beyond the columns of its table."""
    first = len(state.tokens)
    if not table(state, start, end, silent):
        return False
    if silent:
        return True
    rows = [token for token in state.tokens[first:] if token.type == "tr_open" and token.map]
    columns = sum(token.type == "th_open" for token in state.tokens[first:])
    for row in rows:
        assert row.map
        line = row.map[0]
        source = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip(" \t")
        cells = escapedSplit(source)
        cells = cells[1:] if cells and not cells[0] else cells
        cells = cells[:-1] if cells and not cells[-1] else cells
        row.meta["excess"] = " | ".join(cell.strip() for cell in cells[columns:])
    return True


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": NESTING_MAX}).enable(["table", "strikethrough"])
    parser.disable(["reference", "html_block", "html_inline"])
    parser.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    # What is no link stays as it was written. The attribute is markdown-it's way to say so.
    parser.validateLink = is_safe  # type: ignore[method-assign]
    return parser


_PARSER = _parser()


# -- the page ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Container:
    """A list, an item or a quote that we are in."""

    kind: str
    owner: int
    next_number: int | None = None  # of a list
    unsaid: Part | None = None  # of an item: its bullet, until there is text for it


@dataclass(slots=True)
class _Page:
    """Goes through the parser's tokens once, from top to bottom."""

    blocks: list[Block] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    inside: list[_Container] = field(default_factory=list)
    owners: int = 0

    def read(self, tokens: Sequence[Token]) -> list[Block]:
        index = 0
        while index < len(tokens):
            token = tokens[index]
            if token.level == 0 and token.nesting >= 0 and token.type not in ("paragraph_open", "inline"):
                self._flush()
            match token.type:
                case "inline":
                    self._paragraph(token, heading=tokens[index - 1].type == "heading_open")
                case "fence" | "code_block":
                    self._code(token)
                case "hr":
                    self._alone({"type": "divider"})
                case "table_open":
                    end = next(at for at in range(index, len(tokens)) if tokens[at].type == "table_close")
                    self._table(tokens[index:end])
                    index = end
                case "bullet_list_open" | "ordered_list_open" | "list_item_open" | "blockquote_open":
                    self._enter(token)
                case "bullet_list_close" | "ordered_list_close" | "list_item_close" | "blockquote_close":
                    self._say_bullet()
                    self.inside.pop()
            index += 1
        self._flush()
        return self.blocks

    def _flush(self) -> None:
        self.blocks += blocks_of(self.parts)
        self.parts = []

    def _alone(self, *blocks: Block) -> None:
        self._say_bullet()
        self._flush()
        self.blocks += blocks

    def _enter(self, token: Token) -> None:
        self.owners += 1
        here = _Container(token.type.removesuffix("_open"), self.owners)
        match here.kind:
            case "ordered_list" | "blockquote":
                self._say_bullet()
                here.next_number = int(token.attrs.get("start", 1)) if here.kind == "ordered_list" else None
            case "bullet_list" if self.inside and self.inside[-1].unsaid and self.inside[-1].unsaid.number is None:
                # `- - text`: the inner bullet says both.
                self.inside[-1].unsaid = None
            case "bullet_list":
                self._say_bullet()
            case "list_item":
                number = self.inside[-1].next_number
                depth = sum(container.kind == "list_item" for container in self.inside)
                here.unsaid = Part("item", [], self.owners, self._quoted, min(depth, INDENT_MAX), number)
                self.inside[-1].next_number = None if number is None else number + 1
        self.inside.append(here)

    @property
    def _quoted(self) -> bool:
        return any(container.kind == "blockquote" for container in self.inside)

    def _say_bullet(self) -> None:
        """An item that begins with something else than text, or is empty, has its bullet all the same."""
        if self.inside and self.inside[-1].unsaid:
            self._text([Run(" ")])

    def _text(self, runs: list[Run]) -> None:
        here = self.inside[-1] if self.inside else _Container("page", 0)
        if here.unsaid:
            item, here.unsaid = here.unsaid, None
            if item.number == 0:
                # Slack counts from 1.
                item, runs = replace(item, number=None), [Run("0. "), *runs]
            self.parts.append(replace(item, runs=runs))
        elif here.kind == "list_item" and self.parts and self.parts[-1].owner == here.owner:
            self.parts[-1].runs.extend([Run("\n"), *runs])
        else:
            self.parts.append(Part("quote" if self._quoted else "section", runs, here.owner))

    def _paragraph(self, token: Token, *, heading: bool) -> None:
        runs = _runs(token.children or [])
        if self.inside and self.inside[-1].unsaid and runs and (task := _TASK.match(runs[0].text)):
            runs[0] = replace(runs[0], text=("☐" if task[1] == " " else "☑") + runs[0].text[task.end() :])
        text = _text_of(runs)
        if not text.strip():
            return
        if not heading:
            self._text(runs)
        elif not self.inside and _fits_header(text, runs):
            self._alone({"type": "header", "text": {"type": "plain_text", "text": text, "emoji": False}})
        else:
            self._text([replace(run, styles=run.styles | {"bold"}) for run in runs])

    def _code(self, token: Token) -> None:
        info = visible(token.info).strip()
        if len(info.split()) > 1:
            self._text([Run(info)])
        self._say_bullet()
        text = visible(token.content).removesuffix("\n")
        if text.strip():
            self._preformatted(text, language=_LANGUAGES.get(info.lower(), ""))

    def _preformatted(self, text: str, *, language: str = "") -> None:
        self.parts.append(Part("code", [Run(text)], quoted=self._quoted, language=language))

    def _table(self, tokens: Sequence[Token]) -> None:
        rows: list[list[list[Run]]] = []
        alignments: list[str] = []
        for token in tokens:
            match token.type:
                case "tr_open":
                    rows.append([])
                    excess = token.meta.get("excess", "")
                case "th_open":
                    alignments.append(str(token.attrs.get("style", "text-align:left")).removeprefix("text-align:"))
                case "inline":
                    rows[-1].append(_runs(token.children or []))
                case "tr_close" if excess:
                    rows[-1][-1] += [Run(" | "), *linked(visible(excess))]
        columns = len(alignments)
        rows = [[*row, *([] for _ in range(columns - len(row)))] for row in rows]
        block = _table_block(rows, alignments)
        if len(rows) <= TABLE_ROWS_MAX and columns <= TABLE_COLUMNS_MAX and weight(block) <= TABLE_WEIGHT_MAX:
            self._alone(block)
        else:
            self._say_bullet()
            self._preformatted(_aligned([[_flat(cell) for cell in row] for row in rows], alignments))


def _fits_header(text: str, runs: list[Run]) -> bool:
    plain = bool(text.strip()) and not _AMBIGUOUS.search(text) and not any(run.url for run in runs)
    return plain and len(text) <= HEADER_CHARS_MAX


# -- tables ------------------------------------------------------------------------------------------------------------


def _table_block(rows: list[list[list[Run]]], alignments: list[str]) -> Block:
    settings = [{"align": alignment, "is_wrapped": True} for alignment in alignments[:TABLE_COLUMNS_MAX]]
    return {"type": "table", "column_settings": settings, "rows": [[_cell(cell) for cell in row] for row in rows]}


def _cell(runs: list[Run]) -> Block:
    if any(run.styles or run.url for run in runs):
        return block_of([Part("section", runs)])
    return {"type": "raw_text", "text": _text_of(runs) or " "}


def _flat(runs: list[Run]) -> str:
    return "".join(run.text if run.url in ("", run.text) else f"{run.text} ({run.url})" for run in joined(runs))


def _aligned(rows: list[list[str]], alignments: list[str]) -> str:
    """A table too large for Slack's, in columns; side by side only, when the columns would be mostly spaces."""
    columns = range(len(alignments))
    widths = [min(_CELL_CHARS_PADDED_MAX, max(len(row[column]) for row in rows)) for column in columns]
    marks = {"right": ">", "center": "^"}
    formats = [f"{marks.get(alignment, '<')}{width}" for alignment, width in zip(alignments, widths, strict=True)]
    loose = "\n".join(" | ".join(row).rstrip(" |") for row in rows)
    if (sum(widths) + 3 * len(widths)) * len(rows) > _PADDING_MAX * len(loose):
        return loose
    lines = (" | ".join(f"{cell:{how}}" for cell, how in zip(row, formats, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


# -- inside a line -----------------------------------------------------------------------------------------------------


def _text_of(runs: list[Run]) -> str:
    return "".join(run.text for run in runs)


def _runs(tokens: Sequence[Token]) -> list[Run]:
    """What is between the block markers: text with its styles, and links that say where they lead."""
    runs: list[Run] = []
    styles: list[Style] = []
    # With what stands before each and what is to come after it. markdown-it lets an autolink be in a link.
    links: list[tuple[Token, list[Run], list[Run]]] = []
    for token in tokens:
        match token.type:
            case "text" | "softbreak" | "hardbreak":
                runs.append(Run("\n" if token.type != "text" else visible(token.content), frozenset(styles)))
            case "code_inline":
                runs.append(Run(visible(token.content), frozenset([*styles, "code"])))
            case "strong_open" | "em_open" | "s_open":
                styles.append(_STYLES[token.tag])
            case "strong_close" | "em_close" | "s_close":
                styles.remove(_STYLES[token.tag])
            case "link_open":
                links.append((token, runs, []))
                runs = []
            case "link_close":
                link, before, after = links.pop()
                runs = [*before, *_link(runs, link), *after]
            case "image":
                alt = [Run(_alt(token), frozenset(styles))]
                url = str(token.attrs.get("src", ""))
                if links:
                    runs += alt
                    links[-1][2].extend([Run(" ("), Run(url, url=url), Run(")")])
                else:
                    runs += _link(alt, token)
            case _:
                # No rule that we enable makes another token; if a new version does, its text must arrive.
                runs.append(Run(visible(token.content), frozenset(styles)))
    return [piece for run in joined(runs) for piece in _with_bare_links(run) if piece.text]


def _with_bare_links(run: Run) -> list[Run]:
    return [run] if run.url or "code" in run.styles else linked(run.text, run.styles)


def _alt(token: Token) -> str:
    children = token.children or []
    if any(child.type in ("link_open", "image") for child in children):
        return visible(token.content)
    return visible("".join(child.content or ("\n" if child.type.endswith("break") else "") for child in children))


def _link(runs: list[Run], token: Token) -> list[Run]:
    url = str(token.attrs.get("href") or token.attrs.get("src") or "")
    text = _text_of(runs)
    title = visible(str(token.attrs.get("title", "")))
    after = [Run(f" “{title}”")] if title else []
    if not is_safe(url):
        return [*runs, Run(f" ({visible(url)})" if url else ""), *after]
    if not text.strip() or token.info == "auto":
        return [*runs, Run(url, url=url), *after] if token.info != "auto" else [Run(url, runs[0].styles, url), *after]
    if _misleads(text, url):
        return [*runs, Run(" ("), Run(url, url=url), Run(")"), *after]
    return [*(replace(run, url=url) for run in runs), *after]


def _misleads(text: str, url: str) -> bool:
    """Whether the text names a host, address or URL that is not the link's.

    Names of files look like hosts (`notes.md`); to tell where such a link leads does no harm either.
    """
    said = unicodedata.normalize("NFKC", text).casefold().strip()
    if ":/" in said or "@" in said:
        bare = url.removeprefix("mailto:") if "@" in said and ":/" not in said else url
        return _comparable(said) != _comparable(bare.casefold())
    parts = urlsplit(url.casefold())
    host = (parts.hostname or parts.path.rpartition("@")[2]).removeprefix("www.")
    return any(found[0].removeprefix("www.") != host for found in _NAMED_HOST.finditer(said))


def _comparable(url: str) -> str:
    return unquote(url).casefold().rstrip("/")
