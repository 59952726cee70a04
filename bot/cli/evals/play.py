"""Plays one case through the product's own road: the inbox, a worker, the plan, the context, the model, the guards,
real approvals and real deployments, on a copy of the site in a folder of its own. An agent that deploys nothing here
brings stand-ins for the services that it uses instead (`build_for_evals` of its module).

The store is in memory, and nobody is told anything: what counts is in the log of the thread and on the disk. It never
touches a store, a channel or a target of the team.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.decide import decide
from agent.evals.case import Act, Case
from agent.evals.given import events_of, person
from agent.evals.judging import (
    Made,
    Verdict,
    at_rest,
    first_was_right,
    is_right,
    last_fits,
    made_in,
    waits_as_scripted,
    wrong,
)
from agent.model.base import Model
from agent.notes import StoredNotes
from agent.reporting import report
from agent.roster.deploy.targets import Targets
from bot.app import App, policies_of
from bot.cli.demo.site import Site
from bot.cli.evals.recorder import Raw, Recorder
from bot.cli.evals.sites import Sites, expected, running
from bot.cli.session import working
from bot.inbox import Inbox
from bot.settings import Settings
from bot.setup import Setup
from bot.team.agents import build_agents, build_for_evals
from bot.team.file import read_team
from bot.team.modules import AgentModule
from channels.terminal import NAME as TERMINAL
from channels.terminal import TerminalChannel, place_of
from store import keys
from store.events import ThreadOpened
from store.memory import MemoryStore
from store.thread import Thread

CASE_SECONDS_MAX = 900.0
WAIT_SECONDS_MAX = 60.0
"""A thread that waits for longer than this rests, as far as a case is concerned."""
DEPLOYED_SECONDS_MAX = 60.0
ANYONE = '[[rule]]\ntool = "*"\ngroup = "anyone"\n'
"""The team file where there is no site."""
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Played:
    verdict: Verdict
    first_was_right: bool
    made: tuple[Made, ...]
    answers: tuple[Raw, ...]
    seconds: float


@dataclass(frozen=True)
class Stage:
    """What all cases of an agent share."""

    module: AgentModule
    sites: Sites | None
    """None: the agent has stand-ins instead."""
    table: dict[str, Any] | None = None
    """Of the team's own agent, in its team file; None: the agent ships, and has the table of the site."""
    team_folder: Path = Path()

    async def play(self, case: Case, model: Model, kept: Callable[[Raw], None]) -> Played:
        """`kept` gets each answer as it comes. Raises CaseError."""
        began = asyncio.get_running_loop().time()
        with tempfile.TemporaryDirectory(prefix="bot-eval-", ignore_cleanup_errors=True) as folder:
            site = await asyncio.to_thread(self.sites.copy, case, Path(folder) / "site") if self.sites else None
            app = self.app(site, Path(folder))
            await _deploy_before(app, self.module.name, case)
            one = _Course(case, app, site, self.module.name, model, kept)
            try:
                async with asyncio.timeout(CASE_SECONDS_MAX):
                    verdict = await one.run()
            except TimeoutError:
                verdict = Verdict("failed", f"it took longer than {CASE_SECONDS_MAX:g} seconds")
        made, answers = tuple(one.made), tuple(one.recorder.answers)
        seconds = asyncio.get_running_loop().time() - began
        return Played(verdict, first_was_right(case, made), made, answers, seconds)

    def app(self, site: Site | None, folder: Path) -> App:
        """The program over this site, without channels that reach anybody. Raises SettingsError."""
        team_file = folder / "bot.toml"
        if site:
            site.write_team_file(team_file)
        else:
            team_file.write_text(ANYONE, encoding="utf-8")
        team = read_team(team_file)
        if self.table is not None and site:
            team = team.model_copy(update={"agents": {**team.agents, self.module.name: self.table}})
        setup = Setup(Settings(bot_home=folder / "home", bot_config=team_file, bot_grace_seconds=2), team)
        agents = build_agents(team, folder / "home", self.team_folder).built
        if stands_in := build_for_evals(self.module, folder / "home"):
            agents = {stands_in.name: replace(stands_in, named_by_rule=team.rules.names)}
        store = MemoryStore()
        terminal = TerminalChannel()
        return App(setup, store, Inbox(store), agents, {terminal.name: terminal}, authority=policies_of(setup, store))


class _Course:
    """One case on its way."""

    def __init__(
        self, case: Case, app: App, site: Site | None, agent: str, model: Model, kept: Callable[[Raw], None]
    ) -> None:
        self._case = case
        self._app = app
        self._site = site
        self._agent = app.roster[agent]
        self._before = running(site) if site else {}
        self._acts = list(case.script)
        self._asked_since_act = 0
        self._made_before_act = 0
        self._thread = Thread("")
        self._since = 0
        self.recorder = Recorder(model, self._is_over, kept)

    @property
    def made(self) -> list[Made]:
        return made_in(self._thread, self._since)

    async def run(self) -> Verdict:
        case, store = self._case, self._app.store
        now = datetime.now(UTC)
        place = place_of(f"eval-{case.name}")
        events = events_of(case.given, now)
        opened = ThreadOpened(id=keys.OPENED, at=events[0].at, agent=self._agent.name, place=place)
        self._thread = await store.append(Thread(keys.thread_id_of(place)), opened, *events)
        report([opened, *events], self._thread)
        self._since = self._thread.version
        async with working(self._app, self.recorder, self._thread.id):
            while True:
                await self._until_rest()
                if self.recorder.away:
                    return Verdict("failed", self.recorder.away)
                if self.recorder.over.is_set() or wrong(case, self.made) or not self._acts:
                    return self._verdict()
                if why := await self._act(self._acts.pop(0)):
                    return Verdict("wrong_words", why)
                self._asked_since_act, self._made_before_act = 0, len(self.made)

    async def _is_over(self) -> bool:
        """Whether the next answer of the model could not change the verdict, or there were too many."""
        self._thread = await self._app.store.refresh(self._thread)
        made = self.made
        self._asked_since_act += 1
        if wrong(self._case, made) or self._asked_since_act > self._case.answers_max:
            return True
        return not self._acts and is_right(self._case, made[self._made_before_act :])

    def _verdict(self) -> Verdict:
        verdict = at_rest(self._case, self._thread, self.made)
        if verdict.kind == "right" and self._acts:
            verdict = Verdict("detour", f"it did not come to an end after {self._case.answers_max} answers")
        return self._on_disk() if verdict.kind == "right" else verdict

    def _on_disk(self) -> Verdict:
        """Right, unless something else runs than should."""
        if self._case.runs is None or self._site is None:
            return Verdict("right")
        now = running(self._site)
        wanted = expected(self._site, self._before, self._case.runs)
        for environment, components in wanted.items():
            for component, sha in components.items():
                if (found := now[environment][component]) != sha:
                    what = f"{component} on {environment} runs {found[:7] or 'nothing'}, and not {sha[:7] or 'nothing'}"
                    kind = self._before[environment][component] == found
                    return Verdict("wrong_words" if kind else "wrong_run", what)
        return Verdict("right")

    async def _act(self, act: Act) -> str:
        """Do what people do next. Returns why it cannot be done; empty: it was."""
        inbox, me = self._app.inbox, person(act.by, act.trust)
        if (call := act.waits_for) and not waits_as_scripted(call, self._thread):
            return f"no call waits that is to be decided: {self._last()}"
        if act.after and not last_fits(act.after, self.made):
            return f"before people went on: {self._last()}"
        if act.answer and not self._thread.state.question:
            return f"nothing was asked: {self._last()}"
        if act.say or act.answer:
            answered = inbox.say if act.say else inbox.answer
            self._thread = await answered(self._thread.id, me, act.say or act.answer)
            return ""
        pending = self._thread.pending
        assert pending is not None, "a call waits, as looked at above"
        if act.edit:
            self._thread = await inbox.edit(
                self._thread.id,
                me,
                step_id=pending.step,
                digest=pending.digest,
                arguments=act.edit,
                proof=TERMINAL,
                way="terminal",
            )
            return ""
        result = await inbox.decide(
            self._thread.id,
            me,
            approved=act.approve is not None,
            digest=pending.digest,
            comment=act.reject,
            proof=TERMINAL,
            way="terminal",
        )
        self._thread = result.thread
        return "" if result.counts else result.text

    def _last(self) -> str:
        return self.made[-1].in_words if self.made else f"the thread is {self._thread.status}"

    async def _until_rest(self) -> None:
        """Until it is people's turn, or the recorder has ended the case."""
        over = asyncio.create_task(self.recorder.over.wait())
        try:
            async with contextlib.aclosing(self._app.store.follow(self._thread)) as news:
                while not self._rests() and not over.done():
                    more = asyncio.ensure_future(anext(news))
                    try:
                        await asyncio.wait({more, over}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        more.cancel()  # Also when the whole is interrupted: nobody else ends it.
                        await asyncio.wait({more})
                    if not more.cancelled():
                        self._thread = more.result()
            self._thread = await self._app.store.refresh(self._thread)
        finally:
            over.cancel()

    def _rests(self) -> bool:
        thread = self._thread
        if thread.turn == "clock":
            ends = min(thread.timers.values(), default=None)
            return ends is None or (ends - datetime.now(UTC)).total_seconds() > WAIT_SECONDS_MAX
        agent = self._app.roster.get(thread.agent)
        return decide(agent, thread) is None if agent else thread.turn != "agent"


async def _deploy_before(app: App, agent: str, case: Case) -> None:
    """Carry out what the case says was deployed, by the agent's own targets, which keep a record of it."""
    found = app.roster[agent].resources.get(Targets)
    assert isinstance(found, Targets) or not case.deployed, "only an agent with targets has deployed something"
    if not isinstance(found, Targets):
        return
    targets = found.with_notes(StoredNotes(app.store, app.now))
    for number, (environment, component, revision) in enumerate(case.deployed):
        deployer = targets.deployer(component, environment)
        new, before = await targets.repository(component).resolve(revision), await deployer.status()
        run = await deployer.start(
            new.sha,
            name=new.name,
            previous=before.sha if before else "",
            key=f"before-{number}",
            by="Ada",
            thread_id="before",
        )
        async with asyncio.timeout(DEPLOYED_SECONDS_MAX):
            while run.state == "running":
                await asyncio.sleep(LOOK_SECONDS)
                run = await deployer.look(run.id)
        targets.has_changed(component, environment)
