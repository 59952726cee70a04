"""Adds the table of a new agent to the team file, by appending it: nothing that people wrote there is touched.

It appends only where the file then means what it meant before, and that table. Otherwise a person has to add it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

from bot.team.problems import SettingsError, why


class NotAppended(Exception):
    """Why the file was left as it was."""


def table_of(agent: str) -> str:
    """What stands there for an agent without settings."""
    return f"[agents.{agent}]\n"


def append_agent(path: Path, agent: str, *, then: Callable[[], None]) -> None:
    """Append the table, once `then` has been called: it may write what the table needs, and raise to prevent it.

    Raises NotAppended after `then`, and before it SettingsError: the file cannot be read, or has the table.
    """
    try:
        text = path.read_text(encoding="utf-8")
        before = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path} cannot be read: {why(error)}. Nothing was written."]) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError([f"{path} is not valid TOML: {error}. Nothing was written."]) from None
    agents = before.get("agents", {})
    if not isinstance(agents, dict):
        raise SettingsError([f"{path}: agents must be a table. Nothing was written."])
    if agent in agents:
        raise SettingsError([f"{path} has [agents.{agent}] already. Nothing was written."])
    then()
    added = f"{'' if text.endswith(chr(10)) or not text else chr(10)}\n{table_of(agent)}"
    try:
        is_safe = tomllib.loads(text + added) == {**before, "agents": {**agents, agent: {}}}
    except tomllib.TOMLDecodeError:
        is_safe = False
    if not is_safe:
        raise NotAppended(f"{path} was left as it is: a table at its end would not be [agents.{agent}].")
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(added)
    except OSError as error:
        raise NotAppended(f"{path} cannot be written ({error.strerror}).") from None
