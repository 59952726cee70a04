"""What people do in Slack, and what a bot hears of it: clicks, forms, commands, homes, edits."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import SUBSCRIPTIONS, Installation, NotPossible, SlackServer, View
from tests.fakes.slack_bots import (
    BUTTONS,
    MODAL,
    Clock,
    Json,
    bolt,
    channel_id,
    client_of,
    http_bot,
    listening,
    opening,
    raw_socket,
    refusal,
    text_block,
)
from tests.patience import PATIENCE_SECONDS


async def test_a_click_is_acknowledged_and_the_card_is_settled(slack: SlackServer, client: AsyncWebClient) -> None:
    seen: list[Json] = []

    async def pressed(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        seen.append(body)
        channel, ts = body["channel"]["id"], body["message"]["ts"]
        await client.chat_update(channel=channel, ts=ts, text=f"Approved by <@{body['user']['id']}>", blocks=[])

    def listen(app: AsyncApp) -> None:
        listening()(app)
        app.action("yes")(pressed)

    async with bolt(slack, listen):
        asked = await slack.say("deploys", "ana", "deploy")
        await client.chat_postMessage(channel=asked.channel, thread_ts=asked.ts, text="?", blocks=BUTTONS)
        card = await slack.said("Deploy", thread=asked)
        delivery = await slack.click("ben", card, "Approve")
        await slack.acknowledged(delivery)
        await slack.wait_for(lambda: "Approved" in slack.text_of(slack.now(card)))
        with pytest.raises(NotPossible, match="Approve"):
            await slack.click("ben", slack.now(card), "Approve")
        late = await slack.click("ben", card, "Approve")
        assert late.payload["message"]["text"].startswith("Approved")

    body = seen[0]
    assert body["user"]["id"] == slack.workspace.user("ben").id
    assert body["container"] == {
        "type": "message",
        "message_ts": card.ts,
        "channel_id": card.channel,
        "is_ephemeral": False,
        "thread_ts": asked.ts,
    }
    assert body["message"]["blocks"] == list(card.blocks)
    [action] = body["actions"]
    assert (action["type"], action["action_id"], action["block_id"], action["value"]) == ("button", "yes", "card", "p1")


async def test_a_click_that_nobody_takes_fails_once(slack: SlackServer, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel=channel_id(slack), text="?", blocks=BUTTONS)
    delivery = await slack.click("ana", slack.messages("deploys")[0], "yes")
    await slack.wait_for(lambda: delivery.state == "failed")
    assert [attempt.outcome for attempt in delivery.attempts] == ["no_connection"]


async def test_a_modal_is_refused_corrected_and_submitted(slack: SlackServer, client: AsyncWebClient) -> None:
    seen: list[Json] = []

    async def submitted(ack: AsyncAck, body: Json) -> None:
        text = body["view"]["state"]["values"]["reason"]["text"]["value"]
        if len(text) < 3:
            await ack({"response_action": "errors", "errors": {"reason": "Say more."}})
            return
        seen.append(body)
        await ack()

    async def rejected(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await client.views_open(trigger_id=body["trigger_id"], view=MODAL)
        await ack()

    def listen(app: AsyncApp) -> None:
        listening()(app)
        app.action("no")(rejected)
        app.view("why")(submitted)

    async with bolt(slack, listen):
        await opening(slack, client)
        [view] = await slack.wait_for(lambda: slack.views)
        assert (view.title, view.private_metadata) == ("Why not?", "p1")
        with pytest.raises(NotPossible, match="must be filled in"):
            await slack.submit("ana", view)
        with pytest.raises(NotPossible, match="not on the screen"):
            await slack.submit("ben", view, {"Reason": "mine"})

        await slack.acknowledged(await slack.submit("ana", view, {"Reason": "no"}))
        [view] = slack.views
        assert dict(view.errors) == {"reason": "Say more."}
        await slack.acknowledged(await slack.submit("ana", view, {"text": "too late today"}))
        assert slack.views == []

    assert seen[0]["view"]["state"]["values"]["reason"]["text"]["value"] == "too late today"
    assert seen[0]["view"]["private_metadata"] == "p1"
    assert seen[0]["type"] == "view_submission"


async def test_a_form_keeps_what_was_chosen_before_it_is_submitted(slack: SlackServer, client: AsyncWebClient) -> None:
    options = [{"text": {"type": "plain_text", "text": name}, "value": name[:1]} for name in ("low", "high")]
    risk = {"type": "static_select", "action_id": "risk", "options": options}
    label = {"type": "plain_text", "text": "Risk"}
    more = {"type": "input", "block_id": "r", "label": label, "element": risk}
    live = {**more, "block_id": "d", "dispatch_action": True, "element": {**risk, "action_id": "live"}}
    _, trigger = await opening(slack, client)
    await client.views_open(trigger_id=trigger, view={**MODAL, "blocks": [*MODAL["blocks"], more, live]})
    [view] = slack.views

    assert await slack.select("ana", view, "risk", "high") is None
    told = await slack.select("ana", view, "live", "low")
    assert told
    assert told.payload["actions"][0]["selected_option"]["value"] == "l"
    with pytest.raises(NotPossible, match="no option 'none'"):
        await slack.select("ana", view, "risk", "none")
    sent = await slack.submit("ana", view, {"Reason": "because"})

    values = sent.payload["view"]["state"]["values"]
    assert values["r"]["risk"]["selected_option"] == options[1]
    assert values["d"]["live"]["selected_option"] == options[0]


async def test_a_modal_can_be_changed_and_stacked_by_the_answer_to_its_submission(slack: SlackServer) -> None:
    second = {**MODAL, "title": {"type": "plain_text", "text": "Sure?"}}
    answers = iter(
        [{"response_action": "push", "view": second}, {"response_action": "update"}, {"response_action": "clear"}]
    )

    async def handle(request: web.Request) -> web.StreamResponse:
        payload = json.loads((await request.post())["payload"])  # type: ignore[arg-type]
        return web.json_response(next(answers)) if payload["type"] == "view_submission" else web.Response()

    async with http_bot(handle) as url:
        slack.http_target, slack.subscriptions = url, set()
        _, trigger = await opening(slack, client_of(slack))
        await client_of(slack).views_open(trigger_id=trigger, view=MODAL)
        await slack.acknowledged(await slack.submit("ana", slack.views[-1], {"Reason": "a"}))
        assert [view.title for view in slack.views] == ["Why not?", "Sure?"]
        broken = await slack.submit("ana", slack.views[-1], {"Reason": "b"})
        await slack.acknowledged(broken)
        assert broken.problem.startswith("invalid_arguments")
        await slack.acknowledged(await slack.submit("ana", slack.views[-1], {"Reason": "c"}))
        assert slack.views == []


async def test_a_command_is_answered_in_its_acknowledgement(slack: SlackServer) -> None:
    async def command(ack: AsyncAck, body: Json) -> None:
        await ack(f"{body['command']} {body['text']}?")

    async with bolt(slack, lambda app: app.command("/deploy")(command) and None):
        await slack.acknowledged(await slack.command("ana", "deploys", "/deploy", "api"))
        [message] = slack.messages("deploys")
        assert (message.text, message.visible_to) == ("/deploy api?", slack.workspace.user("ana").id)


async def test_a_trigger_is_good_once_and_for_three_seconds() -> None:
    clock = Clock()
    async with SlackServer() as slack:
        slack.clock = clock
        client = client_of(slack)
        _, trigger = await opening(slack, client)
        await client.views_open(trigger_id=trigger, view=MODAL)
        assert (await refusal(client.views_open(trigger_id=trigger, view=MODAL)))["error"] == "exchanged_trigger_id"
        assert (await refusal(client.views_open(trigger_id="1.2.3", view=MODAL)))["error"] == "invalid_trigger_id"

        _, trigger = await opening(slack, client)
        clock.moved_seconds += 3.1
        assert (await refusal(client.views_open(trigger_id=trigger, view=MODAL)))["error"] == "expired_trigger_id"
        assert len(slack.views) == 1


async def test_views_are_changed_pushed_and_closed(slack: SlackServer, client: AsyncWebClient) -> None:
    _, trigger = await opening(slack, client)
    opened = (await client.views_open(trigger_id=trigger, view=MODAL))["view"]
    stale = await client.views_update(view_id=opened["id"], hash=opened["hash"], view=MODAL)
    assert stale["ok"]
    again = client.views_update(view_id=opened["id"], hash=opened["hash"], view=MODAL)
    assert (await refusal(again))["error"] == "hash_conflict"

    async with raw_socket(slack) as ws:
        closed = await slack.close_view("ana", slack.views[0])
        assert closed
        assert (await ws.receive_json(timeout=PATIENCE_SECONDS))["payload"]["type"] == "view_closed"
    assert slack.views == []
    gone = client.views_update(view_id=opened["id"], view=MODAL)
    assert (await refusal(gone))["error"] == "not_found"


async def test_a_home_is_published_and_comes_with_the_event(slack: SlackServer, client: AsyncWebClient) -> None:
    ana = slack.workspace.user("ana")
    first = await slack.open_home("ana")
    assert first
    assert "view" not in first.event
    home = {"type": "home", "blocks": [text_block(3)]}
    await client.views_publish(user_id=ana.id, view=home)
    shown = slack.home_of("ana")
    assert isinstance(shown, View)
    assert slack.text_of(shown) == "xxx"
    second = await slack.open_home("ana")
    assert second
    assert second.event["view"]["id"] == shown.id


async def test_a_response_url_is_good_for_five_answers_and_half_an_hour(client: AsyncWebClient) -> None:
    clock = Clock()
    async with SlackServer() as slack, aiohttp.ClientSession() as session:
        slack.clock = clock
        delivery, _ = await opening(slack, client_of(slack))
        url = delivery.payload["response_url"]
        await session.post(url, json={"text": "done", "replace_original": True})
        assert [message.text for message in slack.messages("deploys")] == ["done"]
        for number in range(4):
            assert (await session.post(url, json={"text": str(number)})).status == 200
        assert slack.messages("deploys")[-1].visible_to == slack.workspace.user("ana").id
        used = await session.post(url, json={"text": "6"})
        assert (used.status, (await used.json())["error"]) == (404, "used_url")

        delivery, _ = await opening(slack, client_of(slack))
        clock.moved_seconds += 1801
        expired = await session.post(delivery.payload["response_url"], json={"text": "late"})
        assert (await expired.json())["error"] == "expired_url"


async def test_edits_deletions_files_joins_and_bots_are_events_of_their_own(slack: SlackServer) -> None:
    said = await slack.say("deploys", "ana", "one")
    await slack.edit(said, "two")
    await slack.delete(slack.now(said))
    await slack.upload("deploys", "ana", "a.txt", b"a")
    await slack.post_as_bot("deploys", "ci", "build passed")
    await slack.post_as_bot("deploys", "hook", "ping", classic=True)
    await slack.join("deploys", slack.workspace.add_user("eve"))
    await client_of(slack).chat_postMessage(channel=channel_id(slack), text="mine")

    events = [delivery.event for delivery in slack.deliveries.all]
    assert [event.get("subtype") for event in events] == [
        None,
        "message_changed",
        "message_deleted",
        "file_share",
        None,
        "bot_message",
        "channel_join",
        None,
    ]
    assert (events[1]["message"]["text"], events[1]["previous_message"]["text"]) == ("two", "one")
    assert events[2]["deleted_ts"] == said.ts
    assert events[3]["files"][0]["name"] == "a.txt"
    assert events[4]["bot_id"]
    assert "user" not in events[5]
    assert events[7]["user"] == slack.workspace.bot.id


async def test_an_edited_mention_is_a_new_app_mention_of_the_old_message(slack: SlackServer) -> None:
    said = await slack.say("deploys", "ana", "deploy")
    await slack.edit(said, f"<@{slack.workspace.bot.id}> deploy")
    [mention] = [delivery.event for delivery in slack.deliveries.all if delivery.type == "app_mention"]
    assert (mention["ts"], mention["edited"]["user"]) == (said.ts, said.user)


async def test_only_what_is_subscribed_to_granted_and_near_is_delivered(slack: SlackServer) -> None:
    async def types() -> list[str]:
        before = len(slack.deliveries.all)
        await slack.mention("deploys", "ana", "hi")
        return [delivery.type for delivery in slack.deliveries.all[before:]]

    await slack.mention("random", "ana", "the bot is not here")
    assert slack.deliveries.all == []
    await slack.dm("ana", f"<@{slack.workspace.bot.id}> hi")
    assert [delivery.type for delivery in slack.deliveries.all] == ["message"]
    assert await types() == ["app_mention", "message"]
    slack.subscriptions.discard("message.channels")
    assert await types() == ["app_mention"]
    slack.scopes.discard("app_mentions:read")
    assert await types() == []


async def test_a_manifest_says_what_the_app_may_and_gets(tmp_path: Path) -> None:
    (tmp_path / "manifest.yml").write_text(
        """
        features: {bot_user: {display_name: porter}, app_home: {messages_tab_enabled: false}}
        oauth_config: {scopes: {bot: ["chat:write", "app_mentions:read"]}}
        settings: {event_subscriptions: {bot_events: [app_mention]}, socket_mode_enabled: true}
        """
    )
    async with SlackServer.from_manifest(tmp_path / "manifest.yml") as slack:
        assert slack.workspace.bot.name == "porter"
        await slack.mention("deploys", "ana", "hi")
        assert [delivery.type for delivery in slack.deliveries.all] == ["app_mention"]
        assert (await refusal(client_of(slack).users_list()))["needed"] == "users:read"
        with pytest.raises(NotPossible):
            await slack.dm("ana", "hi")
        dm = client_of(slack).chat_postMessage(channel=slack.workspace.user("ana").id, text="x")
        assert (await refusal(dm))["error"] == "messages_tab_disabled"
        home = client_of(slack).views_publish(
            user_id=slack.workspace.user("ana").id, view={"type": "home", "blocks": []}
        )
        assert (await refusal(home))["error"] == "not_enabled"
        await client_of(slack).chat_postMessage(channel=channel_id(slack), text="?", blocks=BUTTONS)
        with pytest.raises(NotPossible, match="interactivity"):
            await slack.click("ana", slack.messages("deploys")[-1], "yes")
    assert Installation().subscriptions == SUBSCRIPTIONS


async def test_what_a_person_cannot_do_is_an_error_of_the_test(slack: SlackServer) -> None:
    eve = slack.workspace.add_user("eve")
    with pytest.raises(NotPossible, match="eve is not in #deploys"):
        await slack.say("deploys", eve, "hi")
    said = await slack.say("deploys", "ana", "hi")
    with pytest.raises(NotPossible, match="Approve"):
        await slack.click("ana", said, "Approve")
    with pytest.raises(KeyError, match="no channel 'deploy'"):
        await slack.say("deploy", "ana", "hi")
    await slack.delete(said)
    with pytest.raises(NotPossible, match="deleted"):
        await slack.edit(said, "hm")


async def test_it_runs_alone_and_is_driven_by_lines() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.slack", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            started = json.loads(await process.stdout.readline())
            client = AsyncWebClient(
                token=started["environment"]["SLACK_BOT_TOKEN"], base_url=started["environment"]["SLACK_API_URL"]
            )
            await client.chat_postMessage(channel=started["channels"]["deploys"], text="?", blocks=BUTTONS)
            said = json.loads(await process.stdout.readline())["said"]
            assert said["buttons"] == ["Approve", "Reject"]
            act = {"do": "click", "user": "ana", "ts": said["ts"], "target": "Approve"}
            process.stdin.write(json.dumps(act).encode() + b"\n")
            done = json.loads(await process.stdout.readline())["done"]
            assert done["type"] == "block_actions"
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0
