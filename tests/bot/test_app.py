"""Which agent answers where."""

from __future__ import annotations

import pytest

from agent.definition import Agent
from bot.app import App
from bot.inbox import Inbox
from bot.settings import Settings
from bot.setup import Setup
from bot.team.file import Team
from channels.email.identity.tokens import Signer
from channels.email.letters import Writer
from store.memory import MemoryStore

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
