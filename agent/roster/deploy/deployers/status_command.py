"""Asks a target what runs there by the team's `status` command. It only looks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from agent import ToolError
from agent.roster.deploy.deployers.base import Running
from agent.roster.deploy.deployers.process import last_lines, one_line, run_bounded, why_not
from agent.roster.deploy.repository import FULL_SHA

STATUS_SECONDS_MAX = 20.0
STATUS_BYTES_MAX = 64_000


async def ask_status(
    command: Sequence[str], *, where: str, cwd: str, env: Mapping[str, str], seconds: float
) -> Running | None:
    """None: nothing runs there yet. Raises ToolError."""
    what = f"what runs on {where}"
    try:
        ended = await run_bounded(command, cwd=cwd, env=env, seconds=seconds, bytes_max=STATUS_BYTES_MAX)
    except OSError as error:
        raise ToolError(f"Cannot ask {what}: the command cannot be started: {why_not(error)}.") from None
    if ended.timed_out:
        raise ToolError(f"Asking {what} took longer than {seconds:g} seconds.")
    if ended.exit_code != 0:
        last = last_lines(ended.errors or ended.output, lines_max=1)
        raise ToolError(f"Asking {what} failed with exit code {ended.exit_code}: {last}")
    return parse_status(ended.output)


def parse_status(printed: bytes) -> Running | None:
    """Parse the output of a status command: a full SHA, or JSON in which everything but the SHA is optional."""
    text = printed.decode("utf-8", "replace").strip()
    fields: dict[str, JsonValue] = {"sha": text}
    if text.startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            parsed = json.loads(text)
            fields = parsed if isinstance(parsed, dict) else fields
    sha = fields.get("sha")
    if sha is None or sha == "":
        if "sha" in fields:
            return None
    elif isinstance(sha, str) and FULL_SHA.fullmatch(sha.lower()):
        since, by, url = (one_line(str(fields.get(key) or ""), 300) for key in ("since", "by", "url"))
        return Running(sha.lower(), since, by, url if url.startswith(("https://", "http://")) else "")
    raise ToolError(f"The status command printed neither a full SHA nor JSON with one: {one_line(text, 200)!r}.")
