"""The agents that ship, one folder each. To add your own, copy a folder: next to these, or to `agents/` next to your
team file. `bot.team.agents` finds and loads them.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Collection

DEFAULT = "deploy"
"""The agent that answers if none is named."""


def shipped() -> tuple[str, ...]:
    """The names of the folders here."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg))


def default_of(names: Collection[str]) -> str:
    """The agent among `names` that answers if none is named; empty: there are no agents."""
    return DEFAULT if DEFAULT in names else next(iter(names), "")
