"""What the stand-in for a model (`agent.roster.stand_in`) answers for deploybot. It matches a few keywords.

It gets only the text of the prompt, and answers JSON that is parsed and validated like any other. It knows only what
the prompt says, the names of the site as well, so the demo tests that too. It understands deploying, rolling back,
asking for the status and withdrawing a request; to anything else it says that it does not.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agent.context.parsed import ParsedBlock, parsed
from agent.options import HumanInputOptions
from agent.roster.deploy.site_as_read import Site, site_in
from agent.roster.deploy.tools.deploy import Deploy, Rollback
from agent.roster.deploy.tools.guards import Waiver
from agent.roster.deploy.tools.look import ListDeployments
from agent.steps import (
    DoneForNow,
    NothingToDo,
    RequestHumanInput,
    SendUpdate,
    Step,
    WithdrawRequest,
)

_REVISION = re.compile(r"\b(v\d+(?:\.\d+)*[\w.-]*|[0-9a-f]{7,40})(?![\w.])", re.IGNORECASE)
Json = dict[str, Any]
_ONGOING = {"waits_for_approval", "approved_and_about_to_run", "under_way"}
"""Keys of the block `now` that list ongoing work."""
_UNCHANGED = re.compile(r"\(rows ([0-9, ]+): unchanged\)")
_SETTLED = ("human_response", "approval_expired", "withdraw_request", "refused", "cancelled")
"""What may have ended a request."""
_LOOK = ListDeployments()
_LOOKS = ("look_up", "list_git_tags", "list_deployments")
"""The results that hold tables of tags and of what runs."""


@dataclass(frozen=True)
class Goal:
    """One deployment or rollback. An empty field is not known yet."""

    kind: Literal["deploy", "rollback"]
    component: str = ""
    environment: str = ""
    revision: str = ""
    skipped: tuple[str, ...] = ()
    """The environments that need not have it before."""
    waiver: Waiver | None = None
    """The words that say so."""


@dataclass
class Plan:
    site: Site
    blocks: list[ParsedBlock]
    """All of them: what a message made code look up stands behind it."""
    goals: list[Goal] = field(default_factory=list)
    done: list[Json] = field(default_factory=list)
    """The results of the successful deployments since the goals were set."""
    reply: Step | None = None
    """The answer to the newest message."""
    by_the_way: bool = False
    """The answer does not concern the goals."""
    rejected: list[Goal] = field(default_factory=list)
    """The goals that were rejected without a reason, until people say how to go on."""

    def aim(self, goals: list[Goal]) -> None:
        self.goals, self.done, self.reply, self.rejected = goals, [], None, []

    def give_up(self, reply: Step) -> None:
        self.goals, self.reply, self.by_the_way, self.rejected = [], reply, False, []

    def go_on_with(self, goals: list[Goal]) -> None:
        """Unlike `aim`, with what was done for them before."""
        self.goals, self.rejected = goals, []

    def say(self, reply: Step) -> None:
        self.reply, self.by_the_way = reply, True


def next_step(instructions: str, context: str) -> str:
    """The answer of a model: one JSON object with a step. It gets the system message and the user message."""
    blocks = parsed(context)
    plan = Plan(site_in(instructions), blocks)
    for index, block in enumerate(blocks):
        _follow(plan, block, blocks[: index + 1], _latest(blocks, "now"))
    return json.dumps({"step": _answer(plan, blocks).model_dump(mode="json")})


def _answer(plan: Plan, blocks: list[ParsedBlock]) -> Step:
    """The reply; if it does not concern the goals and nothing is ongoing, work on the goals continues."""
    if plan.reply is None:
        return _go_on(plan, blocks)
    if not plan.by_the_way or _latest(blocks, "now").keys() & _ONGOING or not _next(plan, blocks):
        return plan.reply
    if isinstance(plan.reply, DoneForNow):
        return SendUpdate(message=plan.reply.message)
    return _go_on(plan, blocks)


def _follow(plan: Plan, block: ParsedBlock, seen: list[ParsedBlock], now: Json) -> None:
    """Update the plan by one block."""
    data = block.data
    match block.tag:
        case "message":
            _read_message(plan, str(data.get("text", "")), "answers" in data, seen, now)
            _quote(plan, str(data.get("text", "")), str(data.get("from", "")))
        case "trigger" if data.get("task"):
            _read_message(plan, str(data["task"]), False, seen, now)
        case "agent_changed":
            where = plan.site.environment(str(data.get("reason")))
            deployed = [str(done["component"]) for done in plan.done if done.get("environment") == where]
            plan.aim([Goal("rollback", component, where) for component in reversed(deployed)])
        case "human_response" if data.get("approved") is False:
            _rejected(plan, str(data.get("comment") or ""), str(data.get("by", "somebody")))
        case "list_components_with":
            plan.goals = [goal for goal in plan.goals if goal.component in data.get("components", ())]
        case "list_deployments" if plan.reply == _LOOK:
            plan.reply = None
        case "done_for_now" | "send_update" | "nothing_to_do":
            plan.reply = None
        case "wait_for_deployment" if data.get("state") == "succeeded":
            plan.done.append(data)
        case "wait_for_deployment" if data.get("state"):
            known = "\n".join(str(data[key]).strip()[-400:] for key in ("note", "output") if data.get(key))
            state = str(data["state"]).replace("_", " ")
            plan.give_up(_ask(f"The deployment ended as {state}. What shall I do?", known or "No output."))
        case "approval_expired":
            plan.give_up(
                _done(f"Nobody decided on {data.get('step')} in time, so I did nothing. Write to me to ask again.")
            )
        case "refused" if data.get("changed_by"):
            pass  # A person's edit: the request that it edited still waits.
        case "refused" | "error":
            plan.give_up(_done(f"I stopped: {data.get('error')}"))
        case tag if data.get("error") and tag != "outcome_unknown":
            plan.give_up(_done(f"That did not work: {data['error']}"))
        case _:
            pass


def _read_message(plan: Plan, text: str, is_answer: bool, seen: list[ParsedBlock], now: Json) -> None:
    words, site = text.lower(), plan.site
    is_order = re.search(r"\b(deploy|ship|release|promote|roll out|put)\b", words)
    named = _revision(words, seen, plan.blocks)
    plan.reply = None
    if is_answer and re.match(r"\s*(yes|no)\b", words):
        # The answer to "Did it happen?". Yes: look at what runs. No: the goal remains, and needs a new approval.
        plan.reply, plan.by_the_way = (_LOOK if words.strip().startswith("yes") else None), False
    elif re.search(r"\b(never ?mind|forget it|stop|don'?t|abort)\b", words):
        waits = now.keys() & {"waits_for_approval", "approved_and_about_to_run"}
        plan.give_up(WithdrawRequest(reason=text[:200]) if waits else _done("All right, I do nothing."))
    elif re.search(r"\b(roll ?back|revert|undo)\b", words):
        where = site.environment(words) or site.last
        goals = [Goal("rollback", one, where) for one in site.components_in(words)]
        if waiting := _still_waits(plan, goals, seen):
            plan.say(_done(waiting))
        else:
            plan.aim(goals or [Goal("rollback", environment=where)])
    elif plan.rejected and not (is_order and named) and (goals := _taken_up(plan.rejected, words, site)):
        plan.go_on_with(goals)
    elif is_order:
        skipped = site.up_to(name for name in site.before if _skips(name, text))
        like = plan.rejected[0] if plan.rejected and not named else Goal("deploy")
        environment = site.environment(words, skipped) or like.environment
        components = site.components_in(words) or tuple(reversed(site.targets))
        revision = named or like.revision
        plan.aim([Goal("deploy", component, environment, revision, skipped) for component in components])
    elif is_answer and plan.goals:
        plan.goals = [
            replace(
                goal,
                component=goal.component or next(iter(site.components_in(words)), ""),
                environment=goal.environment or site.environment(words),
                revision=goal.revision or (named if goal.kind == "deploy" else ""),
            )
            for goal in plan.goals
        ]
    elif re.search(r"\b(status|what runs|what is running|what's running|where are we|which version)\b", words):
        plan.say(_done(_status(plan.blocks)))
    elif re.search(r"^\W*(thanks?|thank you|thx|ok|okay|great|cool|nice|perfect)\b", words):
        plan.say(NothingToDo())
    else:
        plan.say(_done(site.help))


def _quote(plan: Plan, text: str, sender: str) -> None:
    """Name the message that says what to skip, for the deployments that it concerns."""
    _, _, name = sender.rpartition("), ")
    for index, goal in enumerate(plan.goals):
        found = next((match for one in goal.skipped if (match := _skips(one, text))), None)
        if found and not goal.waiver:
            plan.goals[index] = replace(goal, waiver=Waiver(message=name, words=found[0]))


def _skips(environment: str, text: str) -> re.Match[str] | None:
    return re.search(rf"\b(skip|without) {re.escape(environment)}\b", text, re.IGNORECASE)


def _still_waits(plan: Plan, goals: list[Goal], seen: list[ParsedBlock]) -> str:
    """Why nothing can be rolled back yet; empty: it can, as far as the thread tells."""
    requests = [block.tag for block in seen if block.tag in ("approval_requested", *_SETTLED)]
    waits = requests[-1:] == ["approval_requested"]
    targets = {(done.get("component"), done.get("environment")) for done in plan.done}
    missing = next((goal for goal in goals if (goal.component, goal.environment) not in targets), None)
    if not waits or missing is None:
        return ""
    what = f"{missing.component} on {missing.environment}"
    return f"I have deployed no {what} yet, so I cannot roll it back. The request still waits: approve or reject it."


def _rejected(plan: Plan, comment: str, by: str) -> None:
    plan.reply = None
    if goals := _changed(plan.goals, comment.lower(), plan.site):
        plan.goals = goals
        return
    why, goals = f" ({comment})" if comment else "", plan.goals
    plan.give_up(_done(f"{by.partition(' (')[0]} rejected it{why}, so nothing was deployed. Tell me how to go on."))
    plan.rejected = goals


def _changed(goals: list[Goal], words: str, site: Site) -> list[Goal]:
    """The goals as an objection wants them; none: it does not say what to do instead."""
    components, revision = site.components_in(words), next((m[1] for m in _REVISION.finditer(words)), "")
    if revision:
        goals = [replace(goal, revision=revision) if goal.kind == "deploy" else goal for goal in goals]
    if components and re.search(r"\b(first|before)\b", words):
        return sorted(goals, key=lambda goal: goal.component != components[0])
    if components and re.search(r"\b(only|just)\b", words):
        return [replace(goal, component=c) for c in components for goal in goals[:1]]
    return goals if revision else []


def _taken_up(goals: list[Goal], words: str, site: Site) -> list[Goal]:
    """The rejected goals as these words want them; none: the words are about something else."""
    again = re.search(r"\b(again|retry|go (on|ahead)|do it)\b", words)
    return _changed(goals, words, site) or (goals if again else [])


def _go_on(plan: Plan, blocks: list[ParsedBlock]) -> Step:
    if unclear := next((goal for goal in plan.goals if _missing(goal)), None):
        return _ask_for(_missing(unclear), unclear, plan.site, blocks)
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


def _next(plan: Plan, blocks: list[ParsedBlock]) -> Step | None:
    """The next deployment or rollback for the goals: first everything to the environments that come before."""
    deploys = [goal for goal in plan.goals if goal.kind == "deploy"]
    first = [
        replace(goal, environment=environment, waiver=None)
        for environment in plan.site.before
        for goal in deploys
        if environment in plan.site.all_before(goal.component, goal.environment) and environment not in goal.skipped
    ]
    for goal in first + plan.goals:
        if any(_reached(goal, result) for result in plan.done):
            continue
        if not goal.component or not goal.environment:
            return _ask_for(_missing(goal), goal, plan.site, blocks)
        if goal.kind == "rollback":
            return Rollback(component=goal.component, environment=goal.environment)
        if not _runs(blocks, goal):
            return Deploy(
                component=goal.component, environment=goal.environment, revision=goal.revision, waiver=goal.waiver
            )
    return None


def _missing(goal: Goal) -> str:
    if not goal.component:
        return "component"
    if goal.kind == "deploy" and not goal.revision:
        return "revision"
    return "" if goal.environment else "environment"


def _ask_for(what: str, goal: Goal, site: Site, blocks: list[ParsedBlock]) -> Step:
    match what:
        case "component":
            return _ask("Which one shall I roll back?", f"On {goal.environment}.", list(site.targets))
        case "revision":
            names = [str(row["name"]) for row in _rows(blocks, "tags")]
            newest = f"The newest tags are {', '.join(names[:5])}." if names else ""
            return _ask("Which version shall I deploy? A tag or a commit's SHA.", newest)
        case _:
            return _ask("Where to?", f"{goal.revision} of {goal.component}.", list(site.before))


def _reached(goal: Goal, result: Json) -> bool:
    if (result.get("component"), result.get("environment")) != (goal.component, goal.environment):
        return False
    return goal.kind == "rollback" or _is(goal.revision, str(result.get("sha", "")), str(result.get("name", "")))


def _runs(blocks: list[ParsedBlock], goal: Goal) -> bool:
    return any(
        (row["component"], row["environment"]) == (goal.component, goal.environment)
        and _is(goal.revision, str(row.get("sha") or ""), str(row.get("name") or ""))
        for row in _running(blocks)
    )


def _is(revision: str, sha: str, name: str) -> bool:
    return bool(sha) and (revision.startswith(sha) or sha.startswith(revision) or name == revision)


def _status(blocks: list[ParsedBlock]) -> str:
    rows = _running(blocks)
    lines = [
        f"- {row['component']} on {row['environment']}: {row['sha'] or 'nothing'}"
        + (f" ({row['name']})" if row.get("name") else "")
        + (f" since {row['since']}" if row.get("since") else "")
        for row in rows
    ]
    if waiting := _latest(blocks, "now").get("waits_for_approval"):
        lines.append(f"Waiting for approval: {waiting}")
    return "What runs now:\n" + "\n".join(lines) if lines else "I could not find out what runs now."


def _latest(blocks: Iterable[ParsedBlock], tag: str) -> Json:
    return next((block.data for block in reversed(list(blocks)) if block.tag == tag), {})


def _rows(blocks: Iterable[ParsedBlock], key: str) -> list[dict[str, str]]:
    """The rows under this key in the newest result that has it."""
    return next(reversed([*_tables(blocks, key)]), [])


def _running(blocks: Iterable[ParsedBlock]) -> list[dict[str, str]]:
    """What runs on each target, as it was looked up last."""
    newest = {(row["component"], row["environment"]): row for rows in _tables(blocks, "deployments") for row in rows}
    return [*newest.values()]


def _tables(blocks: Iterable[ParsedBlock], key: str) -> Iterator[list[dict[str, str]]]:
    """The rows under this key in each result that has it. A repeated table lists only the changed rows."""
    last: dict[tuple[str, str], list[dict[str, str]]] = {}
    for block in blocks:
        found = block.data.get(key)
        if block.tag not in _LOOKS or not found:
            continue
        rows: list[dict[str, str]] = []
        for of, text in found.items() if isinstance(found, dict) else [("", found)]:
            table = _table(str(text), last.get((block.tag, of), []))
            last[block.tag, of] = table
            rows += table
        yield rows


def _table(text: str, before: list[dict[str, str]]) -> list[dict[str, str]]:
    lines = text.splitlines()
    unchanged = _UNCHANGED.fullmatch(lines[-1])
    table = list(csv.DictReader(lines[: -1 if unchanged else None], escapechar="\\"))
    for number in sorted(map(int, unchanged[1].split(", "))) if unchanged else ():
        table.insert(number - 1, before[number - 1])
    return table


def _revision(words: str, seen: list[ParsedBlock], blocks: list[ParsedBlock]) -> str:
    """The newest tag is the one that was known when they were written, or was looked up next."""
    if named := next((match[1] for match in _REVISION.finditer(words)), ""):
        return named
    tags = _rows(seen, "tags") or next(_tables(blocks, "tags"), [])
    return str(tags[0]["name"]) if tags and re.search(r"\b(latest|newest)\b", words) else ""


def _done(message: str) -> Step:
    return DoneForNow(message=message)


def _ask(question: str, context: str, choices: list[str] | None = None) -> Step:
    options = HumanInputOptions(
        urgency="medium", format="multiple_choice" if choices else "free_text", choices=choices or []
    )
    return RequestHumanInput(question=question, context=context, options=options)
