"""What threads know of each other's merges: who may deploy to an environment next, and which proposals are out of date.

`Line`: merges go to an environment that needs no approval one after the other, older commits first; each holds its turn
until it is deployed and tested. `Proposals`: where the team says `supersede`, a newer merge finds the older proposals
for the same target. Both are notes in the store that change by compare-and-set, so of all workers on all machines, one
thread at a time has the turn.

What is older, the history of the repository says, and not the time at which a merge was heard of.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from agent import Notes, ToolError

LAPSES_AFTER = timedelta(minutes=20)
"""Whoever has the turn, deploys nothing, and was not heard of for so long, holds nobody up any more."""
ABSENT_AFTER = timedelta(minutes=3)
"""Whoever waits and was not heard of for so long lets the next one go first. It keeps its place."""
HEARD_EVERY = timedelta(seconds=30)
KEPT = 20
"""How many of the newest merges are remembered that had their turn, or may supersede others."""
WAITING_MAX = 200


class Merge(BaseModel):
    """A merged commit, and the thread that carries it on."""

    model_config = ConfigDict(frozen=True)

    thread: str
    sha: str
    components: tuple[str, ...] = ()
    heard: AwareDatetime | None = None
    """When its thread last looked at the line."""
    over: bool = False
    """Nothing is to be told to its thread any more."""


Older = Callable[[Merge, Merge], Awaitable[bool]]
"""Whether the second one's commit comes after the first one's, in the history of all its components."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a merge stands in the line."""

    state: Literal["first", "waits", "passed"]
    """`passed`: a newer one goes, or has gone, instead of it."""
    other: Merge | None = None
    """Whom it waits for, or who goes instead of it."""


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    turn: Merge | None = None
    waiting: tuple[Merge, ...] = ()
    """In their order."""
    went: tuple[Merge, ...] = ()
    """Those that had their turn, the newest first."""


class _Proposals(BaseModel):
    model_config = ConfigDict(frozen=True)

    merged: tuple[Merge, ...] = ()
    """The newest first."""
    proposed: tuple[Merge, ...] = ()


N = TypeVar("N", bound=BaseModel)


class _Note(Generic[N]):
    def __init__(self, notes: Notes, name: str, kind: type[N]) -> None:
        self._notes, self._name, self._kind = notes, name, kind

    async def read(self) -> tuple[N, str]:
        """Raises NotesUnavailable, ToolError."""
        text = await self._notes.read(self._name)
        try:
            return (self._kind.model_validate_json(text) if text else self._kind()), text
        except ValidationError:
            raise ToolError(
                f"The store's note {self._name!r} cannot be read; a newer version may have written it."
            ) from None

    async def change(self, new: N, before: N, text: str) -> bool:
        return new == before or await self._notes.change(self._name, new.model_dump_json(), expected=text)


class Line:
    """Of one environment. All methods raise NotesUnavailable, and ToolError if the note cannot be read."""

    def __init__(self, notes: Notes, environment: str, *, older: Older, supersedes: bool) -> None:
        """`supersedes`: a newer merge that waits too goes instead of an older one."""
        self._notes, self._older, self._supersedes = notes, older, supersedes
        self._note = _Note(notes, f"deployment-lines/{environment}", _Line)

    async def step_up(self, merge: Merge, *, busy: bool) -> Stand:
        """Where this merge stands now. Asking again changes nothing but that it was heard of.

        `busy`: a deployment goes on there, so nobody's turn begins, nor lapses.
        """
        while True:
            line, text = await self._note.read()
            new, stand = await self._with(line, merge, busy=busy)
            if await self._note.change(new, line, text):
                return stand

    async def leave(self, thread_id: str) -> tuple[str, ...]:
        """It is over for this thread. Returns the threads that may look now."""
        while True:
            line, text = await self._note.read()
            waiting = tuple(one for one in line.waiting if one.thread != thread_id)
            turn = None if line.turn and line.turn.thread == thread_id else line.turn
            new = line.model_copy(update={"turn": turn, "waiting": waiting})
            if await self._note.change(new, line, text):
                return tuple(one.thread for one in waiting[:1])

    async def _with(self, line: _Line, me: Merge, *, busy: bool) -> tuple[_Line, Stand]:
        now = self._notes.now()
        turn, others = line.turn, tuple(one for one in line.waiting if one.thread != me.thread)
        if turn and turn.thread == me.thread:
            return line.model_copy(update={"turn": _heard(turn, now)}), Stand("first")
        ahead = (*([turn] if turn else []), *line.went)
        for other in (*ahead, *(others if self._supersedes else ())):
            is_same = other in ahead and other.sha == me.sha and set(me.components) <= set(other.components)
            if other.thread != me.thread and (is_same or await self._older(me, other)):
                return line.model_copy(update={"waiting": others}), Stand("passed", other)
        waiting = await self._in_line(line, me, now)
        joined, line = len(waiting) > len(line.waiting), line.model_copy(update={"waiting": waiting})
        if turn and (busy or not _silent(turn, now, LAPSES_AFTER)):
            return line, Stand("waits", turn)
        next_one = next(one for one in waiting if one.thread == me.thread or not _silent(one, now, ABSENT_AFTER))
        # Of those that come together, each first takes its place, so that the oldest goes first.
        if busy or joined or next_one.thread != me.thread:
            return line, Stand("waits", None if next_one.thread == me.thread else next_one)
        # It may have had its turn before, which has lapsed.
        went = (me, *(one for one in line.went if one.thread != me.thread))[:KEPT]
        return _Line(turn=_heard(me, now), waiting=others, went=went), Stand("first")

    async def _in_line(self, line: _Line, me: Merge, now: datetime) -> tuple[Merge, ...]:
        """Those who wait, with this one: before the first that is newer."""
        if any(one.thread == me.thread for one in line.waiting):
            return tuple(_heard(one, now) if one.thread == me.thread else one for one in line.waiting)
        if len(line.waiting) >= WAITING_MAX:
            raise ToolError(f"{WAITING_MAX} merges wait already.")
        for index, other in enumerate(line.waiting):
            if await self._older(me, other):
                return (*line.waiting[:index], _heard(me, now), *line.waiting[index:])
        return (*line.waiting, _heard(me, now))


class Proposals:
    """For one target where newer merges supersede. All methods raise NotesUnavailable, ToolError."""

    def __init__(self, notes: Notes, component: str, environment: str, *, older: Older) -> None:
        self._older = older
        self._note = _Note(notes, f"deployment-proposals/{component}/{environment}", _Proposals)

    async def merged(self, merge: Merge) -> tuple[Merge | None, tuple[Merge, ...]]:
        """This one was merged. Returns a newer one that was heard of before, and what is out of date by this one."""
        while True:
            known, text = await self._note.read()
            others = tuple(one for one in known.merged if one.thread != merge.thread)
            new = known.model_copy(update={"merged": (merge, *others)[:KEPT]})
            if not await self._note.change(new, known, text):
                continue
            newer = [one for one in others if await self._older(merge, one)]
            older = [one for one in (*others, *known.proposed) if one.thread != merge.thread and not one.over]
            outdated = [one for one in older if await self._older(one, merge)]
            return next(iter(newer), None), tuple({one.thread: one for one in outdated}.values())

    async def proposed(self, proposal: Merge) -> None:
        """This thread is about to ask for it."""
        while True:
            known, text = await self._note.read()
            others = [one for one in known.proposed if one.thread != proposal.thread]
            new = known.model_copy(update={"proposed": (proposal, *others)[:WAITING_MAX]})
            if await self._note.change(new, known, text):
                return

    async def forget(self, threads: Iterable[str]) -> None:
        """These have been told, or have begun: nothing is to be told to them any more."""
        gone = set(threads)
        while True:
            known, text = await self._note.read()
            merged = tuple(one.model_copy(update={"over": one.over or one.thread in gone}) for one in known.merged)
            proposed = tuple(one for one in known.proposed if one.thread not in gone)
            if await self._note.change(_Proposals(merged=merged, proposed=proposed), known, text):
                return


def _heard(merge: Merge, now: datetime) -> Merge:
    """Written down now and then: each look would be a change."""
    return merge if not _silent(merge, now, HEARD_EVERY) else merge.model_copy(update={"heard": now})


def _silent(merge: Merge, now: datetime, after: timedelta) -> bool:
    return merge.heard is None or now - merge.heard > after
