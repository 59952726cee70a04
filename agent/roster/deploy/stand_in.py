"""A stand-in for the model, for trying deploybot where none is configured. No intelligence: a few words and an order.

It works through the same door as a real model: it is given the prompt's text and nothing else, and answers JSON that is
parsed and validated like any other. So what it knows, it read from the context window, and the demo is a test of that
too. It understands deploying, rolling back, asking for the status and taking things back; to anything else it says so.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from agent.llm import Answer, Prompt
from agent.schema import find_step, validated

_BLOCK = re.compile(r"^<([a-z0-9_]+)>\n(.*?)^</\1>$", re.DOTALL | re.MULTILINE)
_REVISION = re.compile(r"\b(v\d+(?:\.\d+)*[\w.-]*|[0-9a-f]{7,40})(?![\w.])", re.IGNORECASE)
_COMPONENT = re.compile(r"\b(back-?end|front-?end)\b", re.IGNORECASE)
_ENVIRONMENT = re.compile(r"\b(prod(?:uction)?|staging)\b", re.IGNORECASE)
_DEPLOYS = ("deploy_backend", "deploy_frontend")
_HELP = (
    "I did not understand that. I can deploy (“deploy v1.2.0 to production”, “deploy the backend to staging”), roll "
    "back (“roll back the frontend in production”) and tell what runs where (“status”)."
)

Json = dict[str, Any]


@dataclass(frozen=True)
class Block:
    tag: str
    data: Json


@dataclass(frozen=True)
class Goal:
    """One deployment, or one rollback where there is no revision."""

    component: str
    environment: str
    revision: str = ""


@dataclass
class Plan:
    goals: list[Goal] = field(default_factory=list)
    done: list[Json] = field(default_factory=list)
    """The deployments that ended well since the goals were set, as their results told."""
    reply: Json | None = None
    """Already the answer: nothing is to be done for the newest words."""


def next_step(context: str) -> str:
    """The next step as a model would answer it: one JSON object. `context` is the user message of the prompt."""
    blocks = read(context)
    plan = Plan()
    for index, block in enumerate(blocks):
        _follow(plan, block, blocks[: index + 1])
    return json.dumps({"step": plan.reply or _go_on(plan, blocks)})


def read(context: str) -> list[Block]:
    return [Block(tag, _unescaped(yaml.safe_load(body)) or {}) for tag, body in _BLOCK.findall(context)]


def _follow(plan: Plan, block: Block, seen: list[Block]) -> None:
    """What one event makes of the plan."""
    data = block.data
    match block.tag:
        case "message":
            _hear(plan, str(data.get("text", "")), str(data.get("answers", "")), seen)
        case "trigger" if data.get("task"):
            _hear(plan, str(data["task"]), "", seen)
        case "agent_changed" if data.get("agent") == "rollback":
            deployed = [d for d in plan.done if d.get("environment") == "production"]
            plan.goals = [Goal(d["component"], "production") for d in reversed(deployed)]
            plan.done, plan.reply = [], None
        case "human_response" if data.get("approved") is False:
            _rejected(plan, str(data.get("comment") or ""), str(data.get("by", "somebody")))
        case "wait_for_deployment" | "wait_for_deployment_result" if data.get("state") == "succeeded":
            plan.done.append(data)
        case "wait_for_deployment" | "wait_for_deployment_result" if data.get("state"):
            plan.goals = []
            tail = str(data.get("output") or data.get("error") or "").strip()
            plan.reply = ask(f"The deployment ended as {data['state']}. What shall I do?", tail[-400:] or "No output.")
        case "refused" | "error" | "outcome_unknown" if data.get("error"):
            plan.goals = []
            plan.reply = done(f"I stopped: {data['error']}")
        case tag if (tag in _DEPLOYS or tag.removesuffix("_result") in _DEPLOYS or "rollback" in tag) and data.get(
            "error"
        ):
            plan.goals = []
            plan.reply = done(f"That did not work: {data['error']}")
        case _:
            pass


def _hear(plan: Plan, text: str, answers: str, seen: list[Block]) -> None:
    words = text.lower()
    plan.reply = None
    if answers and re.match(r"\s*(yes|no)\b", words):
        happened = words.strip().startswith("yes")
        plan.goals, plan.done = [], []
        plan.reply = (
            {"intent": "list_deployments"}
            if happened
            else done("Then I leave it there. Tell me what to deploy, and I will ask for approval again.")
        )
    elif re.search(r"\b(never ?mind|forget it|stop|don'?t|abort)\b", words):
        waiting = bool(_now(seen).get("waits_for_approval") or _now(seen).get("approved_and_about_to_run"))
        plan.goals, plan.done = [], []
        plan.reply = (
            {"intent": "withdraw_request", "reason": text[:200]} if waiting else done("All right, I do nothing.")
        )
    elif re.search(r"\b(roll ?back|revert|undo)\b", words):
        _want_rollback(plan, words)
    elif re.search(r"\b(deploy|ship|release|promote|roll out|put)\b", words) or (
        plan.goals and _REVISION.search(words)
    ):
        _want_deployment(plan, words, seen)
    elif re.search(r"\b(status|what runs|what is running|what's running|where are we|which version)\b", words):
        plan.reply = done(_status(seen))
    elif re.search(r"^\W*(thanks?|thank you|thx|ok|okay|great|cool|nice|perfect)\b", words):
        plan.reply = {"intent": "nothing_to_do"}
    else:
        plan.reply = done(_HELP)


def _want_deployment(plan: Plan, words: str, seen: list[Block]) -> None:
    components = _components(words) or ["frontend", "backend"]
    environment = _environment(words) or (plan.goals[0].environment if plan.goals else "")
    revision = next((m[1] for m in _REVISION.finditer(words)), "")
    if not revision and re.search(r"\b(latest|newest)\b", words):
        tags = _rows(_latest(seen, "list_git_tags").get("tags"))
        revision = str(tags[0]["name"]) if tags else ""
    if not revision:
        plan.reply = ask("Which version shall I deploy? A tag or a commit's SHA.", _tags(seen))
        return
    if not environment:
        plan.reply = ask("Where to?", f"{revision} of {' and '.join(components)}.", ["staging", "production"])
        plan.goals = [Goal(component, "", revision) for component in components]
        return
    plan.done = []
    plan.goals = [Goal(component, environment, revision) for component in components]
    if environment == "production" and not re.search(r"\b(skip|without) staging\b", words):
        first = [Goal(c, "staging", revision) for c in components if not _runs(seen, c, "staging", revision)]
        plan.goals = first + plan.goals


def _want_rollback(plan: Plan, words: str) -> None:
    components = _components(words)
    if not components:
        plan.goals = []
        plan.reply = ask(
            "Which one shall I roll back?", "Say also where, if not in production.", ["backend", "frontend"]
        )
        return
    plan.done = []
    plan.goals = [Goal(component, _environment(words) or "production") for component in components]


def _rejected(plan: Plan, comment: str, by: str) -> None:
    words = comment.lower()
    components = _components(words)
    revision = next((m[1] for m in _REVISION.finditer(words)), "")
    plan.reply = None
    if revision:
        plan.goals = [replace(goal, revision=revision) if goal.revision else goal for goal in plan.goals]
    if components and re.search(r"\b(first|before)\b", words):
        plan.goals.sort(key=lambda goal: (goal.environment != "staging", goal.component != components[0]))
    elif components and re.search(r"\b(only|just)\b", words):
        plan.goals = [goal for goal in plan.goals if goal.component in components]
    elif not revision:
        plan.goals = []
        why = f" ({comment})" if comment else ""
        plan.reply = done(f"{by.partition(' (')[0]} rejected it{why}, so nothing was deployed. Tell me how to go on.")


def _go_on(plan: Plan, blocks: list[Block]) -> Json:
    for goal in plan.goals:
        if any(_reached(goal, result) for result in plan.done):
            continue
        if not goal.revision:
            return {"intent": "rollback", "component": goal.component, "environment": goal.environment}
        if _runs(blocks, goal.component, goal.environment, goal.revision) and not plan.done:
            continue  # it was there before we began
        return {
            "intent": f"deploy_{goal.component}",
            "environment": goal.environment,
            "revision": goal.revision,
        }
    if plan.done:
        lines = [
            f"- {d['component']} on {d['environment']}: {str(d.get('sha', ''))[:7]} {d.get('subject', '')}".rstrip()
            + (f" ({d['link']})" if d.get("link") else "")
            for d in plan.done
        ]
        return done("Done.\n" + "\n".join(lines))
    return done(_status(blocks))


def _reached(goal: Goal, result: Json) -> bool:
    same_place = (result.get("component"), result.get("environment")) == (goal.component, goal.environment)
    names = (str(result.get("sha", "")), str(result.get("name", "")))
    return same_place and (not goal.revision or names[0].startswith(goal.revision) or names[1] == goal.revision)


def _runs(blocks: list[Block], component: str, environment: str, revision: str) -> bool:
    for row in _rows(_latest(blocks, "list_deployments").get("deployments")):
        if (row["component"], row["environment"]) == (component, environment):
            sha = str(row.get("sha") or "")
            return bool(sha) and (revision.startswith(sha) or sha.startswith(revision) or row.get("name") == revision)
    return False


def _status(blocks: list[Block]) -> str:
    rows = _rows(_latest(blocks, "list_deployments").get("deployments"))
    lines = [
        f"- {row['component']} on {row['environment']}: {row['sha'] or 'nothing'}"
        + (f" ({row['name']})" if row.get("name") else "")
        + (f" since {row['since']}" if row.get("since") else "")
        for row in rows
    ]
    now = _now(blocks)
    if waiting := now.get("waits_for_approval"):
        lines.append(f"Waiting for approval: {waiting}")
    return "What runs now:\n" + "\n".join(lines) if lines else "I could not find out what runs now."


def _tags(blocks: list[Block]) -> str:
    names = [str(row["name"]) for row in _rows(_latest(blocks, "list_git_tags").get("tags"))]
    return f"The newest tags are {', '.join(names[:5])}." if names else ""


def _now(blocks: list[Block]) -> Json:
    return _latest(blocks, "now")


def _latest(blocks: Iterable[Block], tag: str) -> Json:
    return next((block.data for block in reversed(list(blocks)) if block.tag == tag), {})


def _rows(table: object) -> list[dict[str, str]]:
    lines = str(table or "").splitlines()
    return list(csv.DictReader(lines, escapechar="\\")) if lines else []


def _components(words: str) -> list[str]:
    found = [match[1].replace("-", "") for match in _COMPONENT.finditer(words)]
    return list(dict.fromkeys(found))


def _environment(words: str) -> str:
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


def done(message: str) -> Json:
    return {"intent": "done_for_now", "message": message}


def ask(question: str, context: str, choices: list[str] | None = None) -> Json:
    options = {
        "urgency": "medium",
        "format": "multiple_choice" if choices else "free_text",
        "choices": choices or [],
    }
    return {"intent": "request_human_input", "question": question, "context": context, "options": options}


class StandIn:
    """Stands where a model stands."""

    name = "stand-in"

    async def answer(self, prompt: Prompt) -> Answer:
        data, _ = find_step(next_step(prompt.user))
        return Answer(validated(prompt.agent, data), None, self.name)
