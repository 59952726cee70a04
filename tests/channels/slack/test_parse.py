"""What Slack's payloads mean, and that no shape of them does harm."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.slack.clicks import Answer, Approve, AskEdit, AskReason, EditCall, Reject, parse_click
from channels.slack.events import Deleted, Edited, HomeOpened, Ignored, Installation, Posted, Stopped, parse_event
from tests import PAYLOADS

ME = Installation(team="T0ACME", user="U0BOT", bot="B0BOT")
VALUE = {"t": "tabc", "s": "s4", "d": "0123456789abcdef"}
TS = "1795000000.000100"
ROOT = "1794999999.000100"


def event(kind: str = "message", **fields: Any) -> dict[str, Any]:
    base = {"type": kind, "channel": "C0REL", "channel_type": "channel", "user": "U0DEX", "ts": TS, "text": "hello"}
    return {"type": "event_callback", "team_id": "T0ACME", "event_id": "Ev1", "event": base | fields}


def click(action: str, value: Any = VALUE, **fields: Any) -> dict[str, Any]:
    body = {
        "type": "block_actions",
        "user": {"id": "U0DEX", "username": "dex", "team_id": "T0ACME"},
        "container": {"type": "message", "channel_id": "C0REL", "message_ts": TS, "thread_ts": ROOT},
        "trigger_id": "1.2.3",
        "actions": [{"action_id": action, "block_id": "b", "value": json.dumps(value), "type": "button"}],
    }
    return body | fields


def test_a_mention_is_for_us_and_begins_a_thread_at_its_own_ts() -> None:
    said = parse_event(event("app_mention", text="<@U0BOT> deploy"), ME)
    assert said == Posted("C0REL", TS, TS, "U0DEX", "<@U0BOT> deploy", to_us=True)


def test_a_mention_in_a_thread_belongs_to_that_thread() -> None:
    said = parse_event(event("app_mention", text="<@U0BOT> deploy", thread_ts=ROOT), ME)
    assert isinstance(said, Posted)
    assert (said.thread, said.ts) == (ROOT, TS)


def test_the_message_event_of_a_mention_says_the_same_as_its_mention_event() -> None:
    text = "please, <@U0BOT>, deploy"
    assert parse_event(event("message", text=text), ME) == parse_event(event("app_mention", text=text), ME)


def test_a_message_that_mentions_nobody_is_not_for_us_by_itself() -> None:
    said = parse_event(event(thread_ts=ROOT), ME)
    assert isinstance(said, Posted)
    assert not said.to_us


@pytest.mark.parametrize(
    "place", [{"channel_type": "im", "channel": "D0DEX"}, {"channel": "D0DEX", "channel_type": ""}]
)
def test_a_direct_message_is_for_us(place: dict[str, str]) -> None:
    said = parse_event(event(**place), ME)
    assert isinstance(said, Posted)
    assert said.to_us
    assert said.direct


@pytest.mark.parametrize(
    "fields",
    [
        {"bot_id": "B0OTHER"},
        {"bot_profile": {"id": "B0OTHER"}},
        {"subtype": "bot_message", "bot_id": "B0OTHER"},
        {"user": "U0BOT"},
        {"user": "USLACKBOT"},
        {"user": None},
        {"subtype": "channel_join"},
        {"subtype": "channel_topic"},
        {"subtype": "something_of_next_year"},
        {"channel": None},
        {"ts": 17},
    ],
)
def test_bots_joins_and_broken_messages_wake_nobody(fields: dict[str, Any]) -> None:
    assert isinstance(parse_event(event(**fields), ME), Ignored)


@pytest.mark.parametrize(
    "fields",
    [
        {"user_team": "T0OTHER"},
        {"source_team": "T0OTHER"},
        {"user_team": "T0ACME", "source_team": "T0OTHER"},
        {"team": "T0OTHER"},
    ],
)
def test_whoever_is_of_another_organisation_is_external(fields: dict[str, str]) -> None:
    said = parse_event(event("app_mention", **fields), ME)
    assert isinstance(said, Posted)
    assert said.external


def test_files_are_told_by_name_type_and_size() -> None:
    files = [
        {"id": "F1", "name": "log.txt", "mimetype": "text/plain", "size": 12, "url_private": "https://files/1"},
        {"id": "F2", "mode": "tombstone"},
        "rubbish",
    ]
    said = parse_event(event(subtype="file_share", files=files), ME)
    assert isinstance(said, Posted)
    assert [(file.name, file.media_type, file.size_bytes) for file in said.files] == [
        ("log.txt", "text/plain", 12),
        ("F2", "", 0),
    ]


def test_an_edit_tells_which_message_says_what_now() -> None:
    message = {"ts": TS, "user": "U0DEX", "text": "deploy v2", "thread_ts": ROOT}
    changed = event(subtype="message_changed", message=message, previous_message={"text": "deploy v1"}, ts="3.1")
    assert parse_event(changed, ME) == Edited("C0REL", TS, ROOT, "deploy v2", "3.1")


def test_an_unfurl_is_no_edit() -> None:
    message = {"ts": TS, "user": "U0DEX", "text": "https://x", "attachments": [{}]}
    changed = event(subtype="message_changed", message=message, previous_message={"text": "https://x"})
    assert isinstance(parse_event(changed, ME), Ignored)


def test_our_own_rewritten_card_is_no_edit() -> None:
    message = {"ts": TS, "user": "U0BOT", "bot_id": "B0BOT", "text": "approved"}
    changed = event(subtype="message_changed", message=message, previous_message={"text": "Approval needed"})
    assert isinstance(parse_event(changed, ME), Ignored)


def test_a_deletion_and_a_tombstone_take_the_message_back() -> None:
    gone = event(subtype="message_deleted", deleted_ts=TS, previous_message={"user": "U0DEX", "thread_ts": ROOT})
    assert parse_event(gone, ME) == Deleted("C0REL", TS, ROOT)
    tombstone = {"subtype": "tombstone", "ts": TS, "user": "USLACKBOT", "text": "This message was deleted."}
    assert parse_event(event(subtype="message_changed", message=tombstone), ME) == Deleted("C0REL", TS, TS)


def test_the_home_tab_and_the_stop_button() -> None:
    opened = {"event": {"type": "app_home_opened", "user": "U0DEX", "channel": "D0DEX", "tab": "messages"}}
    assert parse_event(opened, ME) == HomeOpened("U0DEX", "D0DEX", "messages")
    stop = {"event": {"type": "agent_session_stopped", "user": "U0DEX", "channel": "D0DEX", "thread_ts": ROOT}}
    assert parse_event(stop, ME) == Stopped("D0DEX", ROOT, "U0DEX")


def test_a_click_tells_who_decides_which_request() -> None:
    approve = parse_click(click("approve"), ME)
    assert isinstance(approve, Approve)
    assert (approve.thread_id, approve.step, approve.digest) == ("tabc", "s4", "0123456789abcdef")
    assert (approve.by.user, approve.by.external, approve.by.channel, approve.by.thread) == (
        "U0DEX",
        False,
        "C0REL",
        ROOT,
    )


def test_reject_asks_why_first() -> None:
    asked = parse_click(click("reject"), ME)
    assert isinstance(asked, AskReason)
    body = {
        "type": "view_submission",
        "user": {"id": "U0DEX", "name": "dex", "team_id": "T0ACME"},
        "view": {
            "callback_id": "reject",
            "private_metadata": json.dumps(VALUE | {"c": "C0REL", "p": ROOT}),
            "state": {"values": {"reason": {"text": {"type": "plain_text_input", "value": " not today "}}}},
        },
    }
    rejected = parse_click(body, ME)
    assert isinstance(rejected, Reject)
    assert (rejected.reason, rejected.by.channel, rejected.by.thread) == ("not today", "C0REL", ROOT)
    body["view"]["state"] = {}  # type: ignore[index]
    without = parse_click(body, ME)
    assert isinstance(without, Reject)
    assert without.reason == ""


def submission(values: Any, blocks: Any = None, **fields: Any) -> dict[str, Any]:
    """Of the form for an edit of `revision`, which is v1 now, and `note`, which is empty."""
    inputs = [
        {"type": "input", "block_id": "argument:revision", "element": {"action_id": "text", "initial_value": "v1"}},
        {"type": "input", "block_id": "argument:note", "element": {"action_id": "text"}},
    ]
    view = {
        "callback_id": "edit",
        "private_metadata": json.dumps(VALUE | {"c": "C0REL", "p": ROOT}),
        "blocks": inputs if blocks is None else blocks,
        "state": {"values": values},
    }
    user = {"id": "U0DEX", "name": "dex", "team_id": "T0ACME"}
    return {"type": "view_submission", "user": user, "view": view | fields}


def typed(text: Any) -> dict[str, Any]:
    return {"text": {"type": "plain_text_input", "value": text}}


def test_edit_asks_for_a_form_and_its_submission_says_what_was_and_what_shall_be() -> None:
    asked = parse_click(click("edit"), ME)
    assert isinstance(asked, AskEdit)
    assert (asked.thread_id, asked.step, asked.digest, asked.trigger) == ("tabc", "s4", "0123456789abcdef", "1.2.3")
    edit = parse_click(submission({"argument:revision": typed("v2"), "argument:note": typed(None)}), ME)
    assert isinstance(edit, EditCall)
    assert (edit.thread_id, edit.step, edit.digest) == ("tabc", "s4", "0123456789abcdef")
    assert (edit.arguments, edit.before) == ({"revision": "v2", "note": ""}, {"revision": "v1", "note": ""})
    assert (edit.by.user, edit.by.channel, edit.by.thread) == ("U0DEX", "C0REL", ROOT)


@pytest.mark.parametrize(
    "body",
    [
        click("edit", VALUE | {"d": ""}),
        click("edit", trigger_id=""),
        click("edit", {}),
        submission({}),
        submission([]),
        submission({"argument:revision": typed(7)}),
        submission({"argument:revision": {"text": "v2"}}),
        submission({"argument:other": typed("v2"), "reason": typed("v2")}),
        submission({"argument:revision": typed("v2")}, blocks=[]),
        submission({"argument:revision": typed("v2")}, blocks={"block_id": "argument:revision"}),
        submission({"argument:revision": typed("v2")}, blocks=[None, {"block_id": "argument:revision", "element": 1}]),
        submission({"argument:revision": typed("v2")}, private_metadata="{}"),
        submission({"argument:revision": typed("v2")}, private_metadata=None),
        submission({"argument:revision": typed("v2")}, callback_id="something"),
        submission({"argument:revision": typed("v2")}, state=None),
    ],
)
def test_what_is_no_edit_of_ours_is_ignored(body: dict[str, Any]) -> None:
    assert isinstance(parse_click(body, ME), Ignored)


def test_whose_message_a_reply_stands_under_is_told_where_slack_says_it() -> None:
    under_us = {"thread_ts": ROOT, "parent_user_id": "U0BOT"}
    said = parse_event(event(**under_us), ME)
    message = {"ts": TS, "user": "U0DEX", "text": "v2", **under_us}
    edited = parse_event(event(subtype="message_changed", message=message, previous_message={"text": "v1"}), ME)
    gone = parse_event(event(subtype="message_deleted", deleted_ts=TS, previous_message=message), ME)
    assert isinstance(said, Posted)
    assert isinstance(edited, Edited)
    assert isinstance(gone, Deleted)
    assert said.parent == edited.parent == gone.parent == "U0BOT"


def test_a_click_on_a_message_outside_of_threads_is_answered_outside_of_threads() -> None:
    container = {"type": "message", "channel_id": "C0REL", "message_ts": TS}
    clicked = parse_click(click("approve", container=container), ME)
    assert isinstance(clicked, Approve)
    assert (clicked.by.channel, clicked.by.thread) == ("C0REL", "")


def test_an_answer_is_the_choice_in_words_or_its_number() -> None:
    words = parse_click(click("answer:yes", {"t": "tabc", "s": "s4", "a": "yes"}), ME)
    assert isinstance(words, Answer)
    assert (words.text, words.number) == ("yes", None)
    number = parse_click(click("answer:7", {"t": "tabc", "s": "s4", "n": 7}), ME)
    assert isinstance(number, Answer)
    assert (number.text, number.number) == ("", 7)
    select = {"action_id": "answer", "block_id": "tabc/s4/answer", "selected_option": {"value": "12"}}
    chosen = parse_click(click("answer", actions=[select]), ME)
    assert isinstance(chosen, Answer)
    assert (chosen.thread_id, chosen.step, chosen.number) == ("tabc", "s4", 12)


def test_somebody_of_another_organisation_is_known_as_such_when_they_click() -> None:
    clicked = parse_click(click("approve", user={"id": "U1", "team_id": "T0OTHER"}), ME)
    assert isinstance(clicked, Approve)
    assert clicked.by.external


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "block_actions"},
        click("approve", {}),
        click("approve", {"t": "tabc", "s": "s4"}),
        click("approve", "no object"),
        click("approve", {"t": 1, "s": 2, "d": 3}),
        click("something", VALUE),
        click("approve", user=None),
        click("approve", actions=[]),
        click("reject", trigger_id=""),
        {"type": "shortcut", "user": {"id": "U1"}},
    ],
)
def test_what_is_no_click_of_ours_is_ignored(body: dict[str, Any]) -> None:
    assert isinstance(parse_click(body, ME), Ignored)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_KEYS = sorted({*event()["event"], "subtype", "message", "previous_message", "files", "thread_ts", "bot_id", "tab"})


@given(
    st.sampled_from(["message", "app_mention", "app_home_opened", "agent_session_stopped", "x"]),
    st.dictionaries(st.sampled_from(_KEYS), _json | st.sampled_from(["message_changed", "message_deleted", TS])),
)
def test_no_event_crashes_the_parser(kind: str, fields: dict[str, Any]) -> None:
    parse_event({"event": {"type": kind, **fields}}, ME)


@given(_json, st.dictionaries(st.sampled_from(sorted(click("approve"))), _json))
def test_no_click_crashes_the_parser(value: Any, fields: dict[str, Any]) -> None:
    parse_event({"event": value}, ME)
    parse_click(click("answer", value) | fields, ME)
    parse_click({"type": "view_submission", "user": {"id": "U"}, "view": value}, ME)
    parse_click(submission(value, value), ME)
    parse_click(submission({"argument:revision": value}, [value]), ME)
    parse_click(submission({"argument:revision": {"text": value}}), ME)


# Whatever Slack sends, as public documentation shows it: see tests/payloads/slack/README.md

SAMPLES = PAYLOADS / "slack"
FILES = {f"{file.parent.name}/{file.stem}": file for file in sorted(SAMPLES.glob("*/*.json"))}
ACME = Installation(team="T0ACME", user="U0DEPLOYBOT", bot="B0DEPLOYBOT")


def payload(name: str) -> Any:
    body = json.loads(FILES[name].read_text())
    is_frame = isinstance(body, dict) and isinstance(body.get("payload"), dict) and "envelope_id" in body
    return body["payload"] if is_frame else body


def test_there_are_samples_of_every_kind() -> None:
    kinds = Counter(name.partition("/")[0] for name in FILES)
    assert len(FILES) > 500
    assert set(kinds) == {"events", "actions", "commands", "web", "odd"}


@pytest.mark.parametrize("name", FILES)
def test_each_sample_is_parsed_whole_and_with_anything_missing(name: str) -> None:
    body = payload(name)
    for variant in (body, *_variants(body)):
        assert parse_event(variant, ACME) is not None
        assert parse_click(variant, ACME) is not None


def _variants(body: Any) -> Iterator[Any]:
    parts = [body, body.get("event")] if isinstance(body, dict) else []
    for outer in (part for part in parts if isinstance(part, dict)):
        for key in outer:
            for changed in ({k: v for k, v in outer.items() if k != key}, {**outer, key: None}, {**outer, key: [1]}):
                yield changed if outer is body else {**body, "event": changed}


HEARD: dict[str, type] = {
    "events/app_mention": Posted,
    "events/app_mention_in_thread": Posted,
    "events/app_mention_with_files": Posted,
    "events/app_mention_edited": Posted,
    "events/app_mention_only_the_mention": Posted,
    "events/app_mention_from_slack_connect": Posted,
    "events/app_home_opened_home_with_view": HomeOpened,
    "events/app_home_opened_messages": HomeOpened,
    "events/agent_session_stopped_streaming": Stopped,
    "events/app_mention_by_ourselves": Ignored,
    "events/app_mention_by_workflow": Ignored,
    "events/message_by_ourselves": Ignored,
    "events/message_by_another_app": Ignored,
    "events/member_joined_channel": Ignored,
    "events/channel_archive": Ignored,
    "events/link_shared": Ignored,
}


@pytest.mark.parametrize("name", HEARD)
def test_what_a_sample_means(name: str) -> None:
    assert isinstance(parse_event(payload(name), ACME), HEARD[name])


def test_a_mention_over_slack_connect_is_from_outside() -> None:
    said = parse_event(payload("events/app_mention_from_slack_connect"), ACME)
    assert isinstance(said, Posted)
    assert said.external
