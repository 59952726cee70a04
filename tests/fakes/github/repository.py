"""What a repository at GitHub has: commits, branches, tags, pull requests, checks, workflows and their runs.

Commits stand in memory, each with all files as texts. A fork's commits can be had by their SHA through the repository,
as at GitHub, though no branch of it has them.
"""

from __future__ import annotations

import hashlib
import itertools
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.fakes.github.runs import Flow, Run

DEPLOY_FILE = ".github/workflows/deploy.yml"
DEPLOY_WORKFLOW = """\
name: deploy
run-name: ${{ inputs.component }} ${{ inputs.sha }} to ${{ inputs.environment }} (${{ inputs.key }})
on:
  workflow_dispatch:
    inputs:
      sha: { required: true }
      environment: { required: true }
      key: { required: true }
      component: { required: false }
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps: []
"""
BEGAN = datetime(2026, 11, 1, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Commit:
    sha: str
    parents: tuple[str, ...]
    subject: str
    author: str
    at: datetime
    files: Mapping[str, str]
    touched: frozenset[str]


@dataclass(frozen=True)
class Tag:
    """An annotated one; a lightweight tag is only a ref."""

    sha: str
    name: str
    of: str
    kind: str = "commit"


@dataclass
class Check:
    name: str
    status: str = "completed"
    conclusion: str | None = "success"


@dataclass
class Pull:
    number: int
    title: str
    sha: str
    """The commit on the default branch that it became."""
    by: str = "ada"
    merged: bool = True


@dataclass
class Deployed:
    """A deployment of GitHub's own API, with the newest of its statuses first."""

    id: int
    sha: str
    environment: str
    at: datetime
    by: str = "ada"
    statuses: list[tuple[str, datetime]] = field(default_factory=list)


@dataclass
class Repository:
    name: str
    """`acme/shop`."""
    default_branch: str = "main"
    private: bool = True
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    """By full name; an annotated tag leads to its tag object."""
    tags: dict[str, Tag] = field(default_factory=dict)
    """Tag objects by their SHA."""
    checks: dict[str, list[Check]] = field(default_factory=dict)
    statuses: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    pulls: list[Pull] = field(default_factory=list)
    deployments: list[Deployed] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    """Of workflows, in the order in which they began."""
    flows: deque[Flow] = field(default_factory=deque)
    """What becomes of the next runs; then, of each other one, `flow`."""
    flow: Flow = field(default_factory=Flow)
    disabled: set[str] = field(default_factory=set)
    """The files of workflows that somebody has disabled."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def commit(
        self,
        subject: str,
        files: Mapping[str, str] | None = None,
        *,
        branch: str = "",
        parent: str = "",
        author: str = "Ada",
        sha: str = "",
        in_fork: bool = False,
    ) -> str:
        """Its SHA. On the default branch, unless the test says where; the branch moves there."""
        ref = f"refs/heads/{branch or self.default_branch}"
        before = parent or self.refs.get(ref, "")
        number = next(self._numbers)
        sha = sha or hashlib.sha1(f"{self.name} {number} {subject}".encode(), usedforsecurity=False).hexdigest()
        kept = dict(self.commits[before].files) if before else {}
        new = dict(files or {f"file-{number}": subject})
        self.commits[sha] = Commit(
            sha,
            (before,) if before else (),
            subject,
            author,
            BEGAN + timedelta(hours=number),
            {**kept, **new},
            frozenset(new),
        )
        if not in_fork:
            self.refs[ref] = sha
        return sha

    def load(self, git: Path) -> None:
        """The commits, branches and tags of a git repository on this machine."""

        def run(*arguments: str) -> list[str]:
            command = ["git", "-C", str(git), *arguments]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

        # A line break ends each record: no field has one.
        for line in reversed(
            run("rev-list", "--all", "--topo-order", "--no-commit-header", "--format=%H%x00%P%x00%cI%x00%an%x00%s")
        ):
            sha, parents, at, author, subject = line.split("\0", 4)
            touched = frozenset(run("diff-tree", "--root", "--no-commit-id", "--name-only", "-r", sha))
            when = datetime.fromisoformat(at)
            self.commits[sha] = Commit(sha, tuple(parents.split()), subject, author, when, {}, touched)
        for line in run(
            "for-each-ref", "--format=%(refname) %(objecttype) %(objectname) %(*objecttype) %(*objectname)"
        ):
            name, kind, sha, *peeled = line.split()
            if not name.startswith(("refs/heads/", "refs/tags/")):
                continue
            self.refs[name] = sha
            if kind == "tag":
                self.tags[sha] = Tag(sha, name.removeprefix("refs/tags/"), peeled[1], peeled[0])
        head = run("symbolic-ref", "HEAD")[0]
        self.default_branch = head.removeprefix("refs/heads/")

    def tag(self, name: str, sha: str, *, annotated: bool = False) -> None:
        if annotated:
            of = hashlib.sha1(f"tag {name} {sha}".encode(), usedforsecurity=False).hexdigest()
            self.tags[of] = Tag(of, name, sha)
            sha = of
        self.refs[f"refs/tags/{name}"] = sha

    def deployed(self, sha: str, environment: str, *states: str) -> Deployed:
        """A deployment with these statuses, the oldest first."""
        number = len(self.deployments) + 1
        at = BEGAN + timedelta(days=20, hours=number)
        statuses = [(state, at + timedelta(minutes=minute)) for minute, state in enumerate(states)]
        made = Deployed(4_000 + number, sha, environment, at, statuses=statuses[::-1])
        self.deployments.append(made)
        return made

    # Reading

    @property
    def head(self) -> str:
        return self.refs[f"refs/heads/{self.default_branch}"]

    def peeled(self, sha: str) -> str:
        """The commit; empty: the object is none."""
        while sha in self.tags:
            sha = self.tags[sha].of
        return sha if sha in self.commits else ""

    def find(self, text: str) -> str:
        """The commit of a branch, a tag or a SHA, as GitHub reads a `ref`; empty: none."""
        for name in (text, f"refs/heads/{text}", f"refs/tags/{text}", f"refs/{text}"):
            if name in self.refs:
                return self.peeled(self.refs[name])
        if text == "HEAD":
            return self.refs.get(f"refs/heads/{self.default_branch}", "")
        found = [sha for sha in self.commits if len(text) >= 4 and sha.startswith(text)]
        return found[0] if len(found) == 1 else ""

    def ancestors(self, sha: str) -> set[str]:
        found: set[str] = set()
        left = [sha]
        while left:
            one = left.pop()
            if one in self.commits and one not in found:
                found.add(one)
                left += self.commits[one].parents
        return found

    def log(self, start: str, path: str = "") -> list[Commit]:
        """Newest first."""
        found = [self.commits[sha] for sha in self.ancestors(start)]
        order = {sha: index for index, sha in enumerate(self.commits)}
        found.sort(key=lambda commit: order[commit.sha], reverse=True)
        return [one for one in found if not path or any(f"{file}/".startswith(f"{path}/") for file in one.touched)]
