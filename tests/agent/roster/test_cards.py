"""What people read on the cards of the agents that ship: words, in the order in which one decides by them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent import Agent, Call, Tool
from agent.roster import issues, payments
from agent.roster.issues import CommentOnIssue, CreateIssue, UpdateIssue
from agent.roster.payments import CreateCustomer, CreatePaymentLink, CreatePrice, Refund
from agent.speech.requests import approval
from bot.cli.new import newcomer
from bot.cli.new.newcomer import WriteNote
from bot.cli.new.newcomer.do_something import DoSomething
from channels.labels import used
from channels.messages import Approval
from channels.plain import render
from channels.slack.posts import posts_of
from store.thread import Thread
from tests.channels.slack.test_blocks import lines
from tests.channels.test_labels import keys_in

AT = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
CALLS: list[tuple[Tool, str]] = [
    (CommentOnIssue(issue="ENG-12", text="It is fixed."), "issues"),
    (CreateIssue(subject="The basket is empty", assignee="ada", labels=("Bug",)), "issues"),
    (UpdateIssue(issue="ENG-12", state="Done"), "issues"),
    (CreateCustomer(name="Ana Ruiz", email="ana@example.com"), "payments"),
    (CreatePrice(amount=75000, currency="usd", product="prod_sponsor"), "payments"),
    (CreatePaymentLink(amount=75000, currency="usd", customer="cus_terri", new_product="February meetup"), "payments"),
    (Refund(payment="ch_samito", amount=30000, currency="usd"), "payments"),
    (WriteNote(text="The fan is loud"), "newcomer"),
    (DoSomething(service="web"), "newcomer"),
]


async def card_of(tool: Tool, agent: Agent) -> Approval:
    call = Call("t1", "t1/s4", 1, AT, "Ana", resources=agent.resources)
    facts = await tool.prepare(call)
    return Approval(
        step="s4",
        digest="ab" * 32,
        intent=tool.intent,
        arguments=tool.arguments,
        facts=facts,
        requested_by="Ana",
        requested_at=AT,
        title=tool.title(facts),
        dangers=tuple(name for name in tool.dangers if name in facts),
        labels=used(tool.on_cards, tool.arguments, facts),
        warnings=tool.warns(facts),
    )


def card_in(thread: Thread) -> Approval:
    """That of the request that waits."""
    request = thread.pending
    assert request
    return approval(thread, request)


def check_words(card: Approval) -> None:
    """No raw key is on it, on any surface."""
    assert not [key for key in keys_in([card.rows, card.danger_rows]) if re.search(r"[_.]", key)]
    named = re.compile(r"^\s*([\w.]*[_.][\w.]*):", re.MULTILINE)
    assert not named.findall(render(card))
    assert not named.findall("\n".join(lines(posts_of(card, "tabc"))))
    assert render(card).startswith(f"{card.title}?")


@pytest.mark.parametrize(("tool", "name"), CALLS, ids=lambda value: getattr(value, "intent", value))
async def test_no_card_shows_a_raw_key(tool: Tool, name: str, tmp_path: Path) -> None:
    shipped = {"issues": issues, "payments": payments, "newcomer": newcomer}
    check_words(await card_of(tool, shipped[name].build_for_evals(tmp_path)))
