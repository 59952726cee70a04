"""GitHub's deliveries for the door: a deployment wants to be let through, or a run that asked is over.

A delivery is only news. What it names is looked up at GitHub before anybody is asked, and the answer goes to the API
that this program is set up with: of the callback's URL, nothing but the number of the run is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import JsonValue

from bot.door.deployments import CALLER, NAME, Asked
from bot.door.opening import Door
from bot.door.reviews import run_in
from bot.inbox import Inbox
from bot.team.github import ENVIRONMENT_CHARS_MAX, is_repository, place_for
from channels.hooks.github import KIND
from channels.hooks.kind import Delivery, Kind
from channels.hooks.payload import number_at, text_at
from store.base import Store
from store.shelves import Keep
from store.text import one_line

REQUESTED = "deployment_protection_rule.requested"
COMPLETED = "workflow_run.completed"
UNNAMED = "door/github/unnamed"
"""The shelf of those environments for which GitHub has asked and that are not named, each as `[repository, name]`."""
UNNAMED_KEPT = Keep(timedelta(days=14).total_seconds(), 50)
SHOWN_CHARS_MAX = 80


class Posted(Protocol):
    """The hook that a delivery came by."""

    @property
    def kind(self) -> Kind: ...


class DeploymentRequests:
    """A `Taker` of `bot.web.hooks` for what GitHub asks, and a `Listener` that hears of a run's end."""

    name = "github environments"

    def __init__(self, store: Store, door: Door, environments: Mapping[str, Mapping[str, str]]) -> None:
        self._store = store
        self._door = door
        self._environments = environments

    def wants(self, hook: Posted, delivery: Delivery) -> bool:
        return hook.kind.name == KIND.name and delivery.event == REQUESTED

    def hears(self, hook: Posted, delivery: Delivery) -> bool:
        return hook.kind.name == KIND.name and delivery.event == COMPLETED

    async def take(self, hook: Posted, delivery: Delivery) -> str:
        """What came of it, in words. Raises StoreUnavailable. So does `hear`."""
        return await self._asked(delivery)

    async def hear(self, hook: Posted, delivery: Delivery) -> str:
        return await self._ended(delivery)

    async def _asked(self, delivery: Delivery) -> str:
        body = delivery.body
        repository, environment = text_at(body, "repository.full_name"), text_at(body, "environment")
        run = run_in(text_at(body, "deployment_callback_url"), repository)
        deployment = number_at(body, "deployment.id")
        if not (is_repository(repository) and environment and run and deployment):
            return "it does not name a repository, an environment, a deployment and a run of the same repository"
        place = place_for(self._environments, repository, environment)
        if not place or len(environment) > ENVIRONMENT_CHARS_MAX:
            await self._note_unnamed(repository, environment)
            shown = f"{repository} {one_line(environment, SHOWN_CHARS_MAX)}"
            return f"[github.environments] does not name {shown}, so GitHub goes on waiting"
        asked = Asked(
            repository=repository,
            environment=environment,
            run=run,
            deployment=deployment,
            commit=text_at(body, "deployment.sha"),
        )
        key = f"{deployment} {environment.lower()}"
        thread = await self._door.ask(_subject(repository, run), key, asked.as_json(), place=place)
        return f"asked in thread {thread}"

    async def _ended(self, delivery: Delivery) -> str:
        body = delivery.body
        repository, run = text_at(body, "repository.full_name"), number_at(body, "workflow_run.id")
        attempt = number_at(body, "workflow_run.run_attempt") or 1
        if not (is_repository(repository) and run):
            return ""
        conclusion = one_line(text_at(body, "workflow_run.conclusion").replace("_", " "), SHOWN_CHARS_MAX)
        why = f"The run is over at GitHub ({conclusion})." if conclusion else "The run is over at GitHub."
        data: dict[str, JsonValue] = {"attempt": attempt}
        ended = await self._door.withdraw(_subject(repository, run), data, mark=f"over {attempt}", why=why)
        return f"{ended} request{'s' if ended > 1 else ''} withdrawn: its run is over" if ended else ""

    async def _note_unnamed(self, repository: str, environment: str) -> None:
        text = json.dumps([repository, one_line(environment, SHOWN_CHARS_MAX)])
        await self._store.shelve(UNNAMED, text, text, expected="", keep=UNNAMED_KEPT)


def requests_of(
    store: Store, inbox: Inbox, now: Callable[[], datetime], environments: Mapping[str, Mapping[str, str]]
) -> DeploymentRequests:
    return DeploymentRequests(store, Door(store, inbox, now, name=NAME, source="GitHub", caller=CALLER), environments)


async def unnamed(store: Store) -> list[tuple[str, str]]:
    """The repositories and environments for which GitHub has asked lately, and which the team file did not name."""
    return [
        (repository, name) for repository, name in map(json.loads, [k.text for k in await store.newest(UNNAMED, 50)])
    ]


def _subject(repository: str, run: int) -> str:
    return f"{repository.lower()} {run}"
