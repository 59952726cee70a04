"""What deployers have in common whose deployments another service carries out: GitHub's, Vercel's, your own.

The run is written to the store before the service is asked for anything, and it claims its target there. Its id goes
along with the request, so it can be found again at the service by it. Only the one attempt whose claim was written asks
the service, and it asks once: whatever is not known then is looked up by the id, for `appears_seconds`, and after that
the run is lost and holds its target until a person releases it. Nothing is asked for twice on a guess.

A kind says how to begin, to look, to stop and to read a log at its service. No kind writes to the store.
"""

from __future__ import annotations

import contextlib
import secrets
from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

from agent import Facts, NotesUnavailable, ToolError, await_news, no_longer
from agent.roster.deploy.deployers.base import (
    At,
    Holder,
    NoAnswer,
    Run,
    Running,
    TargetBusy,
    minute,
    require_commits,
    require_same,
    run_id,
)
from agent.roster.deploy.deployers.confirming import confirmed
from agent.roster.deploy.deployers.process import one_line
from agent.roster.deploy.deployers.shared import SharedRuns
from agent.roster.deploy.repository import is_revision_text


class HostedDeployer(ABC):
    """See `Deployer`. Its methods are complete; those of the service are at the end."""

    service: ClassVar[str] = "The service"
    """Its name, as a sentence begins with it."""
    carried_out: Facts
    appears_seconds: ClassVar[float] = 180.0
    """For how long a deployment that the service has been asked for may not be shown yet."""

    def __init__(self, at: At) -> None:
        self.component, self.environment = at.component, at.environment
        self._at = at
        self._notes = at.notes
        self._shared = SharedRuns(at.notes, at.component, at.environment)

    async def start(self, sha: str, *, name: str = "", previous: str = "", key: str, by: str, thread_id: str) -> Run:
        assert key, "a deployment needs a key"
        require_commits(sha, previous)
        if begun := await self.find(key):
            return require_same(begun, sha)
        run = Run(
            id=run_id(self.component, self.environment, key),
            component=self.component,
            environment=self.environment,
            sha=sha,
            name=name if is_revision_text(name) else "",
            previous=previous,
            by=one_line(by, 100),
            thread_id=thread_id,
            url="",
            state="running",
            started_at=self._notes.now(),
            # Of several attempts with one key, only the one whose claim was written begins it.
            machine=secrets.token_hex(10),
        )
        run = await self._check(run)
        while other := await self._shared.claim(run):
            if other.id == run.id:
                return require_same(await self.look(run.id), sha)
            await self._require_free(other)
        try:
            begun = await self._begin(run)
        except NoAnswer as error:
            if not error.may_have_begun:
                await self._shared.give_up(run.id, run.machine)
                raise
            # It may have begun: it is looked for by its id.
            return await self._keep(replace(run, note=one_line(f"{error} It is looked for.", 300)))
        except ToolError:
            await self._shared.give_up(run.id, run.machine)
            raise
        return await self._keep(begun)

    async def _keep(self, run: Run) -> Run:
        with contextlib.suppress(NotesUnavailable):  # It is claimed, so it is found all the same.
            await self._hold(run)
        return run

    async def _hold(self, run: Run) -> None:
        if run.ref and (key := self._news(run)):
            await await_news(self._notes, key, run.thread_id)
        await self._shared.hold(run)

    async def _require_free(self, other: Run) -> None:
        """The target is free, or was just freed. Raises TargetBusy."""
        run = await self._look(other)
        if run.state not in ("running", "lost"):
            return
        what = f"run {run.id} of {run.sha[:7]}, started {minute(run.started_at)} by {run.by or 'somebody unknown'}"
        if run.state == "running":
            raise TargetBusy(f"{self._at.where} is busy with {what}. Wait for it to end.")
        raise TargetBusy(
            f"{self._at.where} is locked by {what}: its outcome is unknown.",
            hint="Ask a person to check; when they say that it is over, choose release_target.",
        )

    async def find(self, key: str) -> Run | None:
        run = await self._shared.find(run_id(self.component, self.environment, key))
        try:
            return await self._look(run) if run else None
        except NoAnswer:
            return run  # It is on record, however the service is: whoever follows it asks again.

    async def look(self, run_id: str) -> Run:
        run = await self._shared.find(run_id)
        if run is None:
            name = one_line(run_id, 60)
            raise ToolError(f"No run {name!r} of {self.component} on {self.environment}.")
        return await self._look(run)

    async def _look(self, known: Run) -> Run:
        """As the service shows it now, and kept in the store so."""
        if known.state != "running":
            return known
        run = await self._found(known)
        if run is None:
            return self._not_shown(known)
        if run.state != "running":
            # The service has a clock of its own.
            run = replace(run, ended_at=max(run.ended_at or self._notes.now(), run.started_at))
            await self._shared.end(run)
            if run.ref and (key := self._news(run)):
                await no_longer(self._notes, key, run.thread_id)
        elif run != known:
            await self._hold(run)
        return run

    def _not_shown(self, run: Run) -> Run:
        """Not stored: the service may still show it."""
        if self._silent_since(run) is None:
            return replace(run, note=run.note or f"{self.service} does not show it yet.")
        note = (
            f"{self.service} was asked for it and does not show it, {self.appears_seconds:g} seconds later: whether it "
            "began is unknown."
        )
        return replace(run, state="lost", note=note)

    def _silent_since(self, run: Run) -> datetime | None:
        is_late = self._notes.now() - run.started_at > timedelta(seconds=self.appears_seconds)
        return run.started_at if is_late else None

    async def confirm(self, run: Run) -> Run:
        return await confirmed(self, self._shared, run, what="It")

    async def cancel(self, run_id: str, by: str) -> Run:
        run = await self.look(run_id)
        if run.state != "running":
            raise ToolError(f"Run {run_id} has ended already: {run.state.replace('_', ' ')}.")
        await self._stop(run)
        return await self.look(run_id)

    async def log_tail(self, run_id: str) -> str:
        run = await self.look(run_id)
        return await self._log(run) if run.ref else ""

    async def history(self, limit: int = 20) -> list[Run]:
        runs = (await self._shared.history())[: max(0, limit)]
        return [await self._look(run) if run.state == "running" else run for run in runs]

    async def holder(self) -> Holder | None:
        held = await self._shared.holder()
        run = await self._look(held) if held else None
        if run is None or run.state not in ("running", "lost"):
            return None
        silent = run.started_at if run.state == "lost" else None
        return Holder(run, silent, f"it may STILL BEGIN: look at {self.service} before you approve")

    async def release(self, run_id: str, by: str) -> None:
        await self._shared.release(run_id, f"{self.service} did not show it, and the target was released for {by}")

    # Of the service

    @abstractmethod
    async def _check(self, run: Run) -> Run:
        """Whether it could begin, before it claims anything, and what `_found` must know later.

        Raises ToolError, NoAnswer: nothing has begun.
        """

    @abstractmethod
    async def _begin(self, run: Run) -> Run:
        """Ask the service for it, once, with `run.id` in it; return the run with its `ref` and `url`, if known.

        Raises ToolError only if it has begun nothing for certain, and NoAnswer if that is not known.
        """

    @abstractmethod
    async def _found(self, run: Run) -> Run | None:
        """The run as it goes now, by its `ref` or, without one, by its id. None: the service does not show it."""

    def _news(self, run: Run) -> str:
        """The key under which a hook hears of the run, which has a `ref`: see `store.awaited`. Empty: none does."""
        return ""

    async def _stop(self, run: Run) -> None:
        """Raises ToolError if it cannot be stopped."""
        raise ToolError(f"{self.service} cannot stop a deployment: it goes on to its end.")

    async def _log(self, run: Run) -> str:
        """Cleaned and clipped by `last_lines`."""
        return ""

    async def about(self, sha: str) -> Facts:
        return {}

    @abstractmethod
    async def status(self) -> Running | None: ...

    @abstractmethod
    async def problems(self) -> list[str]: ...
