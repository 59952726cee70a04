"""The way out by webhook, against a receiver over real HTTP: what each answer means, and what no answer can do."""

from __future__ import annotations

import gzip
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from channels import places
from channels.base import SendFailed
from channels.messages import Notice, Text
from channels.places import Alerts, Approvals, Command, Firing
from channels.webhook.channel import WebhookChannel
from channels.webhook.endpoints import endpoints_of
from channels.webhook.refusals import RETRY_AFTER_SECONDS_MAX, RETRY_SECONDS, retry_after
from channels.webhook.signature import id_of
from store.values import Place
from tests.fakes.webhooks import Receiver, Reply, new_secret
from tests.ports import HeldPort
from tests.telling.story import message

PAGER = Place(channel="webhook", address="pager")
KEY = "t1/s3/say"


@pytest.fixture
async def pager() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def channel(pager: Receiver) -> AsyncIterator[WebhookChannel]:
    made = channel_to(pager.url, pager.secret)
    yield made
    await made.aclose()


def channel_to(url: str, secret: str = "", seconds_max: float = 5.0) -> WebhookChannel:
    endpoints = endpoints_of(f"pager={url}", f"pager={secret or new_secret()}")
    return WebhookChannel(endpoints, "/api/threads", seconds_max=seconds_max)


async def say(channel: WebhookChannel, text: str = "Hello", key: str = KEY, place: Place = PAGER) -> str:
    return await channel.send(place, Text(text), key=key, so_far=[message()])


async def refused(channel: WebhookChannel) -> SendFailed:
    with pytest.raises(SendFailed) as failed:
        await say(channel)
    assert "/hooks" not in str(failed.value)
    assert "\n" not in str(failed.value)
    return failed.value


async def test_what_is_said_is_posted_and_its_signature_verified(channel: WebhookChannel, pager: Receiver) -> None:
    assert await say(channel) == id_of(KEY)
    (post,) = pager.posts
    assert post.id == id_of(KEY)
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["User-Agent"] == "deploybot"
    assert abs(int(post.headers["webhook-timestamp"]) - time.time()) < 60
    assert (post.document["type"], post.document["text"]) == ("text", "Hello")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_is_sent(channel: WebhookChannel, pager: Receiver, status: int) -> None:
    pager.answers(Reply(status))
    assert await say(channel)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "The webhook pager does not take the message (400): no such field"),
        (401, "refuses us (401). Compare its secret with the one in WEBHOOK_SECRETS"),
        (403, "refuses us (403). Compare its secret"),
        (404, "has nothing at its URL (404). Correct WEBHOOK_URLS"),
        (410, "wants no messages any more (410). Take it out of WEBHOOK_URLS"),
        *((status, "does not take the message") for status in (402, 409, 413, 422, 451)),
        *((status, "which is not followed") for status in (300, 304, 399)),
    ],
)
async def test_a_refusal_is_for_good(channel: WebhookChannel, pager: Receiver, status: int, words: str) -> None:
    pager.answers(Reply(status, b"no such field" if status == 400 else b""))
    error = await refused(channel)
    assert words in str(error)
    assert error.retry_after_seconds is None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_what_may_pass_is_tried_again(channel: WebhookChannel, pager: Receiver, status: int) -> None:
    pager.answers(Reply(status), Reply(status, headers={"Retry-After": "120"}))
    assert [(await refused(channel)).retry_after_seconds for _ in range(2)] == [RETRY_SECONDS, 120]
    assert await say(channel)
    assert len({post.body for post in pager.posts}) == len({post.id for post in pager.posts}) == 1


async def test_who_sends_too_much_is_told_so(channel: WebhookChannel, pager: Receiver) -> None:
    pager.answers(Reply(429, b"<b>slow</b>", {"Content-Type": "text/html"}))
    assert str(await refused(channel)) == "The webhook pager asks to slow down (429)"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("0", 0), ("7", 7), (" 7 ", 7), ("999999999999999999", RETRY_AFTER_SECONDS_MAX)),
        *(("Fri, 20 Nov 2026 09:02:00 GMT", 120), ("Fri, 20 Nov 2026 08:00:00 GMT", 0)),
        ("Fri, 20 Nov 2099 09:02:00 GMT", RETRY_AFTER_SECONDS_MAX),
        *((value, None) for value in ("", "soon", "-3", "1.5", "nan", "٣", "Fri, 99 Nov 2026 09:02:00 GMT")),
    ],
)
def test_a_time_to_wait_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}, datetime(2026, 11, 20, 9, 0, tzinfo=UTC)) == seconds


async def test_a_date_to_wait_for_is_understood(channel: WebhookChannel, pager: Receiver) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    pager.answers(Reply(503, headers={"Retry-After": until}))
    seconds = (await refused(channel)).retry_after_seconds
    assert seconds is not None
    assert 240 < seconds <= 300


# What no answer can do


async def test_a_redirect_is_not_followed(channel: WebhookChannel, pager: Receiver) -> None:
    async with Receiver(secret=pager.secret) as other:
        for status in (301, 302, 303, 307, 308):
            pager.answers(Reply(status, headers={"Location": other.url}))
            error = await refused(channel)
            assert "redirects us" in str(error)
            assert other.url not in str(error)
            assert error.retry_after_seconds is None
        assert other.posts == []


@pytest.mark.parametrize("status", [200, 400, 503])
async def test_an_answer_without_an_end_is_left(channel: WebhookChannel, pager: Receiver, status: int) -> None:
    pager.answers(Reply(status, how="endless", headers={"Content-Type": "text/plain"}))
    if status == 200:
        assert await say(channel)
    else:
        assert len(str(await refused(channel))) < 400
    assert pager.bytes_sent < 50_000_000
    assert await say(channel, key="t1/s4/say")


async def test_an_answer_is_not_unpacked(channel: WebhookChannel, pager: Receiver) -> None:
    packed = gzip.compress(b"no such field" + bytes(10_000_000))
    pager.answers(Reply(422, packed, {"Content-Encoding": "gzip"}))
    assert str(await refused(channel)) == "The webhook pager does not take the message (422)"
    assert pager.posts[0].headers["Accept-Encoding"] == "identity"


async def test_words_that_control_a_screen_are_shown_as_what_they_are(channel: WebhookChannel, pager: Receiver) -> None:
    pager.answers(Reply(422, b"\x1b[2Jno\nsuch\xff field"))
    assert str(await refused(channel)).endswith("(422): \\u{1b}[2Jno such\ufffd field")


async def test_who_does_not_answer_in_time_is_tried_again(pager: Receiver) -> None:
    slow = channel_to(pager.url, pager.secret, seconds_max=0.2)
    pager.answers(Reply(how="silent"))
    error = await refused(slow)
    assert str(error) == "The webhook pager cannot be reached: no answer within 0.2 s."
    assert error.retry_after_seconds == RETRY_SECONDS
    assert await say(slow)
    await slow.aclose()
    assert len(pager.taken) == 1


async def test_a_connection_that_breaks_is_tried_again(channel: WebhookChannel, pager: Receiver) -> None:
    pager.answers(Reply(how="cut_off"))
    error = await refused(channel)
    assert str(error) == "The webhook pager cannot be reached: it broke off."
    assert error.retry_after_seconds == RETRY_SECONDS
    await say(channel)
    assert len(pager.taken) == 1


async def test_where_nobody_listens_it_is_tried_again() -> None:
    port = HeldPort()
    channel = channel_to(f"http://127.0.0.1:{port.number}/hooks/bot")
    error = await refused(channel)
    assert "The webhook pager cannot be reached: " in str(error)
    assert error.retry_after_seconds == RETRY_SECONDS
    await channel.aclose()


async def test_a_secret_that_is_not_theirs_is_not_taken(pager: Receiver) -> None:
    channel = channel_to(pager.url)
    await refused(channel)
    await channel.aclose()
    assert pager.posts == []


async def test_an_endpoint_that_was_taken_out_is_waited_for(channel: WebhookChannel) -> None:
    with pytest.raises(SendFailed, match="'audit' is not in WEBHOOK_URLS here") as failed:
        await say(channel, place=Place(channel="webhook", address="audit/x"))
    assert failed.value.retry_after_seconds


async def test_a_url_is_asked_as_it_is_written(pager: Receiver) -> None:
    channel = channel_to(f"{pager.url}?token=a%2Cb%2F", pager.secret)
    await say(channel)
    await channel.aclose()
    assert [post.path for post in pager.posts] == ["/hooks/bot?token=a%2Cb%2F"]


async def test_no_cookie_is_kept(pager: Receiver) -> None:
    channel = channel_to(pager.url.replace("127.0.0.1", "localhost"), pager.secret)  # of an IP address none ever is
    pager.answers(Reply(headers={"Set-Cookie": "a=b"}))
    await say(channel)
    await say(channel, key="t1/s4/say")
    await channel.aclose()
    assert "Cookie" not in pager.posts[1].headers


# Places


def test_an_endpoint_sees_all_that_is_said_at_it(pager: Receiver) -> None:
    channel = channel_to("https://pager.example.com")
    firing = places.parse("webhook:pager", Firing("nightly", "x"))
    assert channel.covers(PAGER, firing)
    assert channel.covers(firing, places.parse("webhook:pager", Command("cli-1")))
    assert not channel.covers(PAGER, places.parse("webhook:audit", Approvals()))
    assert not channel.covers(PAGER, Place(channel="terminal", address="pager"))
    assert places.parse("webhook:pager", Alerts()) == PAGER


# `bot doctor`


async def test_each_endpoint_is_asked_with_a_signed_ping(pager: Receiver) -> None:
    port = HeldPort()
    down = f"http://127.0.0.1:{port.number}/hooks/hunter2"
    endpoints = endpoints_of(f"pager={pager.url} audit={down}", f"pager={pager.secret} audit={new_secret()}")
    channel = WebhookChannel(endpoints, "")
    well, broken = await channel.check()
    (ping,) = pager.posts
    assert (well.what, well.is_well) == ("webhook:pager", True)
    assert ping.document["type"] == "ping"
    assert (broken.what, broken.is_well) == ("webhook:audit", False)
    assert f"Start it at 127.0.0.1:{port.number}, or correct WEBHOOK_URLS." in broken.text
    assert "hunter2" not in broken.text
    pager.answers(Reply(401))
    refusal, _ = await channel.check()
    await channel.aclose()
    assert refusal.text.endswith("Compare its secret with the one in WEBHOOK_SECRETS.")
    assert len({post.id for post in pager.posts}) == 2, "no ping is taken for another"


async def test_it_is_closed_where_nothing_was_said() -> None:
    await channel_to("https://pager.example.com").aclose()


async def test_any_message_is_posted_under_its_own_id(channel: WebhookChannel, pager: Receiver) -> None:
    for number in range(3):
        await channel.send(PAGER, Notice("x"), key=f"t1/h{number}/notice", so_far=[message()])
    assert len(pager.taken) == 3
