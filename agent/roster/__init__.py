"""The agents of this installation, by name. To add one: copy a folder beside this file, and name it here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from agent.definition import Agent
from agent.roster import deploy, rollback

Build = Callable[[Mapping[str, Any], Path], Agent]
"""Takes the agent's table of the team file (`[agents.NAME]`) and a folder for its own files.

Raises pydantic's ValidationError where the table is wrong.
"""

ROSTER: dict[str, Build] = {
    "deploy": deploy.build,
    "rollback": rollback.build,
}

DEFAULT = "deploy"
"""Who answers where nobody was named."""


def default_of(names: Collection[str]) -> str:
    """Of the agents that are set up: who answers where nobody was named. Empty: there is none."""
    return DEFAULT if DEFAULT in names else next(iter(names), "")
