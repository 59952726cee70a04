"""Who may approve what, on every way there is and at once: `bot run` processes of their own, a Slack for tests, mail
servers, the terminal's commands and the HTTP API, one real Redis and one team file for all of them.

Ana asks. Ben and Cat are of the release group; Lea is a lead; Sam works here and is of no group.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.views.document import document
from store.base import Store
from store.redis.store import RedisStore
from tests.fakes.mail.dovecot import address
from tests.fakes.mail.light import Light
from tests.fakes.model_server import ModelServer
from tests.fakes.servers import Server
from tests.fakes.slack import Message, SlackServer, User
from tests.matrices import matrix
from tests.patience import PATIENCE_SECONDS
from tests.shop import MERGED
from tests.store.threads import thread_ids
from tests.stories.program import Bot, Running, token_table
from tests.stories.test_email import Mailroom, text_of
from tests.stories.test_slack import MANIFEST, Team, decider

pytestmark = pytest.mark.slow

LOOK_SECONDS = 0.02
TOKENS = {name: f"a-token-of-{name}-0123456789" for name in ("ben", "cat", "lea", "sam")}
PEOPLE = {"ana": (), "ben": ("release",), "cat": ("release",), "lea": ("leads",), "sam": ()}


class Company:
    """Slack, mail and the bot's installation, under one team file."""

    def __init__(self, slack: SlackServer, light: Light, bot: Bot, store: Store) -> None:
        self.slack = slack
        self.store = store
        for name in ("cat", "lea", "sam"):
            slack.workspace.add_user(name)
        everybody: list[User | str] = [*PEOPLE, slack.workspace.bot]
        self.release = slack.workspace.add_channel("release", members=everybody)
        slack.workspace.change_channel("deploys", members=frozenset(slack.workspace.user(u).id for u in everybody))
        self.team = Team(slack, bot)
        self.room = Mailroom(light, light, bot)
        self.bot = bot
        self.settings = self.room.settings() | {
            "SLACK_API_URL": slack.api_url,
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "BOT_API_TOKEN": "the-machines-own-token-0123",
        }
        bot.environment |= self.settings
        self.url = self.settings["BOT_PUBLIC_URL"]

    def rules(self, *policies: str) -> None:
        """The team file: who people are, and these policies instead of the site's own."""
        file = self.bot.folder / "bot.toml"
        text = file.read_text().partition("[[rule]]")[0]
        text += f'[api]\nplaces = ["slack:{self.slack.workspace.channel("deploys").id}"]\n'
        for name, groups in PEOPLE.items():
            slack_id = self.slack.workspace.user(name).id
            named = [one for one in groups if f'"{one}"' in "".join(policies)]
            text += f'[people.{name}]\nslack = "{slack_id}"\nemails = ["{address(name)}"]\ngroups = {named}\n'
            if name in TOKENS:
                text += token_table(name, TOKENS[name])
        file.write_text(text + "\n".join(policies) + "\n")

    @contextlib.asynccontextmanager
    async def running(self, *roles: str, **settings: str) -> AsyncIterator[Running]:
        async with self.bot.started("run", *roles, **settings) as process:
            await process.told("Working for" if not roles or "worker" in roles else "Listening")
            yield process

    async def asks(self, text: str = f"deploy {MERGED} to production, skip staging") -> str:
        """The thread's id, once its request waits."""
        await self.team.asks(text)
        return str((await self.waiting())["id"])

    async def waiting(self) -> dict[str, Any]:
        """The thread that waits for an approval, when there is one."""

        async def look() -> dict[str, Any] | None:
            threads = [await self.store.load(thread_id) for thread_id in await thread_ids(self.store)]
            return next((document(one) for one in threads if one.status == "waiting_for_approval"), None)

        return await _found(look)

    async def shown(self, thread_id: str) -> dict[str, Any]:
        return document(await self.store.load(thread_id), with_events=True)

    async def until(self, thread_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            shown = await self.shown(thread_id)
            return shown if holds(shown) else None

        return await _found(look)

    # One way each to approve; each gives what that person is told

    async def by_slack(self, who: str, thread_id: str) -> str:
        card = await self.team.hears("May decide")
        await self.slack.acknowledged(await self.slack.click(who, card, "Approve"))
        return ""

    async def is_told(self, words: str, said: str) -> None:
        """What a way gave has these words; in Slack they are told to that person alone, a little later."""
        if not said:
            await self.slack.wait_for(lambda: self.slack.calls_of("chat.postEphemeral"), PATIENCE_SECONDS)
            said = str(self.slack.calls_of("chat.postEphemeral")[-1].args["text"])
        assert words in said

    async def by_mail(self, who: str, thread_id: str) -> str:
        return await self.opens_link(await self.room.gets("May decide", user=who))

    async def opens_link(self, card: EmailMessage) -> str:
        """And sends the form, where the page has one. What the last page says."""
        found = re.search(r"^Approve: (\S+)$", text_of(card), re.MULTILINE)
        assert found, text_of(card)
        async with aiohttp.ClientSession() as session:
            async with session.get(found[1]) as page:
                text = await page.text()
            if '<form method="post">' in text:
                async with session.post(found[1], data={"comment": ""}) as page:
                    text = await page.text()
        return text

    async def by_terminal(self, who: str, thread_id: str) -> str:
        done = await self.bot.approve(thread_id, login=who)
        return done.out or done.err

    async def by_api(self, who: str, thread_id: str) -> str:
        pending = (await self.shown(thread_id))["pending"]
        status, body = await self.decision(who, thread_id, pending or {"request": "s0", "digest": "0" * 64})
        return f"{status} {body}"

    async def decision(self, who: str, thread_id: str, pending: dict[str, Any], **more: Any) -> tuple[int, Any]:
        body = {"request": pending["request"], "digest": pending["digest"], "approved": True, **more}
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKENS[who]}"}) as session,
            session.post(f"{self.url}/api/threads/{thread_id}/decisions", json=body) as answer,
        ):
            return answer.status, await answer.json()

    def way(self, name: str) -> Callable[[str, str], Awaitable[str]]:
        return getattr(self, f"by_{name}")  # type: ignore[no-any-return]

    async def shows(self, card: Message, words: str) -> None:
        """Returns when it has been rewritten to say that."""
        await self.slack.wait_for(lambda: words in self.slack.text_of(self.slack.now(card)), PATIENCE_SECONDS)

    async def in_release(self, words: str, count: int = 1) -> Message:
        """The bot's newest message in #release with these words."""

        def found() -> list[Message]:
            bot = self.slack.workspace.bot.id
            said = [m for m in self.slack.messages("release") if m.user == bot and words in self.slack.text_of(m)]
            return said if len(said) >= count else []

        return (await self.slack.wait_for(found, PATIENCE_SECONDS))[-1]


async def _found(look: Callable[[], Awaitable[dict[str, Any] | None]]) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := await look()):  # noqa: ASYNC110 - other processes set no Event
            await asyncio.sleep(LOOK_SECONDS)
    return found


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer(decider) as server:
        yield server


@pytest.fixture
async def slack() -> AsyncIterator[SlackServer]:
    async with SlackServer.from_manifest(
        MANIFEST,
        retry_waits_seconds=(0.2, 0.5, 2.0),
        acknowledge_seconds=PATIENCE_SECONDS,
        trigger_seconds=PATIENCE_SECONDS,
    ) as server:
        yield server


@pytest.fixture
def light() -> Iterator[Light]:
    with Light(users=("deploybot", *PEOPLE)) as server:
        yield server


@pytest.fixture
async def company(
    slack: SlackServer, light: Light, tmp_path: Path, template: Path, model: ModelServer, server: Server
) -> AsyncIterator[Company]:
    bot = Bot(tmp_path, {"REDIS_URL": server.url}).with_site(template).with_model(model)
    store = await RedisStore.open(server.url)
    yield Company(slack, light, bot, store)
    await store.aclose()


def policy(company: Company, **terms: str) -> str:
    """For everything that is deployed to production, asked in #release and by mail to each one of the group too."""
    places = [f"slack:{company.release.id}", *(f"email:{address(name)}" for name in ("ben", "cat"))]
    terms = {"group": '"release"', "ask": json.dumps(places)} | terms
    rule = ["[[rule]]", 'tool = "*"', 'when.environment = "production"']
    return "\n".join([*rule, *(f"{name} = {value}" for name, value in terms.items())])


def deployed(company: Company) -> list[str]:
    return [line for line in company.bot.site.deployed() if " production " in line]


WAYS = ("slack", "mail", "terminal", "api")


@pytest.mark.parametrize(("first", "second"), list(zip(WAYS, (*WAYS[1:], WAYS[0]), strict=True)))
async def test_one_request_in_many_places_takes_two_people_by_whatever_way(
    company: Company, first: str, second: str
) -> None:
    company.rules(policy(company, quorum="2", requester_may="false"))
    before = deployed(company)
    async with company.running():
        thread_id = await company.asks()
        there = await company.in_release("May decide")
        here = await company.team.hears("May decide")
        for who in ("ben", "cat"):
            await company.room.gets("May decide", user=who)

        said = await company.way(first)("ben", thread_id)
        assert "1 of 2" in said or (first, said) == ("slack", "") or said.startswith("200"), said
        for card in (here, there):
            await company.shows(card, "1 of 2")
        for who in ("ben", "cat"):
            await company.room.gets("1 of 2", user=who)
        assert deployed(company) == before

        # Ben's other address is Ben.
        await company.is_told("already counted", await company.way(second)("ben", thread_id))

        await company.way(second)("cat", thread_id)
        for card in (here, there):
            await company.shows(card, "✅ approved")
            assert company.slack.buttons_of(company.slack.now(card)) == []
        for who in ("ben", "cat"):
            mail = await company.room.gets("approved by", user=who)
            assert mail["In-Reply-To"], mail
        found = await company.until(thread_id, _ran)
    decided = [e for e in found["events"] if e["kind"] == "approval_decided"]
    assert [(e["by"]["member"], e["groups"]) for e in decided if e["approved"]][:1] == [("ben", ["release"])]
    assert {e["by"]["member"] for e in decided} == {"ben", "cat"}
    assert all(e["proof"] for e in decided)


def _has_any(ids: tuple[str, ...], shown: dict[str, Any]) -> bool:
    return any(e["id"] in ids for e in shown["events"])


def _gated(shown: dict[str, Any]) -> str:
    return next(str(e["step"]) for e in shown["events"] if e["kind"] == "approval_requested")


@pytest.mark.parametrize("way", WAYS)
async def test_who_may_not_is_told_so_and_changes_nothing(company: Company, way: str) -> None:
    """Sam is of no group. By mail he gets nothing to decide with, so it is Ben who has asked."""
    company.rules(policy(company, requester_may="false"))
    async with company.running():
        company.team.thread = await company.slack.mention(
            "deploys", "ben" if way == "mail" else "ana", f"deploy {MERGED} to production, skip staging"
        )
        thread_id = (await company.waiting())["id"]
        who = "ben" if way == "mail" else "sam"
        await company.is_told("may not decide", await company.way(way)(who, thread_id))
        found = await company.shown(thread_id)
    assert found["status"] == "waiting_for_approval"
    tried = [e for e in found["events"] if e["kind"] == "approval_decided"]
    # The page behind a link shows no form to them, so there is nothing to try.
    assert [e["by"]["member"] for e in tried] == ([] if way == "mail" else [who])


async def test_two_votes_at_the_same_moment_in_two_processes_settle_it_once(company: Company) -> None:
    company.rules(policy(company, quorum="2"))
    before = len(deployed(company))
    async with company.running(), company.running("worker"):
        # The second is none that runs there, also for a worker that looked before the first was deployed.
        for revision in (MERGED, "v1.1.0"):
            await company.team.asks(f"deploy {revision} to production, skip staging")
            pending = await company.waiting()
            card = await company.team.hears("May decide")
            click = company.slack.click("ben", card, "Approve")
            vote = company.decision("cat", pending["id"], pending["pending"])
            again = company.decision("cat", pending["id"], pending["pending"])
            await asyncio.gather(click, vote, again)
            await company.team.hears("✅ approved by")
            # Until it runs there: what would be deployed anew meanwhile makes no sense, and is refused.
            found = await company.until(pending["id"], _has_ended)
            counted = [e["by"]["member"] for e in found["events"] if e["kind"] == "approval_decided"]
            assert sorted(set(counted)) == ["ben", "cat"]
            starts = [e for e in found["events"] if e["kind"] == "tool_started" and e["step"] == _gated(found)]
            assert len(starts) == 1
            (await company.bot.run("cancel", pending["id"], login="ben")).succeeded()
    assert len(deployed(company)) - before <= 2


def _ran(shown: dict[str, Any]) -> bool:
    gated = _gated(shown)
    return any(e["kind"] in ("tool_finished", "step_refused") and e["step"] == gated for e in shown["events"])


def _has_ended(shown: dict[str, Any]) -> bool:
    """Whether the deployment is followed to its end, or was refused."""
    waits = {e["step"] for e in shown["events"] if e.get("intent") == "wait_for_deployment"}
    followed = any(e["kind"] == "tool_finished" and e["step"] in waits for e in shown["events"])
    return followed or any(e["kind"] == "step_refused" and e["step"] == _gated(shown) for e in shown["events"])


async def test_an_expired_request_is_expired_everywhere(company: Company) -> None:
    company.rules(policy(company, expires='"30s"'))  # long enough to see the cards, on a busy machine too
    before = deployed(company)
    async with company.running():
        thread_id = await company.asks()
        pending = (await company.shown(thread_id))["pending"]
        here, there = await company.team.hears("May decide"), await company.in_release("May decide")
        card = await company.room.gets("May decide", user="ben")
        for shown in (here, there):
            await company.shows(shown, "expired")
            assert company.slack.buttons_of(company.slack.now(shown)) == []
        await company.room.gets("expired", user="ben")
        assert re.search("expired|too old", await company.opens_link(card), re.IGNORECASE)
        assert (await company.decision("ben", thread_id, pending))[0] == 410
        late = await company.bot.run("approve", thread_id, "--digest", pending["digest"], login="ben")
        late.failed("expired")
    assert deployed(company) == before


@matrix("milliseconds", [-30, -15, 0, 15], sample=1)
async def test_a_decision_that_races_with_the_expiry_ends_one_way_or_the_other(
    company: Company, milliseconds: int
) -> None:
    """Made a little before the request expires, at that moment, or a little after."""
    company.rules(policy(company, expires='"15s"', ask="[]"))
    async with company.running(), company.running("worker"):
        await company.team.asks(f"deploy {MERGED} to production, skip staging")
        pending = await company.waiting()
        until = datetime.fromisoformat(pending["pending"]["expires_at"])
        await asyncio.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds() + milliseconds / 1_000))
        status, _ = await company.decision("ben", pending["id"], pending["pending"])
        gated = pending["pending"]["request"]
        endings = (f"{gated}/started/1", f"{gated}/refused", f"{gated}/expire/0/fired")
        found = await company.until(pending["id"], partial(_has_any, endings))
    started, refused, fired = (any(e["id"] == ending for e in found["events"]) for ending in endings)
    assert status in (200, 409, 410)
    # Approved and begun, or approved too late to begin, or expired: never two of them.
    assert [started, refused, fired].count(True) == 1, (status, started, refused, fired)
    assert (status == 200) is (started or refused)


async def test_rungs_that_came_while_nobody_worked_are_climbed_once_by_two_processes(company: Company) -> None:
    company.rules(policy(company, remind='"20s"', widen='"30s"', then='"leads"', expires='"1h"'))
    async with company.running():
        thread_id = await company.asks()
        await company.in_release("May decide")
        assert "may not decide" in await company.by_terminal("lea", thread_id)
    widen_at = datetime.fromisoformat(
        next(
            e["policy"]["widen_at"]
            for e in (await company.shown(thread_id))["events"]
            if e["kind"] == "approval_requested"
        )
    )
    await asyncio.sleep(max(0.0, (widen_at - datetime.now(UTC)).total_seconds()))
    async with company.running(), company.running("worker"):
        await company.until(thread_id, lambda shown: sum(e["kind"] == "timer_fired" for e in shown["events"]) == 2)
        await company.team.hears("leads")
        assert "Approved" in await company.by_terminal("lea", thread_id)
        await company.team.hears("✅ approved by")
    found = await company.shown(thread_id)
    fired = [e["timer"].partition("/")[2] for e in found["events"] if e["kind"] == "timer_fired"]
    assert fired == ["remind/0", "widen/0"]
    keys = [e["key"] for e in found["events"] if e["kind"] == "message_sent"]
    assert len(keys) == len(set(keys))


async def test_an_edited_call_is_asked_for_anew_and_is_what_runs(company: Company) -> None:
    company.rules(policy(company))
    site = company.bot.site
    async with company.running():
        thread_id = await company.asks()
        old = await company.team.hears("May decide")
        tag = "v1.0.0"
        await company.slack.click("ben", old, "Edit…")
        view = (await company.slack.wait_for(lambda: company.slack.views, PATIENCE_SECONDS))[-1]
        await company.slack.submit("ben", view, {"revision": tag})
        await company.shows(old, "✏️ changed by")
        cards = await company.slack.wait_for(lambda: [c for c in company.team.cards() if c.ts != old.ts])
        await company.slack.acknowledged(await company.slack.click("cat", cards[0], "Approve"))
        found = await company.until(thread_id, _edited_ran)
    component = next(e["arguments"]["component"] for e in found["events"] if e.get("edits"))
    last = next(line for line in reversed(deployed(company)) if line.startswith(component))
    assert site.sha(tag) in last


def _edited_ran(shown: dict[str, Any]) -> bool:
    edited = next((e["step"] for e in shown["events"] if e.get("edits")), None)
    return any(e["kind"] == "tool_finished" and e["step"] == edited for e in shown["events"])


async def test_a_standing_approval_covers_what_it_says_until_it_is_revoked(company: Company) -> None:
    company.rules(policy(company, standing='{ group = "leads", max = "8h" }'))
    grant = ("standing", "grant", "deploy", "environment=production", "--for", "1h", "--json")
    refused = await company.bot.run(*grant, login="sam")
    assert refused.code == 1
    granted = await company.bot.run(*grant, login="lea")
    assert granted.code == 0, granted
    [standing] = (await company.bot.run("standing", "--json")).document
    async with company.running():
        await company.team.asks("deploy v1.1.0 to production")
        await company.team.hears("✅ approved by")
        assert company.team.cards() == []
        assert (await company.bot.run("standing", "revoke", standing["id"], login="lea")).code == 0
        await company.team.asks(f"deploy {MERGED} to production, skip staging")
        await company.team.hears("May decide")
    assert (await company.bot.run("standing", "--json")).document == []


# Schedules


SCHEDULE = '[schedules.morning]\ncron = "* * * * *"\ntime_zone = "UTC"\nagent = "deploy"\nask = "Shall I deploy?"\n'


async def test_ten_processes_and_one_schedule_say_one_thing(company: Company) -> None:
    due = datetime.now(UTC).replace(second=0, microsecond=0)
    hourly = SCHEDULE.replace("* * * * *", f"{due.minute} * * * *")
    company.rules(policy(company), f'{hourly}place = "slack:{company.release.id}"')
    # As if they had been looking since a moment before: it is due for all of them when they start.
    async with contextlib.AsyncExitStack() as stack:
        await company.store.set_note("cron/morning", (due - timedelta(seconds=1)).isoformat(), expected="")
        clocks = [await stack.enter_async_context(company.bot.started("run", "clock")) for _ in range(10)]
        for clock in clocks:
            await clock.told("Schedules: ")
        await stack.enter_async_context(company.running("worker"))
        await company.in_release("Shall I deploy?")
    found = [await company.shown(thread_id) for thread_id in await thread_ids(company.store)]
    assert sum(e["kind"] == "trigger_received" for shown in found for e in shown["events"]) == 1
    said = [m for m in company.slack.messages("release") if "Shall I deploy?" in company.slack.text_of(m)]
    assert len(said) == 1


@pytest.mark.parametrize("channel", ["slack", "email"])
async def test_what_a_schedule_begins_goes_on_with_the_answer(company: Company, channel: str) -> None:
    never = SCHEDULE.replace("* * * * *", "0 0 1 1 *")
    place = f"slack:{company.release.id}" if channel == "slack" else f"email:{address('ben')}"
    company.rules(policy(company), f'{never}place = "{place}"')
    async with company.running():
        done = (await company.bot.run("schedules", "run", "morning")).succeeded()
        thread_id = done.out.strip().splitlines()[-1]
        if channel == "slack":
            asked = await company.in_release("Shall I deploy?")
            await company.slack.say("release", "ben", f"yes, deploy {MERGED} to production, skip staging", thread=asked)
        else:
            mail = await company.room.gets("Shall I deploy?", user="ben")
            await company.room.writes(f"yes, deploy {MERGED} to production, skip staging", by="ben", answers=mail)
        found = await company.until(thread_id, lambda shown: shown["pending"] is not None)
    assert found["pending"]["intent"] == "deploy"
    assert [e["sender"]["member"] for e in found["events"] if e["kind"] == "message_received"] == ["ben"]
    assert await thread_ids(company.store) == [thread_id]
