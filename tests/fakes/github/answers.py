"""What the server answers, each in its shape."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from githubkit_schemas.v2026_03_10 import models as m

from tests.fakes.github.app import App
from tests.fakes.github.repository import Commit, Deployed, Pull, Repository
from tests.fakes.github.runs import Run
from tests.fakes.github.shapes import Record, checked, shaped

WEB = "https://github.test"
LINKS = (
    *("comments", "commits", "html", "issue"),
    *("review_comments", "review_comment", "self", "statuses"),
)


def user(login: str) -> Record:
    number = int(hashlib.sha1(login.encode(), usedforsecurity=False).hexdigest()[:6], 16)
    kind = "Bot" if login.endswith("[bot]") else "User"
    return shaped(m.SimpleUser, login=login, id=number, type=kind, html_url=f"{WEB}/{login}")


def names(repository: Repository) -> Record:
    owner, _, name = repository.name.partition("/")
    return {
        "id": 1_296_269,
        "name": name,
        "full_name": repository.name,
        "owner": user(owner),
        "private": repository.private,
        "html_url": f"{WEB}/{repository.name}",
        "default_branch": repository.default_branch,
    }


def minimal(repository: Repository) -> Record:
    return shaped(m.MinimalRepository, **names(repository))


def full(repository: Repository) -> Record:
    return checked(m.FullRepository, shaped(m.FullRepository, **names(repository)))


def commit(repository: Repository, one: Commit) -> Record:
    who = {
        "name": one.author,
        "email": f"{one.author.lower()}@example.com",
        "date": one.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    inner = shaped(
        m.CommitPropCommit,
        author=who,
        committer=who,
        message=f"{one.subject}\n\nWhy.",
        tree={"sha": one.sha, "url": WEB},
    )
    page = f"{WEB}/{repository.name}/commit/{one.sha}"
    parents = [{"sha": sha, "url": f"{WEB}/{sha}"} for sha in one.parents]
    return shaped(
        m.Commit,
        sha=one.sha,
        html_url=page,
        commit=inner,
        author=user(one.author.lower()),
        committer=None,
        parents=parents,
    )


def commits(repository: Repository, found: Iterable[Commit]) -> list[Record]:
    return checked(list[m.Commit], [commit(repository, one) for one in found])


def comparison(repository: Repository, base: str, head: str, *, page: int, size: int) -> Record:
    old, new = repository.ancestors(base), repository.ancestors(head)
    ahead, behind = new - old, old - new
    status = "identical" if base == head else "diverged" if ahead and behind else "ahead" if ahead else "behind"
    listed = [one for one in reversed(repository.log(head)) if one.sha in ahead]
    common = next(one for one in repository.log(head) if one.sha in old)
    return checked(
        m.CommitComparison,
        shaped(
            m.CommitComparison,
            status=status,
            ahead_by=len(ahead),
            behind_by=len(behind),
            total_commits=len(ahead),
            commits=[commit(repository, one) for one in listed[(page - 1) * size : page * size]],
            base_commit=commit(repository, repository.commits[base]),
            merge_base_commit=commit(repository, common),
            html_url=f"{WEB}/{repository.name}/compare/{base}...{head}",
        ),
    )


def ref(name: str, sha: str, kind: str) -> Record:
    return checked(m.GitRef, shaped(m.GitRef, ref=name, object={"type": kind, "sha": sha, "url": WEB}))


def tag_object(repository: Repository, sha: str) -> Record:
    one = repository.tags[sha]
    tagger = {"date": "2026-11-01T09:00:00Z", "email": "ada@example.com", "name": "Ada"}
    of = {"sha": one.of, "type": one.kind, "url": WEB}
    return checked(m.GitTag, shaped(m.GitTag, tag=one.name, sha=sha, message=one.name, tagger=tagger, object=of))


def tags(found: list[tuple[str, str]]) -> list[Record]:
    return checked(list[m.Tag], [shaped(m.Tag, name=name, commit={"sha": sha, "url": WEB}) for name, sha in found])


def branches(found: list[tuple[str, str]]) -> list[Record]:
    heads = [{"name": name, "commit": {"sha": sha, "url": WEB}, "protected": False} for name, sha in found]
    return checked(list[m.BranchShort], heads)


def pulls(repository: Repository, found: list[Pull]) -> list[Record]:
    rows = [
        shaped(
            m.PullRequestSimple,
            number=one.number,
            title=one.title,
            state="closed" if one.merged else "open",
            user=user(one.by),
            html_url=f"{WEB}/{repository.name}/pull/{one.number}",
            merged_at=repository.commits[one.sha].at if one.merged else None,
            merge_commit_sha=one.sha,
            head=_side(repository, one.sha, m.PullRequestSimplePropHead),
            base=_side(repository, one.sha, m.PullRequestSimplePropBase),
            links_=shaped(m.PullRequestSimplePropLinks, **{key: {"href": WEB} for key in LINKS}),
        )
        for one in found
    ]
    return checked(list[m.PullRequestSimple], rows)


def _side(repository: Repository, sha: str, shape: Any) -> Record:
    return shaped(
        shape,
        label="acme:main",
        ref="main",
        sha=sha,
        user=user("acme"),
        repo=shaped(m.Repository, **names(repository)),
    )


def check_runs(repository: Repository, sha: str) -> Record:
    rows = [
        shaped(
            m.CheckRun,
            id=number,
            head_sha=sha,
            name=one.name,
            status=one.status,
            conclusion=one.conclusion,
            pull_requests=[],
        )
        for number, one in enumerate(repository.checks.get(sha, ()), 1)
    ]
    shape = m.ReposOwnerRepoCommitsRefCheckRunsGetResponse200
    return checked(shape, {"total_count": len(rows), "check_runs": rows})


def combined_status(repository: Repository, sha: str) -> Record:
    found = repository.statuses.get(sha, [])
    rows = [
        shaped(m.SimpleCommitStatus, id=n, context=context, state=state) for n, (context, state) in enumerate(found)
    ]
    states = {state for _, state in found}
    state = "failure" if states & {"failure", "error"} else "pending" if "pending" in states or not found else "success"
    return checked(
        m.CombinedCommitStatus,
        shaped(
            m.CombinedCommitStatus,
            state=state,
            statuses=rows,
            sha=sha,
            total_count=len(rows),
            repository=minimal(repository),
        ),
    )


def file(path: str, text: str) -> Record:
    raw = text.encode()
    sha = hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()
    content = base64.encodebytes(raw).decode()
    name = path.rpartition("/")[2]
    of = shaped(
        m.ContentFile, type="file", encoding="base64", size=len(raw), name=name, path=path, content=content, sha=sha
    )
    return checked(m.ContentFile, of)


def workflow(repository: Repository, path: str, name: str) -> Record:
    state = "disabled_manually" if path in repository.disabled else "active"
    return checked(m.Workflow, shaped(m.Workflow, id=161_335, name=name, path=path, state=state))


def dispatched(repository: Repository, run: Run, base: str) -> Record:
    url = f"{base}/repos/{repository.name}/actions/runs/{run.id}"
    page = f"{WEB}/{repository.name}/actions/runs/{run.id}"
    return checked(m.WorkflowDispatchResponse, {"workflow_run_id": run.id, "run_url": url, "html_url": page})


def run_fields(repository: Repository, run: Run) -> Record:
    return {
        "id": run.id,
        "name": run.name,
        "head_branch": run.branch,
        "head_sha": run.head,
        "path": run.workflow,
        "run_number": run.number,
        "run_attempt": run.attempt,
        "event": run.event,
        "status": run.status,
        "conclusion": run.conclusion,
        "workflow_id": 161_335,
        "html_url": f"{WEB}/{repository.name}/actions/runs/{run.id}",
        "created_at": run.at,
        "updated_at": run.updated or run.at,
        "run_started_at": run.at,
        "actor": user(run.by),
        "triggering_actor": user(run.by),
        "display_title": run.title,
        "check_suite_id": 42,
        "check_suite_node_id": "MDEw",
    }


def workflow_run(repository: Repository, run: Run) -> Record:
    head = repository.commits.get(run.head)
    who = {"name": "Ada", "email": "ada@example.com"}
    at = (head.at if head else run.at).strftime("%Y-%m-%dT%H:%M:%SZ")
    simple = {
        "id": run.head,
        "tree_id": run.head,
        "message": head.subject if head else "",
        "timestamp": at,
        "author": who,
        "committer": who,
    }
    both = {"repository": minimal(repository), "head_repository": minimal(repository)}
    return checked(
        m.WorkflowRun,
        shaped(m.WorkflowRun, **run_fields(repository, run), head_commit=simple, pull_requests=[], **both),
    )


def workflow_runs(repository: Repository, runs: list[Run], count: int) -> Record:
    shape = m.ReposOwnerRepoActionsWorkflowsWorkflowIdRunsGetResponse200
    return checked(shape, {"total_count": count, "workflow_runs": [workflow_run(repository, one) for one in runs]})


def jobs(run: Run) -> Record:
    conclusion = {None: None, "startup_failure": "failure", "stale": "cancelled"}.get(run.conclusion, run.conclusion)
    row = shaped(
        m.Job,
        id=run.id * 10,
        run_id=run.id,
        head_sha=run.head,
        html_url=f"{WEB}/actions/runs/{run.id}/job/{run.id * 10}",
        status=run.status,
        conclusion=conclusion,
        name="deploy",
        started_at=run.at,
        created_at=run.at,
        completed_at=run.updated if conclusion else None,
        labels=["ubuntu-latest"],
        steps=[],
    )
    shape = m.ReposOwnerRepoActionsRunsRunIdJobsGetResponse200
    return checked(shape, {"total_count": 1, "jobs": [row]})


def deployment(one: Deployed) -> Record:
    return shaped(
        m.Deployment,
        id=one.id,
        sha=one.sha,
        ref="main",
        task="deploy",
        payload={},
        environment=one.environment,
        creator=user(one.by),
        created_at=one.at,
        updated_at=one.statuses[0][1] if one.statuses else one.at,
    )


def deployments(found: list[Deployed]) -> list[Record]:
    return checked(list[m.Deployment], [deployment(one) for one in found])


def deployment_status(one: Deployed, state: str, at: datetime) -> Record:
    return shaped(
        m.DeploymentStatus,
        id=int(at.timestamp()),
        state=state,
        creator=user(one.by),
        environment=one.environment,
        created_at=at,
        updated_at=at,
        log_url=f"{WEB}/actions/runs/1",
    )


def deployment_statuses(one: Deployed) -> list[Record]:
    return checked(list[m.DeploymentStatus], [deployment_status(one, state, at) for state, at in one.statuses])


def installation_token(app: App) -> Record:
    token, until = app.new_token()
    given = {"token": token, "expires_at": until.strftime("%Y-%m-%dT%H:%M:%SZ"), "permissions": app.permissions}
    return checked(m.InstallationToken, given)


def installation(app: App) -> Record:
    return checked(
        m.Installation,
        shaped(
            m.Installation,
            id=app.installation,
            account=user("acme"),
            repository_selection="selected",
            app_id=app.id,
            target_type="Organization",
            permissions=app.permissions,
            events=["workflow_run"],
            app_slug="deploybot",
        ),
    )


def failure(message: str, errors: list[Record] | None = None) -> Record:
    given = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": ""}
    return checked(m.BasicError, given) | ({"errors": errors} if errors else {})


def repository_of_hooks(repository: Repository) -> Record:
    return shaped(m.RepositoryWebhooks, **names(repository))
