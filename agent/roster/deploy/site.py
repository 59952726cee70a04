"""The team's site: the schema of `[agents.deploy]` in the team file, and the order of its environments.

The names of components and environments are the team's own; code knows none of them. The table is validated at startup:
an unknown placeholder, a deployment that does not name its commit, an environment that nothing is deployed to, or an
order that goes round in a circle is refused then, not during a deployment. Commands are lists of arguments and never
pass through a shell. This module reads no file and runs nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from agent.roster.deploy.deployers.kinds import AnyTarget, as_in_the_file
from agent.roster.deploy.fields import (
    Also,
    Command,
    Config,
    Name,
    RepositoryName,
    command_with,
    filled,
    folder_name,
    text_with,
)


class ComponentConfig(Config):
    name: Name
    """The name used by people and the model. Default: the table's key."""
    repository: Path | None = None
    """The git repository: the top of a working tree, or a bare repository. Commands run in it."""
    github: RepositoryName | Literal[""] = ""
    """The repository at GitHub, such as `acme/payments`. Where there is no local one, it is read by GitHub's API."""
    also: Also = ()
    """What people call it as well, such as `["API", "バックエンド"]`: the model is told, and they name it too."""
    path: str = ""
    """The component's folder in a shared repository; commits that do not touch it are not listed."""
    commit_url: Annotated[str, text_with("sha")] = Field(default="", max_length=1_000)
    """The URL of a commit's page, with `{sha}` in it. Default: that at GitHub, if it is there."""
    supersede: bool = False
    """When a newer commit was merged, older proposals to deploy it wait no more, wherever they need an approval."""
    targets: dict[Name, AnyTarget] = Field(min_length=1)
    """By environment."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        parts = PurePosixPath(self.path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in self.path:
            raise ValueError(f"path {self.path!r} must be a folder inside the repository")
        if self.commit_url and "{sha}" not in self.commit_url:
            raise ValueError("commit_url must contain {sha}")
        if self.repository is None and not self.github:
            raise ValueError("it needs a `repository` on this machine, or one at GitHub as `github`")
        return self

    @property
    def source(self) -> str:
        """It tells its repository from others."""
        return str(self.repository) if self.repository else self.github.lower()

    def commit_link(self, sha: str) -> str:
        url = self.commit_url or (f"https://github.com/{self.github}/commit/{{sha}}" if self.github else "")
        return filled(url, {"sha": sha})


class EnvironmentConfig(Config):
    after: Name = ""
    """The environment that comes before this one: what is deployed here runs there first. Empty: none does."""
    approval: Literal["required", "none"] = "required"
    """Whether a person approves each deployment to it. Only `none` lets deployments begin without an approval."""
    in_turn: bool = False
    """Merges are deployed here by code one after the other, the older commit first: each waits for its turn."""
    supersede: bool = False
    """When a newer commit was merged, older proposals to deploy here wait no more, nor do older merges that wait for
    their turn."""
    also: Also = ()
    """What people call it as well, as that of a component."""
    test: Annotated[Command, command_with("environment")] = ()
    """Tests it after a deployment; exit code 0 means passed. May contain `{environment}`. Empty: nothing does."""
    on_failed_test: Name = ""
    """The agent that takes over a thread when the tests fail. Empty: the agent itself goes on."""


class DeployConfig(Config):
    environments: dict[Name, EnvironmentConfig] = Field(default_factory=dict)
    """By name."""
    components: dict[Name, ComponentConfig] = Field(min_length=1)
    """By name."""
    only_named: StrictBool = False
    """Whether a change that the model chooses is refused where nobody has named its component and its environment."""

    @model_validator(mode="before")
    @classmethod
    def _names_from_keys(cls, given: object) -> object:
        if not isinstance(given, dict) or not isinstance(components := given.get("components"), dict):
            return given
        named = {key: {"name": key, **value} if isinstance(value, dict) else value for key, value in components.items()}
        return {**given, "components": named}

    @property
    def order(self) -> tuple[str, ...]:
        """The environments as declared, but each after the one that comes before it."""
        found: list[str] = []
        while len(found) < len(self.environments):
            rest = ((name, one.after) for name, one in self.environments.items() if name not in found)
            found.append(next(name for name, after in rest if not after or after in found))
        return tuple(found)

    @property
    def free(self) -> frozenset[str]:
        """The environments to which deployments need no approval."""
        return frozenset(name for name, one in self.environments.items() if one.approval == "none")

    @property
    def tested(self) -> frozenset[str]:
        return frozenset(name for name, one in self.environments.items() if one.test)

    @property
    def unattended(self) -> tuple[str, ...]:
        """In order, the environments that can be reached from the beginning without an approval."""
        free = self.free
        return tuple(name for name in self.order if free.issuperset((name, *self.all_before(name))))

    def supersedes(self, component: str, environment: str) -> bool:
        """Whether a newer merge withdraws older proposals for this target."""
        wants = self.components[component].supersede or self.environments[environment].supersede
        return wants and environment not in self.free

    def all_before(self, environment: str) -> Iterator[str]:
        """All environments that come before this one, the nearest first."""
        while (known := self.environments.get(environment)) and (environment := known.after):
            yield environment

    def before(self, component: str, environment: str) -> str:
        """The nearest environment before this one to which the component is deployed; empty: none."""
        targets = self.components[component].targets
        return next((name for name in self.all_before(environment) if name in targets), "")

    @property
    def one_of_each_repository(self) -> tuple[str, ...]:
        """The first component of each repository."""
        first: dict[str, str] = {}
        for name, component in self.components.items():
            first.setdefault(component.source, name)
        return tuple(first.values())

    def having(self, environment: str) -> tuple[str, ...]:
        """The components that are deployed to this environment."""
        return tuple(name for name, component in self.components.items() if environment in component.targets)

    def ending_in(self, environment: str) -> tuple[str, ...]:
        """The components for which no other environment comes after this one."""
        return tuple(
            name
            for name in self.having(environment)
            if all(environment not in self.all_before(other) for other in self.components[name].targets)
        )


def read_site(table: Mapping[str, Any]) -> DeployConfig:
    """Read `[agents.deploy]`. Raises pydantic's ValidationError with all problems."""
    try:
        site = DeployConfig.model_validate(table)
    except ValidationError as error:
        raise as_in_the_file(error) from None
    problems = [
        InitErrorDetails(type=PydanticCustomError("value_error", "{why}", {"why": why}), loc=path, input=None)
        for path, why in (*_of_environments(site), *_of_targets(site), *_of_other_names(site), *_of_only_named(site))
    ]
    if problems:
        raise ValidationError.from_exception_data("DeployConfig", problems)
    return site


Problem = tuple[tuple[str, ...], str]
"""The path to a setting, and what is wrong with it."""


def _of_environments(site: DeployConfig) -> Iterator[Problem]:
    known = ", ".join(site.environments)
    for name, one in site.environments.items():
        path = ("environments", name)
        if one.after and one.after not in site.environments:
            yield (*path, "after"), f"no environment {one.after!r} is declared; known are {known}"
        elif (circle := _circle_from(site, name)) and name == min(circle):
            yield (*path, "after"), f"the order goes round in a circle: {' after '.join(circle)}"
        if not site.having(name):
            yield path, "it has no effect, because no component has this target; add one, or leave it out"
        if one.in_turn and name not in site.unattended:
            why = "it has no effect, because code deploys no merge there: it, or one before it, needs an approval"
            yield (*path, "in_turn"), why
        if one.on_failed_test and not one.test:
            yield (*path, "on_failed_test"), "it has no effect without `test`, the command that tests the environment"


def _of_only_named(site: DeployConfig) -> Iterator[Problem]:
    if site.only_named and len(site.components) == 1 and len(site.environments) == 1:
        yield ("only_named",), "it has no effect, because there is only one component and one environment; leave it out"


def _circle_from(site: DeployConfig, name: str) -> list[str]:
    """The names along `after` from this one until one repeats, if that is this one; else nothing."""
    names = [name]
    for before in site.all_before(name):
        names.append(before)
        if before in names[:-1]:
            return names if before == name else []
    return []


def _of_targets(site: DeployConfig) -> Iterator[Problem]:
    folders: dict[str, str] = {}
    for key, component in site.components.items():
        path = ("components", key)
        if component.name != key:
            yield (*path, "name"), f"it is {component.name!r}, but the table's key says {key!r}; leave it out"
        for environment, target in component.targets.items():
            where = (*path, "targets", environment)
            if why := target.misplaced(local=component.repository is not None, github=component.github):
                yield where, why
            other = folders.setdefault(folder_name(key, environment), f"{key} on {environment}")
            if other != f"{key} on {environment}":
                yield where, f"{key} on {environment} and {other} would share a folder; rename one"
            if environment not in site.environments:
                known = f"known are {', '.join(site.environments)}" if site.environments else "none is"
                yield (
                    where,
                    f"no environment {environment!r} is declared, {known}; write `{environment} = {{}}` under "
                    '[agents.deploy.environments], with `approval = "none"` only if nobody has to approve',
                )


def _of_other_names(site: DeployConfig) -> Iterator[Problem]:
    """One word must not stand for two things."""
    named = {("components", name): component.also for name, component in site.components.items()}
    named |= {("environments", name): environment.also for name, environment in site.environments.items()}
    owners: dict[str, tuple[str, ...]] = {_as_said(name): (kind, name) for kind, name in named}
    for path, also in named.items():
        for index, text in enumerate(also):
            here = (*path, "also", str(index))
            owner = owners.setdefault(_as_said(text), here)
            if owner[:2] == path and owner != here:
                yield here, f"{text!r} names it already; leave it out"
            elif owner != here:
                yield here, f"{text!r} names {owner[1]!r} too, so nobody would know which is meant; leave it out"


def _as_said(text: str) -> str:
    return re.sub(r"[\s_-]", "", unicodedata.normalize("NFKC", text).casefold())
