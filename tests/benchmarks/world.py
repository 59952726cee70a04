"""A made-up team for recorded threads: a repository, its targets and its tests, in memory and always the same by seed.

Deploybot's own tools run on it, so what they answer here has the shape that they answer anywhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.roster.deploy.deployers.base import Run, Running, RunState
from agent.roster.deploy.deployers.command import CommandDeployer
from agent.roster.deploy.end_to_end import Checked, EndToEnd
from agent.roster.deploy.git_repository import GitRepository
from agent.roster.deploy.repository import Repository, Revision
from agent.roster.deploy.site import read_site
from agent.roster.deploy.targets import Targets
from agent.steps import ToolError
from tests.fakes.clock import Clock

BEGAN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
COMMIT_URL = "https://git.example.com/shop/commit/{sha}"

_AUTHORS = ("Ada Okafor", "Lin Berg", "Mateo Ruiz", "Priya Nair", "Tom Fischer", "Zoë Laurent")
_SUBJECTS = (
    "Pay by invoice",
    "Show delivery dates in the basket",
    "Fix rounding of VAT for mixed baskets",
    "Retry the warehouse call on timeouts",
    "Bump httpx from 0.27.0 to 0.28.1",
    "Search: rank exact matches first",
    "Move sessions to Redis",
    "Drop the old /v1/orders endpoint",
    "Log the request id with every error",
    "Checkout: ask for a phone number only where the carrier needs it",
    "Translate the e-mails to Dutch",
    "Cache product images for a day (#1841)",
    "Revert “Move sessions to Redis”",
    "Make the health check wait for migrations",
    "Coupons may be combined with gift cards",
    "Add an index on orders.created_at",
)
_BUILD = (
    "Step 4/9 : RUN pip install --no-cache-dir -r requirements.txt",
    "pushed registry.example.com/shop/{component}:{short}",
    "deployment.apps/{component} image updated",
    "Waiting for deployment {component} rollout to finish: 1 of 3 updated replicas are available...",
    "Waiting for deployment {component} rollout to finish: 2 of 3 updated replicas are available...",
)
_WORKED = "deployment {component} successfully rolled out"
_FAILED = "error: deployment {component} exceeded its progress deadline: readiness probe failed: HTTP 503"


@dataclass
class World:
    seed: int
    failing: set[tuple[str, str]] = field(default_factory=set)
    """Targets on which deployments fail."""
    tests_pass: bool = True

    def __post_init__(self) -> None:
        self.clock = Clock(BEGAN)
        self.random = random.Random(self.seed)
        self.commits: list[Revision] = []
        """Newest first."""
        subjects = self.random.sample(_SUBJECTS, 14)
        at = BEGAN - timedelta(hours=2)
        for subject in subjects:
            sha = f"{self.random.getrandbits(160):040x}"
            date = at.isoformat()
            self.commits.append(Revision(sha, sha[:7], self.random.choice(_AUTHORS), date, subject))
            at -= timedelta(minutes=self.random.randint(40, 2000))
        minor = self.random.randint(3, 40)
        self.tags: list[Revision] = []
        for number, commit in enumerate(self.commits[1::3]):
            self.tags.append(replace(commit, name=f"v1.{minor + 5 - number}.0"))
        self.running: dict[tuple[str, str], Running] = {}
        self.runs: dict[tuple[str, str], list[Run]] = {}
        for component in ("backend", "frontend"):
            for environment, tag in (("staging", self.tags[1]), ("production", self.tags[2])):
                since = BEGAN - timedelta(days=self.random.randint(1, 6))
                by = self.random.choice(_AUTHORS).split()[0].lower()
                self.running[component, environment] = Running(tag.sha, f"{since:%Y-%m-%dT%H:%M:%SZ}", by)
                self.runs[component, environment] = [
                    self._run(component, environment, tag, self.tags[3].sha, by, since, "succeeded")
                ]

    @property
    def newest(self) -> str:
        """The newest tag, which runs nowhere yet."""
        return self.tags[0].name

    def table(self) -> dict[str, Any]:
        """Of the team file. Every second team has its commits on a server that can be linked to."""
        target = {"deploy": ["deploy", "{sha}"], "status": ["status"]}
        component = {
            "repository": "/srv/shop",
            "commit_url": COMMIT_URL if self.seed % 2 else "",
            "targets": {"staging": target, "production": target},
        }
        staging = {"approval": "none", "test": ["test"]}
        production = {"after": "staging", "test": ["test"], "on_failed_test": "rollback"}
        return {
            "environments": {"staging": staging, "production": production},
            "components": {"backend": component, "frontend": component},
        }

    def targets(self) -> Targets:
        return _Targets(read_site(self.table()), Path("/srv/deployments"), self)

    def _run(
        self,
        component: str,
        environment: str,
        revision: Revision,
        previous: str,
        by: str,
        at: datetime,
        state: RunState = "running",
    ) -> Run:
        run_id = f"{self.random.getrandbits(80):020x}"
        return Run(run_id, component, environment, revision.sha, revision.name, previous, by, "t", "", state, at)

    def begin(self, component: str, environment: str, sha: str, name: str, by: str) -> Run:
        revision = replace(next(commit for commit in self.commits if commit.sha == sha), name=name)
        previous = self.running[component, environment].sha
        run = self._run(component, environment, revision, previous, by, self.clock.now)
        self.runs[component, environment].insert(0, run)
        return run

    def look(self, component: str, environment: str, run_id: str) -> Run:
        """A deployment takes half a minute."""
        runs = self.runs[component, environment]
        run = next((run for run in runs if run.id == run_id), None)
        if run is None:
            raise ToolError(f"No run {run_id!r} of {component} on {environment}.")
        if run.state != "running" or self.clock.now < run.started_at + timedelta(seconds=30):
            return run
        failed = (component, environment) in self.failing
        lines = [*_BUILD, _FAILED if failed else _WORKED]
        output = "\n".join(line.format(component=component, short=run.sha[:7]) for line in lines)
        ended = replace(
            run,
            state="failed" if failed else "succeeded",
            ended_at=self.clock.now,
            exit_code=int(failed),
            note="The command ended with exit code 1." if failed else "",
            output=output,
        )
        runs[runs.index(run)] = ended
        if not failed:
            since = f"{self.clock.now:%Y-%m-%dT%H:%M:%SZ}"
            self.running[component, environment] = Running(run.sha, since, run.by)
        return ended


class _Repository(GitRepository):
    def __init__(self, world: World) -> None:
        super().__init__(Path("/srv/shop"))
        self._world = world

    async def state(self) -> str:
        return f"{self._world.seed}"

    async def revisions(self, shas: Iterable[str]) -> dict[str, Revision]:
        return {commit.sha: commit for commit in self._world.commits if commit.sha in set(shas)}

    async def tags(self, limit: int = 20) -> list[Revision]:
        return self._world.tags[:limit]

    async def commits(self, start: str = "", limit: int = 20) -> list[Revision]:
        return self._world.commits[:limit]

    async def resolve(self, text: str) -> Revision:
        for tag in self._world.tags:
            if tag.name == text:
                return tag
        for commit in self._world.commits:
            if len(text) >= 4 and commit.sha.startswith(text):
                return commit
        newest = ", ".join(tag.name for tag in self._world.tags[:3])
        raise ToolError(f"No revision {text!r}. The newest tags are {newest}.")

    async def is_ancestor(self, older: str, newer: str) -> bool:
        return self._at(older) >= self._at(newer)

    async def commits_between(self, older: str, newer: str, limit: int = 50) -> list[Revision]:
        return self._world.commits[self._at(newer) : self._at(older)][:limit]

    def _at(self, sha: str) -> int:
        return next(i for i, commit in enumerate(self._world.commits) if commit.sha == sha)


class _Deployer(CommandDeployer):
    def __init__(self, world: World, component: str, environment: str) -> None:
        self.component = component
        self.environment = environment
        self._world = world

    async def start(self, sha: str, *, name: str = "", previous: str = "", key: str, by: str, thread_id: str) -> Run:
        return self._world.begin(self.component, self.environment, sha, name, by)

    async def look(self, run_id: str) -> Run:
        return self._world.look(self.component, self.environment, run_id)

    async def confirm(self, run: Run) -> Run:
        return run

    async def status(self) -> Running | None:
        return self._world.running[self.component, self.environment]

    async def history(self, limit: int = 20) -> list[Run]:
        return self._world.runs[self.component, self.environment][:limit]


class _EndToEnd(EndToEnd):
    def __init__(self, world: World) -> None:
        self._world = world

    async def check(self, environment: str) -> Checked:
        if self._world.tests_pass:
            return Checked(environment, True, 0, "", "start page ok\nsearch ok\nbasket ok\n18 checks passed in 41.2 s")
        output = (
            "start page ok\nsearch ok\nbasket FAILED: expected 200, got 502 from /api/basket\n1 of 18 checks failed"
        )
        return Checked(environment, False, 1, "The tests ended with exit code 1.", output)


@dataclass(frozen=True)
class _Targets(Targets):
    world: World

    def repository(self, component: str) -> Repository:
        return _Repository(self.world)

    def deployer(self, component: str, environment: str) -> CommandDeployer:
        return _Deployer(self.world, component, environment)

    def end_to_end(self) -> EndToEnd:
        return _EndToEnd(self.world)
