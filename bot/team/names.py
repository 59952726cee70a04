"""What to say about a name that nothing answers to: the nearest name that something does.

There is one wording for the whole program. The callers decide whether a name is wrong.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def nearest(name: str, known: Collection[str], *, cutoff: float = 0.6) -> str:
    """The known name that looks most like it; empty: none does. `cutoff`: how alike, from 0 to 1."""
    return next(iter(get_close_matches(name, known, 1, cutoff)), "")


def unknown(name: str, what: str, known: Collection[str], *, otherwise: str = "") -> str:
    """`otherwise`: the hint where none is near; without, all the known ones."""
    near = nearest(name, known)
    hint = f"did you mean {near}?" if near else otherwise or f"known are {', '.join(known) or 'none'}."
    return f"{name[:60]!r} is no {what}; {hint}"


def unknown_agent(name: str, known: Collection[str]) -> str:
    """The same, for the name of an agent in the team file."""
    if not known:
        return "no agent is set up; give one its table, such as [agents.deploy]."
    return unknown(name, "agent that is set up", known)
