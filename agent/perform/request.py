"""Requests approval of a call: looks up its facts, states who may decide, and binds both by a digest.

The request is in the log before anybody sees it. A call that cannot be shown completely, or that nobody may approve, is
refused. The `Authority` says who may approve; whether a decision counts is judged by the fold.
"""

from __future__ import annotations

import structlog

from agent.authority import ApprovalRule
from agent.decide import RequestApproval
from agent.perform.again import configuration_of, grant_for, rule_for
from agent.perform.call_to_approve import call_to_approve
from agent.perform.run import prepare, refused, refused_by_tool
from agent.perform.turn import Turn
from agent.steps import Call, Facts, Tool, ToolError
from channels.labels import used
from channels.messages import HEADLINE_CHARS_MAX
from store import keys
from store.authority.binding import digest_of
from store.codec import EventTooLarge, as_read, encode
from store.events import ApprovalDecided, ApprovalRequested
from store.standing import StandingGranted
from store.state import StepState
from store.text import instant, one_line
from store.values import CardWords, Place

WARNING_CHARS_MAX = 300
NO_DIGEST = "0" * 64
"""As long as one."""

log = structlog.get_logger(__name__)


async def request(turn: Turn, action: RequestApproval) -> None:
    step, tool, chosen = action.step, action.tool, action.step.chosen
    try:
        call = turn.call(step, 1)
        facts = await prepare(turn, tool, call)
        asked = call_to_approve(turn, chosen, tool, facts, turn.now())
        rule = rule_for(turn, asked)
        if rule is None:
            which = f"{chosen.intent} with these arguments"
            raise ToolError(f"It needs approval, and nobody may approve {which}: the team file has no rule for it.")
        grant = await grant_for(turn, asked, tool, rule.terms)
        if rule.unsatisfiable and not grant:
            raise ToolError(rule.unsatisfiable)
        requested = _bound(turn, step, tool, call, facts, rule, grant)
    except EventTooLarge as error:
        await turn.begin(refused(turn, step, f"It is too large to be shown completely: {error}"))
    except ToolError as error:
        await turn.begin(refused_by_tool(turn, step, error))
    else:
        await turn.begin(requested, *([_granted(requested, grant)] if grant else []))


def _bound(
    turn: Turn, step: StepState, tool: Tool, call: Call, facts: Facts, rule: ApprovalRule, grant: StandingGranted | None
) -> ApprovalRequested:
    """The request with its digest. Raises ToolError, EventTooLarge."""
    thread_id, chosen, terms = turn.thread.id, step.chosen, rule.terms
    configuration = configuration_of(turn, tool, call)
    if grant:
        terms = terms.model_copy(update={"standing": grant.id, "expires_at": grant.until})
    try:
        drafted = ApprovalRequested(
            id=keys.requested(chosen.step),
            at=turn.now(),
            step=chosen.step,
            digest=NO_DIGEST,
            facts=facts,
            title=_title(turn, tool, facts),
            dangers=tuple(name for name in tool.dangers if name in facts),
            card=CardWords(labels=used(tool.on_cards, tool.arguments, facts), warnings=_warnings(turn, tool, facts)),
            configuration=configuration,
            rules=rule.rules,
            policy=terms.model_dump(mode="json", exclude_defaults=True),
            asks=_elsewhere(turn, rule.asks if grant is None else (grant.tell,) if grant.tell else ()),
            then_asks=rule.then_asks if grant is None else (),
            tells=grant is not None,
            approvers=rule.approvers,
            editable=tuple(name for name in tool.editable if isinstance(chosen.arguments.get(name), str)),
        )
        # Bind what the log returns: encoding changes some characters and numbers.
        stored = as_read(drafted, encode(drafted))
    except EventTooLarge:
        raise
    except ValueError as error:
        raise ToolError(f"The facts for the approval cannot be shown: {error}") from error
    assert isinstance(stored, ApprovalRequested)
    return stored.model_copy(update={"digest": digest_of(thread_id, chosen, stored)})


def _title(turn: Turn, tool: Tool, facts: Facts) -> str:
    """The tool's own words, which may hold names from outside, on one line. Raises ToolError."""
    try:
        return one_line(tool.title(facts), HEADLINE_CHARS_MAX)
    except Exception as error:
        log.exception("title_failed", thread=turn.thread.id, intent=tool.intent)
        raise ToolError(f"What it does cannot be said: {type(error).__name__}") from error


def _warnings(turn: Turn, tool: Tool, facts: Facts) -> dict[str, str]:
    """The tool's own sentences, each on one line. What they do not say stands on the card as its label and value."""
    try:
        said = tool.warns(facts)
        lines = {
            key: one_line(said[key], WARNING_CHARS_MAX + 1) for key in tool.dangers if key in facts and key in said
        }
    except Exception as error:
        log.exception("warning_failed", thread=turn.thread.id, intent=tool.intent)
        raise ToolError(f"What is dangerous about it cannot be said: {type(error).__name__}") from error
    # A sentence that is too long would be cut, so it is not used: the card shows the fact itself, in full.
    return {key: line for key, line in lines.items() if line and len(line) <= WARNING_CHARS_MAX}


def _elsewhere(turn: Turn, places: tuple[Place, ...]) -> tuple[Place, ...]:
    """The places where people do not see the thread itself anyway."""
    channel = turn.channel
    return tuple(place for place in places if not (channel and channel.covers(turn.thread.place, place)))


def _granted(request: ApprovalRequested, grant: StandingGranted) -> ApprovalDecided:
    return ApprovalDecided(
        id=keys.decided_by_standing_approval(request.step),
        at=request.at,
        step=request.step,
        digest=request.digest,
        approved=True,
        by=grant.by,
        groups=grant.groups,
        comment=grant.reason,
        proof=f"standing approval {grant.id}, until {instant(grant.until)}",
        standing=grant.id,
        way=grant.way,
    )
