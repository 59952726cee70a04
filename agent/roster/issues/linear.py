"""Linear's API, asked by `linear.graphql`. It shows no key, follows no redirect and guesses no name."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from agent import Call, OutcomeUnknown, ToolError, Wait, secret

SECONDS_MAX, AGAIN_SECONDS, ATTEMPTS_MAX, SHARED_SECONDS = 15, 30, 6, 60
KINDS = {"team": "Teams", "state": "States", "assignee": "People", "label": "Labels", "project": "Projects"}
_TEXT = Path(__file__).with_name("linear.graphql").read_text(encoding="utf-8")
DOCUMENTS = {text.split()[1].partition("(")[0]: text for text in _TEXT.split("\n\n")[1:]}
Record = dict[str, Any]


class Table(BaseModel):
    """[agents.issues] of bot.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    api_key_env: str = Field(default="LINEAR_API_KEY", pattern=r"^(\w+_)?LINEAR(_\w+)?$")
    """The variable with the key. Its name holds LINEAR, so that no other secret can be sent there."""
    team: str = ""
    """The key of a team, such as ENG: an issue is for it if nobody says for which."""
    url: str = Field(default="https://api.linear.app/graphql", pattern=r"^(https://|http://127\.0\.0\.1:)[^?#@]+$")


class NoAnswer(ToolError):
    """Perhaps Linear has done it. After other errors it has not."""


class Linear:
    """The resource of the tools. The names serve all threads of a process for a minute."""

    def __init__(self, table: Table) -> None:
        self.table, self._looking = table, asyncio.Lock()
        self._names: tuple[float, dict[str, list[Record]]] = (float("-inf"), {})

    async def ask(self, operation: str, **variables: Any) -> dict[str, Any]:
        """What was `found` or `made`. Raises ToolError, NoAnswer."""
        import aiohttp  # Here, because every command of the program imports the agents that ship.

        key, body = secret(self.table.api_key_env), {"query": DOCUMENTS[operation], "variables": variables}
        headers = {"Authorization": key if key.startswith("lin_api_") else f"Bearer {key}"}
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(SECONDS_MAX)) as session,
                session.post(self.table.url, json=body, allow_redirects=False) as answer,
            ):
                status, given = answer.status, json.loads(await answer.text() or "{}")
                errors, data = [dict(one) for one in given.get("errors") or [{}]], given.get("data") or {}
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, AttributeError, TypeError):
            raise NoAnswer("Linear cannot be reached, or its answer cannot be read.") from None
        if status == 200 and data and not any(errors):
            return dict(next(iter(data.values())))
        raise self._in_words(status, errors[0], key)

    def _in_words(self, status: int, error: Record, key: str) -> ToolError:
        about: Record = error.get("extensions") or {}
        status, kind = int(about.get("statusCode") or status), about.get("code")
        words = about.get("userPresentableMessage") or error.get("message") or f"status {status}"
        said = " ".join(str(words).replace(key, "(key)").split())[:300]
        if status == 429 or kind == "RATELIMITED":  # It comes again after a while, as after no answer.
            return NoAnswer("Linear takes no more requests from us for now: they are limited by the hour.")
        if status == 401 or kind == "AUTHENTICATION_ERROR":
            return ToolError(f"Linear does not accept the key in {self.table.api_key_env}. Somebody has to replace it.")
        if 400 <= status < 500 or kind == "INPUT_ERROR" or about.get("userError"):
            return ToolError(f"Linear refused it: {said}")
        return NoAnswer(f"Linear failed: {said}")

    async def change(self, what: str, call: Call, **variables: Any) -> JsonValue | Wait:
        """What may be repeated. Without an answer it is, and in the end nobody knows. Raises ToolError."""
        try:
            return dict((await self.ask(what, **variables))[what.removeprefix("Create").removeprefix("Update").lower()])
        except NoAnswer as lost:
            if call.attempt < ATTEMPTS_MAX:
                return Wait(AGAIN_SECONDS * call.attempt, str(lost))
            raise OutcomeUnknown(f"{lost} It may be done all the same: look at it before you ask again.") from lost

    async def create(self, what: str, call: Call, **given: JsonValue) -> JsonValue | Wait:
        """With an id from the call's key. Linear takes each id (a UUID v4) once, so a repeat finds what is there."""
        ids: Any = call.facts["ids"]
        own = str(uuid.UUID(bytes=hashlib.sha256(call.key.encode()).digest()[:16], version=4))
        try:
            return await self.change(f"Create{what}", call, input={**ids, **given, "id": own})
        except ToolError:
            with contextlib.suppress(ToolError):
                return await self.ask(f"Created{what}", id=own)
            raise

    async def names(self) -> dict[str, list[Record]]:
        """By kind, a minute old at most. Raises ToolError."""
        async with self._looking:
            if (began := asyncio.get_running_loop().time()) - self._names[0] > SHARED_SECONDS:
                found = await asyncio.gather(*map(self._all, KINDS.values()))
                self._names = began, dict(zip(KINDS, found, strict=True))
            return self._names[1]

    async def _all(self, operation: str, after: str | None = None) -> list[Record]:
        page = await self.ask(operation, after=after)
        more: Record = page["pageInfo"]
        return page["nodes"] + (await self._all(operation, more["endCursor"]) if more["hasNextPage"] else [])  # type: ignore[no-any-return]

    async def find(self, kind: str, words: str, team: str = "") -> Record:
        """The only one of this name. `team`: the id of that whose states and labels count. Raises ToolError."""
        known = [one for one in (await self.names())[kind] if (one.get("team") or {"id": team})["id"] == team]
        found, wanted = [] if words else known, words.strip().casefold()
        for field in ("key", "email", "name", "displayName"):
            found = found or [one for one in known if str(one.get(field, "")).casefold() == wanted]
        if len(found) == 1:
            return found[0]
        raise ToolError(f"Which {kind} is {words[:80]!r}? There are: {called(*(found or known)) or 'none'}.")


def called(*records: Record) -> str:
    """For people: unlike a name, a key or a mail address is there once."""
    once = [one.get("key") or one.get("email") or (one.get("team") or {}).get("key") for one in records]
    return ", ".join(f"{one['name']} ({own})" if own else one["name"] for one, own in zip(records, once, strict=True))
