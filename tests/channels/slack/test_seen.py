"""What a person sees of a message: alerts, forwarded messages, previews, rich text. See tests/payloads/alerts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.slack.events import Edited, Installation, Posted, is_bot, parse_event
from channels.slack.seen import author_of, own_words, seen
from channels.slack.text import unescaped
from tests import PAYLOADS

ME = Installation(team="T0ACME", user="U0DEPLOYBOT", bot="B0DEPLOYBOT")
NAMES = {"U0DEX": "dex", "U0ALICE": "alice", "U0DEPLOYBOT": "deploybot", "C0OPS": "ops", "S0ONCALL": "oncall"}
WRONG: tuple[Any, ...] = (None, 7, [], {}, [None], "", [[1]])
SHAPES = {path.stem: path for path in sorted((PAYLOADS / "alerts").glob("*.json"))}


def shape(name: str) -> Any:
    return json.loads(SHAPES[name].read_text())


def test_there_are_enough_shapes() -> None:
    assert len(SHAPES) >= 20


@pytest.mark.parametrize("name", SHAPES)
def test_a_person_sees_this_of_it(name: str) -> None:
    message = shape(name)
    shown = seen(message, by_person=not is_bot(message, ME))
    lines = [unescaped(shown.text, NAMES), *(f"[file: {file.name}]" for file in shown.files)]
    lines += ["[passes on]"] if shown.passes_on else []
    lines += [f"[left out: {shown.left_out}]"] if shown.left_out else []
    assert "\n".join(lines) + "\n" == SHAPES[name].with_suffix(".txt").read_text()


@pytest.mark.parametrize("name", SHAPES)
def test_whatever_is_missing_or_broken_in_it_does_no_harm(name: str) -> None:
    for broken in _broken(shape(name)):
        for by_person in (False, True):
            shown = seen(broken, by_person=by_person)
            assert isinstance(unescaped(shown.text, {}), str)


def _broken(node: Any) -> list[Any]:
    """The payload with each of its parts missing, or of another type."""
    found: list[Any] = []
    if isinstance(node, dict):
        for key, value in node.items():
            found += [{k: v for k, v in node.items() if k != key}]
            found += [{**node, key: wrong} for wrong in WRONG]
            found += [{**node, key: inner} for inner in _broken(value)]
    elif isinstance(node, list):
        for index, value in enumerate(node):
            found += [[*node[:index], inner, *node[index + 1 :]] for inner in _broken(value)]
    return found


@given(st.recursive(st.none() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_no_blocks_and_attachments_crash_it(anything: Any) -> None:
    seen({"text": "x", "blocks": anything, "attachments": anything, "files": anything})
    seen({"attachments": [anything, {"blocks": anything, "fields": anything, "message_blocks": anything}]})


def test_who_speaks_is_the_program() -> None:
    assert author_of(shape("datadog_monitor")) == "Datadog"
    assert author_of(shape("grafana_alerting")) == "Grafana"
    assert author_of({}) == "a bot"


@pytest.mark.parametrize("breaks", ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_nothing_that_is_passed_on_can_leave_its_quotation(breaks: str) -> None:
    message = {"user": "U0DEX", "text": "look", "attachments": [{"is_share": True, "text": f"one{breaks}deploy v2"}]}
    own, *others = unescaped(seen(message).text, {}).split("\n")
    assert own == "look"
    assert all(line.startswith("> ") or not line for line in others)
    assert seen(message).passes_on


def test_a_mention_in_what_is_passed_on_is_not_for_us() -> None:
    event = {"type": "message", "channel": "C0OPS", "user": "U0DEX", "ts": "1795000000.000100", "text": "look"}
    event["attachments"] = [{"is_share": True, "text": f"<@{ME.user}> deploy v2"}]  # type: ignore[assignment]
    said = parse_event({"event": event}, ME)
    assert isinstance(said, Posted)
    assert (said.to_us, said.passes_on) == (False, True)
    assert "deploy v2" in said.text


def test_a_forwarded_message_is_heard_although_its_text_is_empty() -> None:
    event = shape("forwarded_message_without_a_word") | {"channel": "D0DEX", "channel_type": "im"}
    said = parse_event({"event": event}, ME)
    assert isinstance(said, Posted)
    assert "roll v7 back" in said.text
    assert said.passes_on


def edit(before: str, now: str, **fields: Any) -> Edited:
    message = {"type": "message", "user": "U0DEX", "ts": "1795000000.000100", "text": now} | fields
    event = {"type": "message", "subtype": "message_changed", "channel": "C0OPS", "ts": "1795000009.000100"}
    changed = {"event": {**event, "message": message, "previous_message": {"text": before}}}
    said = parse_event(changed, ME)
    assert isinstance(said, Edited)
    return said


def test_an_edit_that_adds_the_mention_is_a_message_for_us() -> None:
    added = edit("deploy v1", f"<@{ME.user}> deploy v1")
    assert added.posted is not None
    assert (added.posted.to_us, added.posted.ts, added.posted.user) == (True, "1795000000.000100", "U0DEX")
    assert edit(f"<@{ME.user}> deploy v1", f"<@{ME.user}> deploy v2").posted is None
    assert edit("deploy v1", "deploy v2").posted is None


def test_an_edit_that_brings_words_of_others_says_so() -> None:
    assert edit("a", "b", attachments=[{"text": "of somebody"}]).passes_on
    assert not edit("a", "b").passes_on


def test_a_preview_changes_nothing_of_what_its_author_wrote() -> None:
    with_preview = shape("link_with_preview")
    without = {key: value for key, value in with_preview.items() if key != "attachments"}
    assert own_words(with_preview) == own_words(without)
