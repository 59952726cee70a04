"""Logs that prompts are made of: a deployment, and somebody who asks again and again."""

from __future__ import annotations

from typing import Any

from store.events import Event
from store.values import Attachment
from tests.agent.context.prompts import Data
from tests.telling.story import (
    ANN,
    BOB,
    EVE,
    approved,
    choice_failed,
    chosen,
    failed,
    finished,
    fired,
    message,
    rejected,
    requested,
    started,
    waits,
)

SHA = "4af9ec0bd7b1e9b2d0e4a4d07b6d1c5b1c1f0a11"


def told(step: str, intent: str, result: Any, *, by: str = "model", **arguments: Any) -> tuple[Event, ...]:
    event = chosen(step, intent, **arguments).model_copy(update={"by": by})
    return (event, started(step, repeatable=True), finished(step, result))


def commit(sha: str, subject: str, author: str, date: str) -> Data:
    return {
        "sha": sha,
        "subject": subject,
        "author": author,
        "date": date,
        "link": f"https://git.example/shop/commit/{sha}",
    }


NEW = commit(SHA, "Pay by invoice", "Ada Okafor", "2026-11-20T16:05:00+00:00")
OLD = commit("b" * 40, "Show delivery dates in the basket", "Lin Berg", "2026-11-18T14:40:00+00:00")

DEPLOYMENT: tuple[Event, ...] = (
    message("m1", f"deploy SHA {SHA[:7]} to production", by=ANN, subject="Release"),
    *told(
        "s2",
        "list_git_tags",
        {
            "tags": [
                {"name": "v1.1.0", "sha": "b" * 7, "date": "2026-11-18", "author": "Lin Berg", "subject": "Show, then"},
                {"name": "v1.0.0", "sha": "a" * 7, "date": "2026-11-16", "author": "Ada Okafor", "subject": "First"},
            ]
        },
        by="code",
        component="backend",
    ),
    *told(
        "s5",
        "list_deployments",
        {
            "deployments": [
                {"component": "backend", "environment": "production", "sha": "b" * 7, "name": "v1.1.0", "since": None},
                {"component": "frontend", "environment": "production", "sha": "", "name": "", "since": None},
            ]
        },
        by="code",
    ),
    chosen("s8", "deploy", acts=True, component="frontend", environment="production", revision=SHA[:7]),
    requested("s8").model_copy(update={"facts": {"new": NEW, "running": "nothing yet", "before": "runs on staging"}}),
    rejected("s8", by=BOB).model_copy(update={"comment": "can you deploy the backend first?"}),
    choice_failed(11).model_copy(update={"error": "Invalid deploy: environment: Field required."}),
    chosen("s12", "deploy", acts=True, component="backend", environment="production", revision=SHA[:7]),
    requested("s12").model_copy(update={"facts": {"new": NEW, "running": OLD, "adds": ["4af9ec0 Pay by invoice"]}}),
    approved("s12", by=EVE),
    approved("s12", by=BOB),
    started("s12"),
    finished("s12", {"run_id": "0f3a", "state": "started"}),
    chosen("s18", "wait_for_deployment", component="backend", environment="production", run_id="0f3a"),
    started("s18", repeatable=True),
    waits("s18"),
    message("m2", "is it out?\n\n- the backend, I mean", by=EVE),
    chosen("s22", "send_update", message="It is under way."),
    fired("s18/wait/1"),
    started("s18", 2, repeatable=True),
    finished(
        "s18",
        {"run_id": "0f3a", "component": "backend", "environment": "production", "state": "succeeded",
         "output": "exporting backend\nswitched\n"},
    ),
    *told("s26", "check_deployment_status", {"sha": SHA[:7], "healthy": True, "load": 0.25}, component="backend"),
    chosen("s29", "list_commits", component="api"),
    started("s29", repeatable=True),
    failed("s29", "api is not set up. Known are backend, frontend."),
    chosen("s32", "request_human_input", question="The frontend, too?", context="It needs the backend, which is out.",
           options={"urgency": "low", "format": "yes_no", "choices": []}),
    message("m3", "yes", by=ANN, answers="s32", attachments=(Attachment(name="plan.txt", media_type="text/plain"),)),
    chosen("s34", "deploy", acts=True, component="frontend", environment="production", revision=SHA[:7]),
    requested("s34").model_copy(update={"facts": {"new": NEW, "running": "nothing yet"}}),
)  # fmt: skip


def conversation(often: int, size: int = 300) -> list[Event]:
    """Somebody asks again and again, and a lot is looked up."""
    events: list[Event] = [message("first", "What I want is a quiet life.")]
    for n in range(often):
        events += [message(f"m{n}", f"question {n}"), *told(f"s{n}", "look", {"found": "x" * size}, n=n)]
    return events
