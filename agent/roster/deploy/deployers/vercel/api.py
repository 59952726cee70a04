"""The one place that calls Vercel's REST API. https://vercel.com/docs/rest-api

What only reads, and what ends the same if it is done twice, is asked again after a failure of Vercel; creating a
deployment and promoting one never is: who asked finds out what came of it. Every failure becomes words that say what to
do, and none shows the token. It knows nothing of targets and runs.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import JsonValue, TypeAdapter, ValidationError

from agent import ToolError, secret, setting
from agent.roster.deploy.deployers.base import NoAnswer
from agent.roster.deploy.deployers.process import one_line
from agent.roster.deploy.deployers.vercel.shapes import BuildEvent, Deployment, Deployments, Project, Team, lines

URL = "https://api.vercel.com"
URL_NAME = "VERCEL_API_URL"
TOKEN = "VERCEL_TOKEN"  # noqa: S105 - the name of a variable
TOKENS_PAGE = "https://vercel.com/account/settings/tokens"
REQUEST_SECONDS_MAX = 15.0
AGAIN_SECONDS = (0.5, 2.0)
"""The pauses before a request is repeated that may be."""
ANSWER_BYTES_MAX = 8_000_000
PAGE_MAX = 100
PAGES_MAX = 10
WAIT_SECONDS_MAX = 3_600.0
"""Vercel may want to be left alone for days. Looked at again sooner than that, it may have changed its mind."""

T = TypeVar("T")
_BASE = re.compile(r"(?:https://[^/?#@\s]+|http://(?:127\.0\.0\.1|localhost)(?::\d+)?)/?")
"""The token goes there, so it is encrypted, or stays on this machine."""


class Refused(ToolError):
    """Vercel says no: nothing was done."""

    def __init__(self, reason: str, status: int, *, hint: str = "") -> None:
        super().__init__(reason, hint=hint)
        self.status = status


def api_url() -> str:
    """Raises ToolError."""
    url = setting(URL_NAME) or URL
    if not _BASE.fullmatch(url):
        raise ToolError(
            f"{URL_NAME} is {one_line(url, 100)!r}, which is no URL such as {URL}: it begins with https://."
        )
    return url


class VercelApi:
    """As a team sees it, with the token of `VERCEL_TOKEN`."""

    def __init__(self, team: str, *, url: str) -> None:
        """`team`: its id or its slug; empty: the personal account."""
        self.team = team
        self._url = url.rstrip("/")

    async def team_of(self) -> Team:
        return await self._get(Team, f"/v2/teams/{quote(self.team, safe='')}", f"the team {self.team!r}", scoped=False)

    async def project(self, named: str) -> Project:
        return await self._get(Project, f"/v9/projects/{quote(named, safe='')}", f"the project {named!r}")

    async def deployment(self, deployment_id: str) -> Deployment:
        path = f"/v13/deployments/{quote(deployment_id, safe='')}"
        return await self._get(Deployment, path, f"the deployment {deployment_id}")

    async def deployments(self, project: str, filters: Mapping[str, str], most: int = PAGE_MAX) -> list[Deployment]:
        """Newest first. `filters`: as Vercel names them; `meta-NAME` for what stands in `meta`."""
        found: list[Deployment] = []
        until: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            query = {"projectId": project, "limit": str(min(most, PAGE_MAX)), **filters, **until}
            what = f"the deployments of {project!r}"
            page = await self._get(Deployments, "/v6/deployments", what, query)
            found += page.deployments
            if page.pagination.next is None or len(found) >= most:
                break
            until = {"until": str(page.pagination.next)}
        return found[:most]

    async def log_tail(self, deployment_id: str, lines_max: int) -> list[str]:
        """The last lines of its build."""
        path = f"/v3/deployments/{quote(deployment_id, safe='')}/events"
        query = {"builds": "1", "direction": "backward", "limit": str(lines_max)}
        events = await self._get(list[BuildEvent | None], path, f"the log of {deployment_id}", query)
        return list(lines(events))

    async def create(self, body: Mapping[str, JsonValue]) -> Deployment:
        """It is asked once. Raises Refused, NoAnswer."""
        answer = await self._ask("POST", "/v13/deployments", "create a deployment", body=body, query={"forceNew": "1"})
        return _parsed(Deployment, answer, "the new deployment", may_have_begun=True)

    async def promote(self, project_id: str, deployment_id: str) -> None:
        """It is asked once, and takes a while. Raises like `create`."""
        path = f"/v10/projects/{quote(project_id, safe='')}/promote/{quote(deployment_id, safe='')}"
        await self._ask("POST", path, f"promote {deployment_id}", body={})

    async def cancel(self, deployment_id: str) -> Deployment:
        path = f"/v12/deployments/{quote(deployment_id, safe='')}/cancel"
        answer = await self._repeated("PATCH", path, f"cancel {deployment_id}")
        return _parsed(Deployment, answer, "the cancelled deployment", may_have_begun=True)

    async def _get(
        self, shape: type[T], path: str, what: str, query: Mapping[str, str] | None = None, *, scoped: bool = True
    ) -> T:
        return _parsed(shape, await self._repeated("GET", path, f"read {what}", query=query, scoped=scoped), what)

    async def _repeated(
        self, method: str, path: str, doing: str, *, query: Mapping[str, str] | None = None, scoped: bool = True
    ) -> bytes:
        """Raises Refused, NoAnswer."""
        for seconds in AGAIN_SECONDS:
            try:
                return await self._ask(method, path, doing, query=query, scoped=scoped)
            except NoAnswer as error:
                if error.retry_seconds:
                    raise
                await asyncio.sleep(seconds)
        return await self._ask(method, path, doing, query=query, scoped=scoped)

    async def _ask(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, JsonValue] | None = None,
        scoped: bool = True,
    ) -> bytes:
        token = secret(TOKEN)
        scope = {"teamId" if self.team.startswith("team_") else "slug": self.team} if self.team and scoped else {}
        timeout = aiohttp.ClientTimeout(REQUEST_SECONDS_MAX)
        acts = method != "GET"
        try:
            async with (
                aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}, timeout=timeout) as session,
                session.request(
                    method, f"{self._url}{path}", params={**scope, **(query or {})}, json=body, allow_redirects=False
                ) as answer,
            ):
                status, headers = answer.status, answer.headers
                text = await _bounded(answer)
        except aiohttp.ClientConnectorError:
            raise NoAnswer("Vercel cannot be reached.", may_have_begun=False) from None
        except TimeoutError:
            why = f"Vercel gave no answer within {REQUEST_SECONDS_MAX:g} s."
            raise NoAnswer(why, may_have_begun=acts) from None
        except (aiohttp.ClientError, OSError):
            raise NoAnswer("The connection to Vercel broke before it answered.", may_have_begun=acts) from None
        if text is None:
            too_long = f"Vercel's answer has more than {ANSWER_BYTES_MAX:,} bytes: it was not read."
            raise NoAnswer(too_long, may_have_begun=acts)
        if 200 <= status < 300:
            return text
        words, is_invalid = _said(text, token)
        if status >= 500:
            raise NoAnswer(f"Vercel failed with {status}{words}.", may_have_begun=acts)
        if status == 429:
            raise _left_alone(headers)
        raise self._refused(401 if is_invalid else status, words, doing)

    def _refused(self, status: int, words: str, doing: str) -> Refused:
        scope = f"the team {self.team!r}" if self.team else "the personal account"
        match status:
            case 401:
                why = f"Vercel does not accept the token in {TOKEN}: it is wrong or has expired."
                hint = f"Somebody has to make one at {TOKENS_PAGE} and put it there."
            case 403:
                why = f"The token in {TOKEN} may not {doing} in {scope}{words}."
                hint = "Check `team`, the token's scope, and the role of the member whose token it is."
            case 404:
                why = f"Vercel does not find it: it could not {doing} in {scope}{words}."
                hint = "Check `project` and `team`, and that the token's scope has them."
            case _:
                why, hint = f"Vercel would not {doing}{words} (status {status}).", ""
        return Refused(why, status, hint=hint)


async def _bounded(answer: aiohttp.ClientResponse) -> bytes | None:
    """None: it is too long."""
    text = bytearray()
    async for chunk in answer.content.iter_any():
        text += chunk
        if len(text) > ANSWER_BYTES_MAX:
            return None
    return bytes(text)


def _said(text: bytes, token: str) -> tuple[str, bool]:
    """Its own words, after a colon; whether it says that the token is none."""
    try:
        found = json.loads(text)
        error = found["error"]
        words, is_invalid = str(error.get("message") or error.get("code") or ""), error.get("invalidToken") is True
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", False
    missing = "missing an authentication token" in words
    clean = one_line(words.replace(token, "(token)"), 300).rstrip(".")
    return (f": {clean}" if clean else ""), is_invalid or missing


def _left_alone(headers: Mapping[str, str]) -> NoAnswer:
    """For as long as Retry-After says, or else x-ratelimit-reset, which is a time."""
    seconds = 60.0
    for name, now in (("Retry-After", 0.0), ("x-ratelimit-reset", time.time())):
        try:
            seconds = min(max(float(headers[name]) - now, 1.0), WAIT_SECONDS_MAX)
            break
        except (KeyError, ValueError):
            continue
    how_long = f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
    why = f"Vercel takes no more requests of this kind for {how_long}."
    return NoAnswer(why, retry_seconds=seconds, may_have_begun=False)


def _parsed(shape: type[T], text: bytes, what: str, *, may_have_begun: bool = False) -> T:
    try:
        return TypeAdapter(shape).validate_json(text)
    except ValidationError:
        raise NoAnswer(f"What Vercel says of {what} cannot be read.", may_have_begun=may_have_begun) from None
