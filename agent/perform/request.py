"""Asking people to approve a call: what it depends on is looked up, who may decide is laid down, and both are bound.

The request is in the log before anybody is shown it. What cannot be shown whole, and what nobody may approve, is
refused. Who may approve is the `Authority`'s to say, whether a decision counts the fold's.
"""

from __future__ import annotations

from agent.authority import Ruling
from agent.decide import RequestApproval
from agent.perform.run import prepare, refused
from agent.perform.turn import Turn
from agent.perform.wanted import wanted_for
from agent.steps import Facts, Tool, ToolError
from store import keys
from store.authority.binding import digest
from store.codec import EventTooLarge, decode, encode
from store.events import ApprovalDecided, ApprovalRequested, StandingGranted, StepChosen
from store.text import instant
from store.values import Place


async def request(turn: Turn, action: RequestApproval) -> None:
    step, tool, chosen = action.step, action.tool, action.step.chosen
    try:
        facts = await prepare(turn, tool, turn.call(step, 1))
        wanted = wanted_for(turn, chosen, tool, turn.now())
        ruling = turn.services.authority.rule(wanted)
        if ruling is None:
            where = f" in {wanted.scope}" if wanted.scope else ""
            raise ToolError(
                f"It needs an approval, and nobody may approve {chosen.intent}{where}: the team file has no policy."
            )
        grant = await turn.services.authority.standing(wanted)
        if ruling.too_few and not grant:
            raise ToolError(ruling.too_few)
        requested = _bound(turn, chosen, tool, facts, ruling, grant)
    except EventTooLarge as error:
        await turn.begin(refused(turn, step, f"Too large to be shown whole: {error}"))
    except ToolError as error:
        await turn.begin(refused(turn, step, str(error)))
    else:
        await turn.begin(requested, *([_granted(requested, grant)] if grant else []))


def _bound(
    turn: Turn, chosen: StepChosen, tool: Tool, facts: Facts, ruling: Ruling, grant: StandingGranted | None
) -> ApprovalRequested:
    """The request with its digest. Raises ToolError, EventTooLarge."""
    thread_id, terms = turn.thread.id, ruling.terms
    if grant:
        terms = terms.model_copy(update={"standing": grant.id, "expires_at": grant.until})
    try:
        drafted = ApprovalRequested(
            id=keys.requested(chosen.step),
            at=turn.now(),
            step=chosen.step,
            digest=digest(thread_id, chosen, {}, {}),
            facts=facts,
            policy=terms.model_dump(mode="json", exclude_defaults=True),
            asks=_elsewhere(turn, ruling.asks),
            then_asks=ruling.then_asks,
            approvers=ruling.approvers,
            editable=tuple(name for name in tool.editable if isinstance(chosen.arguments.get(name), str)),
        )
        # What is bound is what the log gives back: some characters and numbers are not kept as they were.
        stored = decode(encode(drafted))
    except EventTooLarge:
        raise
    except ValueError as error:
        raise ToolError(f"What was found out for the approval cannot be shown: {error}") from error
    assert isinstance(stored, ApprovalRequested)
    return stored.model_copy(update={"digest": digest(thread_id, chosen, stored.facts, stored.policy)})


def _elsewhere(turn: Turn, places: tuple[Place, ...]) -> tuple[Place, ...]:
    """Those at which the thread itself does not show it already."""
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
    )
