"""Whether the components can be deployed as they are set up, asked of their repositories, programs and targets.

Nothing is deployed and nothing is tested here; of all commands only `status` is run.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from agent import ToolError
from agent.roster.deploy.deployers.process import command_environment
from agent.roster.deploy.targets import Targets


async def problems(targets: Targets) -> list[str]:
    """Each thing that cannot work, in one line: where it is set up, what is wrong, what to do."""
    checks = [_repository(targets, name) for name in targets.config.components]
    checks += (_target(targets, *place) for place in targets.places())
    checks += (_end_to_end(targets, environment) for environment in targets.config.end_to_end)
    # Not gather: cancelled, that would not wait until every command that it started is gone.
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_all(check)) for check in checks]
    where: dict[str, list[str]] = {}
    for task in tasks:
        for at, problem in task.result():
            # Targets often share their commands: what is wrong with one of those is told once.
            where.setdefault(problem, []).append(at)
    return [f"{', '.join(dict.fromkeys(places))}: {problem}" for problem, places in where.items()]


Found = AsyncIterator[tuple[str, str]]
"""Where something is wrong, and what."""


async def _all(found: Found) -> list[tuple[str, str]]:
    return [one async for one in found]


async def _repository(targets: Targets, name: str) -> Found:
    repository = targets.repository(name)
    try:
        # First what any repository can answer: git ends at once where there is none, and reads no question.
        await repository.tags(1)
        if not await repository.commits(limit=1):
            yield name, f"No commit touches {repository.within!r}. Correct its `path`."
    except ToolError as error:
        yield name, f"{error} Its `repository` has to be a clone with commits on this machine."


async def _target(targets: Targets, name: str, environment: str) -> Found:
    target = targets.config.components[name].targets[environment]
    cwd, env = targets.repository(name).path, command_environment(target.env)
    at = f"{name} {environment}"
    if problem := _not_startable(target.deploy, cwd, env):
        yield at, f"`deploy` cannot be started: {problem}"
    if problem := _not_startable(target.status, cwd, env):
        yield at, f"`status` cannot be started: {problem}"
    elif cwd.is_dir():
        try:
            await targets.deployer(name, environment).status()
        except ToolError as error:
            yield at, f"{str(error).rstrip('.')}. Try its `status` by hand in {str(cwd)!r}."


async def _end_to_end(targets: Targets, environment: str) -> Found:
    # As EndToEnd runs them. Whether they pass is not asked: they may take minutes, and change what they test.
    cwd = next(iter(targets.config.components.values())).repository.expanduser().absolute()
    if problem := _not_startable(targets.config.end_to_end[environment], cwd, command_environment({})):
        yield f"end_to_end {environment}", f"The tests cannot be started: {problem}"


def _not_startable(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> str:
    """Why not, and what to do; empty: its program is there, or stands in a repository that is not there."""
    program = command[0]
    if "/" not in program:
        if shutil.which(program, path=env["PATH"]):
            return ""
        return f"{program!r} is in no folder of PATH ({env['PATH']}). Install it, or give its whole path."
    file = str(cwd / program)
    if not (os.path.isabs(program) or cwd.is_dir()):
        return ""  # That the repository is missing says it all.
    if not os.path.isfile(file):  # Not Path.is_file, which raises where we may not look.
        return f"{file!r} does not exist or is no file. Correct the path."
    return "" if os.access(file, os.X_OK) else f"{file!r} is not executable by the bot's user. Run chmod +x on it."
