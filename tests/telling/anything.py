"""Any events in any order: stories that hold every kind of event, whether they make sense or not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from store.events import Event
from store.values import Place
from tests.telling.story import (
    ANN,
    BOB,
    EVE,
    LATER,
    approved,
    arrived,
    asked,
    came_back,
    cancelled,
    choice_failed,
    chosen,
    click_read,
    clicked,
    deleted,
    done,
    dropped,
    edit_of,
    edited,
    events_lost,
    failed,
    finished,
    fired,
    forked,
    from_the_future,
    granted,
    handed_over_to,
    handed_to_human,
    interrupted,
    listed,
    looks_again,
    message,
    not_begun,
    not_sent,
    nothing_to_do,
    offered,
    opened,
    paused,
    placed,
    rated,
    refused,
    regained,
    rejected,
    reopened,
    replied_unclearly,
    requested,
    resumed,
    revoked,
    said_over,
    sent,
    started,
    stopped,
    told,
    trigger,
    unavailable,
    unserved,
    used,
    waits,
    withdrew,
)

_STEPS = ("s1", "s2", "s3")
_GOVERNED: dict[str, Any] = {
    "group": "release",
    "quorum": 2,
    "then": "leads",
    "remind_at": LATER,
    "widen_at": LATER,
    "expires_at": LATER + timedelta(hours=1),
    "asks": (Place(channel="room", address="/C1/"),),
    "then_asks": (Place(channel="room", address="/U9/"),),
}
_KEYS = (
    "s1/card/at/1",
    "s1/settled/at/2",
    "s1/reminder/remind",
    "s1/say",
    "s1/card",
    "s1/settled",
    "s1/closed",
    "s2/card",
    "s2/notice",
    "m1/notice",
    "h1/handed/say",
)
ANYTHING: list[Event] = [
    *(message(name, clipped_from=clipped) for name in ("m1", "m2") for clipped in (0, 60_000)),
    *(event for step in _STEPS for event in (asked(step), done(step), told(step), nothing_to_do(step), withdrew(step))),
    *(chosen(step, intent, acts=acts) for step in _STEPS for intent in ("push", "look") for acts in (True, False)),
    *(edit_of(step) for step in _STEPS[:2]),
    *(
        said_over(event, seen)
        for step in _STEPS
        for event in (asked(step), done(step), told(step), nothing_to_do(step), chosen(step, "look"), looks_again(step))
        for seen in (2, 4)
    ),
    *(unavailable(1, after_seconds=seconds) for seconds in (0, 900)),
    *(choice_failed(1, reason, at) for reason in ("invalid", "unavailable", "outdated") for at in (None, LATER)),
    *(requested(step, digest) for step in _STEPS for digest in ("d1", "d2")),
    *(requested(step, "d1", **_GOVERNED) for step in _STEPS[:2]),
    *(approved("s1", by, "d1", groups=("release",)) for by in (ANN, BOB)),
    *(fired(f"{step}/{rung}/0") for step in _STEPS[:2] for rung in ("remind", "widen", "expire", "elope")),
    *(event for step in _STEPS for event in (looks_again(step), looks_again(step, intent="set_reminder"))),
    *(granted(), used(), revoked()),
    *(answer("s1", by, digest) for answer in (approved, rejected) for by in (ANN, EVE) for digest in ("d1", "d2")),
    *(started(step, attempt, repeatable=attempt == 2) for step in _STEPS for attempt in (1, 2)),
    *(not_begun(step, start) for step in _STEPS for start in (1, 2)),
    *(
        events_lost(),
        events_lost(chosen("s1"), started("s1"), finished("s1")),
        unserved(),
        rated("s1"),
        replied_unclearly("s1"),
        replied_unclearly("s1", reads_as="neither"),
        listed("s1"),
        listed("s2"),
    ),
    *(waits(step, attempt) for step in _STEPS for attempt in (1, 2)),
    *(event for step in _STEPS for event in (finished(step), failed(step), interrupted(step), refused(step))),
    *(fired(f"{key}/send/{attempt}") for key in _KEYS for attempt in (1, 2)),
    *(fired(timer) for timer in ("s1/wait/1", "s1/wait/2", "s2/wait/1", "choice/1", "choice/2", "/send/", "x", "/")),
    *(event for key in _KEYS for event in (sent(key), not_sent(key), not_sent(key, 2), not_sent(key, 2, None))),
    *(regained(number) for number in (1, 2)),
    *(came_back(key) for key in ("s1/say", "s1/card/undelivered")),
    *(trigger(), opened(), handed_over_to("verify"), handed_to_human(), paused(), resumed(), cancelled(), stopped()),
    *(reopened(), forked()),
    *(event for name in ("m1", "m2") for event in (edited(name), deleted(name), arrived(name), dropped(name))),
    *(event for name in ("m1", "m3") for event in (arrived(name), offered(name), placed(name), placed(name, "t1"))),
    *(clicked(), clicked("c2", "answers"), click_read()),
    *(unserved("m1"), unserved("c1/arrived", "m2"), unserved("c1/arrived", "c2/arrived", "m3")),
    from_the_future(),
]
any_story = st.lists(st.sampled_from(ANYTHING), max_size=30).map(lambda events: (opened(), message(), *events))
