"""What people are told after an absence: of messages that are too old to act on, of places with too many to read, and
of too many places.

Pure: `channels.slack.sweep` finds both and has them told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from channels.slack.events import Installation, Posted
from channels.slack.place import Address, link_to, place_of
from store.text import instant
from store.values import Place

LINKS_MAX = 10


@dataclass(frozen=True, slots=True)
class MissedNotice:
    key: str
    """The same for the same absence and the same place."""
    text: str
    otherwise_at: tuple[Place, ...]
    """Where it is told if the team has no place for alerts."""


def notices_of(
    me: Installation, since: float, old: Sequence[Posted], cut: Sequence[Address], channels_read: int | None = None
) -> Iterator[MissedNotice]:
    """`since`: when the absence began. `old`: too old to act on. `cut`: places that were not read to their end.

    `channels_read`: only so many channels were read; None: all.
    """
    if old:
        yield _of_old(me, since, old)
    for address in cut:
        yield _of_cut(me, since, address)
    if channels_read is not None:
        yield _of_channels(since, channels_read)


def _of_old(me: Installation, since: float, old: Sequence[Posted]) -> MissedNotice:
    count = len(old)
    links = [link_to(me.url, Address(me.team, one.channel, one.ts)) for one in old]
    lines = [link for link in links if link][:LINKS_MAX]
    more = [f"… and {count - len(lines)} more."] if count > len(lines) else []
    messages = "There was one message" if count == 1 else f"There were {count} messages"
    text = (
        f"{messages} for me in Slack while I was away, since {instant_of(since)}, that are older than a day. "
        "I did nothing about them. Whoever still wants an answer, please mention me again."
    )
    authors = dict.fromkeys(one.user for one in old if not one.program)
    places = tuple(place_of("", author, "") for author in authors)
    return MissedNotice(f"missed-{since:.0f}", "\n".join([text, *lines, *more]), places)


def _of_cut(me: Installation, since: float, address: Address) -> MissedNotice:
    what = "thread" if address.thread else "channel"
    text = (
        f"More was written in a Slack {what} while I was away, since {instant_of(since)}, than I read afterwards. "
        "If a message for me was among the rest, I did nothing about it. "
        "Whoever still wants an answer, please mention me again."
    )
    key = "-".join(filter(None, [f"cut-{since:.0f}", address.channel, address.thread]))
    link = link_to(me.url, address) or address.channel
    return MissedNotice(key, f"{text}\n{link}", (address.place,))


def _of_channels(since: float, read: int) -> MissedNotice:
    """There is no place of its own for it: without a place for alerts, only the program's log has it."""
    text = (
        f"I am in more Slack channels than I read after an absence: of {read} I have read what was written while I was "
        f"away, since {instant_of(since)}, and of the others nothing. If a message for me was there, I did nothing "
        "about it. Whoever still wants an answer, please mention me again."
    )
    return MissedNotice(f"channels-{since:.0f}", text, ())


def instant_of(seconds: float) -> str:
    """Seconds since 1970, as people read them."""
    return instant(datetime.fromtimestamp(seconds, UTC))
