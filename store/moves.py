"""State changes that several rows of the fold share: of a step, its request, the outbox, or the thread.

Each changes the state it is given, and repeating it does no harm. Only `store.fold` calls them. Otherwise pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from store.arrivals import offered_id
from store.choices import ChoiceFailed
from store.events import ApprovalDecided, StepChosen
from store.keys import MessageKey, MessagePart, TimerKey, question_about
from store.outbox import Kind, Outbox
from store.replies import ReplyDecidedNothing
from store.state import NOT_BEGUN, OPEN, Outcome, Request, State, StepState, StepStatus, effect_of


def move_step(state: State, step_id: str, allowed: Iterable[StepStatus], **changes: Any) -> bool:
    """Change a step if it has one of the allowed statuses. Returns whether it had."""
    step = state.steps.get(step_id)
    if not step or step.status not in allowed:
        return False
    state.steps[step_id] = step._replace(**changes)
    return True


def update_request(state: State, request: Request, **changes: Any) -> Request:
    changed = request._replace(**changes)
    state.steps[request.step] = state.steps[request.step]._replace(request=changed)
    return changed


def end_open_steps(state: State, ending: StepStatus, which: Iterable[StepStatus], index: int) -> None:
    for step_id in state.open_steps:
        end_step(state, step_id, ending, which, index)


def end_step(state: State, step_id: str, ending: StepStatus, which: Iterable[StepStatus], index: int) -> None:
    if move_step(state, step_id, which, status=ending, until=None):
        close_card(state, step_id, index)
        end_progress(state, step_id, index)


def start_turn(state: State, index: int) -> None:
    """A person or a trigger moved the thread: a new turn starts and the limits are reset."""
    if not state.cancelled:
        state.news_at = index
    close_question(state, index)
    state.steps_in_turn = state.errors_in_row = 0
    state.handed_to_human, state.retry_choice_at, state.stopped = False, None, False


def stop_choosing(state: State, index: int) -> None:
    """Choose no further step until somebody moves the thread. Words that the model has not read stay unread."""
    state.retry_choice_at = None
    end_outage(state)
    state.seen = index + 1


def drop_words(state: State, index: int) -> None:
    """Choose no further step, and act on nothing that was written so far."""
    stop_choosing(state, index)
    state.read = index + 1


def note_outage(state: State, event: ChoiceFailed) -> None:
    """The model is unavailable, for longer each time; any other failure is an answer of some kind, which ends it."""
    if event.reason != "unavailable" or event.counted:
        end_outage(state)
        return
    state.unavailable_since = state.unavailable_since or event.at
    state.unavailable_seconds = (event.at - state.unavailable_since).total_seconds()


def end_outage(state: State) -> None:
    state.unavailable_since, state.unavailable_seconds = None, 0.0


def edit_message(state: State, message: str, text: str | None, index: int) -> None:
    if state.edits.edit_came(message, text, index) and state.unread:
        state.heard_at = index  # The model may be reading the text as it was.


def note_reading(state: State, event: StepChosen, index: int) -> None:
    """The model has chosen: it has read what its prompt held, and no more. Or code has found nothing to answer."""
    asked = state.steps.get(state.question)
    if asked and asked.chosen.by == "model" and state.unread and effect_of(event) != "rests":
        close_question(state, index)  # These words came before the question was asked; they were read after it.
    state.read, state.outdated_in_row = event.seen or index, 0
    state.edits.were_read(state.read)


def begin_copy(state: State, index: int) -> None:
    """The copied events of a fork end here: nothing from before is acted on."""
    end_open_steps(state, "superseded", OPEN, index)
    state.outbox = Outbox()
    state.arrivals, state.aside, state.held_at, state.offered = {}, (), -1, ""
    drop_words(state, index)
    state.handed_to_human = state.paused = state.cancelled = state.stopped = False
    state.current = state.question = state.tasks = ""


def cancel(state: State, index: int) -> None:
    """Nothing new begins. A running tool is left to end."""
    end_open_steps(state, "cancelled", OPEN - {"running"}, index)
    close_question(state, index)
    close_offer(state, state.offered, index)
    drop_words(state, index)
    state.cancelled = True


def stop(state: State, index: int) -> None:
    """End what has not begun and what the agent meant to look at again. What has begun outside goes on to its end.

    Reminders stay: they are for later. The question how something ended stays too, because nobody else knows.
    """
    end_open_steps(state, "superseded", {"chosen"}, index)
    end_open_steps(state, "withdrawn", NOT_BEGUN, index)
    for step_id in state.open_steps:
        if state.steps[step_id].effect == "waits":
            end_step(state, step_id, "superseded", {"waiting", "due"}, index)
    if not _asks_how_it_ended(state):
        close_question(state, index)
    drop_words(state, index)
    state.stopped, state.current = True, ""


def _asks_how_it_ended(state: State) -> bool:
    unknown = (step.id for step in state.steps.values() if step.status == "interrupted")
    return any(question_about(step_id) == state.question for step_id in unknown)


def reopen(state: State, index: int) -> None:
    """A cancelled thread goes on with the next message, and nothing from before goes on by itself."""
    # Also what a tool that was running when the thread was cancelled has left open since.
    end_open_steps(state, "cancelled", OPEN - {"running"}, index)
    for step_id in state.open_steps:
        move_step(state, step_id, {"running"}, abandoned=True)
    drop_words(state, index)
    state.cancelled = state.paused = state.stopped = False
    state.current = ""


def count_failure(state: State, index: int) -> None:
    """Count an error, and let the model read it."""
    state.news_at = index
    state.errors_in_row += 1


def follow_card(state: State, request: Request, part: MessagePart, kind: Kind, index: int, number: str = "") -> None:
    """Send a follow-up wherever the request's card was sent."""
    _put_wherever_shown(state, request, MessageKey(request.step, part, number), kind, index)


def _put_wherever_shown(state: State, request: Request, key: MessageKey, kind: Kind, index: int) -> None:
    state.outbox.put_wherever_shown(
        key, kind, index, step=request.step, places=request.places, shown_at=request.shown_at
    )


def close_card(state: State, step_id: str, index: int) -> None:
    """Tell the people who saw the request's card that it will not be acted on."""
    if request := state.steps[step_id].request:
        follow_card(state, request, "closed", "settled", index)


def close_offer(state: State, becomes: str, index: int) -> None:
    """It is settled where these words belong, or they are gone."""
    if becomes and state.offered == becomes:
        state.offered = ""
        state.outbox.put(MessageKey(offered_id(becomes), "answered"), "offer_closed", index)


def close_question(state: State, index: int) -> None:
    """Close the open question, and its buttons if it has any."""
    asked = state.steps.get(state.question)
    if asked and asked.chosen.closes:
        state.outbox.put(MessageKey(asked.id, "answered"), "answered", index, asked.id)
    state.question = ""


def supersede_chosen(state: State, event: StepChosen, index: int) -> None:
    """A step that has not begun gives way to the step of this event. But an edit does not give way to a question that
    code asks: the person who edited still waits for the new request.
    """
    edit = state.open_edit
    if edit and (event.by != "code" or event.acts):
        end_edit(state, event.id, index)
    for step_id in state.open_steps:
        if edit is None or step_id != edit.id:
            end_step(state, step_id, "superseded", {"chosen"}, index)


def end_edit(state: State, event_id: str, index: int) -> None:
    """Nobody checks the open edit any more: the request that it edits can be decided again, and people are told."""
    if edit := state.open_edit:
        move_step(state, edit.id, {"chosen"}, status="superseded")
        tell_of_ended_edit(state, edit, event_id, index)


def tell_of_ended_edit(state: State, edit: StepState, event_id: str, index: int) -> None:
    """Tell the person who tried it, and those who could not decide meanwhile: they may have seen the card elsewhere."""
    key, edited = MessageKey(event_id, "notice"), state.steps.get(edit.chosen.edits)
    if edit.chosen.holds and edited and edited.request:
        _put_wherever_shown(state, edited.request, key, "edit_ended", index)
    else:
        state.outbox.put(key, "edit_ended", index, edit.id)


def end_progress(state: State, step_id: str, index: int) -> None:
    if state.steps[step_id].progress_shown:
        # Keyed by the event as well: after an interruption, the real ending may still follow.
        state.outbox.put(MessageKey(step_id, "ended", str(index)), "ended", index, step_id)


def outcome_of(state: State, step: StepState, event: ApprovalDecided) -> Outcome:
    """Each person has one approval. A person who approved may still reject.

    While an edit of the request is open, nothing is decided, neither way: the person has not seen the changed call, and
    the call that they saw does not run meanwhile.
    """
    request = step.request
    if request is None or request.digest != event.digest:
        return "other_request"
    by, groups, at = event.by, event.groups, event.at
    judged = request.verdict(by, groups, at, approved=event.approved, way=event.way, standing=event.standing)
    if step.status != "requested":
        return "too_late" if judged == "valid" or (judged == "expired" and step.status != "expired") else judged
    if judged != "valid":
        return judged
    if (edit := state.open_edit) and edit.chosen.edits == step.id:
        return "being_edited"
    if event.approved and request.has_voted(by):
        return "too_late"
    enough = not event.approved or event.standing or len(request.votes) + 1 >= request.terms.quorum
    return "settled" if enough else "counted"


def answer_reply(state: State, event: ReplyDecidedNothing, index: int) -> None:
    step = state.steps.get(event.step)
    # A message about what is over gets its answer from the agent.
    if step and step.request and (event.reads_as != "neither" or step.status == "requested"):
        state.outbox.put(MessageKey(event.id, "notice"), "notice", index, event.step, event.place)


def settle(state: State, request: Request, event: ApprovalDecided, index: int) -> None:
    votes = (*request.votes, event) if event.approved else request.votes
    request = update_request(state, request, votes=votes, decision=event)
    move_step(state, request.step, {"requested"}, status="approved" if event.approved else "rejected")
    follow_card(state, request, "settled", "settled", index)
    state.steps_in_turn = state.errors_in_row = 0
    state.handed_to_human = False
    if not event.approved:
        state.news_at = index
    if event.comment and not event.standing:
        state.words = state.words.by(event.by)


def escalate(state: State, request: Request, key: TimerKey, index: int) -> None:
    match key.kind:
        case "remind":
            request = update_request(state, request, reminded=True)
            follow_card(state, request, "reminder", "reminder", index, "remind")
        case "widen":
            follow_card(state, request, "reminder", "reminder", index, "widen")
            update_request(state, request, widened=True)
            state.outbox.put_card(request.step, index, request.asked.then_asks, first=1 + len(request.asked.asks))
        case "expire":
            move_step(state, request.step, {"requested"}, status="expired")
            if not state.cancelled:
                state.news_at = index
            follow_card(state, request, "settled", "settled", index)
        case _:
            pass
