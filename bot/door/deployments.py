"""GitHub as a caller: a run of a workflow wants to deploy to an environment, and waits for what people say here.

The look-up tells what would be deployed and who began the run, both from GitHub's API and not from the delivery. Who
began it asks for it (`Tool.on_behalf_of`), under the login that GitHub vouches for. The answer is given once: before it
is given again, the review history is looked at for it, by a mark that each answer has. What GitHub does not take now is
given again later, for as long as `ATTEMPTS_MAX` allows; what it will never take is told to people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar

from pydantic import Field, JsonValue

from agent import Agent, Call, Facts, Result, Tool, ToolError, TriggerReceived, Wait
from agent.roster.deploy.deployers.base import NoAnswer
from agent.roster.deploy.github.api import Refusal
from bot.door.requests import Denial, in_words, plan_of
from bot.door.reviews import COMMENT_CHARS_MAX, Answer, Review, Reviews
from bot.team.people import github_address
from store.events import StepRefused, ToolFinished
from store.state import StepState
from store.text import one_line
from store.values import Person

NAME = "github_environments"
"""Of the agent."""
FIRST_WAIT_SECONDS, WAIT_SECONDS_MAX = 5.0, 600.0
ATTEMPTS_MAX = 300
"""Over about two days."""
EARLY_ATTEMPTS = 7
"""Of the first few minutes: while GitHub still waits for something, it may just not be ready for our answer."""
TEXT_CHARS_MAX = 200
SHORT_SHA = 7
NOT_WAITED_FOR = (409, 422)
"""What GitHub says to an answer for which it does not wait."""
BOT = "[bot]"
Of = tuple[str, int, str]
"""The repository, the run, and the environment."""


class Asked(Result):
    """`data` of the trigger: what the delivery names. It is looked up before anybody is asked."""

    repository: str
    environment: str
    run: int
    deployment: int
    commit: str = ""
    """What would be deployed, if GitHub says so."""


class Looked(Result):
    """What GitHub's API says of the run."""

    commit: str
    subject: str = ""
    author: str = ""
    workflow: str = ""
    branch: str = ""
    event: str = ""
    url: str
    attempt: int = 1
    status: str = ""
    conclusion: str = ""
    began: str = ""
    """The login of who began it, this time."""
    began_first: str = ""
    """The login of who began it the first time, if that is somebody else."""


class _AtGitHub(Tool):
    repository: str
    environment: str
    run_id: int

    needs: ClassVar[tuple[type, ...]] = (Reviews,)
    doing: ClassVar[str] = "is asking GitHub"


class LookAtRun(_AtGitHub):
    """Look at the run of a workflow that wants to deploy."""

    acts: ClassVar[bool] = False
    by_code: ClassVar[bool] = True

    async def run(self, call: Call) -> JsonValue | Wait:
        try:
            found = await call.need(Reviews).run(self.repository, self.run_id)
        except Refusal as refusal:
            if refusal.status == 404:
                raise
            return _later(call, refusal)
        except ToolError as error:
            return _later(call, error)
        head = found.head_commit
        began, first = (who.login if who else "" for who in (found.triggering_actor or found.actor, found.actor))
        return Looked(
            commit=found.head_sha,
            subject=_short((head.message if head else "").partition("\n")[0]),
            author=_short(head.author.name if head and head.author else ""),
            workflow=_short(found.name),
            branch=_short(found.head_branch),
            event=_short(found.event),
            url=found.html_url,
            attempt=found.run_attempt,
            status=found.status,
            conclusion=found.conclusion,
            began=began,
            began_first=first if first != began else "",
        ).as_json()


class AllowDeployment(_AtGitHub):
    """Let a run of a workflow at GitHub deploy to an environment. Only what GitHub asks for is ever proposed."""

    commit: str
    subject: str = ""
    author: str = ""
    started_by: tuple[str, ...] = Field(default=(), description="logins at GitHub")
    workflow: str = ""
    link: str = ""
    run_commit: str = ""
    """The commit of the run, where GitHub deploys another one."""
    deployment: int

    repeatable: ClassVar[bool] = True
    by_code: ClassVar[bool] = True
    dangers: ClassVar[tuple[str, ...]] = ("another_commit",)

    def needs_approval(self) -> bool:
        return True

    def on_behalf_of(self) -> tuple[Person, ...]:
        return tuple(Person(name=one, address=github_address(one), trust="verified") for one in self.started_by)

    def bound_to(self, call: Call) -> Mapping[str, JsonValue]:
        return {"GitHub": call.need(Reviews).where}

    def title(self, facts: Facts) -> str:
        return f"Let {self.repository} deploy {self.commit[:SHORT_SHA]} to {_short(self.environment)}"

    async def prepare(self, call: Call) -> Facts:
        if not self.run_commit:
            return {}
        return {"another_commit": f"the run is of {self.run_commit}, and its deployment of {self.commit}"}

    async def run(self, call: Call) -> JsonValue | Wait:
        return await _give(self, call, "approved", in_words(call.votes))


class DenyDeployment(_AtGitHub):
    """Tell GitHub that a run may not deploy to an environment: people said no, or nobody decided in time."""

    reason: str
    link: str = ""

    repeatable: ClassVar[bool] = True
    by_code: ClassVar[bool] = True

    async def run(self, call: Call) -> JsonValue | Wait:
        return await _give(self, call, "rejected", self.reason)


class _Settled(ToolError):
    """GitHub has its answer already, or wants none any more."""


async def _give(tool: _AtGitHub, call: Call, answer: Answer, why: str) -> JsonValue | Wait:
    """Raises ToolError if GitHub takes no answer any more."""
    try:
        await _given(call.need(Reviews), (tool.repository, tool.run_id, tool.environment), call, answer, why)
    except _Settled:
        raise
    except Refusal as refusal:
        if refusal.status == 404:
            raise ToolError(f"GitHub takes no answer. {refusal}") from None
        return _later(call, refusal)
    except ToolError as error:
        return _later(call, error)
    return {"answer": answer}


async def _given(reviews: Reviews, of: Of, call: Call, answer: Answer, why: str) -> None:
    """Raises _Settled, Refusal, ToolError."""
    mark = _mark(call)
    if call.attempt > 1 and await _is_there(reviews, of, mark):
        return
    try:
        await reviews.give(*of, answer, f"{why[: COMMENT_CHARS_MAX - len(mark) - 1]} {mark}")
    except Refusal as refusal:
        # GitHub may also need a moment before it takes the answer to what it has just asked.
        may_be_early = call.attempt < EARLY_ATTEMPTS
        if refusal.status not in NOT_WAITED_FOR or (may_be_early and await reviews.waits(*of)):
            raise
        if await _is_there(reviews, of, mark):
            return
        raise _Settled(_by_others(await reviews.history(*of))) from None


def _by_others(reviews: Sequence[Review]) -> str:
    """Why GitHub takes no answer, as far as it says."""
    for one in reversed(reviews):
        if one.state in ("approved", "rejected") and one.user:
            return f"GitHub takes no answer any more: {_short(one.user.login)} has {one.state} it there."
    return "GitHub takes no answer any more: the run no longer waits for one. It was decided there, or is over."


async def _is_there(reviews: Reviews, of: Of, mark: str) -> bool:
    return any(mark in one.comment for one in await reviews.history(*of))


def _mark(call: Call) -> str:
    """Tells this answer from every other one."""
    return f"[deploybot {hashlib.blake2b(call.key.encode(), digest_size=8).hexdigest()}]"


def _later(call: Call, error: ToolError) -> Wait:
    """Raises ToolError if it has been tried for long enough."""
    if call.attempt >= ATTEMPTS_MAX:
        raise ToolError(f"{error} I have tried {call.attempt} times, and give up.")
    seconds = min(FIRST_WAIT_SECONDS * 2 ** min(call.attempt - 1, 10), WAIT_SECONDS_MAX)
    asked = error.retry_seconds if isinstance(error, NoAnswer) else 0.0
    return Wait(max(seconds, asked), f"Waiting for GitHub. {error}")


def _short(text: str) -> str:
    return one_line(text, TEXT_CHARS_MAX)


class Deployments:
    """The `Caller`."""

    looks, grants, denies = LookAtRun, AllowDeployment, DenyDeployment

    def look(self, asked: TriggerReceived) -> Tool:
        of = Asked.model_validate(asked.data)
        return LookAtRun(repository=of.repository, environment=of.environment, run_id=of.run)

    def ask(self, asked: TriggerReceived, looked: StepState) -> Tool | str:
        of, found = Asked.model_validate(asked.data), Looked.model_validate(looked.result)
        if found.status == "completed":
            ended = f" ({found.conclusion})" if found.conclusion else ""
            return f"The run is over at GitHub{ended}, so there is nothing to decide: {found.url}"
        began = [login for login in (found.began, found.began_first) if login]
        people = [login for login in began if not login.endswith(BOT)] or began
        if not people:
            return f"GitHub does not say who began the run, so I ask nobody. It can be decided there: {found.url}"
        commit = of.commit or found.commit
        return AllowDeployment(
            repository=of.repository,
            environment=of.environment,
            run_id=of.run,
            commit=commit,
            subject=found.subject,
            author=found.author,
            started_by=tuple(people),
            workflow=found.workflow,
            link=found.url,
            run_commit=found.commit if found.commit != commit else "",
            deployment=of.deployment,
        )

    def deny(self, asked: TriggerReceived, granting: StepState, denial: Denial) -> Tool:
        of, link = Asked.model_validate(asked.data), granting.chosen.arguments.get("link", "")
        return DenyDeployment(
            repository=of.repository,
            environment=of.environment,
            run_id=of.run,
            reason=denial.words,
            link=str(link),
        )

    def told(self, asked: TriggerReceived, answer: StepState) -> str:
        of, link = Asked.model_validate(asked.data), str(answer.chosen.arguments.get("link", ""))
        error = answer.ended.error if isinstance(answer.ended, ToolFinished | StepRefused) else ""
        if error or answer.status != "finished":
            why = error or "it is not known whether GitHub heard it"
            return f"GitHub was not told: {why.rstrip('.')}. {link}".rstrip()
        goes_on = answer.chosen.intent == AllowDeployment.intent_name()
        what = "may deploy to" if goes_on else "may not deploy to"
        return f"GitHub knows: {of.repository} {what} {_short(of.environment)}. {link}".rstrip()

    def is_about(self, withdrawn: TriggerReceived, looked: StepState | None) -> bool:
        """An earlier attempt of the same run may be reported late."""
        attempt = withdrawn.data.get("attempt")
        now = looked.result.get("attempt", 1) if looked and isinstance(looked.result, dict) else None
        return not (isinstance(attempt, int) and isinstance(now, int)) or attempt >= now


CALLER = Deployments()


def agent_of(check: Callable[[], Awaitable[list[str]]]) -> Agent:
    return Agent(
        name=NAME,
        prompt="",
        tools=(LookAtRun, AllowDeployment, DenyDeployment),
        plan=plan_of(CALLER),
        resources={Reviews: Reviews()},
        check=check,
    )
