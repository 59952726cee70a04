"""Checks `[github.environments]`: places that cannot be reached, names that come twice, and no hook that could ask.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bot.team.github import GitHubTable
from bot.team.hooks import HookTable, kind_of
from bot.team.reach import Reach, out_of_reach

GITHUB = "github"
"""The kind of hook by which GitHub asks."""


def github_problems(table: GitHubTable, hooks: Mapping[str, HookTable], reach: Reach) -> Iterator[str]:
    seen: dict[str, str] = {}
    for repository, within in table.environments.items():
        where = f"github.environments.{repository} in the team file"
        if (other := seen.setdefault(repository.lower(), repository)) != repository:
            yield f"{where} is {other} in other letters, so it has no effect: put both into one."
        for environment, place in within.items():
            if why := out_of_reach(place, reach):
                yield f"{where}: {environment} names {place!r}, and {why}"
    if table.environments and not any(_is_githubs(name, hook) for name, hook in hooks.items()):
        yield (
            "github.environments in the team file has no effect: GitHub asks by a hook, so add [hooks.github], "
            "whose URL and secret the app gets."
        )


def _is_githubs(name: str, hook: HookTable) -> bool:
    kind = kind_of(name, hook)
    return kind is not None and kind.name == GITHUB
