"""The server: authorization, teams, the operations, and faults on their way."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web
from pydantic import ValidationError

from tests.fakes.slack.faults import Hold
from tests.fakes.vercel import answers
from tests.fakes.vercel.account import ENDED, Account, Made, Project
from tests.fakes.vercel.faults import Fault
from tests.fakes.vercel.hooks import Hooks
from tests.fakes.vercel.shapes import CreateDeployment, Record

TOKEN = "vercel-token-for-tests-only-0123456789"
LIMIT_MAX = 100


@dataclass(frozen=True)
class Request:
    operation: str
    given: Record
    """The query, what stands in the path, and the body."""
    status: int
    """What was answered; 0: nothing."""


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more


class VercelServer(Account):
    """See the package."""

    def __init__(self, *, token: str = TOKEN, **more: str) -> None:
        super().__init__(**more)
        self.token = token
        self.url = ""
        self.requests: list[Request] = []
        """In the order in which they were answered."""
        self.forbidden: set[str] = set()
        """What the token may not do, by operation."""
        self.hooks = Hooks(self)
        self.on_event = self.hooks.happened
        self._faults: list[Fault] = []
        self._holds: list[Hold] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        for method, path, operation, answer in self._operations():
            app.router.add_route(method, path, self._route(operation, answer))
        self._runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
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

    def fails(self, *faults: Fault) -> None:
        self._faults.extend(faults)

    def hold(self, operation: str, *, after_effect: bool = False, when: Callable[[Record], bool] | None = None) -> Hold:
        """A request waits before or after its effect: `async with vercel.hold("requestPromote") as gate`."""
        hold = Hold(operation, after_effect=after_effect, when=when)  # type: ignore[arg-type]
        self._holds.append(hold)
        return hold

    def asked(self, operation: str) -> list[Request]:
        return [one for one in self.requests if one.operation == operation]

    # The operations, by their names in the OpenAPI description

    def _operations(self) -> list[tuple[str, str, str, Callable[[Record], tuple[int, object]]]]:
        return [
            ("GET", "/v2/teams/{teamId}", "getTeam", self._get_team),
            ("GET", "/v9/projects/{idOrName}", "getProject", self._get_project),
            ("POST", "/v13/deployments", "createDeployment", self._create),
            ("GET", "/v13/deployments/{idOrUrl}", "getDeployment", self._get_deployment),
            ("GET", "/v6/deployments", "getDeployments", self._list),
            ("PATCH", "/v12/deployments/{id}/cancel", "cancelDeployment", self._cancel),
            ("GET", "/v3/deployments/{idOrUrl}/events", "getDeploymentEvents", self._events),
            ("POST", "/v10/projects/{projectId}/promote/{deploymentId}", "requestPromote", self._promote),
        ]

    def _route(
        self, operation: str, answer: Callable[[Record], tuple[int, object]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            text = await request.text()
            body = json.loads(text) if text else {}
            given = {**request.query, **request.match_info, **({"body": body} if body else {})}
            await self._held(operation, given, after_effect=False)
            if fault := self._fault(operation, given, after_effect=False):
                return self._failed(request, operation, given, fault)
            try:
                self._authorize(request, operation, given)
                status, said = answer(given)
            except Refusal as refusal:
                status = refusal.status
                said = answers.failure(status, refusal.code, refusal.message, refusal.more)
            await self._held(operation, given, after_effect=True)
            if fault := self._fault(operation, given, after_effect=True):
                return self._failed(request, operation, given, fault)
            self.requests.append(Request(operation, given, status))
            return web.json_response(said, status=status) if said is not None else web.Response(status=status)

        return handle

    async def _held(self, operation: str, given: Record, *, after_effect: bool) -> None:
        for hold in [one for one in self._holds if one.fits(operation, given, after_effect)]:
            await hold.wait(given)

    def _fault(self, operation: str, given: Record, *, after_effect: bool) -> Fault | None:
        fault = next((one for one in self._faults if one.fits(operation, given, after_effect)), None)
        if fault:
            fault.met += 1
        return fault

    def _failed(self, request: web.Request, operation: str, given: Record, fault: Fault) -> web.StreamResponse:
        self.requests.append(Request(operation, given, 0 if fault.cut else fault.status))
        if fault.cut:
            assert request.transport
            request.transport.abort()
        if fault.body is not None:
            return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
        said = answers.failure(fault.status, fault.code, fault.message, fault.error)
        return web.json_response(said, status=fault.status, headers=fault.headers)

    def _authorize(self, request: web.Request, operation: str, given: Record) -> None:
        if "Authorization" not in request.headers:
            raise Refusal(403, "forbidden", "The request is missing an authentication token")
        if request.headers["Authorization"] != f"Bearer {self.token}":
            raise Refusal(403, "forbidden", "Not authorized", invalidToken=True)
        if operation in self.forbidden:
            raise Refusal(403, "forbidden", "You don't have permission to access this resource.")
        team = given.get("teamId", given.get("slug", "")) if operation != "getTeam" else given["teamId"]
        if team not in ("", self.team_id, self.slug):
            raise Refusal(403, "forbidden", "Not authorized")

    def _in_scope(self, given: Record) -> bool:
        """What belongs to a team is only found by who names the team."""
        return bool(given.keys() & {"teamId", "slug"})

    def _get_team(self, given: Record) -> tuple[int, object]:
        return 200, answers.team(self)

    def _get_project(self, given: Record) -> tuple[int, object]:
        project = self._project(given, given["idOrName"])
        self.project_looked_at(project)
        return 200, answers.project(self, project)

    def _project(self, given: Record, named: str) -> Project:
        project = self.project(named) if self._in_scope(given) else None
        if project is None:
            raise Refusal(404, "not_found", f"Could not find the Project: {named}")
        return project

    def _deployment(self, given: Record, named: str) -> Made:
        made = self.find(named) if self._in_scope(given) else None
        if made is None:
            raise Refusal(404, "not_found", f"Could not find the Deployment: {named}")
        return made

    def _create(self, given: Record) -> tuple[int, object]:
        try:
            asked = CreateDeployment.model_validate(given["body"])
        except ValidationError as error:
            raise Refusal(400, "bad_request", f"Invalid request: {error.errors()[0]['msg']}") from None
        project = self._project(given, asked.project or asked.name)
        source, link = asked.gitSource, project.link or {}
        if source is None:
            raise Refusal(400, "missing_files", "No files were given")
        its = {name: value for name, value in source.model_dump().items() if name in ("repoId", "projectId")}
        if source.type != link.get("type") or any(str(link.get(name)) != str(value) for name, value in its.items()):
            raise Refusal(400, "incorrect_git_source_info", "The provided git source is not that of the project.")
        target = asked.customEnvironmentSlugOrId or asked.target or ""
        if target not in ("", "production", "staging", *project.environments):
            raise Refusal(400, "bad_request", f"Could not find the environment {target!r}")
        if not target:  # As of the branch.
            target = "production" if source.ref == project.branch else "preview"
        made = self.create(project, source.sha or "", target, ref=source.ref, meta=asked.meta, by="deploybot")
        return 200, answers.deployment(self, made)

    def _get_deployment(self, given: Record) -> tuple[int, object]:
        made = self._deployment(given, given["idOrUrl"])
        self.looked_at(made)
        return 200, answers.deployment(self, made)

    def _list(self, given: Record) -> tuple[int, object]:
        if not self._in_scope(given):
            return 200, answers.listed([], until=None)
        project = self._project(given, given["projectId"]) if "projectId" in given else None
        found = self.listed(
            project,
            target=given.get("target", ""),
            states=[state for state in given.get("state", "").split(",") if state],
            sha=given.get("sha", ""),
            meta={name.removeprefix("meta-"): value for name, value in given.items() if name.startswith("meta-")},
        )
        since, before = int(given.get("since", 0)), int(given.get("until", 2**60))
        found = [made for made in found if since < made.created < before]
        limit = min(int(given.get("limit", 20)), LIMIT_MAX)
        page = found[:limit]
        return 200, answers.listed(page, until=page[-1].created if len(found) > limit else None)

    def _cancel(self, given: Record) -> tuple[int, object]:
        made = self._deployment(given, given["id"])
        if made.state in ENDED:
            raise Refusal(400, "bad_request", "Only deployments that are being built can be canceled")
        self.finish(made, "CANCELED")
        return 200, answers.deployment(self, made)

    def _events(self, given: Record) -> tuple[int, object]:
        made = self._deployment(given, given["idOrUrl"])
        lines = answers.events(made, -1)
        if given.get("direction") == "backward":
            lines.reverse()
        limit = int(given.get("limit", 10))
        return 200, lines if limit < 0 else lines[:limit]

    def _promote(self, given: Record) -> tuple[int, object]:
        project = self._project(given, given["projectId"])
        made = self._deployment(given, given["deploymentId"])
        if made.project is not project:
            raise Refusal(404, "not_found", f"Could not find the Deployment: {made.id}")
        if made.state != "READY":
            raise Refusal(422, "unprocessable_entity", f"The deployment {made.id} is not ready: {made.state}")
        if made.target != "production":
            raise Refusal(422, "unprocessable_entity", "A preview deployment has to be built for production first.")
        if project.job and project.job.status in ("pending", "in-progress"):
            raise Refusal(409, "conflict", "Another promotion is in progress")
        if project.production is made:
            raise Refusal(409, "conflict", "The deployment is the current one already")
        self.promote(made)
        return 201, None
