"""The first look: tags, commits and what runs, of several components in one step, all looked up at once.

Code chooses it before the model is asked. What one place does not answer is said in its place; the rest stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import ClassVar

from pydantic import JsonValue

from agent import Call, Tool, ToolError
from agent.roster.deploy.deployers.base import Running
from agent.roster.deploy.repository import Revision
from agent.roster.deploy.targets import Targets
from agent.roster.deploy.tools.rows import LISTED, described, row

ROWS_MAX = 60
"""The most tags, and the most commits, of all components together."""
_Names = dict[tuple[str, ...], list[str]]


class LookUp(Tool):
    """Tags, commits and what runs where, of these components. Chosen by code."""

    components: tuple[str, ...]
    after: str = ""
    """The deployment that has ended since: what runs is looked up anew."""
    only_what_runs: bool = False

    by_code: ClassVar[bool] = True
    needs: ClassVar[tuple[type, ...]] = (Targets,)
    acts: ClassVar[bool] = False
    doing: ClassVar[str] = "is looking at tags, commits and deployments"
    for_people: ClassVar[frozenset[str]] = frozenset({"components", "after", "only_what_runs"})

    async def run(self, call: Call) -> JsonValue:
        targets = call.need(Targets)
        components = [name for name in self.components if name in targets.config.components]
        async with asyncio.TaskGroup() as group:
            runs = group.create_task(deployments(targets, components, after=self.after))
            if self.only_what_runs:
                return {"deployments": await runs}
            tags = group.create_task(_tags(targets, components))
            commits = group.create_task(_commits(targets, components))
        found: dict[str, JsonValue] = {
            "tags": await tags,
            "commits": await commits,
            "commit_link": _links(targets, components),
        }
        return {**{key: value for key, value in found.items() if value not in ("", {})}, "deployments": await runs}


def _links(targets: Targets, components: list[str]) -> JsonValue:
    """The template of the link to a commit."""
    links = {name: targets.link(name, "{sha}") for name in components}
    return links[components[0]] if len(set(links.values())) == 1 else {k: v for k, v in links.items() if v}


async def deployments(targets: Targets, components: Iterable[str], *, after: str = "") -> list[JsonValue]:
    """A row for each target of these components."""
    wanted = set(components)
    places = [place for place in targets.places() if place[0] in wanted]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_running(targets, *place, after)) for place in places]
    found = [task.result() for task in tasks]
    shas: dict[str, set[str]] = {}
    for (component, _), running in zip(places, found, strict=True):
        if isinstance(running, Running):
            shas.setdefault(component, set()).add(running.sha)
    async with asyncio.TaskGroup() as group:
        for component in shas:
            group.create_task(_read(targets, component, shas[component]))
    return [await _row(targets, *place, running) for place, running in zip(places, found, strict=True)]


async def _running(targets: Targets, component: str, environment: str, after: str) -> Running | ToolError | None:
    try:
        return await targets.running(component, environment, after=after)
    except ToolError as error:
        return error


async def _read(targets: Targets, component: str, shas: set[str]) -> None:
    """Read these commits, and the tags, in one go each: then each row finds its own."""
    try:
        await targets.repository(component).revisions(shas)
        await targets.tags(component, 1)
    except ToolError:
        pass  # Each row says so.


async def _row(
    targets: Targets, component: str, environment: str, running: Running | ToolError | None
) -> dict[str, JsonValue]:
    commit = await described(targets, component, running.sha) if isinstance(running, Running) else {}
    since, by = (running.since, running.by) if isinstance(running, Running) else ("", "")
    problem = str(running) if isinstance(running, ToolError) else ""
    return {
        "component": component,
        "environment": environment,
        "name": commit.get("name", ""),
        "sha": str(commit.get("sha", ""))[:7],
        "subject": commit.get("subject", "") or problem,
        "since": since,
        "by": by,
    }


async def _tags(targets: Targets, components: Iterable[str]) -> JsonValue:
    """Those of each repository once."""
    together: _Names = {}
    for name in components:
        together.setdefault((targets.repository(name).name,), []).append(name)
    each = _each(together)

    async def rows(component: str) -> JsonValue:
        return [{"name": tag.name, **row(tag).as_json()} for tag in await targets.tags(component, each)]

    return await _of_all(together, rows)


async def _commits(targets: Targets, components: Iterable[str]) -> JsonValue:
    """Those of each folder of a repository once."""
    together: _Names = {}
    for name in components:
        repository = targets.repository(name)
        together.setdefault((repository.name, repository.within), []).append(name)
    each = _each(together)

    async def rows(component: str) -> JsonValue:
        found: list[Revision] = await targets.commits(component, each)
        return [row(commit).as_json() for commit in found]

    return await _of_all(together, rows)


def _each(together: _Names) -> int:
    return max(1, min(LISTED, ROWS_MAX // max(len(together), 1)))


async def _of_all(together: _Names, rows: Callable[[str], Awaitable[JsonValue]]) -> JsonValue:
    async def found(component: str) -> JsonValue:
        try:
            return await rows(component)
        except ToolError as error:
            return {"error": str(error)}

    async with asyncio.TaskGroup() as group:
        tasks = {", ".join(names): group.create_task(found(names[0])) for names in together.values()}
    # What is of all of them stands by itself.
    return next(iter(tasks.values())).result() if len(tasks) == 1 else {n: task.result() for n, task in tasks.items()}
