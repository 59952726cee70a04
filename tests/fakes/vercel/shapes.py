"""What Vercel's API takes and answers, as far as our agent uses it: field by field, and nothing else.

Taken from Vercel's OpenAPI description (https://openapi.vercel.sh) as its own SDK of August 2026 has it
(https://github.com/vercel/sdk); the errors from https://vercel.com/docs/rest-api/errors, the deliveries from
https://vercel.com/docs/webhooks/webhooks-api. A field that they do not have is refused, and so is a missing one that
they require. The server checks each of its answers against these shapes, and each request.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["QUEUED", "INITIALIZING", "BUILDING", "READY", "ERROR", "CANCELED", "BLOCKED"]
Substate = Literal["STAGED", "ROLLING", "PROMOTED"]
Target = Literal["production", "staging"]
JobStatus = Literal["pending", "in-progress", "succeeded", "failed", "skipped"]
Record = dict[str, Any]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# What it takes


class GithubSource(Shape):
    type: Literal["github", "github-limited"]
    repoId: int | str
    ref: str
    sha: str | None = None


class GitlabSource(Shape):
    type: Literal["gitlab"]
    projectId: int | str
    ref: str
    sha: str | None = None


class BitbucketSource(Shape):
    type: Literal["bitbucket"]
    repoUuid: str
    workspaceUuid: str | None = None
    ref: str
    sha: str | None = None


GitSource = Annotated[GithubSource | GitlabSource | BitbucketSource, Field(discriminator="type")]


class CreateDeployment(Shape):
    """`createDeployment`."""

    name: str
    project: str | None = None
    target: str | None = None
    customEnvironmentSlugOrId: str | None = None
    gitSource: GitSource | None = None
    meta: dict[str, str] | None = None


# What it answers


class Creator(Shape):
    uid: str
    username: str | None = None


class Build(Shape):
    env: list[str]


class NamedProject(Shape):
    id: str
    name: str


class Environment(Shape):
    id: str
    slug: str | None = None


class Problem(Shape):
    code: str
    message: str


class Deployment(Shape):
    """`createDeployment`, `getDeployment`, `cancelDeployment`: the private representation."""

    id: str
    name: str
    url: str
    projectId: str
    ownerId: str
    createdAt: int
    createdIn: str
    bootedAt: int
    buildingAt: int
    readyState: State
    status: State
    readySubstate: Substate | None = None
    readyStateReason: str | None = None
    ready: int | None = None
    canceledAt: int | None = None
    target: Target | None
    customEnvironment: Environment | None = None
    alias: list[str] | None = None
    aliasAssigned: bool
    aliasError: Problem | None = None
    autoAssignCustomDomains: bool | None = None
    errorCode: str | None = None
    errorMessage: str | None = None
    gitSource: GitSource | None = None
    meta: dict[str, str]
    creator: Creator
    project: NamedProject | None = None
    inspectorUrl: str | None
    source: Literal["api-trigger-git-deploy", "cli", "git", "redeploy"] | None = None
    build: Build
    env: list[str]
    regions: list[str]
    routes: list[Record] | None
    projectSettings: Record
    isInConcurrentBuildsQueue: bool
    isInSystemBuildsQueue: bool
    buildSkipped: bool
    public: bool
    plan: Literal["hobby", "pro", "enterprise"]
    type: Literal["LAMBDAS"]
    version: int


class ListedDeployment(Shape):
    """One of `getDeployments`. It has no commit of its own: that stands in `meta`."""

    uid: str
    name: str
    url: str
    projectId: str
    created: int
    createdAt: int
    readyState: Literal["QUEUED", "INITIALIZING", "BUILDING", "READY", "ERROR", "CANCELED", "BLOCKED", "DELETED"]
    state: Literal["QUEUED", "INITIALIZING", "BUILDING", "READY", "ERROR", "CANCELED", "BLOCKED", "DELETED"] | None = (
        None
    )
    readySubstate: Substate | None = None
    type: Literal["LAMBDAS"]
    creator: Creator
    meta: dict[str, str] | None = None
    target: Target | None = None
    customEnvironment: Environment | None = None
    ready: int | None = None
    inspectorUrl: str | None
    isRollbackCandidate: bool | None = None
    errorCode: str | None = None
    errorMessage: str | None = None


class Pagination(Shape):
    count: int
    next: int | None
    prev: int | None


class Deployments(Shape):
    """`getDeployments`."""

    deployments: list[ListedDeployment]
    pagination: Pagination


class EventInfo(Shape):
    type: str
    name: str


class BuildEvent(Shape):
    """One of `getDeploymentEvents`, with `builds=1`."""

    id: str
    serial: str
    created: int
    date: int
    deploymentId: str
    info: EventInfo
    text: str | None = None
    type: Literal["command", "stdout", "stderr", "fatal", "exit", "deployment-state", "delimiter"]
    level: Literal["error", "warning"] | None = None


class GithubLink(Shape):
    type: Literal["github"]
    org: str
    repo: str | None = None
    repoId: int | None = None
    productionBranch: str
    deployHooks: list[Record]
    gitCredentialId: str


class GitlabLink(Shape):
    type: Literal["gitlab"]
    projectId: str
    projectName: str
    projectNameWithNamespace: str
    projectNamespace: str
    projectUrl: str
    productionBranch: str
    deployHooks: list[Record]
    gitCredentialId: str


class BitbucketLink(Shape):
    type: Literal["bitbucket"]
    name: str
    slug: str
    owner: str
    uuid: str
    workspaceUuid: str
    productionBranch: str
    deployHooks: list[Record]
    gitCredentialId: str


class CustomHostLink(Shape):
    """A GitHub of the team's own: nothing can be created from it by its id."""

    type: Literal["github-custom-host"]
    host: str
    org: str
    repo: str | None = None
    productionBranch: str
    deployHooks: list[Record]
    gitCredentialId: str


Link = Annotated[GithubLink | GitlabLink | BitbucketLink | CustomHostLink, Field(discriminator="type")]


class RunningThere(Shape):
    """One of `Project.targets`."""

    id: str
    name: str
    url: str
    deploymentHostname: str
    createdAt: int
    createdIn: str
    creator: Record | None
    readyState: State
    readySubstate: Substate | None = None
    alias: list[str] | None = None
    meta: dict[str, str] | None = None
    plan: Literal["hobby", "pro", "enterprise"]
    private: bool
    target: str | None = None
    type: Literal["LAMBDAS"]


class AliasRequest(Shape):
    fromDeploymentId: str | None
    toDeploymentId: str
    jobStatus: JobStatus
    requestedAt: int
    type: Literal["promote", "rollback"]


class RollingRelease(Shape):
    target: str


class CustomEnvironment(Shape):
    id: str
    slug: str
    type: Literal["production", "preview", "development"]
    createdAt: int
    updatedAt: int


class Project(Shape):
    """`getProject`."""

    id: str
    name: str
    accountId: str
    alias: list[Record]
    autoAssignCustomDomains: bool | None = None
    link: Link | None = None
    targets: dict[str, RunningThere | None] | None = None
    lastAliasRequest: AliasRequest | None = None
    rollingRelease: RollingRelease | None = None
    customEnvironments: list[CustomEnvironment] | None = None
    deploymentExpiration: Record
    defaultResourceConfig: Record
    resourceConfig: Record
    directoryListing: bool
    nodeVersion: Literal["22.x", "24.x"]


class Team(Shape):
    """`getTeam`, for a token that may see all of it."""

    id: str
    slug: str
    name: str | None
    avatar: str | None
    description: str | None
    billing: Record | None
    creatorId: str
    stagingPrefix: str
    createdAt: int
    updatedAt: int


class Limit(Shape):
    remaining: int
    reset: int
    resetMs: int
    total: int


class Error(Shape):
    code: str
    message: str
    invalidToken: bool | None = None
    limit: Limit | None = None


class Failure(Shape):
    error: Error


# What it delivers


class HookUser(Shape):
    id: str


class HookDeployment(Shape):
    id: str
    meta: dict[str, str]
    url: str
    name: str


class HookLinks(Shape):
    deployment: str
    project: str


class HookPayload(Shape):
    team: HookUser | None
    user: HookUser
    deployment: HookDeployment
    links: HookLinks
    target: Target | None
    project: HookUser
    plan: str
    regions: list[str]


class Delivery(Shape):
    """The body of a webhook about a deployment."""

    id: str
    type: Literal[
        "deployment.created", "deployment.succeeded", "deployment.promoted", "deployment.error", "deployment.canceled"
    ]
    createdAt: int
    region: str | None
    payload: HookPayload
