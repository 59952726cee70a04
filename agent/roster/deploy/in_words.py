"""The site in a few lines, for the system prompt: its environments in order, and what is deployed where.

The names are those of the team file; nothing that changes while the program runs stands there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from agent.roster.deploy.site import ComponentConfig, DeployConfig


def in_words(site: DeployConfig) -> str:
    lines = ["# The site", "", "Environments, in their order:"]
    lines += (_environment(site, name) for name in site.order)
    lines.append("Components, each with its repository, and the environments that they are deployed to:")
    together: dict[tuple[str, ...], list[str]] = {}
    for name, component in site.components.items():
        environments = tuple(environment for environment in site.order if environment in component.targets)
        together.setdefault(environments, []).append(f"{name} ({_repository(site, component)})")
    lines += (f"- {', '.join(names)}: {', '.join(environments)}" for environments, names in together.items())
    others = {name: one.also for name, one in site.components.items()}
    if called := [*_also(others), *_also({name: site.environments[name].also for name in site.order})]:
        lines += ["What people also call them:", *called]
    return "\n".join(lines)


def _also(others: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    return (f"- {name}: {', '.join(also)}" for name, also in others.items() if also)


def _environment(site: DeployConfig, name: str) -> str:
    one = site.environments[name]
    after = f", after {one.after}" if one.after else ""
    approval = "no approval" if name in site.free else "people approve"
    return f"- {name}{after}: {approval}{', tested by code' if one.test else ''}"


def _repository(site: DeployConfig, component: ComponentConfig) -> str:
    """The shortest name that tells it from the others, with the component's folder in it."""
    paths = {PurePosixPath(other.source) for other in site.components.values()}
    path = PurePosixPath(component.source)
    name = path.name if Counter(other.name for other in paths)[path.name] == 1 else str(path)
    return f"{name}/{component.path}" if component.path else name
