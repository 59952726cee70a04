"""GitHub asks over a socket, people decide, and the answer goes back over a socket: how the tests of the door begin."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from bot.door.checks import problems_of
from bot.door.deliveries import DeploymentRequests, requests_of
from bot.door.deployments import NAME, agent_of
from bot.inbox import Inbox
from bot.team.file import Team
from bot.team.people import People
from bot.team.policies import Policies
from bot.web.hooks.records import Record, Records
from bot.web.hooks.taking import Hook, Hooks
from bot.web.hooks.way_in import WayIn
from bot.web.server import application, serving
from channels.hooks.kinds import KINDS
from store.base import Store
from store.memory import MemoryStore
from store.values import Person
from tests.agent.roster.deploy.github.world import set_up
from tests.fakes.clock import Clock
from tests.fakes.github import SECRET, App, Delivery, GitHubServer, Repository
from tests.fakes.github.gates import Gate
from tests.store.threads import thread_ids
from tests.telling.playbook import World

TEAM = """
[hooks.github]
[github.environments."acme/payments"]
production = "terminal:deployments"

[[rule]]
tool = "allow_deployment"
when = { environment = "prod*" }
group = "team"
requester_may = false
expires = "4h"

[people.ada]
name = "Ada"
slack = "U0ADA"
github = "ada"
[people.bob]
name = "Bob"
slack = "U0BOB"
[people.cat]
slack = "U0CAT"
"""
ADA, BOB, CAT = (Person(name=name, address=f"U0{name.upper()}", trust="verified") for name in ("Ada", "Bob", "Cat"))


@dataclass
class Stage:
    github: GitHubServer
    store: Store
    world: World
    team: Team
    urls: list[str] = field(default_factory=list)
    turns: int = 0

    @property
    def repository(self) -> Repository:
        return self.github.repositories["acme/payments"]

    def asks(self, *, by: str = "ada", environment: str = "production", subject: str = "Round down") -> Gate:
        sha = self.repository.commit(subject)
        return self.github.begins(self.repository, sha, by=by, environment=environment)

    async def deliver(self, made: Delivery, **headers: str) -> tuple[int, dict[str, Any]]:
        """To one replica after the other; and the thread that is there, is looked at."""
        url, self.turns = self.urls[self.turns % len(self.urls)], self.turns + 1
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/hooks/github", data=made.body, headers={**made.headers, **headers}) as answer,
        ):
            found = answer.status, await answer.json()
        if ids := await thread_ids(self.store):
            self.world.thread = await self.world.store.load(ids[-1])
        return found

    async def asked(self, **more: Any) -> Gate:
        """GitHub asks, and the card is out."""
        gate = self.asks(**more)
        status, _ = await self.deliver(gate.delivery)
        assert status == 202
        await self.world.run()
        return gate

    async def says(self, text: str, by: Person = BOB) -> None:
        """In the thread of the request."""
        self.world.thread = await self.world.inbox.say(self.world.thread.id, by, text)

    async def threads(self) -> int:
        return len(await thread_ids(self.store))

    async def records(self) -> list[Record]:
        return await Records(self.store, "github").newest(50)

    def requests(self) -> DeploymentRequests:
        inbox = Inbox(self.store, people=People(self.team.people), clock=self.world.clock)
        return requests_of(self.store, inbox, self.world.clock, self.team.github.environments)

    async def problems(self) -> list[str]:
        return await problems_of(self.team.github.environments, self.store)

    async def outage_ends(self, seconds: float = 60.0) -> list[str]:
        """As long as it waits to try again."""
        return await self.world.advance(seconds)


@contextlib.asynccontextmanager
async def stage_with(
    monkeypatch: pytest.MonkeyPatch, text: str = TEAM, *, replicas: int = 1, store: Store | None = None
) -> AsyncIterator[Stage]:
    team = Team.model_validate(tomllib.loads(text))
    people, clock = People(team.people), Clock()
    store = store or MemoryStore(clock)
    async with GitHubServer(app=(app := App())) as github, contextlib.AsyncExitStack() as stack:
        ids = {"APP_ID": str(app.id), "APP_INSTALLATION_ID": str(app.installation)}
        set_up(monkeypatch, github, TOKEN="", APP_PRIVATE_KEY=app.private_key, **ids)
        github.add_repository("acme/payments").commit("Begin")
        agent = agent_of(lambda: problems_of(team.github.environments, store))
        world = World(
            others={NAME: agent}, store=store, people=people, authority=Policies(people, team.rules), clock=clock
        )
        stage = Stage(github, store, world, team)
        for _ in range(replicas):
            door = stage.requests()
            hook = Hook("github", team.hooks["github"], KINDS["github"], (SECRET,))
            hooks = Hooks(
                store,
                Inbox(store, people=people, clock=clock),
                {"github": hook},
                agent="ops",
                now=clock,
                takers=(door,),
                listeners=(door,),
            )
            app_ = application(store, None, hooks=WayIn(hooks, store))
            stage.urls.append(await stack.enter_async_context(serving(app_, "127.0.0.1", 0)))
        yield stage
