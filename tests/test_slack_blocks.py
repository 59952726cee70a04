"""What is said in Slack: complete, harmless, and within Slack's limits whatever it is made of."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from channels.base import Answered, Card, Notice, Outgoing, Progress, Question, Settled, Text, Undelivered
from channels.slack.blocks import POSTS_MAX, Post, TooLongToShow, posts_of, reject_modal
from channels.slack.home import Home, HomeItem, home_view
from channels.slack.parse import Answer, Approve, AskReason, Me, parse_click
from store.events import Person
from tests.slack import check_blocks, check_view

AT = datetime(2026, 11, 20, 4, 36, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4
DEX = Person(name="dex", address="U0DEX", trust="verified")
SHA = "4af9ec024c7f132fd21fb4962aa6725f4e14bf07"
ME = Me(team="T0ACME", user="U0BOT")


def card(arguments: dict[str, Any] | None = None, facts: dict[str, Any] | None = None) -> Card:
    return Card(
        step="s4",
        digest=DIGEST,
        intent="deploy_backend",
        arguments={"environment": "production", "revision": "v1.4.2"} if arguments is None else arguments,
        facts={"new": {"sha": SHA, "link": f"https://git.example/c/{SHA}"}} if facts is None else facts,
        requested_by="dex",
        requested_at=AT,
    )


def question(*choices: str, kind: Any = "multiple_choice", urgency: Any = "medium") -> Question:
    return Question("s5", "Which one?", "There are several.", kind, choices, urgency)


def seen(posts: list[Post]) -> str:
    """All text that a person sees."""
    found: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("text"), str):
                found.append(node["text"])
            elif node.get("type") == "link":
                found.append(node["url"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for item in node:
                walk(item)

    walk([post.blocks for post in posts])
    return "".join(found)


def clicked(block: dict[str, Any], number: int) -> Any:
    element = block["elements"][number]
    action = {"action_id": element["action_id"], "block_id": block["block_id"], "value": element.get("value")}
    return parse_click(
        {"type": "block_actions", "user": {"id": "U0DEX"}, "trigger_id": "1.2.3", "actions": [action]}, ME
    )


def test_a_card_shows_who_wants_what_with_links_and_two_buttons() -> None:
    (post,) = posts_of(card(), "tabc")
    assert post.text == "Approval needed: deploy_backend"
    assert post.blocks == snapshot(
        [
            {
                "type": "header",
                "text": {"type": "plain_text", "text": "Approval needed: deploy_backend", "emoji": False},
            },
            {
                "type": "rich_text",
                "elements": [
                    {
                        "type": "rich_text_section",
                        "elements": [
                            {"type": "text", "text": "environment: ", "style": {"bold": True}},
                            {"type": "text", "text": "production\n"},
                            {"type": "text", "text": "revision: ", "style": {"bold": True}},
                            {"type": "text", "text": "v1.4.2\n"},
                            {"type": "text", "text": "new.sha: ", "style": {"bold": True}},
                            {"type": "text", "text": "4af9ec024c7f132fd21fb4962aa6725f4e14bf07\n"},
                            {"type": "text", "text": "new.link: ", "style": {"bold": True}},
                            {"type": "link", "url": "https://git.example/c/4af9ec024c7f132fd21fb4962aa6725f4e14bf07"},
                        ],
                    }
                ],
            },
            {
                "type": "rich_text",
                "elements": [
                    {
                        "type": "rich_text_section",
                        "elements": [
                            {
                                "type": "text",
                                "text": "Asked for by dex at 04:36 UTC · 0123456789ab",
                                "style": {"italic": True},
                            }
                        ],
                    }
                ],
            },
            {
                "type": "actions",
                "block_id": "tabc/s4/decide",
                "elements": [
                    {
                        "type": "button",
                        "action_id": "approve",
                        "text": {"type": "plain_text", "text": "Approve", "emoji": False},
                        "value": '{"t":"tabc","s":"s4","d":"0123456789abcdef"}',
                        "style": "primary",
                    },
                    {
                        "type": "button",
                        "action_id": "reject",
                        "text": {"type": "plain_text", "text": "Reject", "emoji": False},
                        "value": '{"t":"tabc","s":"s4","d":"0123456789abcdef"}',
                        "style": "danger",
                    },
                ],
            },
        ]
    )


def test_the_buttons_carry_which_request_they_decide() -> None:
    actions = posts_of(card(), "tabc")[-1].blocks[-1]
    approve, reject = clicked(actions, 0), clicked(actions, 1)
    assert isinstance(approve, Approve)
    assert (approve.thread_id, approve.step, approve.digest) == ("tabc", "s4", DIGEST[:16])
    assert isinstance(reject, AskReason)


def test_long_details_stand_before_the_card_and_are_complete() -> None:
    lines = [f"{n} {'subject ' * 20}" for n in range(200)]
    *details, last = posts_of(card(facts={"adds": lines}), "tabc")
    assert details
    assert all(line.strip() in seen(details) for line in lines)
    assert last.blocks[-1]["type"] == "actions"
    assert "messages above" in seen([last])


def test_what_cannot_be_shown_whole_is_not_asked_for() -> None:
    with pytest.raises(TooLongToShow):
        posts_of(card(facts={"log": "x " * 400_000}), "tabc")


def test_the_end_of_a_request_takes_the_place_of_its_card() -> None:
    settled = Settled("s4", "deploy_backend", "rejected", {"environment": "production"}, by=DEX, at=AT, comment="later")
    (post,) = posts_of(settled, "tabc")
    assert "❌ rejected by dex at 04:36 UTC — later" in seen([post])
    assert all(block["type"] != "actions" for block in post.blocks)


def test_whoever_is_asked_for_yes_or_no_has_two_buttons() -> None:
    actions = posts_of(question(kind="yes_no", urgency="high"), "tabc")[-1].blocks[-1]
    assert [element["text"]["text"] for element in actions["elements"]] == ["yes", "no"]
    answer = clicked(actions, 1)
    assert isinstance(answer, Answer)
    assert (answer.thread_id, answer.step, answer.text) == ("tabc", "s5", "no")


def test_many_or_long_choices_are_listed_in_full_and_chosen_by_number() -> None:
    choices = [f"{n} {'word ' * 30}".strip() for n in range(12)]
    posts = posts_of(question(*choices), "tabc")
    assert all(choice in seen(posts) for choice in choices)
    actions = posts[-1].blocks[-1]
    (select,) = actions["elements"]
    chosen = {"action_id": "answer", "block_id": actions["block_id"], "selected_option": select["options"][7]}
    body = {"type": "block_actions", "user": {"id": "U0DEX"}, "actions": [chosen]}
    answer = parse_click(body, ME)
    assert isinstance(answer, Answer)
    assert (answer.thread_id, answer.step, answer.number) == ("tabc", "s5", 7)


def test_the_same_choice_twice_makes_two_different_buttons() -> None:
    actions = posts_of(question("same", "same", ""), "tabc")[-1].blocks[-1]
    assert len({element["action_id"] for element in actions["elements"]}) == 3


def test_more_choices_than_a_select_holds_are_answered_in_words() -> None:
    posts = posts_of(question(*(f"choice {n}" for n in range(101))), "tabc")
    assert all(block["type"] != "actions" for post in posts for block in post.blocks)
    assert "Reply here in this thread." in seen(posts)


def test_the_form_for_a_reason_is_within_the_limits() -> None:
    check_view(reject_modal(json.dumps({"t": "tabc", "s": "s4", "d": DIGEST[:16], "c": "C1", "p": "1.2"})))


_texts = st.text(max_size=60) | st.sampled_from(
    ["", " ", "<!channel>", "<@U1>", "\u202eevil", "x" * 5_000, "a\nb", "https://evil.example/x?a=b", "*bold* `code`"]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_data = st.dictionaries(_texts, _values, max_size=5)
_outgoing: st.SearchStrategy[Outgoing] = st.one_of(
    st.builds(Text, _texts),
    st.builds(Notice, _texts),
    st.builds(Undelivered, st.just(DEX), _texts),
    st.builds(card, _data, _data),
    st.builds(
        Question,
        st.just("s5"),
        _texts,
        _texts,
        st.sampled_from(["free_text", "yes_no", "multiple_choice"]),
        st.lists(_texts, max_size=8).map(tuple),
        st.sampled_from(["low", "medium", "high"]),
    ),
    st.builds(
        Settled,
        st.just("s4"),
        _texts,
        st.sampled_from(["approved", "rejected", "withdrawn", "superseded", "cancelled", "refused"]),
        _data,
        _data,
        _texts,
        st.none() | st.just(DEX),
        st.none() | st.just(AT),
        _texts,
    ),
    st.builds(Answered, _texts, _texts, _texts),
    st.builds(Progress, _texts, st.sampled_from(["under_way", "done", "failed", "stopped"]), _texts),
)


@settings(max_examples=300, deadline=None)
@given(_outgoing)
def test_whatever_is_said_keeps_to_the_limits_and_no_markup_of_it_is_live(message: Outgoing) -> None:
    posts = posts_of(message, "tabc")
    assert 1 <= len(posts) <= POSTS_MAX
    for post in posts:
        check_blocks(post.blocks, "message")
        assert post.text.strip()
        assert "<!" not in post.text


def test_home_is_within_the_limits_whatever_is_in_it() -> None:
    items = tuple(HomeItem(f"t{n}", "<!here> " * 40, "done", "javascript:alert(1)", AT, "x" * 500) for n in range(30))
    check_view(home_view(Home(items, items, items, more=7)))
    check_view(home_view(Home((), (), ())))
