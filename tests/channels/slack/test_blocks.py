"""What is said in Slack: complete, harmless, and within Slack's limits whatever it is made of."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from slack_sdk.models.blocks import Block as ModelOfSlack

from channels.messages import (
    CALLED_MAX,
    NEW,
    Answered,
    Approval,
    Dropped,
    Ended,
    Notice,
    Outgoing,
    Progress,
    Question,
    Reminded,
    Rewrite,
    Text,
    Vote,
    Way,
)
from channels.slack.blocks import Post, TooLongToShow
from channels.slack.buttons import ButtonValue
from channels.slack.clicks import Answer, Approve, AskAnswer, AskEdit, AskReason, parse_click
from channels.slack.events import Installation
from channels.slack.home import IN_FULL_MAX, Home, HomeItem, home_view
from channels.slack.modals import answer_modal, edit_modal, reject_modal
from channels.slack.posts import POSTS_MAX, posts_of
from store.text import visible
from store.values import Person
from tests.fakes.slack import check_blocks, check_view
from tests.matrices import examples

AT = datetime(2026, 11, 20, 4, 36, tzinfo=UTC)
DIGEST = "0123456789abcdef" * 4
DEX = Person(name="dex", address="U0DEX", trust="verified")
SHA = "4af9ec024c7f132fd21fb4962aa6725f4e14bf07"
ME = Installation(team="T0ACME", user="U0BOT")


def card(arguments: dict[str, Any] | None = None, facts: dict[str, Any] | None = None) -> Approval:
    return Approval(
        step="s4",
        digest=DIGEST,
        intent="deploy",
        arguments={"environment": "production", "revision": "v1.4.2"} if arguments is None else arguments,
        facts={"new": {"sha": SHA, "link": f"https://git.example/c/{SHA}"}} if facts is None else facts,
        requested_by="dex",
        requested_at=AT,
    )


def ended(outcome: Any, arguments: dict[str, Any] | None = None, **more: Any) -> Approval:
    return replace(card(arguments or {}, {}), state=Ended(outcome, **more))


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
            elif node.get("type") == "user":
                found.append(f"@{node['user_id']}")
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for item in node:
                walk(item)

    walk([post.blocks for post in posts])
    return "".join(found)


def kinds(node: Any) -> set[str]:
    """The types of all blocks, elements and texts in it."""
    match node:
        case dict():
            return kinds([*node.values()]) | {str(node.get("type", ""))}
        case list():
            return set().union(*map(kinds, node))
    return set()


def mentioned(node: Any) -> set[str]:
    """The ids of all people who are mentioned in it."""
    match node:
        case {"type": "user", "user_id": user}:
            return {user}
        case dict():
            return mentioned([*node.values()])
        case list():
            return set().union(*map(mentioned, node))
    return set()


def lines(posts: list[Post]) -> list[str]:
    """What stands as a line of its own, outside of boxes."""
    blocks = [block for post in posts for block in post.blocks if block["type"] == "rich_text"]
    sections = [part for block in blocks for part in block["elements"] if part["type"] == "rich_text_section"]
    return [line for section in sections for line in seen([Post("", [section])]).split("\n")]


def texts_in(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [text for item in value for text in texts_in(item)]
        case dict():
            return [text for item in value.values() for text in texts_in(item)]
    return []


def clicked(block: dict[str, Any], number: int) -> Any:
    element = block["elements"][number]
    action = {"action_id": element["action_id"], "block_id": block["block_id"], "value": element.get("value")}
    return parse_click(
        {"type": "block_actions", "user": {"id": "U0DEX"}, "trigger_id": "1.2.3", "actions": [action]}, ME
    )


def test_a_card_shows_who_wants_what_with_links_and_two_buttons() -> None:
    (post,) = posts_of(card(), "tabc")
    assert post.text == "deploy?"
    assert post.blocks == snapshot(
        [
            {
                "type": "header",
                "text": {"type": "plain_text", "text": "deploy?", "emoji": False},
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
                            {"type": "text", "text": "new:", "style": {"bold": True}},
                            {"type": "text", "text": "\n"},
                            {"type": "text", "text": "\u2003sha: ", "style": {"bold": True}},
                            {"type": "text", "text": "4af9ec024c7f132fd21fb4962aa6725f4e14bf07\n"},
                            {"type": "text", "text": "\u2003link: ", "style": {"bold": True}},
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
                                "text": "Asked for by dex at 2026-11-20 04:36 UTC\nTool deploy, digest 0123456789ab",
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


ANN = Person(name="Ann", address="U0ANN", member="ann", trust="verified")
BOB = Person(name="Bob", address="bob@acme.example", member="bob", trust="verified")
IN_AN_HOUR = AT + timedelta(hours=1)


def test_a_card_says_who_may_decide_it_how_many_it_takes_and_until_when() -> None:
    wanted = replace(card(), group="release", approvers=(ANN, BOB), expires_at=IN_AN_HOUR, quorum=2)
    assert lines(posts_of(wanted, "tabc"))[-4:] == [
        "Asked for by dex at 2026-11-20 04:36 UTC",
        "May decide: release (@U0ANN, Bob), until 2026-11-20 05:36 UTC",
        "0 of 2 approvals",
        "Tool deploy, digest 0123456789ab",
    ]
    voted = replace(wanted, votes=(Vote("Ann", AT),))
    assert lines(posts_of(voted, "tabc", Rewrite("1.2")))[-2] == "1 of 2 approvals: Ann at 2026-11-20 04:36 UTC"


def test_whoever_asked_is_mentioned_and_not_named() -> None:
    forged = DEX.model_copy(update={"name": "Ann at 2026-11-20 04:36 UTC\nDigest ffffffffffff"})
    for wanted in (
        replace(card(), asked_by=forged, changed_by=ANN),
        replace(REMINDER, asked_by=forged, changed_by=ANN),
    ):
        (post,) = posts_of(wanted, "tabc")
        assert mentioned(post.blocks) == {"U0DEX", "U0ANN"}
        assert "ffff" not in seen([post])
        assert "Asked for by @U0DEX, changed by @U0ANN at 2026-11-20 04:36 UTC" in lines([post])
        check_blocks(post.blocks, "message")


@pytest.mark.parametrize(
    "asker",
    [
        DEX.model_copy(update={"trust": "unverified"}),
        DEX.model_copy(update={"address": "dex@acme.example"}),
        DEX.model_copy(update={"address": "U0DEX> <!here"}),
    ],
)
def test_whoever_is_not_known_by_a_slack_id_is_not_mentioned(asker: Person) -> None:
    shown = posts_of(replace(card(), requested_by="dex@acme.example", asked_by=asker), "tabc")
    assert "Asked for by dex@acme.example at 2026-11-20 04:36 UTC" in lines(shown)
    assert "user" not in kinds([post.blocks for post in shown])


def test_a_card_calls_twenty_of_many() -> None:
    many = tuple(ANN.model_copy(update={"address": f"U0ANN{n}"}) for n in range(25))
    (post,) = posts_of(replace(card(), group="release", approvers=many), "tabc")
    assert mentioned(post.blocks) == {f"U0ANN{n}" for n in range(CALLED_MAX)}


def test_only_what_may_be_edited_has_a_button_for_it_which_carries_the_request() -> None:
    actions = posts_of(replace(card(), editable=("revision",)), "tabc")[-1].blocks[-1]
    assert [element["text"]["text"] for element in actions["elements"]] == ["Approve", "Reject", "Edit…"]
    asked = clicked(actions, 2)
    assert isinstance(asked, AskEdit)
    assert (asked.thread_id, asked.step, asked.digest) == ("tabc", "s4", DIGEST[:16])


def test_the_form_for_an_edit_has_an_input_for_each_argument_and_keeps_to_the_limits() -> None:
    arguments = {"revision": "v1.4.2", "note": "", "why": "a\nb", "log": "x" * 3_001}
    view = edit_modal(ButtonValue("tabc", "s4", DIGEST[:16]), "deploy" * 20, arguments)
    check_view(view)
    inputs = [block for block in view["blocks"] if block["type"] == "input"]
    assert [(i["label"]["text"], i["optional"], i["element"]["multiline"]) for i in inputs] == [
        ("revision", False, False),
        ("note", True, False),
        ("why", False, True),
    ]
    assert [i["element"].get("initial_value") for i in inputs] == ["v1.4.2", None, "a\nb"]
    assert "Too long to edit here: log" in seen([Post("", view["blocks"])])


REMINDER = replace(card(), group="release", approvers=(ANN, BOB), expires_at=IN_AN_HOUR, state=Reminded())


def test_a_reminder_calls_people_by_their_slack_ids_and_others_by_name() -> None:
    (post,) = posts_of(REMINDER, "tabc")
    (block,) = post.blocks
    (section,) = block["elements"]
    assert section["elements"][-2:] == [{"type": "user", "user_id": "U0ANN"}, {"type": "text", "text": ", Bob"}]
    assert lines([post])[:3] == [
        "⏰ Still waiting for approval: deploy?",
        "Asked for by dex at 2026-11-20 04:36 UTC",
        "May decide: release, until 2026-11-20 05:36 UTC",
    ]
    assert post.text == "⏰ Still waiting for approval: deploy?"


def test_a_reminder_says_when_more_people_may_decide() -> None:
    said = lines(posts_of(replace(REMINDER, group="release or leads", state=Reminded(widened=True)), "tabc"))
    assert "May decide: release or leads, until 2026-11-20 05:36 UTC" in said
    assert "More people may decide from now on." in said


@pytest.mark.parametrize("address", ["", "<!channel>", "U0ANN> <!here", "u0ann", "channel", "S0TEAM", "U0" + "A" * 40])
def test_nobody_is_called_but_by_a_users_id(address: str) -> None:
    stranger = ANN.model_copy(update={"address": address, "name": "<!here>"})
    (post,) = posts_of(replace(REMINDER, approvers=(stranger,), requested_by="<@U0DEX>", intent="<!channel>"), "tabc")
    assert "user" not in kinds(post.blocks)
    assert "<" not in post.text


def test_whoever_approved_is_named_in_the_end() -> None:
    votes = (Vote("Ann", AT), Vote("Bob", IN_AN_HOUR))
    settled = replace(ended("approved", by=BOB, at=IN_AN_HOUR), votes=votes)
    assert (
        lines(posts_of(settled, "tabc"))[-1]
        == "✅ approved by Ann at 2026-11-20 04:36 UTC, Bob at 2026-11-20 05:36 UTC"
    )
    rejected = replace(ended("rejected", by=BOB, at=IN_AN_HOUR, comment="no"), votes=votes[:1])
    assert lines(posts_of(rejected, "tabc"))[-2:] == [
        "Approved so far by Ann at 2026-11-20 04:36 UTC",
        "❌ rejected by Bob at 2026-11-20 05:36 UTC — no",
    ]
    expired = replace(ended("expired"), votes=votes[:1])
    assert lines(posts_of(expired, "tabc"))[-2:] == [
        "Approved so far by Ann at 2026-11-20 04:36 UTC",
        "⏹ expired: nothing was run",
    ]


def test_a_standing_approval_is_told_as_such() -> None:
    settled = replace(ended("approved", by=ANN, at=AT, standing="grant/1"), votes=(Vote("Ann", AT),))
    assert lines(posts_of(settled, "tabc"))[-1] == "✅ approved by the standing approval of Ann at 2026-11-20 04:36 UTC"


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


def test_what_is_nested_too_deeply_is_not_asked_for_and_its_end_can_be_told() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(TooLongToShow):
        posts_of(card(deep), "tabc")
    (post,) = posts_of(ended("cancelled", deep), "tabc")
    assert lines([post]) == snapshot(
        ["deploy", "The details are long: see `bot show tabc`.", "⏹ cancelled: nothing was run"]
    )


def test_many_short_lines_stand_before_the_card_too() -> None:
    details, last = posts_of(card({f"name{n}": n for n in range(70)}, {}), "tabc")
    assert "name69: 69" in lines([details])
    assert "name69" not in seen([last])


def test_no_value_and_no_name_can_pass_for_another_line() -> None:
    forged = "main\nenvironment: staging"
    arguments = {"revision": forged, "a\nenvironment": "staging", "notes": ["one", forged], "environment": "production"}
    posts = posts_of(card(arguments, {}), "tabc")
    assert [line for line in lines(posts) if line.startswith("environment")] == ["environment: production"]
    assert forged in seen(posts)
    assert "rich_text_preformatted" in kinds(posts[-1].blocks)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a.b": "c"}, {"a": {"b": "c"}}),
        ({"a": "1"}, {"a": 1}),
        ({"a": ""}, {"a": " "}),
        ({"a": ""}, {"a": "(empty)"}),
        ({"a": None}, {"a": "null"}),
        ({"a: b": "c"}, {"a": "b: c"}),
        ({"a": ["b", "c"]}, {"a": ["b\n• c"]}),
        ({"a": "b\u202e"}, {"a": "b"}),
        ({"": "a"}, {" ": "a"}),
    ],
)
def test_requests_that_differ_do_not_look_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert posts_of(card(one, {}), "tabc")[-1].blocks != posts_of(card(other, {}), "tabc")[-1].blocks


@pytest.mark.parametrize(("value", "shown"), [("", '""'), ("  ", '"  "'), (None, "null"), ([], "[]"), ({}, "{}")])
def test_what_is_empty_is_shown_as_such(value: Any, shown: str) -> None:
    assert f"note: {shown}" in lines(posts_of(card({"note": value}, {}), "tabc"))


def test_a_name_that_is_too_long_for_the_headline_is_shown_in_full_below() -> None:
    intent = "deploy_" + "backend_" * 30 + "of_ana"
    (post,) = posts_of(replace(card(), intent=intent), "tabc")
    assert f"tool: {intent}" in lines([post])


@pytest.mark.parametrize("url", ["javascript:alert(1)", "mailto:dex@acme.example", "https://good.example@evil.example"])
def test_only_a_plain_web_address_becomes_a_link(url: str) -> None:
    (post,) = posts_of(card({"url": url}, {}), "tabc")
    assert "link" not in kinds(post.blocks)
    assert f"url: {url}" in lines([post])


def test_the_end_of_a_request_takes_the_place_of_its_card() -> None:
    settled = ended("rejected", {"environment": "production"}, by=DEX, at=AT, comment="later")
    (post,) = posts_of(settled, "tabc")
    assert "❌ rejected by @U0DEX at 2026-11-20 04:36 UTC — later" in seen([post])
    assert all(block["type"] != "actions" for block in post.blocks)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("approved", "✅ approved"),
        ("rejected", "❌ rejected: nothing was run"),
        ("withdrawn", "⏹ withdrawn: nothing was run"),
        ("cancelled", "⏹ cancelled: nothing was run"),
        ("expired", "⏹ expired: nothing was run"),
    ],
)
def test_an_end_that_nobody_decided_is_told_in_plain_words(outcome: Any, said: str) -> None:
    assert lines(posts_of(ended(outcome), "tabc")) == ["deploy", said]


def test_the_longest_reason_that_slacks_form_takes_is_shown_whole_beside_the_details() -> None:
    reason = f"{'no ' * 998}\nnever"
    arguments: dict[str, Any] = {"notes": "x" * 3_000}
    settled = ended("rejected", arguments, by=DEX, at=AT, comment=reason)
    (post,) = posts_of(settled, "tabc")
    assert reason in seen([post])
    assert arguments["notes"] in seen([post])


def test_a_reason_that_no_message_holds_says_where_the_rest_is() -> None:
    settled = ended("rejected", by=DEX, at=AT, comment="no " * 30_000)
    (post,) = posts_of(settled, "tabc")
    assert "❌ rejected by @U0DEX at 2026-11-20 04:36 UTC — no no" in seen([post])
    assert lines([post])[-1] == "Shortened: `bot show tabc` prints all of it."


def test_a_tools_name_that_no_message_holds_is_not_dropped_in_silence() -> None:
    assert "`bot show tabc`" in seen(posts_of(replace(ended("refused"), intent="deploy" * 2_000), "tabc"))


@pytest.mark.parametrize(("way", "where"), [(Rewrite("1.2"), "in the messages above"), (NEW, "`bot show tabc`")])
def test_long_details_are_not_said_to_be_above_when_they_never_went_out(way: Way, where: str) -> None:
    assert where in seen(posts_of(ended("refused", {"notes": "x" * 9_000}), "tabc", way))


@pytest.mark.parametrize(("times", "kept"), [(1, 1), (900, 900), (5_000, 45)])
def test_an_answered_question_stays_one_message_that_tells_the_answer(times: int, kept: int) -> None:
    (post,) = posts_of(Question("s5", "Which one? " * times, state=Answered("dex", "yes")), "tabc")
    assert lines([post])[-1] == "✔ answered by dex: yes"
    assert seen([post]).count("Which one?") == kept


def test_a_question_that_nobody_answered_says_so() -> None:
    assert lines(posts_of(Question("s5", "Which one?", state=Dropped()), "tabc"))[-1] == "✔ no longer needs an answer"


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        (Progress("deploy v1.4.2", "under_way"), "⏳ deploy v1.4.2: under way"),
        (Progress("deploy v1.4.2", "done"), "✅ deploy v1.4.2: done"),
        (Progress("deploy v1.4.2", "failed", "no such tag"), "❌ deploy v1.4.2: failed, no such tag"),
        (Progress("deploy v1.4.2", "stopped"), "⏹ deploy v1.4.2: stopped"),
    ],
)
def test_progress_is_one_line(progress: Progress, said: str) -> None:
    assert lines(posts_of(progress, "tabc")) == [said]


def test_whoever_is_asked_for_yes_or_no_has_two_buttons() -> None:
    actions = posts_of(question(kind="yes_no", urgency="high"), "tabc")[-1].blocks[-1]
    assert [element["text"]["text"] for element in actions["elements"]] == ["yes", "no"]
    answer = clicked(actions, 1)
    assert isinstance(answer, Answer)
    assert (answer.thread_id, answer.step, answer.text) == ("tabc", "s5", "no")


def test_an_urgent_question_calls_those_who_take_part() -> None:
    (post,) = posts_of(replace(question("blue", urgency="high"), calls=(ANN, BOB)), "tabc")
    assert mentioned(post.blocks) == {"U0ANN"}
    assert "@U0ANN, Bob" in lines([post])
    check_blocks(post.blocks, "message")


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
    check_view(reject_modal(ButtonValue("tabc", "s4", DIGEST[:16], channel="C1", thread="1.2")))


_texts = st.text(max_size=60) | st.sampled_from(
    [
        "",
        " ",
        "<!channel>",
        "<@U1>",
        "\u202eevil",
        "x" * 5_000,
        "& " * 25_000,
        "a\nb",
        "https://a.example/?a=b",
        "*b* `c`",
    ]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_data = st.dictionaries(_texts, _values, max_size=5)
_people = st.lists(
    st.builds(lambda name, address: Person(name=name, address=address), _texts, _texts), max_size=30
).map(tuple)
_votes = st.lists(st.builds(Vote, _texts, st.just(AT)), max_size=4).map(tuple)
_outgoing: st.SearchStrategy[Outgoing] = st.one_of(
    st.builds(
        lambda wanted, group, approvers, votes, editable: replace(
            wanted, group=group, approvers=approvers, quorum=3, votes=votes, editable=editable, expires_at=AT
        ),
        st.builds(card, _data, _data),
        _texts,
        _people,
        _votes,
        st.sampled_from([(), ("revision",)]),
    ),
    st.builds(
        lambda intent, asked_by, group, people, state: replace(
            REMINDER, intent=intent, requested_by=asked_by, group=group, approvers=people, state=state
        ),
        _texts,
        _texts,
        _texts,
        _people,
        st.builds(Reminded, st.booleans()),
    ),
    st.builds(Text, _texts),
    st.builds(Notice, _texts),
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
        lambda request, intent, asked_by, votes, end: replace(
            request, intent=intent, requested_by=asked_by, votes=votes, state=end
        ),
        st.builds(card, _data, _data),
        _texts,
        _texts,
        _votes,
        st.builds(
            Ended,
            st.sampled_from(["approved", "rejected", "expired", "withdrawn", "superseded", "cancelled", "refused"]),
            st.none() | st.just(DEX),
            st.none() | st.just(AT),
            _texts,
            _texts,
        ),
    ),
    st.builds(Question, st.just("s5"), _texts, state=st.builds(Answered, _texts, _texts) | st.just(Dropped())),
    st.builds(Progress, _texts, st.sampled_from(["under_way", "done", "failed", "stopped"]), _texts),
)


def is_one_post(message: Outgoing) -> bool:
    """It takes the place of a message, or calls people: one post must do."""
    match message:
        case Approval(state=Ended() | Reminded()) | Question(state=Answered() | Dropped()) | Progress():
            return True
        case _:
            return False


@examples(300)
@given(_outgoing)
def test_whatever_is_said_keeps_to_the_limits_and_no_markup_of_it_is_live(message: Outgoing) -> None:
    try:
        posts = posts_of(message, "tabc")
    except TooLongToShow:
        assert not is_one_post(message)
        return
    assert 1 <= len(posts) <= (1 if is_one_post(message) else POSTS_MAX)
    for post in posts:
        check_blocks(post.blocks, "message")
        assert (post.file or post.text).strip()  # a file has no text beside it
        assert "<" not in post.text
        assert not kinds(post.blocks) & {"mrkdwn", "usergroup", "channel", "broadcast", "emoji"}
        assert mentioned(post.blocks) <= {DEX.address}, "nobody but who has decided"
        for model in ModelOfSlack.parse_all(post.blocks):
            model.validate_json()


@examples(100)
@given(_data, _data)
def test_every_character_of_a_request_is_shown(arguments: dict[str, Any], facts: dict[str, Any]) -> None:
    try:
        shown = seen(posts_of(card(arguments, facts), "tabc")).replace("\n", "")
    except TooLongToShow:
        return
    for text in texts_in([arguments, facts]):
        readable = visible(text).replace("\n", "")
        # Inside of JSON, where a list holds more than texts, quotes and backslashes are escaped.
        assert readable in shown or visible(json.dumps(text, ensure_ascii=False))[1:-1] in shown


def test_a_reminder_is_one_message_whoever_is_called() -> None:
    many = tuple(Person(name="&" * 500, address=f"U{n}" if n % 2 else "") for n in range(100))
    (post,) = posts_of(replace(REMINDER, approvers=many, intent="&" * 500, group="&" * 500), "tabc")
    check_blocks(post.blocks, "message")
    assert len(lines([post])[-1].split(", ")) == CALLED_MAX


def test_home_is_within_the_limits_whatever_is_in_it() -> None:
    link = "https://acme.slack.example/" + "a" * 1_900
    hostile = HomeItem("", "<!here> " * 40, "done\u202e" * 900, link, AT, "x" * 500)
    request = replace(card({"text": "&" * 700}, {"why": "<" * 200}), group="&" * 500, approvers=(ANN,) * 30)
    asks: list[Approval | Question] = [
        *(replace(request, step=f"s{n}", title="<" * 500, cautions=("&" * 900,) * 2) for n in range(3)),
        *(replace(question(*("&" * 70,) * 5), step=f"s{n}", context="<" * 900) for n in range(3, 8)),
    ]
    here = tuple(replace(hostile, thread_id=f"t{n}", asks=one) for n, one in enumerate(asks))
    items = (*here, *(hostile, replace(hostile, title="", link="javascript:alert(1)")) * 100)
    view = home_view(Home(items, items, items, more=True))
    check_view(view)
    assert "javascript" not in str(view)
    assert "(no title): done" in seen([Post("", view["blocks"])])
    assert "There are more: these are the newest of each." in seen([Post("", view["blocks"])])
    decide = [block for block in view["blocks"] if block["type"] == "actions"]
    assert len(decide) == IN_FULL_MAX


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"action_id": "words", "value": ButtonValue("tabc", "s5").write()}, AskAnswer),
        ({"action_id": "answer:1", "value": ButtonValue("tabc", "s5", answer="blue").write()}, Answer),
        ({"action_id": "approve", "value": ButtonValue("tabc", "s4", DIGEST[:16]).write()}, Approve),
        ({"action_id": "reject", "value": ButtonValue("tabc", "s4", DIGEST[:16]).write()}, AskReason),
    ],
)
def test_what_is_clicked_in_app_home_is_what_it_is_on_a_card(action: dict[str, Any], expected: type) -> None:
    body = {
        "type": "block_actions",
        "user": {"id": "U0ANN", "team_id": "T0ACME"},
        "container": {"type": "view", "view_id": "V0HOME"},
        "trigger_id": "1.2",
        "actions": [action],
    }
    asked = parse_click(body, ME)
    assert isinstance(asked, expected)
    assert isinstance(asked, AskAnswer | Answer | Approve | AskReason)
    assert asked.by.is_at_home


def test_a_form_that_was_opened_in_app_home_is_answered_there() -> None:
    value = replace(ButtonValue("tabc", "s5"), channel="", thread="")
    form = answer_modal(value)
    check_view(form)
    body = {
        "type": "view_submission",
        "user": {"id": "U0ANN", "team_id": "T0ACME"},
        "view": form | {"state": {"values": {"answer": {"text": {"type": "plain_text_input", "value": " blue "}}}}},
    }
    answer = parse_click(body, ME)
    assert isinstance(answer, Answer)
    assert (answer.thread_id, answer.step, answer.text, answer.by.is_at_home) == ("tabc", "s5", "blue", True)


def test_home_leads_to_each_thread() -> None:
    link = "https://acme.slack.example/archives/C1/p1"
    view = home_view(Home((HomeItem("tabc", "deploy v1.4.2", "waits for approval", link, AT, "dex"),), (), ()))
    assert "deploy v1.4.2: waits for approval, requested by dex, 2026-11-20 04:36 UTC" in seen(
        [Post("", view["blocks"])]
    )
    assert link in str(view)


def test_an_empty_home_says_how_to_begin() -> None:
    view = home_view(Home((), (), ()))
    check_view(view)
    assert "Mention me in a channel" in seen([Post("", view["blocks"])])
