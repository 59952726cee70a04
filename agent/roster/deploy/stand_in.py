"""A stand-in for the model, for trying deploybot without one. It has no intelligence: it matches a few keywords.

It implements the same port as a real model: it gets only the text of the prompt, and answers JSON that is parsed and
validated like any other. It knows only what the context window says, so the demo tests that as well. It understands
deploying, rolling back, asking for the status and withdrawing a request; to anything else it says that it does not.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import yaml

from agent.model.base import Answer, Prompt
from agent.model.schema import find_step, validated
from agent.roster.deploy.plan import DEPLOY
from agent.roster.deploy.site import COMPONENTS, Component, Environment
from agent.roster.deploy.tools.deploy import Rollback
from agent.roster.deploy.tools.look import ListDeployments
from agent.steps import (
    DoneForNow,
    HumanInputOptions,
    NothingToDo,
    RequestHumanInput,
    SendUpdate,
    Step,
    WithdrawRequest,
)

_BLOCK = re.compile(r"^<([a-z0-9_]+)>\n(.*?)^</\1>$", re.DOTALL | re.MULTILINE)
_REVISION = re.compile(r"\b(v\d+(?:\.\d+)*[\w.-]*|[0-9a-f]{7,40})(?![\w.])", re.IGNORECASE)
_COMPONENT = re.compile(r"\b(back-?end|front-?end)\b", re.IGNORECASE)
_ENVIRONMENT = re.compile(r"\b(prod(?:uction)?|staging)\b", re.IGNORECASE)
_HELP = (
    "I did not understand that. I can deploy (“deploy v1.2.0 to production”, “deploy the backend to staging”), roll "
    "back (“roll back the frontend in production”) and tell what runs where (“status”)."
)

Json = dict[str, Any]
_ONGOING = {"waits_for_approval", "approved_and_about_to_run", "under_way"}
"""Keys of the block `now` that list ongoing work."""
_UNCHANGED = re.compile(r"\(rows ([0-9, ]+): unchanged\)")
_LOOK = ListDeployments()


@dataclass(frozen=True)
class Block:
    tag: str
    data: Json


@dataclass(frozen=True)
class Goal:
    """One deployment or rollback. An empty field is not known yet."""

    kind: Literal["deploy", "rollback"]
    component: Component | Literal[""] = ""
    environment: Environment | Literal[""] = ""
    revision: str = ""
    skip_staging: bool = False


@dataclass
class Plan:
    goals: list[Goal] = field(default_factory=list)
    done: list[Json] = field(default_factory=list)
    """The results of the successful deployments since the goals were set."""
    reply: Step | None = None
    """The answer to the newest message."""
    by_the_way: bool = False
    """The answer does not concern the goals."""

    def aim(self, goals: list[Goal]) -> None:
        self.goals, self.done, self.reply = goals, [], None

    def give_up(self, reply: Step) -> None:
        self.goals, self.reply, self.by_the_way = [], reply, False

    def say(self, reply: Step) -> None:
        self.reply, self.by_the_way = reply, True


def next_step(context: str) -> str:
    """The answer of a model: one JSON object with a step. `context` is the user message of the prompt."""
    blocks = read(context)
    plan = Plan()
    for index, block in enumerate(blocks):
        _follow(plan, block, blocks[: index + 1], _latest(blocks, "now"))
    return json.dumps({"step": _answer(plan, blocks).model_dump(mode="json")})


def _answer(plan: Plan, blocks: list[Block]) -> Step:
    """The reply; if it does not concern the goals and nothing is ongoing, work on the goals continues."""
    if plan.reply is None:
        return _go_on(plan, blocks)
    if not plan.by_the_way or _latest(blocks, "now").keys() & _ONGOING or not _next(plan, blocks):
        return plan.reply
    if isinstance(plan.reply, DoneForNow):
        return SendUpdate(message=plan.reply.message)
    return _go_on(plan, blocks)


def read(context: str) -> list[Block]:
    return [Block(tag, _unescaped(yaml.safe_load(body)) or {}) for tag, body in _BLOCK.findall(context)]


def _follow(plan: Plan, block: Block, seen: list[Block], now: Json) -> None:
    """Update the plan by one block."""
    data = block.data
    match block.tag:
        case "message":
            _read_message(plan, str(data.get("text", "")), "answers" in data, seen, now)
        case "trigger" if data.get("task"):
            _read_message(plan, str(data["task"]), False, seen, now)
        case "agent_changed" if data.get("agent") == "rollback":
            deployed = [done for done in plan.done if done.get("environment") == "production"]
            components = [known for done in reversed(deployed) for known in COMPONENTS if known == done["component"]]
            plan.aim([Goal("rollback", component, "production") for component in components])
        case "human_response" if data.get("approved") is False:
            _rejected(plan, str(data.get("comment") or ""), str(data.get("by", "somebody")))
        case "list_deployments" if plan.reply == _LOOK:
            plan.reply = None
        case "done_for_now" | "send_update" | "nothing_to_do":
            plan.reply = None
        case "wait_for_deployment" if data.get("state") == "succeeded":
            plan.done.append(data)
        case "wait_for_deployment" if data.get("state"):
            output = str(data.get("output") or data.get("note") or "").strip()
            plan.give_up(
                _ask(f"The deployment ended as {data['state']}. What shall I do?", output[-400:] or "No output.")
            )
        case "approval_expired":
            plan.give_up(
                _done(f"Nobody decided on {data.get('step')} in time, so I did nothing. Write to me to ask again.")
            )
        case "refused" | "error":
            plan.give_up(_done(f"I stopped: {data.get('error')}"))
        case tag if data.get("error") and tag != "outcome_unknown":
            plan.give_up(_done(f"That did not work: {data['error']}"))
        case _:
            pass


def _read_message(plan: Plan, text: str, is_answer: bool, seen: list[Block], now: Json) -> None:
    words = text.lower()
    plan.reply = None
    if is_answer and re.match(r"\s*(yes|no)\b", words):
        # The answer to "Did it happen?". Yes: look at what runs. No: the goal remains, and needs a new approval.
        plan.reply, plan.by_the_way = (_LOOK if words.strip().startswith("yes") else None), False
    elif re.search(r"\b(never ?mind|forget it|stop|don'?t|abort)\b", words):
        waits = now.keys() & {"waits_for_approval", "approved_and_about_to_run"}
        plan.give_up(WithdrawRequest(reason=text[:200]) if waits else _done("All right, I do nothing."))
    elif re.search(r"\b(roll ?back|revert|undo)\b", words):
        where = _environment(words) or "production"
        plan.aim([Goal("rollback", one, where) for one in _components(words)] or [Goal("rollback", environment=where)])
    elif re.search(r"\b(deploy|ship|release|promote|roll out|put)\b", words):
        skip = bool(re.search(r"\b(skip|without) staging\b", words))
        revision, environment = _revision(words, seen), _environment(words)
        components = _components(words) or COMPONENTS[::-1]
        plan.aim([Goal("deploy", component, environment, revision, skip) for component in components])
    elif is_answer and plan.goals:
        plan.goals = [
            replace(
                goal,
                component=goal.component or next(iter(_components(words)), ""),
                environment=goal.environment or _environment(words),
                revision=goal.revision or (_revision(words, seen) if goal.kind == "deploy" else ""),
            )
            for goal in plan.goals
        ]
    elif re.search(r"\b(status|what runs|what is running|what's running|where are we|which version)\b", words):
        plan.say(_done(_status(seen)))
    elif re.search(r"^\W*(thanks?|thank you|thx|ok|okay|great|cool|nice|perfect)\b", words):
        plan.say(NothingToDo())
    else:
        plan.say(_done(_HELP))


def _rejected(plan: Plan, comment: str, by: str) -> None:
    words = comment.lower()
    components, revision = _components(words), next((m[1] for m in _REVISION.finditer(words)), "")
    plan.reply = None
    if revision:
        plan.goals = [replace(goal, revision=revision) if goal.kind == "deploy" else goal for goal in plan.goals]
    if components and re.search(r"\b(first|before)\b", words):
        plan.goals.sort(key=lambda goal: goal.component != components[0])
    elif components and re.search(r"\b(only|just)\b", words):
        plan.goals = [replace(goal, component=c) for c in components for goal in plan.goals[:1]]
    elif not revision:
        why = f" ({comment})" if comment else ""
        plan.give_up(_done(f"{by.partition(' (')[0]} rejected it{why}, so nothing was deployed. Tell me how to go on."))


def _go_on(plan: Plan, blocks: list[Block]) -> Step:
    if unclear := next((goal for goal in plan.goals if _missing(goal)), None):
        return _ask_for(_missing(unclear), unclear, blocks)
    if _latest(blocks, "now").get("under_way"):
        return NothingToDo()  # one deployment at a time
    if following := _next(plan, blocks):
        return following
    if plan.done:
        lines = [
            f"- {done['component']} on {done['environment']}: {done.get('previous') or 'nothing'!s} -> "
            f"{str(done.get('sha', ''))[:7]} {done.get('subject', '')} ({done.get('author', '')})"
            + (f" {done['run_link']}" if done.get("run_link") else "")
            for done in plan.done
        ]
        return _done("Done.\n" + "\n".join(lines))
    return _done(_status(blocks))


def _next(plan: Plan, blocks: list[Block]) -> Step | None:
    """The next deployment or rollback for the goals: staging before production."""
    to_production = [g for g in plan.goals if g.kind == "deploy" and g.environment == "production"]
    first = [replace(goal, environment="staging") for goal in to_production if not goal.skip_staging]
    for goal in first + plan.goals:
        if any(_reached(goal, result) for result in plan.done):
            continue
        if not goal.component or not goal.environment:
            return _ask_for(_missing(goal), goal, blocks)
        if goal.kind == "rollback":
            return Rollback(component=goal.component, environment=goal.environment)
        if not _runs(blocks, goal):
            return DEPLOY[goal.component](environment=goal.environment, revision=goal.revision)
    return None


def _missing(goal: Goal) -> str:
    if not goal.component:
        return "component"
    if goal.kind == "deploy" and not goal.revision:
        return "revision"
    return "" if goal.environment else "environment"


def _ask_for(what: str, goal: Goal, blocks: list[Block]) -> Step:
    match what:
        case "component":
            return _ask("Which one shall I roll back?", f"On {goal.environment}.", ["backend", "frontend"])
        case "revision":
            names = [str(row["name"]) for row in _rows(blocks, "list_git_tags", "tags")]
            newest = f"The newest tags are {', '.join(names[:5])}." if names else ""
            return _ask("Which version shall I deploy? A tag or a commit's SHA.", newest)
        case _:
            return _ask("Where to?", f"{goal.revision} of {goal.component}.", ["staging", "production"])


def _reached(goal: Goal, result: Json) -> bool:
    if (result.get("component"), result.get("environment")) != (goal.component, goal.environment):
        return False
    return goal.kind == "rollback" or _is(goal.revision, str(result.get("sha", "")), str(result.get("name", "")))


def _runs(blocks: list[Block], goal: Goal) -> bool:
    return any(
        (row["component"], row["environment"]) == (goal.component, goal.environment)
        and _is(goal.revision, str(row.get("sha") or ""), str(row.get("name") or ""))
        for row in _rows(blocks, "list_deployments", "deployments")
    )


def _is(revision: str, sha: str, name: str) -> bool:
    return bool(sha) and (revision.startswith(sha) or sha.startswith(revision) or name == revision)


def _status(blocks: list[Block]) -> str:
    rows = _rows(blocks, "list_deployments", "deployments")
    lines = [
        f"- {row['component']} on {row['environment']}: {row['sha'] or 'nothing'}"
        + (f" ({row['name']})" if row.get("name") else "")
        + (f" since {row['since']}" if row.get("since") else "")
        for row in rows
    ]
    if waiting := _latest(blocks, "now").get("waits_for_approval"):
        lines.append(f"Waiting for approval: {waiting}")
    return "What runs now:\n" + "\n".join(lines) if lines else "I could not find out what runs now."


def _latest(blocks: Iterable[Block], tag: str) -> Json:
    return next((block.data for block in reversed(list(blocks)) if block.tag == tag), {})


def _rows(blocks: Iterable[Block], tag: str, key: str) -> list[dict[str, str]]:
    """The newest table under this key. A repeated table lists only the changed rows."""
    rows: list[dict[str, str]] = []
    for block in blocks:
        lines = str(block.data.get(key) or "").splitlines()
        if block.tag != tag or not lines:
            continue
        unchanged = _UNCHANGED.fullmatch(lines[-1])
        table = list(csv.DictReader(lines[: -1 if unchanged else None], escapechar="\\"))
        for number in sorted(map(int, unchanged[1].split(", "))) if unchanged else ():
            table.insert(number - 1, rows[number - 1])
        rows = table
    return rows


def _components(words: str) -> list[Component]:
    found = [match[1].replace("-", "") for match in _COMPONENT.finditer(words)]
    return [known for name in dict.fromkeys(found) for known in COMPONENTS if known == name]


def _revision(words: str, seen: list[Block]) -> str:
    if named := next((match[1] for match in _REVISION.finditer(words)), ""):
        return named
    tags = _rows(seen, "list_git_tags", "tags")
    return str(tags[0]["name"]) if tags and re.search(r"\b(latest|newest)\b", words) else ""


def _environment(words: str) -> Environment | Literal[""]:
    found = _ENVIRONMENT.search(words)
    return "" if not found else "staging" if found[1] == "staging" else "production"


def _unescaped(value: Any) -> Any:
    match value:
        case str():
            return value.replace("&lt;", "<").replace("&amp;", "&")
        case dict():
            return {key: _unescaped(item) for key, item in value.items()}
        case list():
            return [_unescaped(item) for item in value]
        case _:
            return value


def _done(message: str) -> Step:
    return DoneForNow(message=message)


def _ask(question: str, context: str, choices: list[str] | None = None) -> Step:
    options = HumanInputOptions(
        urgency="medium", format="multiple_choice" if choices else "free_text", choices=choices or []
    )
    return RequestHumanInput(question=question, context=context, options=options)


class StandIn:
    """Implements `agent.model.base.Model`."""

    name = "stand-in"

    async def answer(self, prompt: Prompt) -> Answer:
        data, _ = find_step(next_step(prompt.user))
        return Answer(validated(prompt.agent, data), None, self.name)
