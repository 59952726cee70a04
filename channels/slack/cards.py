"""Renders a request for approval in Slack: its card, its reminder and its outcome. Pure.

Nothing is cut silently: details that do not fit into the card are in the messages before it, in full. A request that
cannot be shown in full is not sent.

Different requests must not look alike, and no value may look like another line of the card. So ambiguous names are
quoted, multi-line text is in a box, and values that are not text are JSON in code style.

A button carries the thread, the step and the digest of the request that was shown, so an old card cannot decide a newer
request. Only people whose Slack user id is in the data are mentioned; text can never mention anybody. A card mentions
those who may decide, so that Slack notifies them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import assert_never

from pydantic import JsonValue

from channels.messages import Approval, Ended, Reminded, Rewrite, Vote, Waiting, Way
from channels.plain import DIGEST_CHARS, count_of, question_of
from channels.slack.blocks import (
    BOLD,
    CODE,
    FALLBACK_CHARS_MAX,
    ITALIC,
    NAME_CHARS_MAX,
    Post,
    TooLongToShow,
    bold,
    button,
    called_people,
    line,
    mention,
    named,
    one_message,
    plain_text,
    posts,
)
from channels.slack.buttons import ButtonValue, request_block_id
from channels.slack.layout import Part, Run, Style, block_of, blocks_of, packed, weight
from channels.slack.text import is_safe, linked, plain
from store.names import called
from store.text import instant, one_line, visible

DETAILS_WEIGHT_MAX = 4_000
"""Longer details go into messages before the card, because every click sends the whole card back."""
DETAILS_LINES_MAX = 60
"""Taller details go there too, because Slack folds a tall message, and the buttons are at its end."""
BUTTON_DIGEST_CHARS = 16
CAUTION_CHARS_MAX = 600
INDENT = "\u2003"
NESTING_MAX = 6
"""Facts nested deeper are shown as JSON."""

_PLAIN_NAME = re.compile(r"\w(?:[\w ,-]*\w)?")
"""Other names are quoted. No comma: labels that we make ourselves may have one."""


def approval(request: Approval, thread_id: str, way: Way) -> list[Post]:
    """Raises TooLongToShow, but only for a request that still waits."""
    match request.state:
        case Waiting():
            return _card(request, thread_id)
        case Reminded(widened):
            return _reminder(request, widened=widened)
        case Ended() as end:
            return _ended(request, end, thread_id, above=isinstance(way, Rewrite))
    assert_never(request.state)


def _card(card: Approval, thread_id: str) -> list[Post]:
    warnings, parts = _warnings(card), _details(card)
    if _is_long(warnings):
        warnings, parts = [], [*warnings, *parts]
    details = blocks_of(parts)
    value = ButtonValue(thread_id, card.step, card.digest[:BUTTON_DIGEST_CHARS])
    before: list[Post] = []
    if _is_long(parts):
        heading = f"Details of {card.headline}"
        introduction = blocks_of([bold(heading)])
        before = posts(heading, packed([*introduction, *details]))
        details = blocks_of([line("All details are in the messages above, and the approval covers them.")])
    buttons = [button("approve", "Approve", value, "primary"), button("reject", "Reject", value, "danger")]
    if card.editable:
        buttons.append(button("edit", "Edit…", value))
    terms = [*_asked(card, ITALIC), *_words(card), *_deciders(card), *_cautions(card, ITALIC)]
    given = [Run(": "), *_given(card.votes)] if card.votes else []
    votes = [Run(f"\n{count_of(card)}"), *given] if card.quorum > 1 else []
    digest = Run(f"\nTool {named(card.intent)}, digest {card.digest[:DIGEST_CHARS]}", ITALIC)
    blocks = [
        {"type": "header", "text": plain_text(card.question, 150)},
        *blocks_of(warnings),
        *details,
        *(blocks_of([bold(f"Asked again. {card.asked_again}")]) if card.asked_again else []),
        *blocks_of([Part("section", [*terms, *votes, digest])]),
        {"type": "actions", "block_id": request_block_id(thread_id, card.step), "elements": buttons},
    ]
    return [*before, Post(plain(question_of(card), FALLBACK_CHARS_MAX), blocks)]


def _deciders(request: Approval) -> list[Run]:
    """The line that says who may decide, and calls them, and until when."""
    until = f"until {instant(request.expires_at)}" if request.expires_at else ""
    if not request.group:
        return [Run(f"\nIt waits {until}", ITALIC)] if until else []
    called = called_people(request.approvers)
    people = [Run(" (", ITALIC), *called, Run(")", ITALIC)] if called else []
    time = [Run(f", {until}", ITALIC)] if until else []
    return [Run("\nMay decide: ", ITALIC), *linked(named(request.group), ITALIC), *people, *time]


def _cautions(request: Approval, styles: frozenset[Style] = frozenset()) -> list[Run]:
    """The lines that say what is unusual about who asked."""
    lines = (one_line(caution, CAUTION_CHARS_MAX) for caution in request.cautions)
    return linked("".join(f"\n{line}" for line in lines), styles)


def _words(request: Approval) -> list[Run]:
    """The end of the line that says who asked: with which words."""
    return linked(f": {request.asked_words}", ITALIC) if request.asked_words else []


def _asked(request: Approval, styles: frozenset[Style] = frozenset()) -> list[Run]:
    """The line that says who asked for it: by a mention, so that no name can pose as another or continue the line."""
    asker = mention(request.asked_by)
    if not asker:
        who = [Run(named(request.requested_by), styles)]
    elif request.changed_by:
        editor = mention(request.changed_by) or Run(named(called(request.changed_by)), styles)
        who = [asker, Run(", changed by ", styles), editor]
    else:
        who = [asker]
    return [Run("Asked for by ", styles), *who, Run(f" at {instant(request.requested_at)}", styles)]


def _reminder(request: Approval, *, widened: bool) -> list[Post]:
    title = f"⏰ Still waiting for approval: {question_of(request)}"
    until = f", until {instant(request.expires_at)}" if request.expires_at else ""
    group = [Run(f"\nMay decide: {named(request.group)}{until}")] if request.group else []
    if until and not request.group:
        group = [Run(f"\nIt waits{until.removeprefix(',')}")]
    more = [Run("\nMore people may decide from now on.")] if widened else []
    called = called_people(request.approvers)
    runs = [Run(title, BOLD), Run("\n"), *_asked(request), *group, *_cautions(request), *more]
    block = block_of([Part("section", [*runs, Run("\n"), *called] if called else runs)])
    return [Post(plain(title, FALLBACK_CHARS_MAX), [block])]


def _ended(request: Approval, end: Ended, thread_id: str, *, above: bool) -> list[Post]:
    """`above`: this replaces the card, so the details may be in the messages above it."""
    votes = request.votes if end.outcome != "approved" else ()
    where = "are in the messages above" if above else f"are long: see `bot show {thread_id}`"
    elsewhere = [line(f"The details {where}.")]
    try:
        details = [*_warnings(request), *_details(request)]
        details = elsewhere if _is_long(details) else details
    except TooLongToShow:
        details = elsewhere
    said = _ending(request, end)
    title = bold(request.headline)
    before = blocks_of([Part("section", [Run("Approved so far by "), *_given(votes)])]) if votes else []
    blocks = [*blocks_of([title]), *blocks_of(details), *before, *blocks_of([Part("section", said)])]
    text = "".join(run.text for run in said)
    return [Post(plain(f"{request.headline}: {text}", FALLBACK_CHARS_MAX), one_message(blocks, thread_id))]


def _ending(request: Approval, end: Ended) -> list[Run]:
    mark = {"approved": "✅", "rejected": "❌", "changed": "✏️"}.get(end.outcome, "⏹")
    said = [Run(f"{mark} {end.outcome}")]
    if end.lapsed:
        return [*said, *linked(visible(f": {end.lapsed}"))]
    if end.by and end.at and end.outcome in ("approved", "rejected", "changed"):
        by = [Vote(called(end.by), end.at, end.by)]
        if end.standing:
            said += [Run(" by the standing approval of "), *_given(by)]
        else:
            said += [Run(" by "), *_given(request.votes if end.outcome == "approved" and request.votes else by)]
    elif end.outcome != "approved":
        said.append(Run(": nothing was run"))
    if end.why:
        said += linked(visible(f". {end.why}"))
    return [*said, *linked(visible(f" — {end.comment}"))] if end.comment else said


def _given(votes: Iterable[Vote]) -> list[Run]:
    """By whom and when: members by their names in the team file, others by mentions."""
    runs: list[Run] = []
    for vote in votes:
        stranger = vote.by if vote.by and not vote.by.member else None
        who = mention(stranger) or Run(named(vote.name))
        runs += [*([Run(", ")] if runs else []), who, Run(f" at {instant(vote.at)}")]
    return runs


# The details


def _is_long(details: list[Part]) -> bool:
    lines = sum(run.text.count("\n") for part in details for run in part.runs)
    return lines >= DETAILS_LINES_MAX or sum(map(weight, blocks_of(details))) > DETAILS_WEIGHT_MAX


def _details(request: Approval) -> list[Part]:
    """The arguments and the facts, each as a line or a box. Raises TooLongToShow."""
    tool, asker = request.intent, request.requested_by
    apart: dict[str, JsonValue] = {}
    if one_line(tool, NAME_CHARS_MAX) != tool:
        apart["tool"] = tool
    if one_line(asker, NAME_CHARS_MAX) != asker:
        apart["asked for by"] = asker
    return _parts(apart, request.rows)


def _warnings(request: Approval) -> list[Part]:
    """What is dangerous about it, in bold. Raises TooLongToShow."""
    rows = _parts(request.danger_rows)
    for part in rows:
        part.runs[:] = [replace(run, styles=run.styles | BOLD) for run in part.runs]
    if request.danger:  # It says that it is one.
        return [bold(f"⚠️ {one_line(request.danger, CAUTION_CHARS_MAX)}"), *rows]
    return [bold("⚠️ Warning"), *rows] if rows else []


def _parts(*data: Mapping[str, JsonValue]) -> list[Part]:
    parts: list[Part] = []
    for one in data:
        for field in _detail_rows(one):
            if isinstance(field, Part) or not parts or parts[-1].kind != "section":
                parts.append(field if isinstance(field, Part) else Part("section", field))
            else:
                parts[-1].runs.extend([Run("\n"), *field])
    return parts


def _detail_rows(data: Mapping[str, JsonValue], indent: str = "", depth: int = 0) -> Iterator[list[Run] | Part]:
    """A line or a box for each value. What belongs to a name stands below it, moved to the right."""
    for key, value in data.items():
        name = f"{indent}{key if _PLAIN_NAME.fullmatch(visible(key)) else _json(key)}"
        match value:
            case dict() if value and depth < NESTING_MAX:
                yield [Run(f"{name}:", BOLD)]
                yield from _detail_rows(value, f"{indent}{INDENT}", depth + 1)
            case list() if value and all(isinstance(item, str) for item in value):
                yield [Run(f"{name}:", BOLD)]
                for item in value:
                    yield from _detail([Run(f"{indent}• ")], item)
            case _:
                yield from _detail([Run(f"{name}: ", BOLD)], value)


def _detail(label: list[Run], value: JsonValue) -> Iterator[list[Run] | Part]:
    if not isinstance(value, str) or not value.strip():
        yield [*label, _said(value)]
        return
    text = visible(value)
    if "\n" in text:
        yield label
        yield Part("code", [Run(text)])
    elif is_safe(text) and text.lower().startswith("http"):
        yield [*label, Run(text, url=text)]
    else:
        yield [*label, *linked(text)]


def _said(value: JsonValue) -> Run:
    """A value that is not text: nobody reads `true`, and the rest is JSON, so that it looks like no text."""
    return Run(_json(value), CODE)


def _json(value: JsonValue) -> str:
    try:
        return visible(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        raise TooLongToShow("it is nested too deeply") from None
