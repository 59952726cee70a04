"""Asks GitHub's REST API, by githubkit: one request at a time, its refusals in words, and its limits honoured.

What only looks is asked again at once, a few times, when GitHub fails; what begins something is asked once. Where
GitHub wants to be left alone, everybody in this process leaves it alone until then, and NoAnswer says for how long:
whoever waits does so durably, nobody sleeps here for it.
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from agent import ToolError
from agent.roster.deploy.deployers.base import NoAnswer
from agent.roster.deploy.deployers.process import one_line
from agent.roster.deploy.github.access import SEE, Access

if TYPE_CHECKING:  # They are imported where they are used: every command of the program imports the agents that ship.
    from githubkit import GitHub

SECONDS_MAX = 12.0
"""For one request, the login of an app included."""
PAUSES_SECONDS = (0.2, 1.0)
"""Between the tries of a request that may be repeated."""
LIMITED_SECONDS = 60.0
"""For how long GitHub is left alone if it does not say."""
LOG_BYTES_MAX = 30_000_000
"""A longer log is not read to its end."""

T = TypeVar("T")
Parameters = Mapping[str, str | int]


class Refusal(ToolError):
    """GitHub has answered and done nothing."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class GitHubApi:
    """For one access; see `api_of`."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._closed_until = float("-inf")
        self._cache: Any = None

    async def get(self, shape: type[T], path: str, /, **parameters: str | int) -> T:
        """Raises Refusal, ToolError, NoAnswer."""
        return await self._ask("GET", path, lambda content: parsed(shape, content), parameters=parameters)

    async def find(self, shape: type[T], path: str, /, **parameters: str | int) -> T | None:
        """None: it is not there (or hidden from us)."""
        try:
            return await self.get(shape, path, **parameters)
        except Refusal as error:
            if error.status == 404:
                return None
            raise

    async def post(self, path: str, body: Mapping[str, JsonValue], *, repeats: bool) -> bytes:
        """`repeats`: doing it twice does no harm."""
        return await self._ask("POST", path, bytes, body=body, repeats=repeats)

    async def tail(self, path: str, bytes_max: int) -> bytes:
        """The end of a text that GitHub keeps elsewhere."""
        kept, read = b"", 0
        github = self._github()
        async with github, self._in_words("GET", path):
            answer = await github.arequest("GET", path, headers=self._headers, stream=True)
            async for chunk in answer.raw_response.aiter_bytes():
                kept, read = (kept + chunk)[-bytes_max:], read + len(chunk)
                if read > LOG_BYTES_MAX:
                    break
            await answer.raw_response.aclose()
        return kept

    async def _ask(
        self,
        method: str,
        path: str,
        read: Callable[[bytes], T],
        *,
        parameters: Parameters | None = None,
        body: Mapping[str, JsonValue] | None = None,
        repeats: bool = True,
    ) -> T:
        given = {"params": dict(parameters or {}), "json": body, "headers": self._headers}
        is_new_login = False
        for pause in (*PAUSES_SECONDS, None) if repeats else (None,):
            try:
                try:
                    return read(await self._once(method, path, given))
                except Refusal as error:
                    if error.status != 401 or not self.access.app_id or is_new_login:
                        raise
                    # The token that we keep may have been revoked. Nothing was done, so this is no repetition.
                    self._cache, is_new_login = None, True
                    return read(await self._once(method, path, given))
            except NoAnswer as error:
                if pause is None or error.retry_seconds:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the last try raises")

    async def _once(self, method: str, path: str, given: Mapping[str, Any]) -> bytes:
        async with self._in_words(method, path):
            return bytes((await self._github().arequest(method, path, **given)).raw_response.content)

    @property
    def _headers(self) -> dict[str, str]:
        return {"X-GitHub-Api-Version": self.access.version}

    def _github(self) -> GitHub[Any]:
        from githubkit import AppInstallationAuthStrategy, GitHub, TokenAuthStrategy
        from githubkit.cache import MemCacheStrategy

        mine = self.access
        self._cache = self._cache or MemCacheStrategy()  # It keeps the tokens of the app's installation.
        return GitHub(
            AppInstallationAuthStrategy(mine.app_id, mine.private_key, mine.installation)
            if mine.app_id
            else TokenAuthStrategy(mine.token),
            base_url=mine.url,
            user_agent="deploybot",
            timeout=SECONDS_MAX,
            cache_strategy=self._cache,
            http_cache=False,
            auto_retry=False,  # It would sleep for as long as GitHub wants to be left alone.
        )

    def _in_words(self, method: str, path: str) -> _InWords:
        self._require_open()
        return _InWords(self, f"{method} {path}")

    def _require_open(self) -> None:
        if (left := self._closed_until - time.monotonic()) > 0:
            raise self._closed(left)

    def _close(self, seconds: float) -> NoAnswer:
        self._closed_until = max(self._closed_until, time.monotonic() + seconds)
        return self._closed(seconds)

    def _closed(self, seconds: float) -> NoAnswer:
        about = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
        return NoAnswer(
            f"GitHub takes no more requests from us for {about}: its limit is reached.",
            retry_seconds=max(seconds, 1.0),
            may_have_begun=False,
        )

    def refusal(self, status: int, headers: Mapping[str, str], said: str, what: str) -> ToolError:
        """What an answer with an error means, and what to do."""
        message = one_line(said, 200).rstrip(".") or "without a reason"
        if status in (403, 429) and "rate limit" in said.lower():
            return self._close(LIMITED_SECONDS)
        if status >= 500:
            return NoAnswer(f"GitHub failed with status {status}.")
        if status == 401:
            return Refusal(401, f"GitHub does not accept {self.access.name}: it has expired, or is another's; {SEE}.")
        if status == 403:
            lacks = one_line(headers.get("x-accepted-github-permissions", ""), 80)
            needs = f" It needs the permission {lacks}." if lacks else ""
            return Refusal(403, f"GitHub does not let us ({what}): {message}.{needs}")
        if status == 404 and "/app/installations/" in what:
            return Refusal(404, f"The app has no such installation: correct GITHUB_APP_INSTALLATION_ID; {SEE}.")
        if status == 404:
            return Refusal(
                404, f"GitHub shows us nothing there ({what}): is it right, and may {self.access.name} see it?"
            )
        return Refusal(status, f"GitHub refused it with status {status}: {message}.")


class _InWords:
    """Turns what githubkit raises into what a tool raises."""

    def __init__(self, api: GitHubApi, what: str) -> None:
        self._api, self._what = api, what
        self._timeout = asyncio.timeout(SECONDS_MAX)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise NoAnswer("GitHub does not answer.") from None
        if isinstance(error, Exception):
            raise self._meaning(error) from None

    def _meaning(self, error: Exception) -> Exception:
        from githubkit.exception import RateLimitExceeded, RequestError, RequestFailed

        if isinstance(error, RateLimitExceeded):
            return self._api._close(error.retry_after.total_seconds())
        if isinstance(error, RequestFailed):
            answer = error.response.raw_response
            return self._api.refusal(answer.status_code, answer.headers, _message(answer.content), self._what)
        if isinstance(error, RequestError):
            if isinstance(error.exc, RequestFailed):  # The login of the app.
                self._what = error.exc.request.url.path
                return self._of_login(self._meaning(error.exc))
            return NoAnswer("GitHub cannot be reached.", may_have_begun=_was_sent(error.exc))
        return error

    def _of_login(self, error: Exception) -> Exception:
        if isinstance(error, NoAnswer):
            return NoAnswer(str(error), retry_seconds=error.retry_seconds, may_have_begun=False)
        return error


def _was_sent(error: Exception) -> bool:
    """Whether the request may have reached GitHub."""
    import httpx  # githubkit's own

    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol):
        return False
    request = getattr(error, "_request", None)
    return request is None or not request.url.path.endswith("/access_tokens")


def _message(content: bytes) -> str:
    try:
        found = TypeAdapter(dict[str, JsonValue]).validate_json(content[:20_000])
    except ValidationError:
        return ""
    return str(found.get("message") or "")


def parsed(shape: type[T], content: bytes) -> T:
    try:
        return TypeAdapter(shape).validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise NoAnswer(f"An answer of GitHub cannot be read: {first['loc']} {first['msg']}.") from None


@functools.lru_cache(maxsize=8)
def api_of(access: Access) -> GitHubApi:
    """One for each access in a process: all who use it honour the same limits."""
    return GitHubApi(access)
