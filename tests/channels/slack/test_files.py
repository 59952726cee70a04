"""A text that is too long for messages goes out as a file, once, whatever is cut off in between."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackClientError

from channels.base import SendFailed
from channels.messages import Text
from channels.slack.channel import SlackChannel
from channels.slack.marks import METADATA
from channels.slack.place import place_of
from channels.slack.posts import posts_of
from store.deliveries import MessageSent
from tests.bot.desks.office import Office, kinds, new_office
from tests.fakes.slack import Message, check_blocks
from tests.telling.playbook import done

SINCE = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
KEY = "t1/s2/say"
ENDLESS = "\n\n".join(f"Paragraph {n}: {'word ' * 200}" for n in range(60))
UPLOAD = ("files.getUploadURLExternal", "files.completeUploadExternal", "files.info")


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    async with new_office() as it:
        yield it


@pytest.fixture
async def asked(office: Office) -> Message:
    return await office.slack.mention("deploys", "ana", "tell me everything")


async def send(office: Office, asked: Message, text: str = ENDLESS, *, again: bool = False) -> str:
    """By a process of its own. `again`: it may have gone out before."""
    place = place_of(office.slack.workspace.team_id, asked.channel, asked.thread)
    return await SlackChannel(office.client).send(place, Text(text, "s2"), key=KEY, since=SINCE if again else None)


def of_bot(office: Office, asked: Message) -> list[Message]:
    bot = office.slack.workspace.bot.id
    return [m for m in office.slack.messages(asked.channel, asked) if m.user == bot]


def assert_is_there_once(office: Office, asked: Message, text: str = ENDLESS) -> None:
    beginning, shared = of_bot(office, asked)
    said = office.slack.text_of(beginning)
    assert "Paragraph 0: " in said
    assert "Paragraph 5: " not in said
    assert f"All {len(text):,} characters are in the file below." in said
    assert office.slack.buttons_of(beginning) == ["👍", "👎"]
    (file,) = shared.files
    assert (file.name, file.content.decode()) == ("answer.md", text)
    keys = [{"event_type": METADATA, "event_payload": {"key": KEY, "part": part}} for part in (0, 1)]
    assert [beginning.metadata, shared.metadata] == keys


async def test_an_endless_answer_is_its_beginning_and_a_file(office: Office) -> None:
    office.model.answers(done(ENDLESS))
    async with office.open():
        asked = await office.slack.mention("deploys", "ana", "tell me everything")
        thread = await office.until(asked, "done")
    beginning, shared = of_bot(office, asked)
    assert shared.files[0].content.decode() == ENDLESS
    (sent,) = kinds(thread, MessageSent)
    assert isinstance(sent, MessageSent)
    assert sent.receipt == shared.ts
    assert office.slack.calls_of("chat.startStream") == []
    assert beginning.thread == shared.thread == asked.ts


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize(
    "call", [*((method, 0) for method in UPLOAD), ("chat.postMessage", 0), ("chat.postMessage", 1)]
)
async def test_it_is_there_once_wherever_the_process_died(
    office: Office, asked: Message, call: tuple[str, int], after_effect: bool
) -> None:
    method, number = call

    def is_it(arguments: Mapping[str, Any]) -> bool:
        return method != "chat.postMessage" or arguments["metadata"]["event_payload"]["part"] == number

    office.slack.fail(method, cut=True, after_effect=after_effect, when=is_it)
    # The client asks again by itself where that is harmless: files.info is a GET.
    with contextlib.suppress(SlackClientError, aiohttp.ClientError):
        await send(office, asked)
    receipt = await send(office, asked, again=True)
    assert_is_there_once(office, asked)
    assert receipt == of_bot(office, asked)[-1].ts
    assert await send(office, asked, again=True) == receipt
    assert len(of_bot(office, asked)) == 2


@pytest.mark.parametrize("error", ["file_uploads_disabled", "missing_scope"])
async def test_where_slack_takes_no_file_it_says_where_the_whole_text_is(
    office: Office, asked: Message, error: str
) -> None:
    office.slack.fail(UPLOAD[0], error, times=9)
    await send(office, asked)
    _, shared = of_bot(office, asked)
    assert shared.text == f"Slack does not take the file ({error}). `bot show t1` prints all of it."
    await send(office, asked, again=True)
    assert len(of_bot(office, asked)) == 2


async def test_while_slack_is_in_trouble_the_file_is_tried_again_later(office: Office, asked: Message) -> None:
    office.slack.fail(UPLOAD[0], "ratelimited", status=429, retry_after_seconds=3)
    with pytest.raises(SendFailed) as error:
        await send(office, asked)
    assert error.value.retry_after_seconds == 3
    await send(office, asked, again=True)
    assert_is_there_once(office, asked)


@pytest.mark.parametrize(
    "text", ["\n" * 50_000, "&" * 50_000, "`" * 50_000, "| a |\n|---|\n" * 9_000, "<!here> " * 9_000]
)
def test_whatever_an_endless_text_is_its_beginning_fits_into_a_message(text: str) -> None:
    beginning, file = posts_of(Text(text, "s2"), "t1")
    check_blocks(beginning.blocks)
    assert "<!" not in beginning.text
    assert len(file.file) == len(text)


async def test_a_text_of_more_messages_than_one_may_send_is_a_file_too(office: Office, asked: Message) -> None:
    tables = "\n\n".join(f"| a | b |\n|---|---|\n| {n} | x |" for n in range(30))
    await send(office, asked, tables)
    assert of_bot(office, asked)[-1].files[0].content.decode() == tables
