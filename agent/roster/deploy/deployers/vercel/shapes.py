"""What we read of Vercel's answers. Other fields are left alone: Vercel adds some every month.

Its texts come from whoever may push or name a project: what is shown is cleaned by whoever shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, JsonValue

from agent import ToolError

_SHA_KEYS = ("githubCommitSha", "gitlabCommitSha", "bitbucketCommitSha", "gitCommitSha")
_HOST = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,200}$")]
"""It becomes a part of a path."""


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Source(_Read):
    sha: str | None = None


class _Creator(_Read):
    username: str | None = None


class _Named(_Read):
    slug: str | None = None


class Problem(_Read):
    message: str = ""


class Deployment(_Read):
    """A deployment, whole or from a list. A list does not say its commit but in `meta`."""

    id: Id = Field(validation_alias=AliasChoices("id", "uid"))
    host: str = Field(default="", validation_alias="url")
    state: str = Field(validation_alias="readyState")
    substate: str | None = Field(default=None, validation_alias="readySubstate")
    target: str | None = None
    environment: _Named | None = Field(default=None, validation_alias="customEnvironment")
    project: str = Field(default="", validation_alias="projectId")
    meta: dict[str, JsonValue] = Field(default_factory=dict)
    source: _Source | None = Field(default=None, validation_alias="gitSource")
    created: int = Field(validation_alias=AliasChoices("createdAt", "created"))
    creator: _Creator | None = None
    page: str | None = Field(default=None, validation_alias="inspectorUrl")
    error: str | None = Field(default=None, validation_alias="errorMessage")
    reason: str | None = Field(default=None, validation_alias="readyStateReason")
    alias_error: Problem | None = Field(default=None, validation_alias="aliasError")

    @property
    def commits(self) -> frozenset[str]:
        """All that Vercel says of its commit: one, or something is wrong; none, if it was not made from git."""
        # What was uploaded with changes that are in no commit is of none.
        if self.meta.get("gitDirty") == "1" and not self.source:
            return frozenset()
        said = [self.source.sha if self.source else None, *(self.meta.get(key) for key in _SHA_KEYS)]
        return frozenset(sha.lower() for sha in said if isinstance(sha, str) and sha)

    def is_of(self, sha: str) -> bool:
        """Whether it was made from this commit. What somebody has uploaded may claim any in its `meta`."""
        return self.source is not None and bool(self.source.sha) and self.commits == {sha}

    @property
    def commit(self) -> str:
        """Empty: it is not of exactly one."""
        return next(iter(self.commits)) if len(self.commits) == 1 else ""

    @property
    def where(self) -> str:
        """`production`, `preview`, `staging`, or the slug of a custom environment."""
        return (self.environment and self.environment.slug) or self.target or "preview"

    @property
    def is_being_built(self) -> bool:
        return self.state in ("QUEUED", "INITIALIZING", "BUILDING")

    @property
    def is_staged(self) -> bool:
        """It is ready, and no traffic has ever come to it."""
        return self.state == "READY" and self.substate == "STAGED"

    @property
    def url(self) -> str:
        return f"https://{self.host}" if _HOST.fullmatch(self.host) else ""

    @property
    def inspector(self) -> str:
        return self.page if self.page and self.page.startswith("https://") else ""

    @property
    def by(self) -> str:
        return (self.creator and self.creator.username) or ""

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.created / 1000, UTC)


class _Pages(_Read):
    next: int | None = None


class Deployments(_Read):
    deployments: tuple[Deployment, ...]
    pagination: _Pages = _Pages()


class Link(_Read):
    """The repository that a project is connected to."""

    type: str
    org: str | None = None
    repo: str | None = None
    repoId: int | str | None = None
    projectId: int | str | None = None
    uuid: str | None = None
    workspaceUuid: str | None = None
    productionBranch: str = ""

    def source(self, ref: str, sha: str) -> dict[str, JsonValue]:
        """The `gitSource` of exactly this commit. Raises ToolError if Vercel does not take one of such a link."""
        its: dict[str, JsonValue]
        match self.type:
            case "github" | "github-limited":
                its = {"repoId": self.repoId}
            case "gitlab":
                its = {"projectId": self.projectId}
            case "bitbucket":
                its = {"repoUuid": self.uuid, "workspaceUuid": self.workspaceUuid}
            case _:
                raise ToolError(
                    f"The project is connected to a repository of the kind {self.type[:40]!r}, of which nothing can be "
                    "deployed by its commit. GitHub, GitLab and Bitbucket can."
                )
        if any(value is None for value in its.values()):
            raise ToolError("Vercel does not say which repository the project is connected to: connect it anew.")
        return {"type": self.type, **its, "ref": ref, "sha": sha}


class _Live(_Read):
    id: Id


class AliasRequest(_Read):
    """The last promotion or rollback of a project."""

    to: str = Field(validation_alias="toDeploymentId")
    status: str = Field(validation_alias="jobStatus")
    requested: int = Field(validation_alias="requestedAt")

    @property
    def is_under_way(self) -> bool:
        return self.status in ("pending", "in-progress")


class Project(_Read):
    id: Id
    name: str
    link: Link | None = None
    targets: dict[str, _Live | None] = Field(default_factory=dict)
    job: AliasRequest | None = Field(default=None, validation_alias="lastAliasRequest")
    own_environments: tuple[_Named, ...] | None = Field(default=None, validation_alias="customEnvironments")
    rolling: dict[str, JsonValue] | None = Field(default=None, validation_alias="rollingRelease")

    @property
    def live(self) -> str:
        """The deployment that the production domains lead to; empty: none yet."""
        production = self.targets.get("production")
        return production.id if production else ""

    @property
    def environments(self) -> tuple[str, ...]:
        """The slugs of its custom environments."""
        return tuple(one.slug for one in self.own_environments or () if one.slug)


class Team(_Read):
    id: Id
    slug: str


class BuildEvent(_Read):
    text: str | None = None
    payload: BuildText | None = None

    @property
    def line(self) -> str:
        return self.text or (self.payload and self.payload.text) or ""


class BuildText(_Read):
    text: str | None = None


def lines(events: list[BuildEvent | None]) -> Iterator[str]:
    """Oldest first, of events with the newest first."""
    return (event.line for event in reversed(events) if event and event.line)
