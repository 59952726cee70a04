"""Sends the next message of the outbox, and records the outcome.

A message is sent before that is recorded, so a worker that dies in between causes a second attempt. Therefore each
message has its own idempotency key, and the channel learns since when it may have been sent already. `agent.speech`
owns the text of a message, the channel its appearance.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from agent.decide import Say
from agent.perform.turn import ERROR_CHARS_MAX, Turn
from agent.speech.messages import outgoing, way
from agent.speech.undelivered import person_to_notify, place_of_lost
from channels.base import Channel, SendFailed, SentInPart
from store import keys
from store.base import LeaseLost
from store.deliveries import DeliveryFailed, MessageFailed, MessageSent
from store.keys import MessageKey, SendKey
from store.outbox import Unsent
from store.values import Place

CHANNEL_RETRY_SECONDS = 60.0
"""Another process may have the channel, or this process after a restart."""
RETRY_SECONDS_MAX = 600.0
ATTEMPTS_OF_A_DAY = 144
RETRY_SECONDS_LATER = 3_600.0
"""From the second day on: each attempt is two events in the log."""

log = structlog.get_logger(__name__)


async def say(turn: Turn, action: Say) -> None:
    unsent = action.unsent
    try:
        await _tell_the_person_too(turn, action)
        place = _place(turn, unsent)
        channel = _channel(turn, place)
        receipt = await _send(turn, action, channel, place)
    except SentInPart as partly:
        await _sent_in_part(turn, action.key, partly)
    except SendFailed as error:
        await _failed(turn, action, str(error), error.retry_after_seconds, gives_up=not error.until_repaired)
    except LeaseLost:
        raise
    except Exception as error:
        log.exception("send_failed", thread=turn.thread.id, key=action.key)
        retry_after = min(2.0 ** (unsent.failures + 1), RETRY_SECONDS_MAX)
        await _failed(turn, action, f"{type(error).__name__}: {error}", retry_after)
    else:
        anchored = channel.anchored(place, receipt) if place == turn.thread.place else None
        sent = MessageSent(id=keys.sent(action.key), at=turn.now(), key=action.key, receipt=receipt, place=anchored)
        await turn.note(sent)


def _place(turn: Turn, unsent: Unsent) -> Place:
    """Where it is said. Raises SendFailed."""
    own, alerts = turn.thread.place, turn.services.alerts
    if unsent.kind != "undelivered":
        return unsent.place or own
    place = alerts or _in_private(turn, unsent)
    if place is None:
        raise SendFailed("No person asked for it, so there is nobody to tell elsewhere.")
    return place


def _in_private(turn: Turn, unsent: Unsent) -> Place | None:
    """Where the person who is to hear of the lost message can be told alone. None: nowhere. Raises SendFailed."""
    own = turn.thread.place
    return _channel(turn, own).place_for(person_to_notify(turn.thread, unsent), own)


async def _tell_the_person_too(turn: Turn, action: Say) -> None:
    """Where lost messages are reported to others, tell the person what theirs said. Raises SendFailed to try again."""
    if action.unsent.kind != "undelivered" or not turn.services.alerts:
        return
    with contextlib.suppress(SentInPart):
        try:
            place = _in_private(turn, action.unsent)
            if place and place not in (turn.thread.place, turn.services.alerts):
                await _send(turn, action, _channel(turn, place), place, also=True)
        except SendFailed as error:
            if error.retry_after_seconds is not None:
                raise
            log.info("nobody_told_in_private", thread=turn.thread.id, key=action.key, error=str(error))


def _channel(turn: Turn, place: Place) -> Channel:
    channel = turn.services.channels.get(place.channel)
    if channel is None:
        raise SendFailed(f"This process has no channel {place.channel!r}.", CHANNEL_RETRY_SECONDS)
    return channel


async def _send(turn: Turn, action: Say, channel: Channel, place: Place, *, also: bool = False) -> str:
    """`also`: the same is said at another place too, under the key of the action."""
    thread, unsent = turn.thread, action.unsent
    about = MessageKey.parse(action.key)
    key = str(replace(about, surface=1)) if also and about else action.key
    in_private = unsent.kind == "undelivered" and place not in (thread.place, turn.services.alerts)
    turn.check_lease()
    async with asyncio.timeout(turn.agent.limits.send_seconds):
        so_far = thread.events[: unsent.event + 1]
        if place in (unsent.place, turn.services.alerts) and place != thread.place:
            so_far = so_far[-1:]  # The conversation here is not for people elsewhere.
        return await channel.send(
            place,
            outgoing(thread, unsent, in_private=in_private, link=await _link(turn, unsent)),
            way(thread, unsent),
            key=str(SendKey(thread.id, key)),
            since=_since(turn, unsent),
            so_far=so_far,
        )


async def _link(turn: Turn, unsent: Unsent) -> str:
    """To the place where a message was lost; empty: unknown, or nothing was lost."""
    failed = turn.thread.events[unsent.event]
    if not isinstance(failed, MessageFailed | DeliveryFailed):
        return ""
    place = place_of_lost(turn.thread, failed, unsent.step)
    channel = turn.services.channels.get(place.channel)
    return await channel.link(place) if channel else ""


def _since(turn: Turn, unsent: Unsent) -> datetime | None:
    """Since when the message may have been sent already; None: it is new in this turn, so nobody can have sent it."""
    old = unsent.event < turn.loaded_version or unsent.failures
    return turn.thread.events[unsent.event].at if old else None


async def _sent_in_part(turn: Turn, key: str, partly: SentInPart) -> None:
    now = turn.now()
    await turn.note(
        MessageSent(id=keys.sent(key), at=now, key=key, receipt=partly.receipt),
        *(
            DeliveryFailed(id=keys.came_back(key, number), at=now, key=key, recipient=who, error=why)
            for number, (who, why) in enumerate(partly.refused.items())
        ),
    )


def _approvers_in_private(turn: Turn, unsent: Unsent) -> tuple[Place, ...]:
    """Where to show a request whose last card was lost to those who may decide it."""
    thread = turn.thread
    request = thread.state.steps[unsent.step].request if unsent.kind == "card" else None
    others = (each for key, each in thread.state.outbox.items() if each != unsent)
    if (
        request is None
        or request.shown_at
        or request.instead
        or any(each.kind == "card" and each.step == unsent.step for each in others)
    ):
        return ()
    channel = turn.channel
    places = [channel.place_for(person, thread.place) for person in request.asked.approvers] if channel else []
    new = (place for place in places if place and place not in (thread.place, *request.places))
    return tuple(dict.fromkeys(new))


def backoff_seconds(attempt: int) -> float:
    """How long to wait at least after so many attempts."""
    if attempt <= 1:
        return 0.0
    if attempt > ATTEMPTS_OF_A_DAY:
        return RETRY_SECONDS_LATER
    return float(min(2 ** (attempt - 1), RETRY_SECONDS_MAX))


async def _failed(turn: Turn, action: Say, error: str, retry_after: float | None, *, gives_up: bool = True) -> None:
    """`gives_up`: after so many attempts as the agent allows."""
    now, attempt = turn.now(), action.unsent.failures + 1
    again = retry_after is not None and (not gives_up or attempt < turn.agent.limits.send_attempts)
    # Back off even if the service names a time: others may be waiting for the same second.
    failed = MessageFailed(
        id=keys.failed(action.key, attempt),
        at=now,
        key=action.key,
        attempt=attempt,
        error=error[:ERROR_CHARS_MAX],
        retry_at=now + timedelta(seconds=max(retry_after or 0, backoff_seconds(attempt))) if again else None,
        elsewhere=not again and not action.unsent.is_minor,
        instead=() if again else _approvers_in_private(turn, action.unsent),
    )
    await turn.note(failed)
