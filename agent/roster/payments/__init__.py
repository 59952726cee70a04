"""payments: creates payment links, prices and customers at Stripe, and refunds, each when a person has approved it.

    [agents.payments]
    currencies = ["usd"]

`account.py` calls Stripe, `tools.py` holds the steps, `prompt.md` the rules. This folder is yours to copy and change.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent import Agent, AgentError
from agent.roster.payments.account import Account, Table
from agent.roster.payments.in_memory import InMemory
from agent.roster.payments.tools import TOOLS

NAME = "payments"


def build(table: Mapping[str, Any], home: Path) -> Agent:
    """Raises pydantic's ValidationError, AgentError."""
    account = Account(Table.model_validate(table))
    if importlib.util.find_spec("stripe") is None:
        raise AgentError(
            "Its library is not installed (stripe): run pip install '.[payments]' in the program's folder."
        )
    return _of(account)


def build_for_evals(home: Path) -> Agent:
    return _of(InMemory())


def _of(account: Account) -> Agent:
    prompt = Path(__file__).with_name("prompt.md").read_text(encoding="utf-8")
    prompt += f"\nCurrencies: {', '.join(account.table.currencies)}.\n"
    return Agent(name=NAME, prompt=prompt, tools=TOOLS, resources={Account: account}, check=account.problems)
