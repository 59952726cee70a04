"""The agents that ship, a folder each. To add one of your own, copy a folder: beside these, or to `agents/` beside your
team file. See `bot.team.agents` for how an agent is found.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Collection

DEFAULT = "deploy"
"""Who answers where nobody was named."""


def shipped() -> tuple[str, ...]:
    """The names of the folders here."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg))


def default_of(names: Collection[str]) -> str:
    """Of the agents that are set up: who answers where nobody was named. Empty: there is none."""
    return DEFAULT if DEFAULT in names else next(iter(names), "")
