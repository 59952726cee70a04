"""Checks the deployment setup: repositories, programs, targets, and what is left out. `bot doctor` calls it.

It deploys nothing and tests nothing; of all commands it runs only `status`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from agent import ToolError
from agent.roster.deploy.deployers.process import command_environment, not_startable
from agent.roster.deploy.targets import Targets


async def problems(targets: Targets) -> list[str]:
    """One line for each problem: which setting, what is wrong, what to do."""
    tested = targets.config.tested
    checks = [_repository(targets, name) for name in targets.config.components]
    checks += (_target(targets, *place) for place in targets.places())
    checks += (_end_to_end(targets, environment) for environment in targets.config.order if environment in tested)
    # Not gather: when cancelled, it would not wait for the commands to end.
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_all(check)) for check in checks]
    where: dict[str, list[str]] = {}
    for task in tasks:
        for at, problem in task.result():
            # Targets often share commands, so report each problem once.
            where.setdefault(problem, []).append(at)
    return [f"{', '.join(dict.fromkeys(places))}: {problem}" for problem, places in where.items()]


def not_set_up(targets: Targets) -> tuple[str, ...]:
    """Optional parts that the team file leaves out, with what does not happen therefore. They are no problems."""
    untested = [environment for environment in targets.config.order if environment not in targets.config.tested]
    if not untested:
        return ()
    return (
        f"no end-to-end tests for {', '.join(untested)}: nothing is tested after a deployment there. "
        "To change that, give it a `test` in [agents.deploy.environments].",
    )


Found = AsyncIterator[tuple[str, str]]
"""Where something is wrong, and what."""


async def _all(found: Found) -> list[tuple[str, str]]:
    return [one async for one in found]


async def _repository(targets: Targets, name: str) -> Found:
    repository = targets.repository(name)
    try:
        # Start with a command that fails fast if there is no repository.
        await repository.tags(1)
        if not await repository.commits(limit=1):
            yield name, f"No commit touches {repository.within!r}. Correct its `path`."
    except ToolError as error:
        local = targets.config.components[name].repository is not None
        yield name, f"{error} Its `repository` must be a clone with commits on this machine." if local else str(error)


async def _target(targets: Targets, name: str, environment: str) -> Found:
    for problem in await targets.deployer(name, environment).problems():
        yield f"{name} {environment}", problem


async def _end_to_end(targets: Targets, environment: str) -> Found:
    # The same way as EndToEnd, but without running them: they may take minutes, and change the environment.
    cwd = targets.home
    command = targets.config.environments[environment].test
    if problem := not_startable(command, cwd, command_environment({})):
        yield f"environment {environment}", f"`test` cannot be started: {problem}"
