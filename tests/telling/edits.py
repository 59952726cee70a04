"""What must hold of a person's edit, whatever happens: while it is open nothing is decided, and it ends aloud."""

from __future__ import annotations

from store.events import ApprovalDecided, Event, ThreadCancelled, ThreadForked, WorkStopped
from store.keys import MessageKey
from store.state import StepState
from store.thread import Thread


def assert_an_open_edit_holds(before: Thread, after: Thread, event: Event) -> None:
    """`after` is the thread with this event."""
    edit = before.state.open_edit
    if edit is None:
        return
    step, then = before.step(edit.chosen.edits), after.step(edit.chosen.edits)
    if isinstance(event, ApprovalDecided) and step and then and step.id == event.step:
        was, stands = step.request, then.request
        assert then.status == step.status
        if was and stands:  # In any order, a decision may also name a step for which nobody was asked.
            assert (stands.votes, stands.decision) == (was.votes, was.decision)
            assert stands.outcomes[event.id] not in ("settled", "counted")
    if after.state.steps[edit.id].status != "chosen":
        assert _ended_aloud(edit, before, after, event), f"{event.id} ended the edit in silence"


def _ended_aloud(edit: StepState, before: Thread, after: Thread, event: Event) -> bool:
    """Whether this event made the edit a request of its own, or people are told of it, wherever they saw the card."""
    status = after.state.steps[edit.id].status
    if status == "requested" or isinstance(event, ThreadCancelled | WorkStopped | ThreadForked):
        return True  # A cancelled and a stopped request say so on every card.
    told = {key for key, unsent in after.state.outbox.items() if unsent.event == before.version}
    edited = before.step(edit.chosen.edits)
    shown = edited.request.shown_at - {0} if edited and edited.request else frozenset()
    return {str(MessageKey(event.id, "notice", surface=surface)) for surface in (0, *shown)} <= told
