"""Killed anywhere, with Slack: the list of tasks, the long answer as a file, and the reaction.

A person asks what runs, and the agent shows its tasks, looks, and answers at length. Slack holds the nth such call,
before or after it took effect; the process is killed with it, another one is started, and the story goes on. It must
end the same: one list that says that all is done, one beginning of the answer, one file, one reaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.model_server import ModelServer, Reply, step
from tests.fakes.servers import Server
from tests.fakes.slack import SlackServer
from tests.matrices import matrix
from tests.patience import PATIENCE_SECONDS, STORY_SECONDS_MAX, eventually
from tests.stories.program import Bot, Running
from tests.stories.test_slack import MANIFEST, Team
from tests.stories.test_slack_killed import Point, nth

pytestmark = pytest.mark.slow

CALLS = {
    "reactions.add": 1,
    "chat.postMessage": 3,
    "chat.update": 3,
    "files.getUploadURLExternal": 1,
    "files.completeUploadExternal": 1,
    "files.info": 1,
}
"""How many are tried. Posts: the list, the beginning, the file. The list is updated for each task that moves."""
ALWAYS = CALLS | {"chat.update": 1}
"""How many there are at least: only the newest update of the list has to go out."""
POINTS = [
    Point(method, n + 1, after) for method, count in CALLS.items() for n in range(count) for after in (False, True)
]
ENDLESS = "\n\n".join(f"Paragraph {n}: {'word ' * 200}" for n in range(60))
TASKS = [
    {"title": "See what runs", "does": "list_deployments"},
    {"title": "Check it", "does": "check_deployment_status"},
]


def decider(request: dict[str, Any]) -> Reply:
    said = request["messages"][-1]["content"]
    if "<show_tasks>" not in said:
        return step({"intent": "show_tasks", "tasks": TASKS})
    if "<list_deployments>" not in said:
        return step({"intent": "list_deployments"})
    if "<check_deployment_status>" not in said:
        where = {"component": "frontend", "environment": "staging"}
        return step({"intent": "check_deployment_status", **where})
    return step({"intent": "done_for_now", "message": ENDLESS})


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer(decider) as server:
        yield server


@matrix("point", POINTS, sample=2)
async def test_nothing_is_doubled_or_lost_wherever_the_program_is_killed(
    template: Path, tmp_path: Path, model: ModelServer, server: Server, point: Point
) -> None:
    bot = Bot(tmp_path, {"REDIS_URL": server.url}).with_site(template).with_model(model)
    async with SlackServer.from_manifest(
        MANIFEST,
        retry_waits_seconds=(0.2, 0.5, 2.0, 5.0),
        acknowledge_seconds=PATIENCE_SECONDS,
        trigger_seconds=PATIENCE_SECONDS,
    ) as slack:
        slack.fail("assistant.threads.setStatus", "access_denied", times=1_000)
        team = Team(slack, bot)
        try:
            killed = await story(team, point)
        except TimeoutError as error:
            said = "\n".join(slack.text_of(message)[:200] for message in team.from_bot())
            raise AssertionError(f"the story hangs:\n{said}") from error
    assert killed or point.number > ALWAYS[point.method]


async def story(team: Team, point: Point) -> bool:
    """Whether the program was killed in it."""
    slack = team.slack
    told = asyncio.create_task(tell(team), name="the person")
    gate_is = slack.hold(point.method, after_effect=point.after, when=nth(point.number))
    async with gate_is as gate, asyncio.timeout(STORY_SECONDS_MAX):
        async with team.running() as process:
            reached = asyncio.create_task(gate.reached(seconds=STORY_SECONDS_MAX))
            over = asyncio.create_task(is_recorded([], process, told))
            await asyncio.wait({over, reached}, return_when=asyncio.FIRST_COMPLETED)
            killed = reached.done() and not over.done()
            process.kill()
            await process.ends()
            before = process.log
            for task in (reached, over):
                task.cancel()
        if killed:
            await gate.abandoned()
            gate.release()
            async with team.running() as process:
                await is_recorded(before, process, told)
    said = [slack.text_of(message) for message in team.from_bot()]
    what = f"killed {point}:\n" + "\n".join(text[:200] for text in said)
    assert [text.splitlines()[0] for text in said if text.startswith("Tasks:")] == ["Tasks: 2 of 2 done"], what
    assert sum("Paragraph 0: " in text for text in said) == 1, what
    files = [file for message in team.from_bot() for file in message.files]
    assert [file.content.decode() for file in files] == [ENDLESS], what
    assert len(said) == 3, what
    assert team.thread
    assert slack.now(team.thread).reactions == (("eyes", (slack.workspace.bot.id,)),), what
    return killed


async def is_recorded(before: list[dict[str, Any]], process: Running, told: asyncio.Task[None]) -> None:
    """The person has seen everything, and the program has recorded that the answer was sent."""
    await asyncio.shield(told)

    def has_recorded() -> bool:
        lines = [*before, *process.log]
        answers = [line["step"] for line in lines if line.get("intent") == "done_for_now"]
        sent = [line["key"] for line in lines if line["event"] == "message_sent"]
        return any(f"{step}/say" in sent for step in answers)

    await eventually(has_recorded, "the record of the answer")


async def tell(team: Team) -> None:
    slack = team.slack
    await slack.connected(seconds=STORY_SECONDS_MAX)
    asked = await team.asks("what runs where?")

    def is_over() -> bool:
        has_file = any(message.files for message in team.from_bot())
        return has_file and team.is_told("Tasks: 2 of 2 done") and bool(slack.now(asked).reactions)

    await slack.wait_for(is_over, STORY_SECONDS_MAX)
