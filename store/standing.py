"""The events of standing approvals: given, used, revoked. They have a log of their own, and are in no thread's story.

What a standing approval covers is decided by `bot.team.standing`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, JsonValue

from store.recorded import Recorded
from store.values import Person, Place


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
    askers: tuple[str, ...] = ()
    """Who may ask for such calls: people and groups of the team file, `anyone`, or addresses. Empty: everybody in the
    team file, and others too if the grant is bound by `uses` or is `narrow`."""
    uses: int = 0
    """How many calls it approves. 0: any number."""
    narrow: bool = False
    """`when` binds an argument of free values, such as a revision."""
    pins: dict[str, str] = {}
    """What the names in `when` stood for at the time: a tag's commit, say. It covers nothing else of that name."""
    tell: Place | None = None
    """Where each use is told, besides the thread that uses it."""
    by: Person
    groups: tuple[str, ...] = ()
    until: AwareDatetime
    reason: str = ""
    proof: str = ""
    way: str = ""
    """By which way it was granted, as in `ApprovalDecided`."""

    @property
    def is_bound(self) -> bool:
        """Whether people who are not in the team file may profit from it."""
        return bool(self.askers or self.uses or self.narrow)


class StandingUsed(Recorded):
    """A call takes one of the uses of a grant that has a number of them, or is the first with a name, and is not yet
    approved.

    It counts only if the grant had one left: of several at the same moment, the first in the log.
    """

    kind: Literal["standing_used"] = "standing_used"
    grant: str
    thread: str
    step: str
    pins: dict[str, str] = {}
    """What the names that it is the first to use stood for. Later calls of the grant must mean the same."""


class StandingRevoked(Recorded):
    kind: Literal["standing_revoked"] = "standing_revoked"
    grant: str
    by: Person
    proof: str = ""
