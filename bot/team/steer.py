"""Who may steer: stop, pause, resume, cancel, reopen and fork a thread, and revoke a standing approval.

`[steer]` in the team file names the group; without it, that is everybody in `[people]`, or every verified person where
that is empty. Who wrote in the thread may always steer it, and who granted a standing approval may always revoke it, as
long as they are known by the same (`People.still`).
Every way asks `Steering`: the terminal, Slack, the HTTP API. It steers nothing itself, and judges no approval.
`bot.team.check` checks the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from bot.team.people import People
from channels.inbound import Refused
from store.authority.terms import ANYONE, TEAM, names_of
from store.authority.words import is_machine
from store.standing import StandingGranted
from store.text import one_line
from store.thread import Thread
from store.values import Person

NAME_CHARS_MAX = 100

Group = Annotated[str, Field(min_length=1)]


class SteerTable(BaseModel):
    """`[steer]` in the team file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Group | None = None
    agents: dict[str, Group] = Field(default_factory=dict)
    """The group for the threads of one agent, by its name."""


@dataclass(frozen=True)
class Steering:
    people: People = field(default_factory=People)
    table: SteerTable = field(default_factory=SteerTable)

    def group_of(self, agent: str) -> str:
        everybody = TEAM if self.people.members else ANYONE
        return self.table.agents.get(agent) or self.table.group or everybody

    def check_thread(self, by: Person, thread: Thread) -> Person:
        """The person, identified. Raises Refused if they may not steer this thread."""
        return self._checked(by, thread.agent, "steer this thread", thread.state.words.authors, "who wrote in it")

    def check_grant(self, by: Person, granted: StandingGranted) -> Person:
        """The person, identified. Raises Refused if they may not revoke this standing approval."""
        return self._checked(by, granted.agent, f"revoke {granted.id}", [granted.by], "who granted it")

    def _checked(self, by: Person, agent: str, act: str, theirs: Iterable[Person], whose: str) -> Person:
        """`theirs`: those who may always do it, `whose` in words."""
        by, group = self.people.identified(by), self.group_of(agent)
        may_not = f"{one_line(by.name, NAME_CHARS_MAX)} may not {act}"
        if _is_one_of(by, filter(None, map(self.people.still, theirs))):
            return by
        if by.trust != "verified":
            raise Refused(f"{may_not}: I cannot verify who that is. Nothing was changed.", "not_entitled")
        # What a machine may do, its token says.
        if self.people.belongs(by, group) or is_machine(by):
            return by
        raise Refused(f"{may_not}: only {whose}, and {_in_words(group)}, may. Nothing was changed.", "not_entitled")


def _is_one_of(by: Person, people: Iterable[Person]) -> bool:
    """Whether it is the same person, as far as is known of both: a guest may stop what they asked for as a guest."""
    known = (one for one in people if one.trust == by.trust and by.trust in ("verified", "unverified"))
    return any(not names_of(by).isdisjoint(names_of(one)) for one in known)


def _in_words(group: str) -> str:
    known = {ANYONE: "every verified person", TEAM: "everybody in the team file"}
    return known.get(group, f"members of {group}")
