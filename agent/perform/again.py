"""Judges an approved call a second time, just before it begins.

Between the request and the run lie hours: people leave, rules get stricter, the team file and the tools change. So an
approval has to hold twice: by what was shown (the digest, the terms, the time) and by today's directory, rules and
configuration. A call whose approval does not hold is refused, with the reason: people read it in reply to the card that
they decided on, and the agent may choose the call again, for which they are asked anew. If the call had begun before,
people are asked how that ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import structlog

from agent.authority import ApprovalRule, CallToApprove
from agent.perform.call_to_approve import call_to_approve
from agent.perform.turn import ERROR_CHARS_MAX, Turn
from agent.steps import Call, Tool, ToolError
from store.authority.binding import different, hashed, still_binds
from store.authority.terms import Terms, asked_by, has_expired, judge, may_stand
from store.events import ApprovalDecided
from store.names import called
from store.standing import StandingGranted
from store.state import Request

THE_CALL = "the call itself"
"""The part of a configuration that is the call with all its arguments, as the tool's class reads it."""

ANEW = "It can be asked for anew."

log = structlog.get_logger(__name__)


def configuration_of(turn: Turn, tool: Tool, call: Call) -> dict[str, str]:
    """`ApprovalRequested.configuration`. Raises ToolError."""
    try:
        return hashed({**tool.bound_to(call), THE_CALL: tool.arguments})
    except ToolError:
        raise
    except Exception as error:
        log.exception("bound_to_failed", thread=turn.thread.id, key=call.key)
        raise ToolError(f"{type(error).__name__}: {' '.join(str(error).split())}"[:ERROR_CHARS_MAX]) from error


def rule_for(turn: Turn, call: CallToApprove) -> ApprovalRule | None:
    """Who may decide the call, which depends on who asked for it. None: nobody may."""
    rule = turn.services.authority.rule_for(call)
    return rule and replace(rule, terms=asked_by(rule.terms, call.requesters, call.strangers))


async def grant_for(turn: Turn, call: CallToApprove, tool: Tool, terms: Terms) -> StandingGranted | None:
    """The standing approval that decides the call now; None: people have to. Raises StoreUnavailable."""
    if not tool.takes_standing_approval():
        return None
    grant = await turn.services.authority.standing_approval(call)
    return grant if grant and may_stand(terms, turn.services.authority.identified(grant.by)) else None


async def judge_again(turn: Turn, request: Request, tool: Tool, call: Call) -> str:
    """Raises ToolError if the approval does not hold any more. Returns the hash of the rules by which it does."""
    if not still_binds(turn.thread.id, request):
        raise ToolError("It differs from what was approved.")
    if has_expired(request.terms, turn.now()):
        raise ToolError(f"Its approval expired before it {'was repeated.' if call.attempt > 1 else f'began. {ANEW}'}")
    whys = [*_changes(turn, request, tool, call)]
    # As if it were asked for by today's rules at the time when it was.
    facts = request.asked.facts
    rule = rule_for(turn, call_to_approve(turn, request.chosen, tool, facts, request.asked.at))
    if rule is None:
        whys.append("nobody may approve it any more")
    elif request.terms.standing:
        now = call_to_approve(turn, request.chosen, tool, facts, turn.now())
        grant = await grant_for(turn, now, tool, rule.terms)
        if grant is None or grant.id != request.terms.standing:
            whys.append("the standing approval behind it no longer covers it")
    else:
        whys += _votes(turn, request, rule)
    if whys or rule is None:
        by = ", ".join(called(vote.by) for vote in request.votes)
        if call.attempt > 1:
            raise ToolError(f"It was approved by {by}, and that does not hold any more: {'; '.join(whys)}.")
        raise ToolError(f"It was approved by {by}, and not run: {'; '.join(whys)}. {ANEW}")
    return rule.rules


def _changes(turn: Turn, request: Request, tool: Tool, call: Call) -> Iterator[str]:
    """What has changed of the tool and of the configuration that it would run with."""
    shown = request.asked.configuration
    if shown is None:
        return  # The request is older than configurations are: until it expires, it runs by the one of today.
    try:
        now = configuration_of(turn, tool, call)
    except ToolError as error:
        yield f"what it would run with cannot be told any more ({str(error).rstrip('.')})"
        return
    changed = sorted(name for name in {*shown, *now} if shown.get(name) != now.get(name))
    if THE_CALL in changed:
        yield f"{request.chosen.intent} has changed since it was approved"
    elif changed:
        yield f"what it would run with has changed since it was approved: {', '.join(changed)}"


def _votes(turn: Turn, request: Request, rule: ApprovalRule) -> Iterator[str]:
    """What is wrong with the votes, each of which has to count by the terms that were shown and by today's."""
    if has_expired(rule.terms, turn.now()):
        yield "by the rules of today, its approval has expired"
    authority = turn.services.authority

    def counts(vote: ApprovalDecided) -> bool:
        by, terms = authority.decider(vote.by, turn.now()), rule.terms
        if by is None:
            return False
        widened = request.widened and terms.widen_at is not None and vote.at >= terms.widen_at
        judged = judge(terms, by, authority.groups_of(by), vote.at, approved=True, widened=widened, way=vote.way)
        return judged == "valid"

    counting = [vote.by for vote in request.votes if counts(vote)]
    left, needed = len(different(map(authority.identified, counting))), max(request.terms.quorum, rule.terms.quorum)
    if left < needed:
        yield from (
            f"the approval by {called(vote.by)} does not count any more" for vote in request.votes if not counts(vote)
        )
        approvals = "1 approval" if needed == 1 else f"{needed} approvals"
        yield f"it takes {approvals}, and {left} of them {'is' if left == 1 else 'are'} left"
