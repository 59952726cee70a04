"""The row of a thread: what it says, and that nothing of it is lost when it is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import rows
from store.events import KINDS, Event, ThreadForked, TriggerReceived
from store.index import row_of, title_of
from tests.store.stories import governed
from tests.telling.story import ANN, AT, BOB, EVE, LATER, approved, asked, chosen, fired, message, requested, thread
from tests.telling.strategies import events_of


@pytest.mark.parametrize(
    ("events", "about"),
    [
        ((message(text="deploy\nv3, please"),), "deploy v3, please"),
        ((message(text="a" * 200),), "a" * 99 + "…"),
        ((message(), chosen("s1", acts=True, tag="v3"), requested("s1")), "push tag=v3"),
        ((message(), chosen("s1", acts=True, tag="v3"), requested("s1", title="Push v3 to prod")), "Push v3 to prod"),
        ((message(), asked("s1")), "Which tag?"),
        ((message(), chosen("s1"), message("m2", "stop")), "stop"),
        ((TriggerReceived(id="t", at=AT, source="cron", name="nightly"),), "cron nightly"),
        ((), ""),
    ],
)
def test_a_thread_is_about_what_waits_or_what_was_said_last(events: tuple[Event, ...], about: str) -> None:
    assert title_of(thread(*events)) == about


def test_who_may_decide_is_kept_by_group_and_follows_the_escalation() -> None:
    waiting = governed(group="sre", then="leads", widen_at=AT)
    (timer,) = waiting.timers
    assert row_of(waiting).groups == ("sre",)
    assert row_of(waiting.extended([fired(str(timer))])).groups == ("sre", "leads")
    assert row_of(governed(group="sre", standing="g1")).groups == (), "only the standing approval decides it"


def test_a_thread_changed_with_its_last_event() -> None:
    later = message("m2").model_copy(update={"at": LATER})
    assert row_of(thread(message(), later)).updated_at == LATER


def test_who_asked_first_has_asked() -> None:
    row = row_of(thread(message(by=ANN), message("m2", by=BOB)))
    assert (row.requester, row.people) == (("Ann", "u1"), ("U1", "U2"))


def test_whoever_decides_takes_part_and_whoever_may_not_does_not() -> None:
    waiting = thread(message(by=ANN), chosen("s1", acts=True), requested("s1", group="sre"))
    for nobody in (approved("s1", BOB), approved("s1", EVE, groups=("sre",))):
        assert row_of(waiting.extended([nobody])).people == ("U1",)
    assert row_of(waiting.extended([approved("s1", BOB, groups=("sre",))])).people == ("U1", "U2")


def test_whoever_makes_a_fork_takes_part_in_it() -> None:
    fork = thread(message(by=ANN), ThreadForked(id="f", at=AT, source="t0", at_event=2, by=BOB))
    assert row_of(fork).people == ("U1", "U2")


@given(st.lists(st.one_of(*(events_of(kind) for kind in KINDS.values())), max_size=6))
def test_whatever_the_log_holds_a_row_is_kept_as_it_is(events: list[Event]) -> None:
    row = row_of(thread(*events))
    line = rows.encode(row)
    assert row.status == "unreadable" or rows.decode("t1", line) == row
    assert b"\n" not in line
