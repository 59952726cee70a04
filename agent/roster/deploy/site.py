"""The team's site: the names of its components and environments, and the schema of `[agents.deploy]` in the team file.

The table is validated at startup: an unknown placeholder is refused then, not during a deployment. Commands are lists
of arguments and never pass through a shell. This module reads no file and runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

# Your components and environments, which the model may name. Each needs a table in the team file.
Component = Literal["backend", "frontend"]
Environment = Literal["staging", "production"]
COMPONENTS: tuple[Component, ...] = ("backend", "frontend")
ENVIRONMENTS: tuple[Environment, ...] = ("staging", "production")

DEPLOY_PLACEHOLDERS = ("component", "environment", "key", "name", "previous", "sha")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Argument = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]
Command = Annotated[tuple[Argument, ...], Field(min_length=1, max_length=200)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _text(*known: str) -> AfterValidator:
    """Refuse other placeholders than the known ones."""

    def checked(text: str) -> str:
        _check_placeholders((text,), known)
        return text

    return AfterValidator(checked)


def _command(*known: str) -> AfterValidator:
    """Require a program, and refuse other placeholders than the known ones."""

    def checked(command: tuple[str, ...]) -> tuple[str, ...]:
        program, *arguments = command
        if not program.strip():
            raise ValueError("the first argument is the program and must not be empty")
        if _PLACEHOLDER.search(program):
            raise ValueError(f"the program {program!r} must not contain a placeholder")
        _check_placeholders(arguments, known)
        return command

    return AfterValidator(checked)


def _check_placeholders(texts: Iterable[str], known: Sequence[str]) -> None:
    found = dict.fromkeys(name for text in texts for name in _PLACEHOLDER.findall(text))
    if unknown := [f"{{{name}}}" for name in found if name not in known]:
        raise ValueError(f"unknown placeholder {', '.join(unknown)}; known are {', '.join(known)}")


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TargetConfig(_Config):
    """How to deploy one component to one environment. Commands are lists of arguments; there is no shell."""

    deploy: Annotated[Command, _command(*DEPLOY_PLACEHOLDERS)]
    """Deploys `{sha}`; runs in the repository. `{name}` is the requested tag or branch (or the SHA), `{previous}` the
    SHA that ran before (or nothing), `{key}` an idempotency key for the deployment, and `{component}` and
    `{environment}` are the names. The first argument is the program; it takes no placeholder."""
    status: Annotated[Command, _command("component", "environment")]
    """Prints what runs there: a full SHA, or a JSON object with `sha` and optionally `since`, `by`, `url`; nothing, if
    nothing was deployed yet. May contain `{component}` and `{environment}`."""
    timeout_seconds: float = Field(default=600.0, gt=0, le=86_400)
    """A longer deployment is stopped."""
    grace_seconds: float = Field(default=10.0, ge=0, le=600)
    """The time between SIGTERM and SIGKILL when it is stopped."""
    url: Annotated[str, _text(*DEPLOY_PLACEHOLDERS)] = Field(default="", max_length=1_000)
    """Where to watch a deployment; may contain the placeholders of `deploy`."""
    env: dict[Variable, Argument] = Field(default_factory=dict)
    """Environment variables for both commands. Of the bot's own they get only PATH, HOME, LANG, USER and TMPDIR."""


class ComponentConfig(_Config):
    name: Name
    """The name used by people and the model. Default: the table's key."""
    repository: Path
    """The git repository: the top of a working tree, or a bare repository. Commands run in it."""
    path: str = ""
    """The component's folder in a shared repository; commits that do not touch it are not listed."""
    commit_url: Annotated[str, _text("sha")] = Field(default="", max_length=1_000)
    """The URL of a commit's page, with `{sha}` in it."""
    targets: dict[Name, TargetConfig] = Field(min_length=1)
    """By environment."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        parts = PurePosixPath(self.path)
        if parts.is_absolute() or ".." in parts.parts or "\0" in self.path:
            raise ValueError(f"path {self.path!r} must be a folder inside the repository")
        if self.commit_url and "{sha}" not in self.commit_url:
            raise ValueError("commit_url must contain {sha}")
        return self

    def commit_link(self, sha: str) -> str:
        return filled(self.commit_url, {"sha": sha})


class DeployConfig(_Config):
    components: dict[Name, ComponentConfig] = Field(min_length=1)
    """By name."""
    end_to_end: dict[Name, Annotated[Command, _command("environment")]] = Field(default_factory=dict)
    """The test command of each environment; exit code 0 means passed. May contain `{environment}`."""

    @model_validator(mode="before")
    @classmethod
    def _names_from_keys(cls, given: object) -> object:
        if not isinstance(given, dict) or not isinstance(components := given.get("components"), dict):
            return given
        named = {key: {"name": key, **value} if isinstance(value, dict) else value for key, value in components.items()}
        return {**given, "components": named}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        folders: dict[str, str] = {}
        for key, component in self.components.items():
            if component.name != key:
                raise ValueError(f"components.{key} has the name {component.name!r}")
            for environment in component.targets:
                other = folders.setdefault(folder_name(key, environment), f"{key} on {environment}")
                if other != f"{key} on {environment}":
                    raise ValueError(f"{key} on {environment} and {other} would share a folder; rename one")
        environments = {environment for component in self.components.values() for environment in component.targets}
        if unknown := [name for name in self.end_to_end if name not in environments]:
            known = ", ".join(sorted(environments))
            raise ValueError(
                f"end_to_end.{unknown[0]} would never run: no component has this target; known are {known}"
            )
        return self


def folder_name(component: str, environment: str) -> str:
    return f"{component}-{environment}"


def filled(text: str, values: Mapping[str, str]) -> str:
    # One pass: placeholders inside values are not replaced.
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)
