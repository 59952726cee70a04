"""What a team has at Vercel: projects, and deployments that are built, wait, fail, and are promoted.

A deployment is built by its `Build`, one state further each time that somebody looks at it, or by the test itself
(`finish`). Nothing happens by a clock. A production deployment that is ready takes the project's domains, unless the
project keeps them back (`auto_assign=False`): then it is STAGED until it is promoted. What changes is told to
`on_event`.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.fakes.vercel.shapes import JobStatus, Record, State, Substate

ENDED: frozenset[State] = frozenset({"READY", "ERROR", "CANCELED"})
GITHUB: Record = {"type": "github", "org": "acme", "repo": "web", "repoId": 4711}
GITLAB: Record = {
    "type": "gitlab",
    "projectId": "815",
    "projectName": "web",
    "projectNameWithNamespace": "acme / web",
    "projectNamespace": "acme",
    "projectUrl": "https://gitlab.example.com/acme/web",
}
BITBUCKET: Record = {
    "type": "bitbucket",
    "name": "web",
    "slug": "web",
    "owner": "acme",
    "uuid": "{web-uuid}",
    "workspaceUuid": "{acme-uuid}",
}
CUSTOM_HOST: Record = {"type": "github-custom-host", "host": "git.example.com", "org": "acme", "repo": "web"}
COMMIT_KEYS = {"github": "githubCommitSha", "gitlab": "gitlabCommitSha", "bitbucket": "bitbucketCommitSha"}


@dataclass(frozen=True)
class Build:
    """What becomes of a deployment. Without states, it stays QUEUED."""

    states: tuple[State, ...] = ("BUILDING", "READY")
    error: str = ""
    log: tuple[str, ...] = ()
    sha: str = ""
    """Another commit than the one that was asked for: the head of a branch that has moved."""
    target: str = ""
    """Another target than the one that was asked for."""
    listed_after: int = 0
    """So many lists do not have it yet."""
    commit_unsaid: bool = False
    """Its commit is not told before it is ready."""


STUCK = Build(states=())
FAILED = Build(("BUILDING", "ERROR"), error='Command "npm run build" exited with 1', log=("> build", "no such module"))


@dataclass
class Made:
    """A deployment."""

    id: str
    project: Project
    sha: str
    ref: str
    target: str
    """`production`, `preview`, `staging`, or the slug of a custom environment."""
    created: int
    by: str
    meta: dict[str, str]
    source: str = "git"
    """`cli`: somebody has uploaded it, so it is of no commit, whatever its `meta` says."""
    state: State = "QUEUED"
    substate: Substate | None = None
    ready: int | None = None
    error: str = ""
    log: list[str] = field(default_factory=list)
    coming: deque[State] = field(default_factory=deque)
    hidden: int = 0
    commit_unsaid: bool = False
    alias_error: str = ""
    """Why the domains could not lead to it."""

    @property
    def told(self) -> dict[str, str]:
        """Its `meta`, as it is told by now."""
        is_unsaid = self.commit_unsaid and self.state != "READY"
        return {key: text for key, text in self.meta.items() if not (is_unsaid and key in COMMIT_KEYS.values())}

    @property
    def url(self) -> str:
        return f"{self.project.name}-{self.id.removeprefix('dpl_').lower()}-acme.vercel.app"

    @property
    def inspector(self) -> str:
        return f"https://vercel.com/acme/{self.project.name}/{self.id.removeprefix('dpl_')}"


@dataclass
class Job:
    """The last promotion or rollback of a project."""

    to: Made
    before: Made | None
    kind: str
    status: JobStatus
    requested: int


@dataclass
class Project:
    id: str
    name: str
    auto_assign: bool = True
    branch: str = "main"
    link: Record | None = field(default_factory=lambda: dict(GITHUB))
    environments: tuple[str, ...] = ()
    """Slugs of custom environments."""
    rolling: bool = False
    """It releases step by step."""
    production: Made | None = None
    """What the production domains lead to."""
    job: Job | None = None


class Account:
    """One team. A user of it, `ann`, has made what no test says anything else about."""

    def __init__(self, *, team_id: str = "team_acme0001", slug: str = "acme") -> None:
        self.team_id, self.slug = team_id, slug
        self.projects: dict[str, Project] = {}
        self.deployments: list[Made] = []
        """The oldest first."""
        self.builds: deque[Build] = deque()
        """Of the next that are created; after that, each is built."""
        self.promotions: deque[JobStatus] = deque()
        """How the next promotions end; after that, each succeeds."""
        self.ignored: set[str] = set()
        """Filters of lists that have no effect, by how their names begin."""
        self.on_event: Callable[[str, Made], None] = lambda kind, made: None
        self._numbers = itertools.count(1)
        self._last = 0

    def now(self) -> int:
        """Milliseconds; later than any time that it gave before."""
        self._last = max(self._last + 1, int(time.time() * 1000))
        return self._last

    def add_project(self, name: str = "web", **more: object) -> Project:
        project = Project(id=f"prj_{name}{next(self._numbers):04d}", name=name, **more)  # type: ignore[arg-type]
        self.projects[project.id] = project
        return project

    def project(self, id_or_name: str) -> Project | None:
        return next((one for one in self.projects.values() if id_or_name in (one.id, one.name)), None)

    def find(self, id_or_url: str) -> Made | None:
        return next((one for one in self.deployments if id_or_url in (one.id, one.url)), None)

    def of(self, project: Project) -> list[Made]:
        """Newest first."""
        return [one for one in reversed(self.deployments) if one.project is project]

    # What happens to deployments

    def create(
        self, project: Project, sha: str, target: str, *, ref: str, meta: dict[str, str] | None = None, by: str = "ann"
    ) -> Made:
        build = self.builds.popleft() if self.builds else Build()
        sha, target = build.sha or sha, build.target or target
        provider = str((project.link or GITHUB)["type"])
        made = Made(
            id=f"dpl_{next(self._numbers):024d}",
            project=project,
            sha=sha,
            ref=ref,
            target=target,
            created=self.now(),
            by=by,
            # What Vercel knows of the commit stands above what was given.
            meta={**(meta or {}), COMMIT_KEYS.get(provider, "githubCommitSha"): sha, "githubCommitRef": ref},
            error=build.error,
            log=list(build.log),
            coming=deque(build.states),
            hidden=build.listed_after,
            commit_unsaid=build.commit_unsaid,
        )
        self.deployments.append(made)
        self.on_event("deployment.created", made)
        return made

    def deployed(self, project: Project, sha: str, target: str = "production", *, live: bool = True) -> Made:
        """One that somebody has made before, and that is ready. `live`: in production, the domains lead to it."""
        self.builds.appendleft(Build())
        made = self.create(project, sha, target, ref=project.branch if target == "production" else "some-branch")
        made.coming.clear()
        self.finish(made, "READY", assign=live)
        return made

    def looked_at(self, made: Made) -> None:
        if made.coming:
            self.finish(made, made.coming.popleft())

    def finish(self, made: Made, state: State, *, assign: bool | None = None) -> None:
        """It is in this state from now on."""
        made.state = state
        if state in ENDED:
            made.coming.clear()
        if state == "ERROR":
            self.on_event("deployment.error", made)
        elif state == "CANCELED":
            self.on_event("deployment.canceled", made)
        elif state == "READY":
            made.ready = self.now()
            made.substate = "STAGED" if made.target == "production" else None
            self.on_event("deployment.succeeded", made)
            if made.target == "production" and (made.project.auto_assign if assign is None else assign):
                self._lead_to(made)

    def _lead_to(self, made: Made) -> None:
        made.project.production, made.substate = made, "PROMOTED"
        self.on_event("deployment.promoted", made)

    def promote(self, made: Made, kind: str = "promote") -> Job:
        """It is pending until somebody looks at the project."""
        made.project.job = Job(made, made.project.production, kind, "pending", self.now())
        return made.project.job

    def rolled_back(self, made: Made) -> None:
        """By somebody in Vercel's dashboard."""
        self.promote(made, "rollback")
        self.project_looked_at(made.project)

    def project_looked_at(self, project: Project) -> None:
        if project.job and project.job.status == "pending":
            project.job.status = self.promotions.popleft() if self.promotions else "succeeded"
            if project.job.status == "succeeded":
                self._lead_to(project.job.to)

    def listed(
        self,
        project: Project | None,
        *,
        target: str = "",
        states: Sequence[str] = (),
        sha: str = "",
        meta: dict[str, str],
    ) -> list[Made]:
        """Newest first, those that fit."""
        found = []
        for made in self.of(project) if project else reversed(self.deployments):
            if made.hidden:
                made.hidden -= 1
                continue
            self.looked_at(made)
            fits = {
                "target": not target or made.target == target,
                "state": not states or made.state in states,
                "sha": not sha or sha in made.meta.values(),
                "meta-": meta.items() <= made.meta.items(),
            }
            if all(does or name in self.ignored for name, does in fits.items()):
                found.append(made)
        return found
