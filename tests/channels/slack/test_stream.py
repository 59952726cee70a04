"""A long text in Slack: one message, whole and once, whatever happens on the way; posts where Slack streams none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import structlog

from channels.base import SendFailed
from channels.messages import Notice, Text
from channels.slack.channel import SlackChannel
from channels.slack.marks import METADATA
from channels.slack.place import place_of
from store.deliveries import MessageSent
from store.events import Event, MessageReceived
from store.values import Person, Place
from tests.bot.desks.office import Office, kinds, new_office
from tests.fakes.slack import Message
from tests.telling.playbook import done

KEY = "t1/e1"
SINCE = datetime.now(UTC)
LONG = "\n\n".join(f"Paragraph {n}: {'word ' * 200}" for n in range(30))
"""Three posts."""
LONG_PARAGRAPHS = [f"Paragraph {n}: " for n in range(30)]
METHODS = ("chat.startStream", "chat.appendStream", "chat.stopStream")


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


@pytest.fixture
async def asked(office: Office) -> Message:
    return await office.slack.mention("deploys", "ana", "tell me everything")


def place_in(office: Office, asked: Message) -> Place:
    return place_of(office.slack.workspace.team_id, asked.channel, asked.thread)


def from_(user: str) -> list[Event]:
    person = Person(name="Ana", address=user, trust="verified")
    return [MessageReceived(id="e1", at=SINCE, sender=person, text="tell me everything")]


async def send(
    office: Office,
    asked: Message,
    text: str = LONG,
    *,
    again: bool = False,
    channel: SlackChannel | None = None,
    so_far: list[Event] | None = None,
    key: str = KEY,
) -> str:
    """By a process of its own, unless a channel is given. `again`: it may have gone out before."""
    channel = channel or SlackChannel(office.client)
    said = from_(asked.user or "") if so_far is None else so_far
    since = SINCE if again else None
    return await channel.send(place_in(office, asked), Text(text), key=key, since=since, so_far=said)


def of_bot(office: Office, asked: Message) -> list[Message]:
    bot = office.slack.workspace.bot.id
    return [m for m in office.slack.messages(asked.channel, asked) if m.user == bot]


def in_order(office: Office, messages: Iterable[Message], wanted: Iterable[str]) -> bool:
    """Each of these is in the messages together, once, in this order."""
    text = "\n".join(map(office.slack.text_of, messages))
    places = [text.find(piece) for piece in wanted]
    return -1 not in places and places == sorted(places) and all(text.count(piece) == 1 for piece in wanted)


def parts(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [(message.metadata or {}).get("event_payload", {}) for message in messages]


def one_whole_message(office: Office, asked: Message) -> Message:
    (message,) = of_bot(office, asked)
    assert in_order(office, [message], LONG_PARAGRAPHS)
    assert not message.streaming
    assert message.metadata == {"event_type": METADATA, "event_payload": {"key": KEY, "part": 0, "holds": 3}}
    return message


# One message


async def test_a_long_answer_is_one_message_for_who_asked(office: Office) -> None:
    office.model.answers(done(LONG))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "tell me everything")
        thread = await office.until(asked, "done")
        (message,) = of_bot(office, asked)
    assert in_order(office, [message], LONG_PARAGRAPHS)
    assert message.thread == asked.ts
    (sent,) = kinds(thread, MessageSent)
    assert isinstance(sent, MessageSent)
    assert sent.receipt == message.ts
    assert parts([message])[0]["key"] == f"{thread.id}/{sent.key}"
    (begun,) = office.slack.calls_of("chat.startStream")
    team = office.slack.workspace.team_id
    assert (begun.args["recipient_user_id"], begun.args["recipient_team_id"]) == (asked.user, team)
    assert office.slack.calls_of("chat.postMessage") == []
    assert office.slack.session_status("deploys", asked) == "active"


async def test_the_feedback_buttons_of_a_streamed_answer_come_with_its_end(office: Office) -> None:
    office.model.answers(done(LONG))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "tell me everything")
        await office.until(asked, "done")
        (message,) = of_bot(office, asked)
    assert office.slack.buttons_of(message) == ["👍", "👎"]
    (end,) = office.slack.calls_of("chat.stopStream")
    assert [block["type"] for block in end.args["blocks"]] == ["context_actions"]
    chunks = [office.slack.calls_of(method) for method in METHODS[:2]]
    assert "context_actions" not in str([call.args for calls in chunks for call in calls])


async def test_a_short_answer_is_posted_and_so_is_what_is_no_answer(office: Office, asked: Message) -> None:
    await send(office, asked, "Hello.")
    notice = Notice(LONG)
    await SlackChannel(office.client).send(place_in(office, asked), notice, key="t1/e2", so_far=from_(asked.user or ""))
    assert [call for method in METHODS for call in office.slack.calls_of(method)] == []
    assert len(of_bot(office, asked)) > 2


async def test_the_stop_button_stays_while_the_agent_is_at_work(office: Office) -> None:
    asked = await office.slack.dm("ana", "tell me everything")
    channel = SlackChannel(office.client)
    channel.busy(place_in(office, asked), "is thinking…")
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("slack status")))
    await send(office, asked, channel=channel)
    one_whole_message(office, asked)
    assert office.slack.session_status(asked.channel, asked) == "processing"
    await channel.aclose()


async def test_no_mention_in_a_long_text_is_live(office: Office, asked: Message) -> None:
    text = "\n\n".join(f"<!channel> **now** <@U1> & @here <#C1> {'word ' * 200}" for _ in range(20))
    await send(office, asked, text)
    (message,) = of_bot(office, asked)
    shown = office.slack.text_of(message)
    assert shown.count("<!channel>") == 20
    assert shown.count("<@U1>") == 20
    types = {element["type"] for block in message.blocks for part in block["elements"] for element in part["elements"]}
    assert types == {"text"}
    calls = [call.args for method in METHODS for call in office.slack.calls_of(method)]
    assert all("markdown_text" not in args for args in calls)
    assert {chunk["type"] for args in calls for chunk in args.get("chunks") or []} == {"blocks"}


# How much fits


def headings(count: int) -> str:
    """Two small blocks each."""
    return "\n\n".join(f"## Heading {n}.\n\nText {n}." for n in range(count))


def pieces(count: int) -> list[str]:
    return [piece for n in range(count) for piece in (f"Heading {n}.", f"Text {n}.")]


@pytest.mark.parametrize("count", [22, 23, 25, 26, 28, 45])
async def test_no_block_of_a_stream_is_dropped(office: Office, asked: Message, count: int) -> None:
    await send(office, asked, headings(count))
    (message,) = of_bot(office, asked)
    assert len(message.blocks) == 2 * count
    assert in_order(office, [message], pieces(count))


@pytest.mark.parametrize(("count", "more"), [(54, ""), (100, ""), (45, LONG)])
async def test_twice_fifty_blocks_fit_and_the_rest_is_posted(
    office: Office, asked: Message, count: int, more: str
) -> None:
    text = f"{headings(count)}\n\n{more}"
    wanted = [*pieces(count), *(LONG_PARAGRAPHS if more else [])]
    await send(office, asked, text)
    assert all(call.ok for call in office.slack.calls)
    stream, *posts = of_bot(office, asked)
    assert 50 < len(stream.blocks) <= 100
    assert parts([stream]) == [{"key": KEY, "part": 0, "holds": 2}]
    assert parts(posts) == [{"key": KEY, "part": 2 + n} for n in range(len(posts))]
    assert in_order(office, [stream, *posts], wanted)
    before = len(office.slack.calls)
    assert await send(office, asked, text, again=True) == posts[-1].ts
    assert {call.method for call in office.slack.calls[before:]} == {"conversations.replies"}


async def test_a_table_ends_a_message_as_ever(office: Office, asked: Message) -> None:
    table = "| a | b |\n|---|---|\n| 1 | 2 |"
    await send(office, asked, f"First.\n\n{table}\n\nSecond.\n\n{table}\n\nThird.")
    assert office.slack.calls_of("chat.startStream") == []
    assert len(of_bot(office, asked)) == 3
    await send(office, asked, f"{LONG}\n\n{table}\n\nLast.", key="t1/e2")
    *_, stream, last = of_bot(office, asked)
    assert [block["type"] for block in stream.blocks].index("table") == len(stream.blocks) - 1
    assert office.slack.text_of(last) == "Last."


@pytest.mark.parametrize("error", ["msg_too_long", "msg_blocks_too_long"])
async def test_what_slack_finds_too_long_ends_there_and_goes_on_in_posts(
    office: Office, asked: Message, error: str
) -> None:
    channel = SlackChannel(office.client)
    office.slack.fail("chat.appendStream", error)
    await send(office, asked, channel=channel)
    messages = of_bot(office, asked)
    assert in_order(office, messages, LONG_PARAGRAPHS)
    assert parts(messages) == [{"key": KEY, "part": n} for n in range(3)]
    assert office.slack.calls_of("chat.delete") == []
    # As much is not tried again.
    await send(office, asked, channel=channel, key="t1/e2")
    assert len(office.slack.calls_of("chat.startStream")) == 1
    assert in_order(office, of_bot(office, asked)[3:], LONG_PARAGRAPHS)


async def test_a_stream_that_slack_closes_without_the_last_blocks_is_followed_by_them(
    office: Office, asked: Message
) -> None:
    office.slack.fail("chat.stopStream", "streaming_mode_mismatch")
    await send(office, asked, headings(40))
    messages = of_bot(office, asked)
    assert parts(messages) == [{"key": KEY, "part": 0}, {"key": KEY, "part": 1}]
    assert in_order(office, messages, pieces(40))
    assert office.slack.calls_of("chat.delete") == []


async def test_nothing_follows_in_a_stream_what_slack_would_not_append(office: Office, asked: Message) -> None:
    office.slack.fail("chat.appendStream", "invalid_blocks")
    await send(office, asked, f"{LONG}\n\n{headings(60)}")
    stream, *posts = of_bot(office, asked)
    assert parts([stream, *posts]) == [{"key": KEY, "part": n} for n in range(1 + len(posts))]
    assert in_order(office, [stream, *posts], [*LONG_PARAGRAPHS, *pieces(60)])


# Where Slack streams none


@pytest.mark.parametrize(
    "error",
    [
        "channel_type_not_supported",
        "feature_not_enabled",
        "invalid_blocks",
        "invalid_chunks",
        "method_not_supported_for_channel_type",
        "missing_recipient_team_id",
        "missing_recipient_user_id",
        "team_not_found",
        "unknown_method",
        "user_not_found",
    ],
)
async def test_what_slack_does_not_stream_is_posted(office: Office, asked: Message, error: str) -> None:
    office.slack.fail("chat.startStream", error)
    await send(office, asked)
    messages = of_bot(office, asked)
    assert in_order(office, messages, LONG_PARAGRAPHS)
    assert parts(messages) == [{"key": KEY, "part": n} for n in range(3)]


@pytest.mark.parametrize("user", [None, "", "U0NOBODY"])
async def test_what_is_for_nobody_slack_knows_is_posted(office: Office, asked: Message, user: str | None) -> None:
    await send(office, asked, so_far=[] if user is None else from_(user))
    assert in_order(office, of_bot(office, asked), LONG_PARAGRAPHS)
    assert len(of_bot(office, asked)) == 3


async def test_what_is_posted_in_part_is_not_streamed_afterwards(office: Office, asked: Message) -> None:
    office.slack.fail("chat.startStream", "user_not_found")
    office.slack.fail("chat.postMessage", when=lambda arguments: arguments["metadata"]["event_payload"]["part"] == 1)
    with pytest.raises(SendFailed):
        await send(office, asked)
    await send(office, asked, again=True)
    assert len(office.slack.calls_of("chat.startStream")) == 1
    assert in_order(office, of_bot(office, asked), LONG_PARAGRAPHS)


async def test_a_stream_that_ended_before_it_was_whole_makes_way_for_posts(office: Office, asked: Message) -> None:
    """As after five minutes, or when somebody presses its stop button."""
    async with office.slack.hold("chat.appendStream") as gate:
        sending = asyncio.create_task(send(office, asked))
        await gate.reached()
        (begun,) = of_bot(office, asked)
        office.slack.workspace.put(replace(begun, streaming=False))
        gate.release()
        await sending
    messages = of_bot(office, asked)
    assert begun.ts not in [message.ts for message in messages]
    assert in_order(office, messages, LONG_PARAGRAPHS)
    assert parts(messages) == [{"key": KEY, "part": n} for n in range(3)]


# Dying on the way


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", METHODS)
async def test_a_process_that_dies_leaves_one_whole_message_to_the_next(
    office: Office, asked: Message, method: str, after_effect: bool
) -> None:
    async with office.slack.hold(method, after_effect=after_effect) as gate:
        dying = asyncio.create_task(send(office, asked))
        await gate.reached()
        dying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await dying
        await gate.abandoned()
    receipt = await send(office, asked, again=True)
    assert one_whole_message(office, asked).ts == receipt
    whole_before = (method, after_effect) == ("chat.stopStream", True)
    assert len(office.slack.calls_of("chat.startStream")) == (1 if whole_before else 2)


@pytest.mark.parametrize("cut", [False, True], ids=["told otherwise", "cut"])
@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", METHODS)
async def test_trouble_on_the_way_ends_in_one_whole_message(
    office: Office, asked: Message, method: str, after_effect: bool, cut: bool
) -> None:
    office.slack.fail(method, after_effect=after_effect, cut=cut)
    channel = SlackChannel(office.client)
    with pytest.raises((SendFailed, aiohttp.ClientError)):
        await send(office, asked, channel=channel)
    await send(office, asked, channel=channel, again=True)
    one_whole_message(office, asked)


@pytest.mark.parametrize("method", [*METHODS, "chat.delete"])
async def test_slack_is_obeyed_when_it_asks_to_slow_down(office: Office, asked: Message, method: str) -> None:
    channel = SlackChannel(office.client)
    if method == "chat.delete":
        office.slack.fail("chat.appendStream")
        with pytest.raises(SendFailed):
            await send(office, asked, channel=channel)
    office.slack.fail(method, retry_after_seconds=7)
    with pytest.raises(SendFailed) as slowed:
        await send(office, asked, channel=channel, again=True)
    assert slowed.value.retry_after_seconds == 7
    await send(office, asked, channel=channel, again=True)
    one_whole_message(office, asked)


async def test_a_process_that_dies_before_noting_it_says_it_once(office: Office, asked: Message) -> None:
    receipt = await send(office, asked)
    assert await send(office, asked, again=True) == receipt
    assert one_whole_message(office, asked).ts == receipt


async def test_a_process_that_dies_between_the_stream_and_the_posts_is_followed_by_the_posts(
    office: Office, asked: Message
) -> None:
    office.slack.fail("chat.appendStream", "msg_too_long", when=lambda _: len(office.slack.calls) > 2)
    office.slack.fail("chat.postMessage", cut=True)
    with pytest.raises(aiohttp.ClientError):
        await send(office, asked)
    await send(office, asked, again=True)
    messages = of_bot(office, asked)
    assert parts(messages) == [{"key": KEY, "part": 0, "holds": 2}, {"key": KEY, "part": 2}]
    assert in_order(office, messages, LONG_PARAGRAPHS)


async def test_the_loop_says_it_once_after_an_answer_that_was_lost(office: Office) -> None:
    office.model.answers(done(LONG))
    fault = office.slack.fail("chat.appendStream", after_effect=True, cut=True)
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "tell me everything")
        await office.until(asked, "done")
    assert fault.met
    assert len(office.slack.calls_of("chat.delete")) == 1
    (message,) = of_bot(office, asked)
    assert in_order(office, [message], LONG_PARAGRAPHS)


# What is taken away, and what is not


async def test_only_streams_of_ours_are_taken_away(office: Office, asked: Message) -> None:
    other = office.slack.workspace.add_user("robot", is_bot=True)
    bare = await office.client.chat_postMessage(channel=asked.channel, thread_ts=asked.ts, text="by hand")
    ts = office.slack.workspace.new_ts()
    theirs = Message(asked.channel, ts, other.id, "theirs", thread_ts=asked.ts, streaming=True, stream_mode="chunks")
    office.slack.workspace.put(theirs)
    await send(office, asked, key="t1/e0")
    office.slack.fail("chat.appendStream")
    with pytest.raises(SendFailed):
        await send(office, asked)
    (left,) = [message for message in of_bot(office, asked) if message.streaming]
    await send(office, asked, again=True)
    assert [call.args["ts"] for call in office.slack.calls_of("chat.delete")] == [left.ts]
    assert office.slack.now(theirs).streaming
    assert len(of_bot(office, asked)) == 3
    assert of_bot(office, asked)[0].ts == bare["ts"]
    assert len(office.slack.calls_of("auth.test")) == 1


async def test_a_stream_that_somebody_has_deleted_is_none_to_take_away(office: Office, asked: Message) -> None:
    office.slack.fail("chat.appendStream")
    with pytest.raises(SendFailed):
        await send(office, asked)
    async with office.slack.hold("chat.stopStream") as gate:
        sending = asyncio.create_task(send(office, asked, again=True))
        await gate.reached()
        (left,) = of_bot(office, asked)
        office.slack.workspace.remove(left)
        gate.release()
        await sending
    one_whole_message(office, asked)


async def test_a_stream_that_cannot_be_taken_away_holds_up_nothing(office: Office, asked: Message) -> None:
    office.slack.fail("chat.appendStream")
    with pytest.raises(SendFailed):
        await send(office, asked)
    office.slack.fail("chat.delete", "compliance_exports_prevent_deletion")
    with structlog.testing.capture_logs() as logs:
        await send(office, asked, again=True)
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["stream_not_taken_away"]
    assert in_order(office, of_bot(office, asked)[1:], LONG_PARAGRAPHS)
