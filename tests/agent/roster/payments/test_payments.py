"""The agent at play: who approves which amount, and that a worker's death doubles nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.definition import AgentError
from agent.roster import payments
from agent.roster.payments import CreatePaymentLink, Refund
from bot.settings import Settings
from bot.team.agents import build_agents
from bot.team.check import team_problems
from bot.team.file import read_team
from bot.team.people import People
from bot.team.policies import Policies
from bot.team.problems import SettingsError
from store.events import ToolFinished, ToolStarted
from tests.fakes.stripe import KEY, Fault, StripeServer
from tests.telling.playbook import World, done, killed

TEAM = """
[agents.payments]
currencies = ["usd"]

[people.kim]
groups = ["finance"]

[people.lee]
groups = ["finance"]

[[rule]]
tool = "refund"
when = { amount = ">10000", currency = "usd" }
group = "finance"
quorum = 2

[[rule]]
tool = "create_*"
when = { amount = "<=10000", currency = "usd" }
group = "anyone"

[[rule]]
tool = "*"
group = "finance"
"""
ASKS = CreatePaymentLink(amount=75000, currency="usd", new_product="February meetup")
ABOUT = "Payment link: $750.00 from anybody, again and again, for February meetup (new)"


@pytest.fixture
def table(stripe: StripeServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("STRIPE_API_KEY", KEY)
    return {"currencies": ["usd"], "api_base": stripe.url}


def world_with(table: dict[str, Any], home: Path, **more: Any) -> World:
    world = World(tools=(), **more)
    world.roster["ops"] = replace(payments.build(table, home), name="ops")
    return world


def policies(tmp_path: Path) -> Policies:
    path = tmp_path / "bot.toml"
    path.write_text(TEAM)
    team = read_team(path)
    return Policies(People(team.people), team.rules)


async def test_a_link_is_asked_for_with_its_amount_and_created_once(
    table: dict[str, Any], stripe: StripeServer, tmp_path: Path
) -> None:
    world = world_with(table, tmp_path)
    world.model.answers(ASKS, done("It is there."))
    await world.say("a link for $750 for the February meetup")
    await world.run()
    request = world.thread.pending or (await world.store.load(world.thread.id)).pending
    assert request
    assert request.asked.title == ABOUT
    assert stripe.posts == []
    await world.approve()
    await world.run()
    assert [one["metadata"]["about"] for one in stripe.records["payment_links"]] == [ABOUT]


@pytest.mark.parametrize(
    ("step", "group", "quorum"),
    [
        (CreatePaymentLink(amount=10000, currency="usd", new_product="Dinner"), "anyone", 1),
        (CreatePaymentLink(amount=10001, currency="usd", new_product="Dinner"), "finance", 1),
        (Refund(payment="ch_00000000000001", amount=10001, currency="usd"), "finance", 2),
        (Refund(payment="ch_00000000000001", amount=500, currency="usd"), "finance", 1),
    ],
)
async def test_the_amount_says_who_approves(
    table: dict[str, Any], stripe: StripeServer, tmp_path: Path, step: Any, group: str, quorum: int
) -> None:
    stripe.add("charges", amount=50000)
    world = world_with(table, tmp_path, authority=policies(tmp_path))
    world.model.answers(step)
    await world.say("please")
    await world.run()
    request = (await world.store.load(world.thread.id)).pending
    assert request
    assert (request.terms.group, request.terms.quorum) == (group, quorum)


async def test_a_worker_that_dies_after_the_request_was_sent_creates_nothing_twice(
    table: dict[str, Any], stripe: StripeServer, tmp_path: Path
) -> None:
    world = world_with(table, tmp_path)
    world.model.answers(ASKS, done("It is there."))
    await world.say("a link for $750 for the February meetup")
    await world.run()
    await world.approve()
    world.store.before(ToolFinished, killed)
    await world.run()
    assert len(stripe.records["payment_links"]) == 1
    await world.run()
    thread = await world.store.load(world.thread.id)
    assert [event.attempt for event in thread.events if isinstance(event, ToolStarted)] == [1, 2]
    (ended,) = [event for event in thread.events if isinstance(event, ToolFinished)]
    assert ended.result == {key: stripe.records["payment_links"][0][key] for key in ("id", "url")}
    assert len(stripe.records["payment_links"]) == 1
    first, second = stripe.posts
    assert first.idempotency_key == second.idempotency_key
    assert first.given == second.given


async def test_without_an_answer_it_waits_and_the_same_call_goes_on(
    table: dict[str, Any], stripe: StripeServer, tmp_path: Path
) -> None:
    world = world_with(table, tmp_path)
    world.model.answers(ASKS, done("It is there."))
    await world.say("a link for $750 for the February meetup")
    await world.run()
    await world.approve()
    stripe.fails(Fault(cut_off=True), Fault(cut_off=True))
    await world.run()
    await world.advance(21)
    thread = await world.store.load(world.thread.id)
    assert [event.error for event in thread.events if isinstance(event, ToolFinished)] == [""]
    assert len(stripe.records["payment_links"]) == 1


def test_rules_by_amount_are_taken_at_start(tmp_path: Path) -> None:
    (tmp_path / "bot.toml").write_text(TEAM)
    team = read_team(tmp_path / "bot.toml")
    agents = build_agents(team, tmp_path / "home", tmp_path)
    assert list(agents.built) == ["payments"]
    assert team_problems(team, agents.all, agents.folders, Settings().reach()) == []


def test_it_is_there_only_where_its_table_is(tmp_path: Path) -> None:
    (tmp_path / "bot.toml").write_text("")
    assert build_agents(read_team(tmp_path / "bot.toml"), tmp_path / "home", tmp_path).built == {}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", r"agents\.payments\.currencies in the team file"),
        ('currencies = ["usd"]\napi_key = "sk_live_x"', r"agents\.payments\.api_key in the team file"),
        ('currencies = ["USD"]', r"agents\.payments\.currencies\.0 in the team file"),
        ('currencies = ["usd"]\napi_key_env = "sk_live_x"', r"agents\.payments\.api_key_env in the team file"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, table: str, words: str) -> None:
    (tmp_path / "bot.toml").write_text(f"[agents.payments]\n{table}\n")
    with pytest.raises(SettingsError, match=words) as raised:
        build_agents(read_team(tmp_path / "bot.toml"), tmp_path / "home", tmp_path)
    assert "sk_live_x" not in str(raised.value)


def test_without_its_library_it_says_which_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(AgentError, match=r"pip install '\.\[payments\]'"):
        payments.build({"currencies": ["usd"]}, tmp_path)
