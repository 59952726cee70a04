"""The events of standing approvals: given and revoked. They have a log of their own, and belong to no thread's story.

What a standing approval covers is decided by `bot.team.standing`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, JsonValue

from store.recorded import Recorded
from store.values import Person


class StandingGranted(Recorded):
    """An entitled person approves calls of one kind for a limited time. Kept in the log `standing`."""

    kind: Literal["standing_granted"] = "standing_granted"
    agent: str
    intent: str
    scope: str = ""
    """Of older grants, which covered the calls under one policy. Such a grant covers nothing any more."""
    policy: dict[str, JsonValue] = {}
    """Of older grants."""
    when: dict[str, str | bool | int | float] = {}
    """What it asks of arguments, as in a rule of the team file. Empty: it covers all calls of the tool."""
    rule: dict[str, JsonValue] = {}
    """The team file's rule for such calls at the time. The grant ends when that rule changes."""
    by: Person
    groups: tuple[str, ...] = ()
    until: AwareDatetime
    reason: str = ""
    proof: str = ""
    way: str = ""
    """By which way it was granted, as in `ApprovalDecided`."""


class StandingRevoked(Recorded):
    kind: Literal["standing_revoked"] = "standing_revoked"
    grant: str
    by: Person
    proof: str = ""
