"""How events reach a bot: by HTTP and over sockets, signed, acknowledged, sent again and given up."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncSay
from slack_sdk.signature import SignatureVerifier

from tests.fakes.slack import SlackServer
from tests.fakes.slack_bots import BUTTONS, Json, bolt, client_of, http_bot, listening, raw_socket
from tests.patience import PATIENCE_SECONDS


async def test_deliveries_are_signed_and_bolt_takes_them(slack: SlackServer) -> None:
    app = AsyncApp(client=client_of(slack), signing_secret=slack.signing_secret)

    async def answer(event: Json, say: AsyncSay) -> None:
        await say(text=f"you said {event['text']}", thread_ts=event["ts"])

    async def pressed(ack: AsyncAck, body: Json, say: AsyncSay) -> None:
        await ack()
        await say(text=f"pressed {body['actions'][0]['value']}")

    listening(app_mention=answer)(app)
    app.action("yes")(pressed)
    bodies: list[tuple[str, dict[str, str]]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        bodies.append((await request.text(), dict(request.headers)))
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    async with http_bot(handle) as url:
        slack.http_target = url
        assert await slack.verify_url()
        asked = await slack.mention("deploys", "ana", "hi")
        await slack.said("you said", thread=asked)
        await slack.acknowledged(asked)
        await client_of(slack).chat_postMessage(channel=asked.channel, text="card", blocks=BUTTONS)
        await slack.acknowledged(await slack.click("ana", slack.messages("deploys")[-1], "Approve"))
        await slack.said("pressed p1")

        verify = SignatureVerifier(slack.signing_secret).is_valid_request
        assert all(verify(body, headers) for body, headers in bodies)
        assert not verify(bodies[0][0] + " ", bodies[0][1])
        assert any(body.startswith("payload=") for body, _ in bodies)

        slack.signing_secret = "another"
        forged = await slack.open_home("ana")
        assert forged
        await slack.wait_for(lambda: forged.state == "failed")
        assert {attempt.status for attempt in forged.attempts} == {401}


async def test_what_is_not_answered_in_time_is_delivered_again_and_then_given_up(slack: SlackServer) -> None:
    slack.acknowledge_seconds = 0.5
    seen: list[tuple[str | None, str | None, str]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        number = request.headers.get("X-Slack-Retry-Num")
        seen.append((number, request.headers.get("X-Slack-Retry-Reason"), (await request.json())["event_id"]))
        if number is None:
            await asyncio.Event().wait()
        return web.Response(status=500)

    async with http_bot(handle) as url:
        slack.http_target = url
        delivery = await slack.open_home("ana")
        assert delivery
        await slack.wait_for(lambda: delivery.state == "failed")

    assert [(number, reason) for number, reason, _ in seen] == [
        (None, None),
        ("1", "http_timeout"),
        ("2", "http_error"),
        ("3", "http_error"),
    ]
    assert {event_id for _, _, event_id in seen} == {delivery.event_id}
    assert [attempt.outcome for attempt in delivery.attempts] == ["http_timeout"] + ["http_error"] * 3

    later = await slack.open_home("ana")
    assert later
    await slack.wait_for(lambda: later.state == "failed")
    assert later.attempts[-1].outcome == "connection_failed"


# Socket Mode


async def test_a_mention_comes_as_two_events_with_one_ts(slack: SlackServer) -> None:
    async with raw_socket(slack) as ws:
        asked = await slack.mention("deploys", "ana", "a < b & <@U1>")
        frames = [await ws.receive_json(timeout=PATIENCE_SECONDS) for _ in range(2)]
        for frame in frames:
            await ws.send_json({"envelope_id": frame["envelope_id"]})
        await slack.acknowledged(asked)

    events = {frame["payload"]["event"]["type"]: frame["payload"]["event"] for frame in frames}
    assert events.keys() == {"app_mention", "message"}
    assert {event["ts"] for event in events.values()} == {asked.ts}
    assert len({frame["payload"]["event_id"] for frame in frames}) == 2
    assert events["message"]["channel_type"] == "channel"
    assert events["message"]["text"] == f"<@{slack.workspace.bot.id}> a &lt; b &amp; <@U1>"
    assert [(frame["type"], frame["retry_attempt"]) for frame in frames] == [("events_api", 0)] * 2


async def test_an_unacknowledged_event_is_sent_again_with_its_retry_number(slack: SlackServer) -> None:
    slack.acknowledge_seconds = 0.5
    async with raw_socket(slack) as ws:
        delivery = await slack.open_home("ana")
        assert delivery
        first = await ws.receive_json(timeout=PATIENCE_SECONDS)
        second = await ws.receive_json(timeout=PATIENCE_SECONDS)
        await ws.send_json({"envelope_id": second["envelope_id"]})
        await slack.acknowledged(delivery)

    assert (second["retry_attempt"], second["retry_reason"]) == (1, "timeout")
    assert first["payload"] == second["payload"]
    assert [attempt.outcome for attempt in delivery.attempts] == ["timeout", "acknowledged"]


async def test_several_sockets_share_and_a_closed_ones_events_go_to_another(slack: SlackServer) -> None:
    async with raw_socket(slack) as one, raw_socket(slack) as two:
        deliveries = [await slack.open_home("ana") for _ in range(4)]
        got = [await ws.receive_json(timeout=PATIENCE_SECONDS) for ws in (one, two, one, two)]
        assert len({frame["payload"]["event_id"] for frame in got}) == 4
        for ws, frame in zip((one, two, one), got, strict=False):
            await ws.send_json({"envelope_id": frame["envelope_id"]})

        await two.close()

        again = await one.receive_json(timeout=PATIENCE_SECONDS)
        assert again["payload"] == got[3]["payload"]
        await one.send_json({"envelope_id": again["envelope_id"]})
        assert deliveries[3]
        await slack.acknowledged(deliveries[3])
        assert [attempt.outcome for attempt in deliveries[3].attempts] == ["connection_failed", "acknowledged"]


async def test_a_ticket_opens_one_socket_and_an_eleventh_is_turned_away(slack: SlackServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(raw_socket(slack))
        url = (await client_of(slack).apps_connections_open(app_token=slack.app_token))["url"]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        async with session.ws_connect(url) as ws:
            assert (await ws.receive_json(timeout=PATIENCE_SECONDS))["reason"] == "too_many_websockets"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)


async def test_what_happens_while_no_socket_is_open_comes_later() -> None:
    async with SlackServer(retry_waits_seconds=(0.0, 0.4)) as slack:
        got = asyncio.Event()

        async def answer(event: Json) -> None:
            got.set()

        asked = await slack.mention("deploys", "ana", "anybody?")
        assert [delivery.attempts[0].outcome for delivery in slack.deliveries_of(asked)] == ["no_connection"] * 2
        async with bolt(slack, listening(app_mention=answer)):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await got.wait()
            assert [each.state for each in await slack.acknowledged(asked)] == ["acknowledged"] * 2


@pytest.mark.parametrize("how", ["refreshed", "refreshed at once", "cut"])
async def test_bolt_connects_again_when_its_socket_goes(slack: SlackServer, how: str) -> None:
    async def answer(event: Json, say: AsyncSay) -> None:
        await say(text="here", thread_ts=event["ts"])

    async with bolt(slack, listening(app_mention=answer)):
        [before] = await slack.connected()
        if how == "cut":
            slack.cut_sockets()
        else:
            await slack.disconnect("refresh_requested", grace_seconds=1.0 if how == "refreshed" else 0.0)
        await slack.wait_for(lambda: slack.sockets.open and slack.sockets.open[0] is not before)
        asked = await slack.mention("deploys", "ana", "still there?")
        await slack.said("here", thread=asked)
        if how == "refreshed":  # Without a grace time slack_sdk may connect for the frame and for the close.
            assert len(slack.calls_of("apps.connections.open")) == 2


async def test_a_refreshed_socket_gets_nothing_more(slack: SlackServer) -> None:
    async with raw_socket(slack) as old, raw_socket(slack) as new:
        closing = asyncio.ensure_future(slack.disconnect(connection=slack.sockets.open[0]))
        assert (await old.receive_json(timeout=PATIENCE_SECONDS))["reason"] == "refresh_requested"
        for _ in range(2):
            assert await slack.open_home("ana")
            assert (await new.receive_json(timeout=PATIENCE_SECONDS))["type"] == "events_api"
        await old.close()
        await closing


async def test_a_warning_leaves_the_socket_open(slack: SlackServer) -> None:
    async with raw_socket(slack) as ws:
        await slack.disconnect("warning")
        assert (await ws.receive_json(timeout=PATIENCE_SECONDS))["reason"] == "warning"
        assert await slack.open_home("ana")
        assert (await ws.receive_json(timeout=PATIENCE_SECONDS))["type"] == "events_api"


async def test_deliveries_can_be_dropped_delayed_and_repeated(slack: SlackServer) -> None:
    async with raw_socket(slack) as ws:
        slack.drop(1)
        dropped = await slack.open_home("ana")
        assert dropped
        assert (dropped.state, dropped.attempts) == ("dropped", [])

        gate = asyncio.Event()
        slack.delay(1, until=gate)
        late = await slack.open_home("ana")
        prompt = await slack.open_home("ben")
        assert late
        assert prompt
        ids = []
        for _ in range(2):
            frame = await ws.receive_json(timeout=PATIENCE_SECONDS)
            ids.append(frame["payload"]["event_id"])
            await ws.send_json({"envelope_id": frame["envelope_id"]})
            gate.set()
        assert ids == [prompt.event_id, late.event_id]
        await slack.acknowledged(late)

        again = asyncio.ensure_future(slack.redeliver(late))
        frame = await ws.receive_json(timeout=PATIENCE_SECONDS)
        assert (frame["payload"]["event_id"], frame["retry_attempt"]) == (late.event_id, 1)
        await ws.send_json({"envelope_id": frame["envelope_id"]})
        await again
        assert [attempt.outcome for attempt in late.attempts] == ["acknowledged"] * 2
