"""Which agent answers where, and what the program signs with."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from agent.definition import Agent
from bot.app import App, opened
from bot.inbox import Inbox
from bot.settings import Settings
from bot.setup import Setup
from bot.team.file import Team
from bot.team.problems import SettingsError
from channels.email.identity.tokens import LinkForged, Signer
from channels.email.letters import Writer
from store.memory import MemoryStore
from tests.channels.email.identity.test_tokens import LINK, NOW
from tests.fakes.servers import Server

BOT = "deploybot@team.example"
ROUTES = {"C0123": "rollback", "back@team.example": "rollback"}


def app() -> App:
    setup = Setup(Settings(), Team(routes=ROUTES))
    roster = {name: Agent(name=name, prompt="", tools=()) for name in ("deploy", "rollback")}
    store = MemoryStore()
    writer = Writer(BOT, Signer("a secret for tests", BOT), lambda _: True, aliases=frozenset({"back@team.example"}))
    return App(setup, store, Inbox(store), roster, {}, writer)


@pytest.mark.parametrize(
    ("addresses", "agent"),
    [
        *(([], "deploy"), ([BOT], "deploy"), (["ana@team.example", BOT], "deploy")),
        *((["back@team.example"], "rollback"), ([BOT, "Back@Team.example"], "rollback")),
        *((["deploybot+rollback@team.example"], "rollback"), (["deploybot+nobody@team.example"], "deploy")),
        *((["ana+rollback@team.example"], "deploy"), (["deploybot+rollback@elsewhere.example"], "deploy")),
    ],
)
def test_an_address_of_ours_chooses_the_agent(addresses: list[str], agent: str) -> None:
    assert app().routes.of_addresses(addresses) == agent


@pytest.mark.parametrize(("place", "agent"), [("C0123", "rollback"), ("C9", "deploy"), ("", "deploy")])
def test_a_channel_of_the_routes_has_its_agent(place: str, agent: str) -> None:
    assert app().routes.of_place(place) == agent


# What it signs with


OLD, NEW = "an-old-key-0123456789", "a-new-key-0123456789"


def mail(redis_url: str = "", home: Path | None = None, key: str = "", before: str = "") -> Setup:
    settings = Settings(
        redis_url=redis_url,
        bot_home=home or Path(".bot"),
        email_address=BOT,
        imap_url="imaps://bot:secret@imap.team.example",
        smtp_url="smtps://bot:secret@smtp.team.example",
        bot_public_url="https://bot.team.example",
        bot_secret_key=SecretStr(key),
        bot_secret_key_before=SecretStr(before),
    )
    return Setup(settings)


async def signer_of(setup: Setup) -> Signer:
    async with opened(setup) as bot:
        assert bot.writer
        return bot.writer.signer


async def test_whoever_can_read_redis_finds_nothing_to_sign_links_with(server: Server) -> None:
    with pytest.raises(SettingsError, match=r"BOT_SECRET_KEY is not set: .* `openssl rand -hex 32`"):
        await signer_of(mail(server.url))
    async with opened(Setup(Settings(redis_url=server.url))) as bot:
        assert await bot.store.get_note("secret") == ""
    found = await signer_of(mail(server.url, key=NEW))
    with pytest.raises(LinkForged):
        found.open(Signer("", BOT).seal(LINK), NOW)


async def test_a_key_is_changed_without_losing_the_links_that_are_out(server: Server) -> None:
    before = await signer_of(mail(server.url, key=OLD))
    after = await signer_of(mail(server.url, key=NEW, before=OLD))
    assert after.open(before.seal(LINK), NOW) == LINK
    with pytest.raises(LinkForged):
        before.open(after.seal(LINK), NOW)


async def test_the_embedded_store_keeps_a_key_of_its_own(tmp_path: Path) -> None:
    first, second = [await signer_of(mail(home=tmp_path / "home")) for _ in range(2)]
    assert second.open(first.seal(LINK), NOW) == LINK
