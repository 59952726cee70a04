"""What a thread does that was told of a newer merge: withdraw what it has proposed, say why, and go no further.

What has begun goes on to its end, and where people speak, the model decides. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent import (
    ANOTHER_THREAD,
    DoneForNow,
    MessageReceived,
    NothingToDo,
    Step,
    StepChosen,
    Thread,
    TriggerReceived,
    WithdrawRequest,
    calls,
    steps_taken,
)
from agent.roster.deploy.merges import goes_on, instead_of_it, is_merge, once
from agent.roster.deploy.tools.deploy import Deploy, Rollback
from agent.roster.deploy.tools.merges import NEWER_MERGED, SupersedeOlder, Told


def withdrawn(thread: Thread) -> Step | None:
    """Take back the proposal that a newer merge supersedes; None: none waits here."""
    if not (news := _told(thread)):
        return None
    index, told = news[-1]
    if any(isinstance(event, MessageReceived) for event in thread.events[index:]):
        return None  # What people say now counts for more.
    why = _why(news)
    targets = {(one.data.get("component"), one.data.get("environment")) for _, one in news}
    outdated = [
        call
        for call in calls(thread, Deploy)
        if call.state.status in ("chosen", "requested", "approved")
        and (call.step.component, call.step.environment) in targets
        and call.step.waiver is None
        and call.at <= told.at
    ]
    if any(call.state.status != "chosen" for call in outdated):
        return WithdrawRequest(reason=why)
    last = steps_taken(thread)[-1:]
    has_withdrawn = (
        any(call.state is last[0] and call.by_code for call in calls(thread, WithdrawRequest)) if last else 0
    )
    return DoneForNow(message=why) if outdated or has_withdrawn else None


def no_longer_proposed(thread: Thread) -> Step | None:
    """What a newer merge has superseded is not proposed here; what was not proposed at all needs no word."""
    if not (news := _told(thread)) and not _was_late(thread):
        return None
    index = news[-1][0] if news else 0
    since = thread.events[index:]
    if any(isinstance(event, MessageReceived) for event in since):
        return None
    is_answered = any(isinstance(event, StepChosen) for event in since) if news else True
    if goes_on(thread):
        return None if is_answered else NothingToDo()
    opened_by_merge = any(is_merge(event) for event in thread.events)
    if opened_by_merge and not any(call.by_model for call in calls(thread, Deploy, Rollback)):
        return once(thread, _why(news) if news else _late(thread))
    return None if is_answered else NothingToDo()


def _told(thread: Thread) -> list[tuple[int, TriggerReceived]]:
    """By other threads, of newer merges."""
    return [
        (index, event)
        for index, event in enumerate(thread.events)
        if isinstance(event, TriggerReceived) and event.source == ANOTHER_THREAD and event.name == NEWER_MERGED
    ]


def _why(news: Sequence[tuple[int, TriggerReceived]]) -> str:
    _, last = news[-1]
    sha, newer = str(last.data.get("sha", ""))[:7], str(last.data.get("newer", ""))
    about = {str(one.data.get("environment", "")): None for _, one in news if one.data.get("newer") == newer}
    return f"{sha} is not proposed for {' or '.join(about)} any more: {instead_of_it(newer)}."


def _was_late(thread: Thread) -> bool:
    return bool(_late(thread))


def _late(thread: Thread) -> str:
    """What is said where a newer merge was there first; empty: none was."""
    for call in calls(thread, SupersedeOlder):
        if (told := call.result(Told)) and told.instead:
            return f"{call.step.revision[:7]} is not proposed: {instead_of_it(told.instead)}."
    return ""
