"""The server: who may ask, the operations by their names in the OpenAPI description, and faults on their way."""

from __future__ import annotations

import itertools
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import yaml
from aiohttp import web

from tests.fakes.github import answers
from tests.fakes.github.app import App
from tests.fakes.github.faults import Fault
from tests.fakes.github.gates import Gate, Gates
from tests.fakes.github.hooks import Hooks
from tests.fakes.github.refusal import Refusal
from tests.fakes.github.repository import Repository
from tests.fakes.github.runs import STUCK, Run
from tests.fakes.slack.faults import Changes, Hold

TOKEN = "github_pat_for_tests_only_0123456789"
VERSIONS = ("2026-03-10", "2022-11-28")
PER_PAGE_MAX = 100
NEW_TOKEN = "apps/create-installation-access-token"
HEADS = "repos/list-branches-for-head-commit"
DISPATCH = "actions/create-workflow-dispatch"
Given = Mapping[str, Any]
_EXPRESSION = re.compile(r"\$\{\{\s*inputs\.([\w-]+)\s*\}\}")


@dataclass(frozen=True)
class Request:
    operation: str
    given: Given
    """The query, what stands in the path, and the body."""
    status: int
    """What was answered; 0: nothing."""


class GitHubServer:
    """See the package."""

    def __init__(self, *, token: str = TOKEN, app: App | None = None) -> None:
        self.token = token
        self.app = app
        self.url = ""
        self.requests: list[Request] = []
        """In the order in which they were answered."""
        self.repositories: dict[str, Repository] = {}
        self.forbidden: dict[str, str] = {}
        """What the token may not do, by operation, each with the permission that it lacks."""
        self.by = "deploybot[bot]"
        self.hooks = Hooks()
        self.changes = Changes()
        self.gates = Gates(self)
        self._faults: list[Fault] = []
        self._holds: list[Hold] = []
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        web_app = web.Application()
        for method, path, operation, answer in self._operations():
            web_app.router.add_route(method, path, self._route(operation, answer))
        web_app.router.add_get("/_logs/{job}", self._download)
        self._runner = web.AppRunner(web_app, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        for hold in self._holds:
            hold.release()
        await self.hooks.close()
        await self._runner.cleanup()

    # For tests

    def add_repository(self, name: str, files: Mapping[str, str] | None = None) -> Repository:
        repository = self.repositories[name.lower()] = Repository(name)
        if files:
            repository.commit("Begin", files)
        return repository

    def fails(self, *faults: Fault) -> None:
        self._faults.extend(faults)

    def hold(self, operation: str, *, after_effect: bool = False) -> Hold:
        """A request waits before or after its effect."""
        hold = Hold(operation, after_effect=after_effect)
        self._holds.append(hold)
        return hold

    def dispatched_by_hand(self, repository: Repository, file: str, ref: str, inputs: Mapping[str, str]) -> None:
        """Somebody starts it at GitHub's page."""
        owner, _, repo = repository.name.partition("/")
        given = {"owner": owner, "repo": repo, "file": file, "ref": ref, "inputs": inputs, "": VERSIONS[0]}
        self._dispatch(given)

    def interrupt_at(self, number: int, *, after: bool) -> Hold:
        """The request with this number, counted from 0, waits before or after its effect, and is never answered."""
        counted = itertools.count()
        hold = Hold("*", after_effect=after, when=lambda given: next(counted) == number)
        self._holds.append(hold)
        return hold

    def begins(self, repository: Repository, sha: str, *, by: str, environment: str) -> Gate:
        """A run begins, by a push or a click there, and its deployment waits for our app's rule."""
        number = next(self._numbers)
        run = Run(
            id=9_000_000_000 + number,
            number=number,
            workflow=".github/workflows/release.yml",
            name="release",
            title="release",
            head=sha,
            branch="main",
            inputs={},
            at=datetime.now(UTC),
            flow=STUCK,
            by=by,
            status="waiting",
            event="push",
            on_change=lambda run: self.hooks.run_changed(repository, run),
        )
        repository.runs.append(run)
        return self.gates.asks(repository, run, environment)

    def asked(self, operation: str) -> list[Request]:
        return [one for one in self.requests if one.operation == operation]

    # The operations

    def _operations(self) -> list[tuple[str, str, str, Callable[[Given], tuple[int, Any]]]]:
        repo = "/repos/{owner}/{repo}"
        return [
            ("POST", "/app/installations/{installation_id}/access_tokens", NEW_TOKEN, self._new_token),
            ("GET", "/app/installations/{installation_id}", "apps/get-installation", self._installation),
            ("GET", repo, "repos/get", lambda g: (200, answers.full(self._repo(g)))),
            ("GET", f"{repo}/commits", "repos/list-commits", self._list_commits),
            ("GET", f"{repo}/commits/{{ref:.+}}/branches-where-head", HEADS, self._heads),
            ("GET", f"{repo}/commits/{{ref:.+}}/pulls", "repos/list-pull-requests-associated-with-commit", self._pulls),
            ("GET", f"{repo}/commits/{{ref:.+}}/check-runs", "checks/list-for-ref", self._checks),
            ("GET", f"{repo}/commits/{{ref:.+}}/status", "repos/get-combined-status-for-ref", self._status),
            ("GET", f"{repo}/commits/{{ref:.+}}", "repos/get-commit", self._get_commit),
            ("GET", f"{repo}/compare/{{basehead:.+}}", "repos/compare-commits", self._compare),
            ("GET", f"{repo}/tags", "repos/list-tags", self._tags),
            ("GET", f"{repo}/git/ref/{{ref:.+}}", "git/get-ref", self._get_ref),
            ("GET", f"{repo}/git/tags/{{sha}}", "git/get-tag", self._get_tag),
            ("POST", f"{repo}/git/refs", "git/create-ref", self._create_ref),
            ("GET", f"{repo}/contents/{{path:.+}}", "repos/get-content", self._content),
            ("GET", f"{repo}/actions/workflows/{{file}}", "actions/get-workflow", self._workflow),
            ("POST", f"{repo}/actions/workflows/{{file}}/dispatches", DISPATCH, self._dispatch),
            ("GET", f"{repo}/actions/workflows/{{file}}/runs", "actions/list-workflow-runs", self._list_runs),
            ("GET", f"{repo}/actions/runs/{{run_id}}", "actions/get-workflow-run", self._get_run),
            ("POST", f"{repo}/actions/runs/{{run_id}}/cancel", "actions/cancel-workflow-run", self._cancel),
            ("GET", f"{repo}/actions/runs/{{run_id}}/jobs", "actions/list-jobs-for-workflow-run", self._jobs),
            ("GET", f"{repo}/actions/jobs/{{job_id}}/logs", "actions/download-job-logs-for-workflow-run", self._logs),
            ("GET", f"{repo}/deployments", "repos/list-deployments", self._deployments),
            ("GET", f"{repo}/deployments/{{deployment_id}}/statuses", "repos/list-deployment-statuses", self._statuses),
            *self.gates.operations(repo),
        ]  # fmt: skip

    def _route(self, operation: str, answer: Callable[[Given], tuple[int, Any]]) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            text = await request.text()
            body = json.loads(text) if text else {}
            version = request.headers.get("X-GitHub-Api-Version", "2022-11-28")
            given = {**request.query, **request.match_info, **body, "": version}
            await self._held(operation, given, after_effect=False)
            if fault := self._fault(operation, given, after_effect=False):
                return self._failed(request, operation, given, fault)
            headers: dict[str, str] = {"x-github-request-id": "E5A1:1B2C", "x-ratelimit-remaining": "4999"}
            try:
                self._authorize(request, operation)
                status, said = answer(given)
            except Refusal as refusal:
                status, said = refusal.status, answers.failure(refusal.message)
                headers |= refusal.headers
            self.changes.tell()
            await self._held(operation, given, after_effect=True)
            if fault := self._fault(operation, given, after_effect=True):
                return self._failed(request, operation, given, fault)
            self.requests.append(Request(operation, given, status))
            self.changes.tell()
            if status == 302:
                return web.Response(status=302, headers={"Location": str(said)})
            return (
                web.json_response(said, status=status, headers=headers)
                if said is not None
                else web.Response(status=status)
            )

        return handle

    async def _held(self, operation: str, given: Given, *, after_effect: bool) -> None:
        for hold in [one for one in self._holds if one.fits(operation, given, after_effect)]:
            await hold.wait(given)

    def _fault(self, operation: str, given: Given, *, after_effect: bool) -> Fault | None:
        fault = next((one for one in self._faults if one.fits(operation, given, after_effect)), None)
        if fault:
            fault.met += 1
        return fault

    def _failed(self, request: web.Request, operation: str, given: Given, fault: Fault) -> web.StreamResponse:
        self.requests.append(Request(operation, given, 0 if fault.cut else fault.status))
        self.changes.tell()
        if fault.cut:
            assert request.transport is not None
            request.transport.abort()
        if fault.body is not None:
            return web.Response(body=fault.body, status=fault.status, headers=dict(fault.headers))
        return web.json_response(answers.failure(fault.message), status=fault.status, headers=dict(fault.headers))

    def _authorize(self, request: web.Request, operation: str) -> None:
        version = request.headers.get("X-GitHub-Api-Version", "2022-11-28")
        if version not in VERSIONS:
            raise Refusal(400, f"The API version '{version}' is not supported.")
        token = request.headers.get("Authorization", "").partition(" ")[2]
        if operation.startswith("apps/"):
            if self.app is None or not self.app.proves(token):
                raise Refusal(401, "A JSON web token could not be decoded")
            return
        if token != self.token and not (self.app and self.app.accepts(token)):
            raise Refusal(401, "Bad credentials")
        if lacking := self.forbidden.get(operation):
            who = "integration" if self.app else "personal access token"
            raise Refusal(403, f"Resource not accessible by {who}", {"X-Accepted-GitHub-Permissions": lacking})

    def _repo(self, given: Given) -> Repository:
        found = self.repositories.get(f"{given['owner']}/{given['repo']}".lower())
        if found is None:
            raise Refusal(404, "Not Found")
        return found

    # Apps

    def _new_token(self, given: Given) -> tuple[int, Any]:
        assert self.app is not None
        if given["installation_id"] != str(self.app.installation):
            raise Refusal(404, "Integration not found")
        return 201, answers.installation_token(self.app)

    def _installation(self, given: Given) -> tuple[int, Any]:
        assert self.app is not None
        if given["installation_id"] != str(self.app.installation):
            raise Refusal(404, "Integration not found")
        return 200, answers.installation(self.app)

    # Commits and refs

    def _list_commits(self, given: Given) -> tuple[int, Any]:
        repository = self._repo(given)
        start = repository.find(given.get("sha", "HEAD"))
        if not start:
            raise Refusal(
                409 if not repository.commits else 404,
                "Git Repository is empty." if not repository.commits else "Not Found",
            )
        return 200, answers.commits(repository, _page(repository.log(start, given.get("path", "")), given))

    def _get_commit(self, given: Given) -> tuple[int, Any]:
        repository = self._repo(given)
        sha = repository.find(given["ref"])
        if not sha:
            raise Refusal(422, f"No commit found for SHA: {given['ref']}")
        return 200, answers.commits(repository, [repository.commits[sha]])[0]

    def _heads(self, given: Given) -> tuple[int, Any]:
        repository = self._repo(given)
        heads = [(name, sha) for name, sha in repository.refs.items() if name.startswith("refs/heads/")]
        return 200, answers.branches(
            [(name.removeprefix("refs/heads/"), sha) for name, sha in heads if sha == given["ref"]]
        )

    def _pulls(self, given: Given) -> tuple[int, Any]:
        repository = self._repo(given)
        return 200, answers.pulls(repository, [one for one in repository.pulls if one.sha == given["ref"]])

    def _checks(self, given: Given) -> tuple[int, Any]:
        return 200, answers.check_runs(self._repo(given), given["ref"])

    def _status(self, given: Given) -> tuple[int, Any]:
        return 200, answers.combined_status(self._repo(given), given["ref"])

    def _compare(self, given: Given) -> tuple[int, Any]:
        repository = self._repo(given)
        base, _, head = given["basehead"].partition("...")
        old, new = repository.find(base), repository.find(head)
        if not old or not new:
            raise Refusal(404, "Not Found")
        return 200, answers.comparison(
            repository, old, new, page=int(given.get("page", 1)), size=int(given.get("per_page", 250))
        )

    def _tags(self, given: Given) -> tuple[int, Any]:
        repository = self._repo(given)
        names = sorted((name for name in repository.refs if name.startswith("refs/tags/")), reverse=True)
        found = [(name.removeprefix("refs/tags/"), repository.peeled(repository.refs[name])) for name in names]
        return 200, answers.tags(_page([one for one in found if one[1]], given))

    def _get_ref(self, given: Given) -> tuple[int, Any]:
        repository, name = self._repo(given), f"refs/{given['ref']}"
        if name not in repository.refs:
            raise Refusal(404, "Not Found")
        sha = repository.refs[name]
        return 200, answers.ref(
            name, sha, "tag" if sha in repository.tags else "commit" if sha in repository.commits else "tree"
        )

    def _get_tag(self, given: Given) -> tuple[int, Any]:
        repository = self._repo(given)
        if given["sha"] not in repository.tags:
            raise Refusal(404, "Not Found")
        return 200, answers.tag_object(repository, given["sha"])

    def _create_ref(self, given: Given) -> tuple[int, Any]:
        repository, name = self._repo(given), given["ref"]
        if name in repository.refs:
            raise Refusal(422, "Reference already exists")
        if given["sha"] not in repository.commits:
            raise Refusal(422, "Object does not exist")
        repository.refs[name] = given["sha"]
        return 201, answers.ref(name, given["sha"], "commit")

    def _content(self, given: Given) -> tuple[int, Any]:
        repository = self._repo(given)
        sha = repository.find(given.get("ref", "HEAD"))
        text = repository.commits[sha].files.get(given["path"]) if sha else None
        if text is None:
            raise Refusal(404, "Not Found")
        return 200, answers.file(given["path"], text)

    # Workflows

    def _path(self, repository: Repository, given: Given) -> str:
        path = f".github/workflows/{given['file']}"
        if not repository.commits or path not in repository.commits[repository.head].files:
            raise Refusal(404, "Not Found")
        return path

    def _workflow(self, given: Given) -> tuple[int, Any]:
        repository = self._repo(given)
        path = self._path(repository, given)
        document = yaml.safe_load(repository.commits[repository.head].files[path])
        return 200, answers.workflow(repository, path, document["name"])

    def _dispatch(self, given: Given) -> tuple[int, Any]:
        repository = self._repo(given)
        path = self._path(repository, given)
        if path in repository.disabled:
            raise Refusal(422, "Cannot trigger a 'workflow_dispatch' on a disabled workflow")
        ref = given["ref"].removeprefix("refs/heads/").removeprefix("refs/tags/")
        names = [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        head = next((repository.peeled(repository.refs[name]) for name in names if name in repository.refs), "")
        if not head:
            raise Refusal(422, f"No ref found for: {given['ref']}")
        document = yaml.safe_load(repository.commits[head].files.get(path, "{}")) or {}
        trigger = (document.get("on", document.get(True)) or {}).get("workflow_dispatch", "none")
        if trigger == "none":
            raise Refusal(422, "Workflow does not have 'workflow_dispatch' trigger")
        declared, inputs = (trigger or {}).get("inputs") or {}, given.get("inputs", {})
        if unknown := [name for name in inputs if name not in declared]:
            raise Refusal(422, f"Unexpected inputs provided: {json.dumps(unknown)}")
        for name, about in declared.items():
            if (about or {}).get("required") and not inputs.get(name):
                raise Refusal(422, f"Required input '{name}' not provided")
        run = self._begin(repository, path, document, head, ref, inputs)
        with_details = given[""] != "2022-11-28" or given.get("return_run_details")
        return (200, answers.dispatched(repository, run, self.url)) if with_details else (204, None)

    def _begin(
        self,
        repository: Repository,
        path: str,
        document: Mapping[Any, Any],
        head: str,
        ref: str,
        inputs: Mapping[str, str],
    ) -> Run:
        flow = repository.flows.popleft() if repository.flows else repository.flow
        title = _EXPRESSION.sub(lambda found: inputs.get(found[1], ""), document.get("run-name", document["name"]))
        number = next(self._numbers)
        run = Run(
            id=9_000_000_000 + number,
            number=number,
            workflow=path,
            name=document["name"],
            title=flow.title or title,
            head=flow.head or head,
            branch=ref,
            inputs=dict(inputs),
            at=datetime.now(UTC),
            flow=flow,
            by=self.by,
            coming=deque(flow.states),
            hidden=flow.listed_after,
        )

        def changed(run: Run) -> None:
            run.updated = datetime.now(UTC)
            self.hooks.run_changed(repository, run)
            self.changes.tell()

        run.on_change = changed
        if flow.appears:
            repository.runs.append(run)
            self.hooks.run_changed(repository, run)
        return run

    def _list_runs(self, given: Given) -> tuple[int, Any]:
        repository = self._repo(given)
        path = self._path(repository, given)
        found = [run for run in reversed(repository.runs) if run.workflow == path and not self._hides(run)]
        if event := given.get("event"):
            found = [run for run in found if run.event == event]
        if status := given.get("status"):
            found = [run for run in found if status in (run.status, run.conclusion)]
        if since := given.get("created"):
            assert since.startswith(">=")
            first = datetime.fromisoformat(since.removeprefix(">="))
            found = [run for run in found if run.at.replace(microsecond=0) >= first]
        return 200, answers.workflow_runs(repository, _page(found, given), len(found))

    def _hides(self, run: Run) -> bool:
        run.hidden -= 1
        return run.hidden >= 0

    def _run(self, given: Given) -> tuple[Repository, Run]:
        repository = self._repo(given)
        run = next((one for one in repository.runs if str(one.id) == given["run_id"]), None)
        if run is None or self._hides(run):
            raise Refusal(404, "Not Found")
        return repository, run

    def _get_run(self, given: Given) -> tuple[int, Any]:
        repository, run = self._run(given)
        answer = answers.workflow_run(repository, run)
        run.step()
        return 200, answer

    def _cancel(self, given: Given) -> tuple[int, Any]:
        _, run = self._run(given)
        if run.status == "completed" or not run.flow.cancels:
            raise Refusal(409, "Cannot cancel a workflow run that is completed.")
        run.finish("cancelled")
        return 202, {}

    def _jobs(self, given: Given) -> tuple[int, Any]:
        return 200, answers.jobs(self._run(given)[1])

    def _logs(self, given: Given) -> tuple[int, Any]:
        self._repo(given)
        return 302, f"{self.url}/_logs/{given['job_id']}"

    async def _download(self, request: web.Request) -> web.StreamResponse:
        """The storage where logs are kept: another host at GitHub, which gets no token."""
        runs = [run for repository in self.repositories.values() for run in repository.runs]
        run = next((one for one in runs if str(one.id * 10) == request.match_info["job"]), None)
        if run is None:
            return web.Response(status=404)
        lines = run.flow.log.splitlines()
        text = "".join(f"{run.at:%Y-%m-%dT%H:%M:%S}.1234567Z {line}\n" for line in lines)
        return web.Response(body="\ufeff".encode() + text.encode(), content_type="text/plain")

    # Deployments

    def _deployments(self, given: Given) -> tuple[int, Any]:
        found = self._repo(given).deployments[::-1]
        if environment := given.get("environment"):
            found = [one for one in found if one.environment == environment]
        return 200, answers.deployments(_page(found, given))

    def _statuses(self, given: Given) -> tuple[int, Any]:
        found = [one for one in self._repo(given).deployments if str(one.id) == given["deployment_id"]]
        if not found:
            raise Refusal(404, "Not Found")
        return 200, _page(answers.deployment_statuses(found[0]), given)


def _page(found: list[Any], given: Given) -> list[Any]:
    size = min(int(given.get("per_page", 30)), PER_PAGE_MAX)
    first = (int(given.get("page", 1)) - 1) * size
    return found[first : first + size]
