"""Tells in a few lines what happened in a demo so far, and what it waits for. It changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.decide import AskModel, decide
from agent.definition import Agent
from store.events import HandedToHuman
from store.state import StepState
from store.text import instant, one_line
from store.thread import Thread

FACTS_MAX = 8
"""Of what happened, the last ones."""
CHARS_MAX = 200
_NAMES = {"deploy": "The deployment", "rollback": "The rollback"}


def what_happened(thread: Thread) -> list[str]:
    """Deployments, tests and decisions, one a line."""
    return [*_facts(thread)][-FACTS_MAX:]


def what_waits(agent: Agent, thread: Thread) -> str:
    """What comes next, and who does it."""
    match thread.status:
        case "waiting_for_approval" if thread.pending:
            return f"Your decision waits: {one_line(thread.pending.title, CHARS_MAX)}?"
        case "waiting_for_answer":
            return "The agent's question waits for your answer."
        case "paused":
            return "You paused it: /resume goes on."
        case "cancelled":
            return "It was cancelled: /resume reopens it."
        case "handed_to_human":
            reasons = (event.reason for event in reversed(thread.events) if isinstance(event, HandedToHuman))
            return f"The agent stopped and left it to you. {one_line(next(reasons, ''), CHARS_MAX)}".rstrip()
        case "done":
            return "Nothing waits: tell the agent what to do."
        case "waiting" if thread.state.retry_choice_at:
            return f"The model was away. The agent asks it again at {instant(thread.state.retry_choice_at)}."
    under_way = next(iter(thread.open_steps("running", "approved", "waiting", "due")), None)
    if under_way and (words := _under_way(under_way)):
        return words
    if isinstance(decide(agent, thread), AskModel):
        return "The model was thinking. The agent asks it again."
    return "The agent goes on."


def _under_way(step: StepState) -> str:
    match step.chosen.intent:
        case "deploy" | "rollback":
            return f"{_NAMES[step.chosen.intent]} of {_target(step)} was about to begin. The agent goes on with it."
        case "wait_for_deployment":
            return f"The deployment of {_target(step)} was under way. The agent looks how it ended."
        case "run_end_to_end_tests":
            return f"The tests on {_arguments(step, 'environment')[0]} were under way. The agent runs them again."
        case _:
            return ""


def _facts(thread: Thread) -> Iterator[str]:
    """In the order in which they came: deployments, tests and decisions."""
    deployed: dict[str, list[str]] = {}
    for step in thread.state.steps.values():
        if fact := _fact(step):
            yield from _deployed(deployed)
            deployed = {}
            yield fact
        elif step.chosen.intent == "wait_for_deployment" and _has(step, "state", "succeeded"):
            component, environment = _arguments(step, "component", "environment")
            deployed.setdefault(environment, []).append(component)
    yield from _deployed(deployed)


def _fact(step: StepState) -> str:
    if step.chosen.intent == "run_end_to_end_tests" and step.status in ("finished", "failed"):
        (environment,) = _arguments(step, "environment")
        return f"the tests on {environment} {'passed' if _has(step, 'passed', True) else 'failed'}"
    decision = step.request.decision if step.request else None
    if step.request is None or decision is None:
        return ""
    verb = "approved" if decision.approved else "rejected"
    why = f" (“{one_line(decision.comment, CHARS_MAX)}”)" if decision.comment else ""
    return f"{one_line(decision.by.name, CHARS_MAX)} {verb} “{one_line(step.request.title, CHARS_MAX)}”{why}"


def _deployed(found: dict[str, list[str]]) -> Iterator[str]:
    """Environments that got the same components stand together."""
    together: dict[tuple[str, ...], list[str]] = {}
    for environment, components in found.items():
        together.setdefault(tuple(components), []).append(environment)
    for names, environments in together.items():
        verb = "were" if len(names) > 1 else "was"
        yield f"{_and(names)} {verb} deployed to {_and(environments)}"


def _target(step: StepState) -> str:
    return " to ".join(_arguments(step, "component", "environment"))


def _arguments(step: StepState, *names: str) -> list[str]:
    return [one_line(str(step.chosen.arguments.get(name, "")), CHARS_MAX) for name in names]


def _has(step: StepState, key: str, value: object) -> bool:
    return isinstance(step.result, dict) and step.result.get(key) == value


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
