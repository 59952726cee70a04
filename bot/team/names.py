"""Error messages for unknown names, with the nearest known name.

They are worded the same in the whole program. The caller decides whether a name is unknown.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

NO_AGENT = (
    "No agent is set up: `bot init` writes a first bot.toml, `bot new agent NAME` an agent of your own; or add a table "
    "such as [agents.deploy] to yours."
)
"""What every command says that needs one."""


def nearest(name: str, known: Collection[str], *, cutoff: float = 0.6) -> str:
    """The most similar known name; empty: none is similar. `cutoff`: the similarity needed, from 0 to 1."""
    return next(iter(get_close_matches(name, known, 1, cutoff)), "")


def unknown(name: str, what: str, known: Collection[str], *, otherwise: str = "") -> str:
    """`otherwise`: the hint if no name is similar; default: all known names."""
    near = nearest(name, known)
    hint = f"did you mean {near}?" if near else otherwise or f"known are {', '.join(known) or 'none'}."
    return f"{name[:60]!r} is no {what}; {hint}"


def unknown_agent(name: str, known: Collection[str]) -> str:
    """`unknown` for the name of an agent in the team file."""
    if not known:
        return "no agent is set up; add a table such as [agents.deploy]."
    return unknown(name, "agent that is set up", known)
