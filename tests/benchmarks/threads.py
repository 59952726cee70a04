"""Two dozen threads of a team that deploys, recorded anew each time by deploybot itself and always the same.

The plan, the tools, the loop and the store are the real ones. The team, its repository and its targets are made up, and
so are the model's answers: they stand in each story, in the order in which it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.authority import AnyoneMay
from agent.definition import Agent
from agent.loop import Loop
from agent.model.base import Answer, Prompt
from agent.model.schema import validated
from agent.roster import deploy as deploybot
from agent.roster import rollback
from agent.roster.deploy.targets import Targets
from bot.inbox import Inbox
from channels.inbound import InboundMessage
from store.base import Lease
from store.events import TriggerReceived
from store.memory import MemoryStore
from store.thread import Thread
from store.values import Person, Place, Usage
from tests.benchmarks.work import BenchChannel
from tests.benchmarks.world import World

ANN = Person(name="Ann Kowalski", address="U024BE7LH", trust="verified")
BOB = Person(name="Bob Tanaka", address="U061F7AUR", trust="verified")
EVE = Person(name="eve@partner.example.org", address="eve@partner.example.org", trust="unverified")


@dataclass(frozen=True)
class Said:
    text: str
    by: Person = ANN
    subject: str = ""


@dataclass(frozen=True)
class Answered:
    """The open question."""

    text: str
    by: Person = ANN


@dataclass(frozen=True)
class Decided:
    approved: bool
    by: Person = BOB
    comment: str = ""


@dataclass(frozen=True)
class Merged:
    title: str
    task: str


Act = Said | Answered | Decided | Merged
YES = Decided(True)


@dataclass(frozen=True)
class Story:
    name: str
    acts: tuple[Act, ...]
    """What people do, each when it is their turn."""
    answers: tuple[dict[str, Any], ...]
    """What the model answers, each when it is asked."""
    failing: tuple[str, str] | None = None
    tests_pass: bool = True


def deploy(component: str, environment: str, revision: str) -> dict[str, Any]:
    return {"intent": "deploy", "component": component, "environment": environment, "revision": revision}


def status(component: str, environment: str) -> dict[str, Any]:
    return {"intent": "check_deployment_status", "component": component, "environment": environment}


def done(message: str) -> dict[str, Any]:
    return {"intent": "done_for_now", "message": message}


def ask(question: str, context: str, *choices: str) -> dict[str, Any]:
    options = {
        "urgency": "medium",
        "format": "multiple_choice" if choices else "free_text",
        "choices": list(choices),
    }
    return {"intent": "request_human_input", "question": question, "context": context, "options": options}


def to_staging(w: World) -> Story:
    return Story(
        "to staging",
        (Said(f"Hi! Can you put {w.newest} of the backend on staging? We want to try the new invoices there."),),
        (
            deploy("backend", "staging", w.newest),
            done(
                f"The backend on staging now runs {w.newest} ({w.tags[0].short} {w.tags[0].subject}, "
                f"{w.tags[0].author}); before it was {w.tags[1].name} ({w.tags[1].short})."
            ),
        ),
    )


def to_production(w: World) -> Story:
    return Story(
        "staging, then production",
        (Said(f"deploy {w.newest} to production please"), YES, YES),
        (
            deploy("backend", "staging", w.newest),
            deploy("frontend", "staging", w.newest),
            deploy("backend", "production", w.newest),
            deploy("frontend", "production", w.newest),
            done(f"{w.newest} ({w.tags[0].short}) is on production, backend and frontend; before: {w.tags[2].name}."),
        ),
    )


def canonical(w: World) -> Story:
    return Story(
        "after a merge; the backend first",
        (
            Merged(w.commits[0].subject, f"deploy SHA {w.commits[0].short} to production"),
            Decided(False, comment="can you deploy the backend first?"),
            YES,
            YES,
        ),
        (
            deploy("frontend", "production", w.commits[0].short),
            deploy("backend", "production", w.commits[0].short),
            deploy("frontend", "production", w.commits[0].short),
            done(f"{w.commits[0].short} {w.commits[0].subject} runs on production: backend first, then frontend."),
        ),
    )


def what_runs(w: World) -> Story:
    return Story(
        "what runs where",
        (Said("what is on production right now?"), Said("and since when is the frontend there? who did it?", BOB)),
        (
            done(f"Production runs {w.tags[2].name} ({w.tags[2].short} {w.tags[2].subject}), backend and frontend."),
            status("frontend", "production"),
            done(
                f"The frontend has been on {w.tags[2].name} since {w.running['frontend', 'production'].since}; it was "
                f"deployed by {w.running['frontend', 'production'].by}."
            ),
        ),
    )


def no_such_tag(w: World) -> Story:
    return Story(
        "a tag that does not exist",
        (Said("ship v2.0.0 of the frontend to staging"), Answered(f"sorry, I meant {w.newest}")),
        (
            deploy("frontend", "staging", "v2.0.0"),
            ask(
                f"There is no tag v2.0.0. Did you mean {w.newest}?",
                f"The newest tags are {', '.join(tag.name for tag in w.tags[:3])}.",
                w.newest,
                w.tags[1].name,
            ),
            deploy("frontend", "staging", w.newest),
            done(f"The frontend on staging runs {w.newest} ({w.tags[0].short}) now."),
        ),
    )


def failed_deployment(w: World) -> Story:
    run = {"intent": "list_workflow_runs", "component": "backend", "environment": "staging"}
    return Story(
        "a deployment that fails",
        (Said(f"please roll out {w.newest} (backend) to staging"), Answered("no, leave it. I will look at the probe.")),
        (
            deploy("backend", "staging", w.newest),
            run,
            ask(
                f"The deployment of {w.newest} to staging failed: the readiness probe answered 503. Shall I try again?",
                f"Staging still runs {w.tags[1].name}. The last line was: exceeded its progress deadline.",
                "try again",
                "leave it",
            ),
            done(f"All right. The backend on staging stays on {w.tags[1].name} ({w.tags[1].short})."),
        ),
        failing=("backend", "staging"),
    )


def roll_back(w: World) -> Story:
    return Story(
        "a rollback",
        (
            Said(
                "checkout is throwing 500s since this morning, please roll back the backend on production",
                subject="PROD: checkout down",
            ),
            YES,
            Said("thanks, errors are gone", BOB),
        ),
        (
            {"intent": "rollback", "component": "backend", "environment": "production"},
            done(f"The backend on production is back on {w.tags[3].name} ({w.tags[3].short} {w.tags[3].subject})."),
            {"intent": "nothing_to_do"},
        ),
    )


def rejected(w: World) -> Story:
    return Story(
        "rejected for today",
        (
            Said(f"{w.tags[1].name} looks good on staging, let's bring the backend to production", BOB),
            Decided(False, ANN, "not on a Friday afternoon. Monday 9:00 please"),
            Said("ok. remind me what would be in it?", BOB),
        ),
        (
            deploy("backend", "production", w.tags[1].name),
            done("Ann rejected it: not on a Friday afternoon, Monday 9:00. Nothing was deployed."),
            {"intent": "list_commits", "component": "backend"},
            done(
                "It would add:\n"
                + "\n".join(f"- {commit.short} {commit.subject} ({commit.author})" for commit in w.commits[4:7])
            ),
        ),
    )


def withdrawn(w: World) -> Story:
    return Story(
        "withdrawn while it waits",
        (
            Said(f"deploy {w.tags[1].name} of the frontend to production"),
            Said("wait, is the banner translated already? If not, please do not deploy", BOB),
        ),
        (
            deploy("frontend", "production", w.tags[1].name),
            {"intent": "withdraw_request", "reason": "Bob asked to stop until the banner is translated."},
            done("I took the request back. Nothing was deployed; write to me when the banner is translated."),
        ),
    )


def unclear(w: World) -> Story:
    return Story(
        "which component, and where",
        (Said("can you deploy the latest?"), Answered("frontend only, staging"), Said("cool, thx")),
        (
            ask("Which component, and where to?", f"The newest tag is {w.newest}.", "backend", "frontend", "both"),
            deploy("frontend", "staging", w.newest),
            done(f"The frontend on staging runs {w.newest} ({w.tags[0].short} {w.tags[0].subject})."),
            {"intent": "nothing_to_do"},
        ),
    )


def by_mail(w: World) -> Story:
    return Story(
        "a stranger's mail",
        (
            Said(
                "Hello,\n\nour integration test against your staging shop has failed since yesterday evening:\n\n"
                '  POST /api/orders -> 422 {"error": "vat_rounding"}\n\nCould you please go back to the version of '
                "last week? We have a demo at 3 pm.\n\nBest regards\nEve Lindqvist\nPartner Integrations\n",
                EVE,
                "Staging broken since yesterday?",
            ),
            Answered("Keep staging as it is. I will call her.", BOB),
        ),
        (
            status("backend", "staging"),
            ask(
                "Eve (a partner, not verified) asks to roll back staging because orders answer 422. Shall I?",
                f"The backend on staging runs {w.tags[1].name}. Her demo is at 3 pm.",
                "yes",
                "no",
            ),
            done("Staging stays as it is; Bob will call Eve."),
        ),
    )


def investigated(w: World) -> Story:
    run_id = w.runs["backend", "staging"][0].id
    look = {"intent": "get_workflow_status", "component": "backend", "environment": "staging", "run_id": run_id}
    return Story(
        "looked into",
        (Said("the backend on staging feels slow, did anybody deploy there? what changed?"),),
        (
            status("backend", "staging"),
            {"intent": "list_workflow_runs", "component": "backend", "environment": "staging"},
            look,
            {"intent": "list_workflow_runs", "component": "backend", "environment": "production"},
            {"intent": "list_commits", "component": "backend"},
            done(
                f"The last deployment to staging was {w.tags[1].name} ({w.tags[1].short}) by "
                f"{w.running['backend', 'staging'].by}. Against production it adds three commits:\n"
                + "\n".join(f"- {commit.short} {commit.subject}" for commit in w.commits[4:7])
            ),
        ),
    )


def tests_failed(w: World) -> Story:
    return Story(
        "production's tests fail, and the rollback agent takes over",
        (Said(f"deploy {w.tags[1].name} of the backend to production"), YES, YES),
        (
            deploy("backend", "production", w.tags[1].name),
            done(f"The backend on production runs {w.tags[1].name} ({w.tags[1].short})."),
            {"intent": "rollback", "component": "backend", "environment": "production"},
            done(f"The tests failed, so the backend on production is back on {w.tags[2].name}."),
            done("The basket still answers 502; somebody should look at it."),
        ),
        tests_pass=False,
    )


STORIES: tuple[Callable[[World], Story], ...] = (
    to_staging,
    to_production,
    canonical,
    what_runs,
    no_such_tag,
    failed_deployment,
    roll_back,
    rejected,
    withdrawn,
    unclear,
    by_mail,
    investigated,
    tests_failed,
)
EACH = 2
"""How often each story is recorded, on another team."""


@dataclass(frozen=True)
class Recorded:
    name: str
    thread: Thread
    agent: Agent
    """The one that has the thread now."""


async def recorded() -> list[Recorded]:
    return [
        await _record(story, World(seed=len(STORIES) * take + number))
        for take in range(EACH)
        for number, story in enumerate(STORIES)
    ]


class _Scripted:
    name = "scripted"

    def __init__(self, answers: tuple[dict[str, Any], ...]) -> None:
        self._answers = list(answers)

    async def answer(self, prompt: Prompt) -> Answer:
        assert self._answers, f"the story has no more answers:\n{prompt.user}"
        step = validated(prompt.agent, dict(self._answers.pop(0)))
        return Answer(step, Usage(input_tokens=2400, output_tokens=40), self.name)

    def used_up(self) -> bool:
        return not self._answers


async def _record(tell: Callable[[World], Story], world: World) -> Recorded:
    story = tell(world)
    world.tests_pass = story.tests_pass
    world.failing |= {story.failing} if story.failing else set()
    resources: Mapping[type, object] = {Targets: world.targets()}
    roster = {
        one.NAME: replace(one.build(world.table(), Path("/srv")), resources=resources) for one in (deploybot, rollback)
    }
    store, channel, model = MemoryStore(world.clock), BenchChannel(), _Scripted(story.answers)
    inbox = Inbox(store, clock=world.clock)
    loop = Loop(
        store=store,
        roster=roster,
        channels={channel.name: channel},
        model=model,
        clock=world.clock,
        authority=AnyoneMay(),
    )
    place = Place(channel=channel.name, address=f"{story.name} {world.seed}")
    thread = Thread("")
    for number, act in enumerate(story.acts):
        match act:
            case Said():
                thread_id = await inbox.message(
                    place, InboundMessage(act.by, act.text, f"m{number}", subject=act.subject), agent="deploy"
                )
                thread = await store.load(thread_id)
            case Answered():
                thread = await inbox.answer(thread.id, act.by, act.text)
            case Decided():
                assert thread.pending, story.name
                result = await inbox.decide(
                    thread.id, act.by, approved=act.approved, digest=thread.pending.digest, comment=act.comment
                )
                assert result.outcome == "settled", story.name
                thread = result.thread
            case Merged():
                thread = await store.load(await inbox.trigger(place, _merged(world, act), agent="deploy"))
        world.clock.advance(1)
        thread = await _rested(store, loop, world, thread)
        world.clock.advance(120)
    assert model.used_up(), f"{story.name}: the model was not asked so often; it is {thread.status}"
    return Recorded(f"{story.name} ({world.seed})", thread, roster[thread.agent])


def _merged(world: World, act: Merged) -> TriggerReceived:
    return TriggerReceived(
        id="merged",
        at=world.clock.now,
        source="github",
        name="pull_request_merged",
        data={
            "pull_request": 1800 + world.seed,
            "title": act.title,
            "merged_by": "ada",
            "sha": world.commits[0].sha,
            "task": act.task,
        },
    )


async def _rested(store: MemoryStore, loop: Loop, world: World, thread: Thread) -> Thread:
    """On until it is a person's turn, or nobody's; timers are not waited for."""
    while True:
        lease: Lease
        (lease,) = await store.claim(1, 600.0, thread.id)
        turn = loop.turn(await store.load(thread.id), lease)
        await loop.advance(turn)
        thread = turn.thread
        assert await store.release(lease, thread)
        if not thread.timers:
            return thread
        world.clock.now = max(world.clock.now, min(thread.timers.values()))
        await store.wake(thread.id)
