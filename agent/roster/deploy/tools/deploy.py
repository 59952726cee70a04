"""The tools that change a target: deploy a revision, and roll back to an earlier one.

The revision comes from a person or a model. `prepare` resolves it to a full commit; people are shown and approve that
commit, and exactly that commit is deployed. What they were shown is looked up again before it begins: what has changed
since, nobody has approved. These tools do not wait for the end.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from agent import Call, Facts, Meaning, Result, Tool, ToolError
from agent.roster.deploy.deployers.base import Deployer, Run, Running
from agent.roster.deploy.line import Merge
from agent.roster.deploy.repository import TAGS, Repository, Revision
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools.guards import (
    Waiver,
    as_change,
    changed,
    dangers,
    in_sentences,
    not_in,
    note,
    quoted,
    refusal,
)
from agent.roster.deploy.tools.rows import (
    FOR_PEOPLE,
    LABELS,
    SHORT_CHARS,
    described,
    in_short,
    shown,
    since_and_by,
)

COMMITS_SHOWN_MAX = 20
RUN_CANDIDATES = 50
NAME_PATTERN = "^[0-9A-Za-z._/+@#-]+$"
"""For models only, which otherwise copy whole rows of a table. A tag with other characters they name by its SHA."""


class Started(Result):
    """The outcome is reported only by `wait_for_deployment`, even if the run has ended already."""

    run_id: str = Field(min_length=1)
    state: Literal["started"]
    run_link: str = ""


class Deploy(Tool):
    """Deploy exactly this revision of a component. Where a person has to approve it first, code asks them."""

    component: str
    environment: str
    revision: str = Field(
        description="exactly as they named it: a tag or a SHA", json_schema_extra={"pattern": NAME_PATTERN}
    )
    waiver: Waiver | None = Field(
        default=None, description="only after a refusal, where a person wants exactly that all the same"
    )

    free: ClassVar[frozenset[str]] = frozenset()
    """The environments that need no approval: none, but where the class was made for a site."""
    one_repository: ClassVar[bool] = False
    """All components stand in one repository, so that each name of a revision says which. Else only a SHA does."""
    needs: ClassVar[tuple[type, ...]] = (Targets,)
    doing: ClassVar[str] = "is starting a deployment"
    for_people: ClassVar[frozenset[str]] = FOR_PEOPLE
    quotes: ClassVar[bool] = True
    editable: ClassVar[tuple[str, ...]] = ("revision",)
    after_refusal: ClassVar[frozenset[str]] = frozenset({"waiver"})
    dangers: ClassVar[tuple[str, ...]] = ("note", "waived_by", "failed_checks")
    on_cards: ClassVar[Mapping[str, str]] = LABELS

    def stands_for(self) -> Mapping[str, str]:
        is_of_one = self.one_repository or re.fullmatch(r"[0-9a-f]{7,40}", self.revision)
        return {"component": self.revision} if is_of_one else {}

    def needs_approval(self) -> bool:
        return self.environment not in self.free or self.waiver is not None

    @property
    def arguments(self) -> dict[str, JsonValue]:
        found = super().arguments
        if self.waiver is None:
            del found["waiver"]  # It would be noise in nearly every call.
        return found

    def is_same(self, arguments: Mapping[str, JsonValue], facts: Facts) -> bool:
        new = facts.get("new")
        sha = str(new.get("sha", "")) if isinstance(new, dict) else ""
        by_sha = len(self.revision) >= SHORT_CHARS and sha.startswith(self.revision.lower())
        return {**self.arguments, **({"revision": arguments.get("revision")} if by_sha else {})} == arguments

    def takes_standing_approval(self) -> bool:
        return self.waiver is None

    def bound_to(self, call: Call) -> Mapping[str, JsonValue]:
        return call.need(Targets).bound_to(self.component, self.environment)

    def meanings(self, facts: Facts) -> Mapping[str, Meaning]:
        new = facts["new"]
        assert isinstance(new, dict)
        return {"revision": _meaning(self.component, str(new.get("ref") or ""), str(new["sha"]))}

    @classmethod
    async def meanings_now(cls, argument: str, value: str, resources: Mapping[type, object]) -> Sequence[Meaning]:
        targets = resources.get(Targets)
        if argument != "revision" or not isinstance(targets, Targets):
            return ()
        components, found = targets.config.components, dict[str, Revision]()
        for name in targets.config.one_of_each_repository:
            with contextlib.suppress(ToolError):  # It is not known there.
                found[components[name].source] = await targets.repository(name).resolve(value)
        known = ((name, found.get(one.source)) for name, one in components.items())
        return [_meaning(name, revision.ref, revision.sha) for name, revision in known if revision]

    def title(self, facts: Facts) -> str:
        return f"Deploy {self.component} {in_short(facts['new'])} to {self.environment}"

    def warns(self, facts: Facts) -> Mapping[str, str]:
        running = facts["running"]
        runs = in_short(running) if isinstance(running, dict) else ""
        failed = f"Checks of it FAILED: {facts.get('failed_checks')}."
        return {
            **({"note": in_sentences(str(facts["note"]), runs)} if "note" in facts else {}),
            **({"failed_checks": failed} if "failed_checks" in facts else {}),
        }

    async def prepare(self, call: Call) -> Facts:
        targets = call.need(Targets)
        deployer = targets.deployer(self.component, self.environment)
        facts = await self._facts(call)
        facts = {**facts, **await deployer.about(_new(facts)), **deployer.carried_out}
        if self._may_be_superseded(targets):
            # Before people are asked, so that no newer merge misses it.
            mine = Merge(thread=call.thread_id, sha=_new(facts), components=(self.component,))
            await targets.proposals(self.component, self.environment).proposed(mine)
        return facts

    def _may_be_superseded(self, targets: Targets) -> bool:
        """What a person wants all the same, in plain words, is no older proposal of the same."""
        return self.waiver is None and targets.config.supersedes(self.component, self.environment)

    async def _facts(self, call: Call) -> Facts:
        targets = call.need(Targets)
        repository = targets.repository(self.component)
        new = await repository.resolve(self.revision)
        running = await targets.deployer(self.component, self.environment).status()
        found = await dangers(targets, self.component, self.environment, new.sha, running)
        facts: Facts = {}
        refused = refusal(f"{self.component} {self.environment}", new, found) if found else None
        if self.waiver:
            facts["waived_by"] = quoted(self.waiver, call, refused)
        elif refused:
            raise refused
        if found:
            facts["note"] = note(found)
        facts["new"] = {**shown(new, targets, self.component), **({"ref": new.ref} if new.ref else {})}
        facts |= await repository.about(new.sha)
        if running is None:
            facts["running"] = "nothing yet"
            return facts
        facts |= await _commits(targets, self.component, "adds", running.sha, new.sha)
        facts["running"] = {**await described(targets, self.component, running.sha), **since_and_by(running)}
        return facts

    async def run(self, call: Call) -> JsonValue:
        targets, new = call.need(Targets), _new(call.facts)
        running = await _still_running(call, self.component, self.environment)
        found = await dangers(targets, self.component, self.environment, new, running)
        if found := not_in(call.facts.get("note", ""), found):
            raise changed(self.component, self.environment, as_change(new, found))
        if self._may_be_superseded(targets):
            await targets.proposals(self.component, self.environment).forget((call.thread_id,))
        return await _start(call, self.component, self.environment, running)

    async def found_again(self, call: Call) -> JsonValue | None:
        return await _found_again(call, self.component, self.environment)


class Rollback(Tool):
    """Go back to the revision that ran before, and ran well. Approved by a person first; code asks them."""

    component: str
    environment: str

    needs: ClassVar[tuple[type, ...]] = (Targets,)
    doing: ClassVar[str] = "is starting a rollback"
    for_people: ClassVar[frozenset[str]] = FOR_PEOPLE
    on_cards: ClassVar[Mapping[str, str]] = LABELS

    def needs_approval(self) -> bool:
        return True

    def bound_to(self, call: Call) -> Mapping[str, JsonValue]:
        return call.need(Targets).bound_to(self.component, self.environment)

    def title(self, facts: Facts) -> str:
        return f"Roll back {self.component} on {self.environment} to {in_short(facts['new'])}"

    async def prepare(self, call: Call) -> Facts:
        targets = call.need(Targets)
        deployer = targets.deployer(self.component, self.environment)
        running = await deployer.status()
        if running is None:
            raise ToolError(f"Nothing runs on {self.component} {self.environment}, so there is nothing to roll back.")
        sha = await _earlier_good(deployer, targets.repository(self.component), running)
        if not sha:
            raise ToolError(
                f"No earlier good revision of {self.component} {self.environment} is on record. "
                "Name one, and deploy it."
            )
        return {
            "new": await described(targets, self.component, sha),
            **await _commits(targets, self.component, "takes_back", sha, running.sha),
            "running": {**await described(targets, self.component, running.sha), **since_and_by(running)},
            **await deployer.about(sha),
            **deployer.carried_out,
        }

    async def run(self, call: Call) -> JsonValue:
        targets, new = call.need(Targets), _new(call.facts)
        running = await _still_running(call, self.component, self.environment)
        deployer = targets.deployer(self.component, self.environment)
        now = running and await _earlier_good(deployer, targets.repository(self.component), running)
        if now != new:
            to = f"it would go back to {now[:7]} now, and not to {new[:7]}" if now else f"{new[:7]} is no way back"
            raise changed(self.component, self.environment, to)
        return await _start(call, self.component, self.environment, running)

    async def found_again(self, call: Call) -> JsonValue | None:
        return await _found_again(call, self.component, self.environment)


async def _found_again(call: Call, component: str, environment: str) -> JsonValue | None:
    run = await call.need(Targets).deployer(component, environment).find(call.key)
    return _started(run) if run else None


def _started(run: Run) -> JsonValue:
    return Started(run_id=run.id, state="started", run_link=run.url).as_json()


def _meaning(component: str, ref: str, sha: str) -> Meaning:
    """Only a tag has a name that a pattern may match: anybody who may push names a branch."""
    return Meaning(ref.removeprefix(TAGS) if ref.startswith(TAGS) else "", component, sha)


async def _commits(targets: Targets, component: str, name: str, older: str, newer: str) -> dict[str, JsonValue]:
    """What lies between two commits, for a card, under this name."""
    try:
        commits = await targets.repository(component).commits_between(older, newer, COMMITS_SHOWN_MAX + 1)
    except ToolError:  # What runs there may not be in the repository, as its row says.
        return {}
    facts: dict[str, JsonValue] = {}
    if commits:
        facts[name] = [f"{c.short} {c.subject} ({c.author})" for c in commits[:COMMITS_SHOWN_MAX]]
    if len(commits) > COMMITS_SHOWN_MAX:
        facts[f"{name}_more"] = f"and older commits: only the newest {COMMITS_SHOWN_MAX} are listed"
    return facts


def _new(facts: Mapping[str, JsonValue]) -> str:
    """The full SHA that people were shown."""
    new = facts["new"]
    assert isinstance(new, dict)
    return str(new["sha"])


async def _still_running(call: Call, component: str, environment: str) -> Running | None:
    """What runs on the target. Raises ToolError if the facts say something else."""
    before = call.facts["running"]
    expected = str(before["sha"]) if isinstance(before, dict) else ""
    running = await call.need(Targets).deployer(component, environment).status()
    now = running.sha if running else ""
    if now != expected:
        was, runs = expected[:7] or "nothing", now[:7] or "nothing"
        raise changed(component, environment, f"{runs} runs there now, and not {was}")
    return running


async def _start(call: Call, component: str, environment: str, running: Running | None) -> JsonValue:
    """Deploy the commit in the facts."""
    new = call.facts["new"]
    assert isinstance(new, dict)
    run = (
        await call.need(Targets)
        .deployer(component, environment)
        .start(
            _new(call.facts),
            name=str(new.get("name") or ""),
            previous=running.sha if running else "",
            key=call.key,
            by=call.requested_by,
            thread_id=call.thread_id,
        )
    )
    return _started(run)


async def _earlier_good(deployer: Deployer, repository: Repository, running: Running) -> str:
    """The commit to go back to; empty: none is on record."""
    for sha in _candidates(await deployer.history(RUN_CANDIDATES)):
        # Older than what runs: a second rollback must not bring the bad one back.
        if sha != running.sha and await repository.is_ancestor(sha, running.sha):
            return sha
    return ""


def _candidates(runs: list[Run]) -> list[str]:
    """Known good commits, newest first: each one deployed successfully, and the one that ran before it."""
    found = (sha for run in runs if run.state == "succeeded" for sha in (run.sha, run.previous) if sha)
    return list(dict.fromkeys(found))
