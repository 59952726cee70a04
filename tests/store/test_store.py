"""What every store promises, in one suite over memory, Redis and Redis in cluster mode.

The servers are real. Time is the store's own: a fake clock for memory, the server's for Redis, so that short leases are
waited out and long ones never end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from store.base import Lease, LeaseLost, Store, ThreadDiverged, ThreadMoved, UnknownThread
from store.codec import EVENT_BYTES_MAX, EventTooLarge, decode
from store.events import Event
from store.thread import Thread
from tests.fakes.servers import Backend
from tests.patience import PATIENCE_SECONDS
from tests.store.threads import LONG, SHORT, T1, at_rest, begun, claimed, ids, thread_ids
from tests.telling.story import chosen, done, finished, message, opened


async def test_the_first_append_opens_the_thread(store: Store) -> None:
    thread = await store.append(T1, opened(), message())
    assert ids(thread) == ["opened", "m1"]
    assert thread == await store.load("t1")
    assert thread.agent == "deploy"


async def test_every_thread_has_a_log_of_its_own(store: Store) -> None:
    await store.append(T1, opened(), message("m1"))
    await store.append(Thread("t2"), opened(), message("m2"))
    assert (ids(await store.load("t1")), ids(await store.load("t2"))) == (["opened", "m1"], ["opened", "m2"])


async def test_a_known_id_changes_nothing(store: Store) -> None:
    thread = await begun(store)
    again = await store.append(thread, message("m1", "something else"))
    assert again == thread
    assert await store.append(T1, opened(), message("m1", "yet another")) == thread
    assert await store.load("t1") == thread


async def test_an_id_that_comes_twice_in_one_append_is_written_once(store: Store) -> None:
    thread = await store.append(T1, opened(), message("m1", "first"), message("m1", "second"))
    assert thread.events == (opened(), message("m1", "first"))


async def test_of_known_and_new_ids_the_new_ones_are_appended(store: Store) -> None:
    thread = await begun(store)
    assert ids(await store.append(thread, message("m1"), message("m2"))) == ["opened", "m1", "m2"]


async def test_ids_are_known_in_their_own_thread_only(store: Store) -> None:
    await begun(store, "t1")
    assert ids(await begun(store, "t2")) == ["opened", "m1"]


async def test_an_append_gives_what_others_appended_meanwhile(store: Store) -> None:
    stale = await begun(store)
    await store.append(stale, message("m2"))
    now = await store.append(stale, message("m3"))
    assert ids(now) == ["opened", "m1", "m2", "m3"]
    assert now == await store.load("t1")


async def test_what_is_posted_opens_the_thread_or_goes_on_with_it_and_wakes_it(store: Store) -> None:
    assert await store.post("t1", opened(), message()) == frozenset({"opened", "m1"})
    assert await store.post("t1", opened(), message("m2")) == frozenset({"m2"}), "only what is new"
    assert await store.post("t1", message("m2")) == frozenset()
    thread = await store.load("t1")
    assert ids(thread) == ["opened", "m1", "m2"]
    assert [lease.thread_id for lease in await store.claim(9, LONG)] == ["t1"]


async def test_what_is_posted_to_a_thread_that_must_be_there_opens_none(store: Store) -> None:
    assert await store.post("t1", message(), opens=False) is None
    assert not await store.exists("t1")
    assert await store.post("t1", opened(), message()) == frozenset({"opened", "m1"})
    assert await store.exists("t1")
    assert await store.post("t1", message("m2"), opens=False) == frozenset({"m2"})
    assert ids(await store.load("t1")) == ["opened", "m1", "m2"]


async def test_a_known_event_that_is_posted_wakes_nobody(store: Store) -> None:
    await at_rest(store)
    await store.post("t1", message())
    assert await store.claim(9, LONG) == []


async def test_nothing_is_posted_when_one_event_is_too_large(store: Store) -> None:
    with pytest.raises(EventTooLarge):
        await store.post("t1", opened(), message(text="x" * EVENT_BYTES_MAX))
    with pytest.raises(UnknownThread):
        await store.load("t1")


async def test_an_append_of_nothing_gives_the_thread_as_it_is(store: Store) -> None:
    stale = await begun(store)
    now = await store.append(stale, message("m2"))
    assert await store.append(stale) == now


@pytest.mark.parametrize(
    "event",
    [
        message("m2", "half a pair: \ud83d"),
        message("<caf\udce9@example.com>", "an id from a mail that is not ASCII"),
        message("m2", "\r\n\x00 \u2028 😀"),
        finished("s1", result=[1.0, 10**40, -0.0, float("nan")]),
        decode(b'{"v":1,"kind":"timer_fired","id":"f","at":"2026-11-20T09:00:00Z","timer":"x","later":{"a":[1]}}'),
        decode(b'{"v":9,"kind":"timer_fired","id":"f","at":"2026-11-20T09:00:00Z"}'),
    ],
)
async def test_what_an_append_gives_is_what_a_load_gives(store: Store, event: Event) -> None:
    thread = await store.append(await begun(store), event)
    assert thread.events == (await store.load("t1")).events
    assert thread.version == 3
    assert await store.append(thread, event) == thread


async def test_events_appended_at_once_all_land_and_each_once(store: Store) -> None:
    thread = await begun(store)
    wanted = [f"m{number}" for number in range(2, 52)]
    await asyncio.gather(*(store.append(thread, message(name)) for name in wanted for _ in range(3)))
    landed = ids(await store.load("t1"))
    assert sorted(landed) == sorted(["opened", "m1", *wanted])


async def test_events_of_one_append_stand_together_and_in_order(store: Store) -> None:
    await begun(store)
    pairs = [(message(f"a{number}"), message(f"b{number}")) for number in range(30)]
    await asyncio.gather(*(store.append(T1, *pair) for pair in pairs))
    landed = ids(await store.load("t1"))[2:]
    assert [name.replace("a", "b") for name in landed[::2]] == landed[1::2]


async def test_everything_is_refused_before_anything_is_written_when_one_event_is_too_large(store: Store) -> None:
    with pytest.raises(EventTooLarge):
        await store.append(T1, opened(), message("m1", "x" * EVENT_BYTES_MAX))
    with pytest.raises(UnknownThread):
        await store.load("t1")
    assert await store.claim(9, LONG) == []


async def test_a_thread_of_a_thousand_events_is_kept_whole(store: Store) -> None:
    thread = T1
    thread = await store.append(thread, opened())
    for number in range(1_000):
        thread = await store.append(thread, message(f"m{number}", f"text {number}"))
    assert ids(thread) == ["opened", *(f"m{number}" for number in range(1_000))]
    loaded = await store.load("t1")
    assert loaded == thread
    assert loaded.state == thread.state


# Loading


async def test_a_thread_without_events_is_unknown(store: Store) -> None:
    with pytest.raises(UnknownThread, match=r"^There is no thread 'nope'\. `bot threads` lists the newest\.$"):
        await store.load("nope")


async def test_a_refreshed_thread_has_what_was_appended_since(store: Store) -> None:
    before = await begun(store)
    assert await store.refresh(before) is before
    after = await store.append(before, message("m2"))
    assert await store.refresh(before) == after
    assert (await store.refresh(before)).state == after.state


async def test_the_thread_that_moved_last_comes_first(store: Store, backend: Backend) -> None:
    assert await thread_ids(store) == []
    for thread_id in ("t1", "t2", "t3", "t1"):
        await store.append(Thread(thread_id), opened(), message(f"m{len(await thread_ids(store))}"))
        await backend.pass_time(SHORT)
    assert await thread_ids(store) == ["t1", "t3", "t2"]
    assert [row.id for row in (await store.page(limit=2)).rows] == ["t1", "t3"]
    await store.append(Thread("t2"), opened())  # known already: it did not move
    assert (await thread_ids(store))[0] == "t1"


async def test_a_log_that_lost_events_is_noticed_before_anything_is_appended(store: Store, backend: Backend) -> None:
    thread = await begun(store)
    await backend.lose_log("t1")
    for if_unmoved in (False, True):
        with pytest.raises(ThreadDiverged):
            await store.append(thread, message("m2"), if_unmoved=if_unmoved)
    with pytest.raises(ThreadDiverged):
        await store.refresh(thread)
    with pytest.raises(UnknownThread):
        await store.load("t1")


# Appending on a condition


async def test_a_conditional_append_lands_when_nobody_was_quicker(store: Store) -> None:
    thread = await begun(store)
    assert ids(await store.append(thread, chosen("s2"), if_unmoved=True)) == ["opened", "m1", "s2/chosen"]


async def test_a_conditional_append_does_nothing_when_the_thread_moved_and_gives_the_newer_one(store: Store) -> None:
    seen = await begun(store)
    now = await store.append(seen, message("m2"))
    with pytest.raises(ThreadMoved) as moved:
        await store.append(seen, chosen("s2"), if_unmoved=True)
    assert moved.value.thread == now == await store.load("t1")
    assert moved.value.thread.state == now.state


async def test_of_many_conditional_appends_at_once_exactly_one_wins(store: Store, backend: Backend) -> None:
    other = await backend.open()
    thread = await begun(store)
    tries = [
        (store if number % 2 else other).append(thread, chosen(f"s{number}"), if_unmoved=True) for number in range(50)
    ]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    [won] = [outcome for outcome in outcomes if isinstance(outcome, Thread)]
    assert [type(outcome) for outcome in outcomes if outcome is not won] == [ThreadMoved] * 49
    assert await store.load("t1") == won
    assert won.version == 3


async def test_a_conditional_append_whose_answer_was_lost_succeeds_when_it_is_repeated(store: Store) -> None:
    seen = await begun(store)
    landed = await store.append(seen, chosen("s2"), done("s3"), if_unmoved=True)
    assert await store.append(seen, chosen("s2"), done("s3"), if_unmoved=True) == landed
    now = await store.append(landed, message("m2"))
    assert await store.append(seen, chosen("s2"), done("s3"), if_unmoved=True) == now


async def test_a_conditional_append_of_which_only_a_part_is_known_has_not_landed(store: Store) -> None:
    seen = await begun(store)
    now = await store.append(seen, chosen("s2"))
    with pytest.raises(ThreadMoved):
        await store.append(seen, chosen("s2"), done("s3"), if_unmoved=True)
    assert await store.load("t1") == now


async def test_only_one_of_many_opens_a_thread_on_the_condition_that_it_is_new(store: Store) -> None:
    outcomes = await asyncio.gather(
        *(store.append(T1, opened(), message(f"m{number}"), if_unmoved=True) for number in range(20)),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Thread"] + ["ThreadMoved"] * 19
    assert (await store.load("t1")).version == 2


# Waking and claiming


async def test_an_append_makes_the_thread_due(store: Store) -> None:
    assert await store.claim(9, LONG) == []
    await begun(store)
    lease = await claimed(store)
    assert (lease.thread_id, lease.claims) == ("t1", 1)


async def test_a_thread_is_held_by_one_at_a_time(store: Store, backend: Backend) -> None:
    await begun(store)
    await claimed(store)
    assert await store.claim(9, LONG) == []
    assert await (await backend.open()).claim(9, LONG, "t1") == []


async def test_an_append_by_others_does_not_make_a_held_thread_due(store: Store) -> None:
    thread = await begun(store)
    lease = await claimed(store)
    await store.append(thread, message("m2"))
    await store.wake("t1")
    assert await store.claim(9, LONG) == []
    assert await store.renew(lease)


async def test_a_thread_that_was_let_go_rests_until_it_moves(store: Store) -> None:
    thread = await begun(store)
    assert await store.release(await claimed(store), thread)
    assert await store.claim(9, LONG) == []
    assert await store.due_in_seconds() is None
    await store.append(thread, message("m2"))
    assert (await claimed(store)).thread_id == "t1"


async def test_a_thread_that_moved_unseen_is_not_let_go(store: Store) -> None:
    seen = await begun(store)
    lease = await claimed(store)
    await store.append(seen, message("m2"))
    assert not await store.release(lease, seen)
    assert not await store.release(lease, seen, wake_in_seconds=LONG)
    now = await store.append(seen, chosen("s3"), lease=lease)
    assert ids(now) == ["opened", "m1", "m2", "s3/chosen"]
    assert await store.release(lease, now)
    assert await store.claim(9, LONG) == []


async def test_an_append_by_the_holder_wakes_nobody(store: Store) -> None:
    thread = await begun(store)
    lease = await claimed(store)
    thread = await store.append(thread, chosen("s2"), lease=lease)
    assert await store.release(lease, thread)
    assert await store.claim(9, LONG) == []


async def test_a_known_id_wakes_nobody(store: Store) -> None:
    thread = await at_rest(store)
    await store.append(thread, message("m1"))
    assert await store.claim(9, LONG) == []


async def test_a_thread_can_be_woken(store: Store) -> None:
    await at_rest(store)
    await store.wake("t1")
    assert (await claimed(store)).thread_id == "t1"


async def test_a_thread_that_does_not_exist_cannot_be_woken(store: Store) -> None:
    await store.wake("nope")
    assert await store.claim(9, LONG) == []


async def test_a_thread_that_was_let_go_for_a_while_is_due_after_it(store: Store, backend: Backend) -> None:
    thread = await begun(store)
    assert await store.release(await claimed(store), thread, wake_in_seconds=LONG)
    assert await store.claim(9, LONG) == []
    await store.wake("t1")
    assert await store.release(await claimed(store), thread, wake_in_seconds=SHORT)
    await backend.pass_time(SHORT)
    assert (await claimed(store)).claims == 1


@pytest.mark.parametrize("seconds", [0.0, -0.5])
async def test_a_timer_that_is_over_already_wakes_at_once(store: Store, seconds: float) -> None:
    thread = await begun(store)
    assert await store.release(await claimed(store), thread, wake_in_seconds=seconds)
    assert (await claimed(store)).thread_id == "t1"


async def test_a_thread_that_moves_before_its_timer_is_due_at_once(store: Store) -> None:
    thread = await begun(store)
    assert await store.release(await claimed(store), thread, wake_in_seconds=LONG)
    await store.append(thread, message("m2"))
    assert (await claimed(store)).thread_id == "t1"


async def test_a_note_is_changed_only_by_who_knows_what_stands_there(store: Store) -> None:
    assert await store.get_note("email/read") == ""
    assert await store.set_note("email/read", "7 100", expected="")
    assert not await store.set_note("email/read", "7 50", expected="")
    assert not await store.set_note("email/read", "7 50", expected="7 99")
    assert await store.get_note("email/read") == "7 100"
    assert await store.set_note("email/read", "7 101 ✓", expected="7 100")
    assert await store.set_note("email/read", "7 101 ✓", expected="7 100")  # Again: its first reply may have been lost.
    assert await store.get_note("email/read") == "7 101 ✓"
    assert await store.get_note("other") == ""
    assert await store.set_note("email/read", "", expected="7 101 ✓")
    assert await store.set_note("email/read", "", expected="7 101 ✓")
    assert await store.get_note("email/read") == ""


async def test_of_many_who_note_at_once_one_does(store: Store) -> None:
    outcomes = await asyncio.gather(*(store.set_note("secret", f"mine {n}", expected="") for n in range(20)))
    assert sum(outcomes) == 1
    assert await store.get_note("secret") == f"mine {outcomes.index(True)}"


async def test_a_tally_counts_each_member_once_within_its_window(store: Store, backend: Backend) -> None:
    assert [await store.count_distinct("ana", member, LONG) for member in ("m1", "m2", "m1", "m3")] == [1, 2, 2, 3]
    assert await store.count_distinct("ben", "m1", LONG) == 1
    assert await store.count_distinct("eve", "m1", SHORT) == 1
    await backend.pass_time(SHORT + 0.01)
    assert await store.count_distinct("eve", "m2", SHORT) == 1


async def test_no_more_are_claimed_than_there_is_room_for(store: Store) -> None:
    for number in range(20):
        await begun(store, f"t{number}")
    assert await store.claim(0, LONG) == []
    first, second = await store.claim(7, LONG), await store.claim(99, LONG)
    assert (len(first), len(second)) == (7, 13)
    assert {lease.thread_id for lease in first + second} == {f"t{number}" for number in range(20)}


async def test_only_the_thread_that_is_asked_for_is_claimed(store: Store) -> None:
    for number in range(10):
        await begun(store, f"t{number}")
    assert [lease.thread_id for lease in await store.claim(9, LONG, only="t7")] == ["t7"]
    assert await store.claim(9, LONG, only="t7") == []
    assert await store.claim(9, LONG, only="nope") == []


async def test_threads_that_are_always_busy_do_not_starve_the_others(store: Store, backend: Backend) -> None:
    for number in range(24):
        await begun(store, f"t{number}")
    served: set[str] = set()
    for _ in range(24):
        await backend.pass_time(0.001)
        lease = await claimed(store)
        served.add(lease.thread_id)
        await store.hand_back(lease)
    assert len(served) == 24


# Leases


async def test_whoever_lost_the_lease_cannot_append_with_it(store: Store, backend: Backend) -> None:
    other = await backend.open()
    thread = await begun(store)
    a = await claimed(store, SHORT)
    await backend.pass_time(SHORT)
    b = await claimed(other)
    assert b.token != a.token
    for if_unmoved in (False, True):
        with pytest.raises(LeaseLost):
            await store.append(thread, chosen("s2"), if_unmoved=if_unmoved, lease=a)
    assert await store.load("t1") == thread
    now = await other.append(thread, chosen("s2"), if_unmoved=True, lease=b)
    assert ids(now) == ["opened", "m1", "s2/chosen"]


async def test_facts_land_also_when_the_lease_is_lost(store: Store, backend: Backend) -> None:
    thread = await begun(store)
    await claimed(store, SHORT)
    await backend.pass_time(SHORT)
    b = await claimed(store)
    assert ids(await store.append(thread, finished("s1"))) == ["opened", "m1", "s1/finished"]
    assert not await store.release(b, thread)


async def test_a_lease_that_was_let_go_is_lost(store: Store) -> None:
    thread = await begun(store)
    lease = await claimed(store)
    assert await store.release(lease, thread)
    with pytest.raises(LeaseLost):
        await store.append(thread, chosen("s2"), lease=lease)
    assert not await store.renew(lease)


async def test_a_lease_is_for_its_thread_alone(store: Store) -> None:
    await begun(store, "t1")
    other = await begun(store, "t2")
    lease = await claimed(store, only="t1")
    with pytest.raises(LeaseLost):
        await store.append(other, chosen("s2"), lease=lease)


async def test_a_lease_that_ran_out_is_good_until_somebody_else_claims(store: Store, backend: Backend) -> None:
    thread = await begun(store)
    lease = await claimed(store, SHORT)
    await backend.pass_time(SHORT)
    thread = await store.append(thread, chosen("s2"), lease=lease)
    assert await store.renew(replace(lease, seconds=LONG))
    assert await store.claim(9, LONG) == []


async def test_a_renewed_lease_does_not_run_out(store: Store, backend: Backend) -> None:
    await begun(store)
    lease = await claimed(store, SHORT)
    assert await store.renew(replace(lease, seconds=LONG))
    await backend.pass_time(2 * SHORT)
    assert await store.claim(9, LONG) == []


Action = Callable[[Store, Lease, Thread], Awaitable[Any]]


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        (lambda store, lease, thread: store.renew(lease), False),
        (lambda store, lease, thread: store.release(lease, thread), True),
        (lambda store, lease, thread: store.release(lease, thread, wake_in_seconds=0.0), True),
        (lambda store, lease, thread: store.hand_back(lease), None),
    ],
    ids=["renew", "release", "release for a while", "hand back"],
)
async def test_whoever_lost_the_lease_takes_nothing_from_the_next(
    store: Store, backend: Backend, action: Action, answer: object
) -> None:
    thread = await begun(store)
    a = await claimed(store, SHORT)
    await backend.pass_time(SHORT)
    b = await claimed(store)
    assert await action(store, a, thread) is answer
    assert await store.claim(9, LONG) == []
    await store.append(thread, chosen("s2"), lease=b)
    assert await store.renew(b)


async def test_tries_grow_while_workers_die_and_begin_anew_after_one_that_let_go(
    store: Store, backend: Backend
) -> None:
    thread = await begun(store)
    for tries in (1, 2, 3):
        lease = await claimed(store, SHORT)
        assert lease.claims == tries
        await backend.pass_time(SHORT)
    assert await store.release(lease, thread, wake_in_seconds=0.0)
    assert (await claimed(store)).claims == 1


async def test_a_thread_that_is_handed_back_is_due_at_once_and_no_worker_died_on_it(store: Store) -> None:
    await begun(store)
    await store.hand_back(await claimed(store))
    assert (await claimed(store)).claims == 1


async def test_a_thread_is_handed_back_even_if_it_moved(store: Store) -> None:
    thread = await begun(store)
    lease = await claimed(store)
    await store.append(thread, message("m2"))
    await store.hand_back(lease)
    assert (await claimed(store)).thread_id == "t1"


async def test_the_time_until_something_is_due_is_told(store: Store) -> None:
    assert await store.due_in_seconds() is None
    thread = await begun(store)
    assert await store.due_in_seconds() == 0
    lease = await claimed(store, 100)
    assert 90 < (await store.due_in_seconds() or 0) <= 100
    assert await store.renew(replace(lease, seconds=200))
    assert 190 < (await store.due_in_seconds() or 0) <= 200
    assert await store.release(lease, thread, wake_in_seconds=50)
    assert 40 < (await store.due_in_seconds() or 0) <= 50
    await begun(store, "t2")
    assert await store.due_in_seconds() == 0


# Hearing of it


async def test_waiting_for_work_ends_when_its_time_is_over(store: Store) -> None:
    for _ in range(3):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await store.work_arrived(SHORT)


async def test_work_is_heard_of_promptly_whoever_brings_it(store: Store, backend: Backend) -> None:
    other = await backend.open()
    thread = await at_rest(store)

    async def let_go(number: int) -> None:
        lease = await claimed(other)
        assert await other.release(lease, await other.load("t1"), wake_in_seconds=number)

    bring: list[Callable[[int], Awaitable[object]]] = [
        lambda number: other.append(thread, message(f"new/{number}")),
        let_go,
        lambda number: other.wake("t1"),
    ]
    # It may return once for nothing; after that only real news ends the wait.
    for number in range(9):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await bring[number % 3](number)
            await store.work_arrived(LONG)


async def test_whoever_waits_already_hears_of_work(store: Store, backend: Backend) -> None:
    other = await backend.open()
    thread = await begun(store)
    for number in range(4):
        waiting = asyncio.create_task(store.work_arrived(LONG))
        await other.append(thread, message(f"new/{number}"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waiting


async def test_a_follower_sees_every_move(store: Store, backend: Backend) -> None:
    other = await backend.open()
    thread = await begun(store)
    async with contextlib.aclosing(store.follow(thread)) as moves, asyncio.timeout(PATIENCE_SECONDS):
        for number in range(2, 7):
            await other.append(thread, message(f"m{number}"))
            now = await anext(moves)
            assert ids(now)[-1] == f"m{number}"
            assert now.state == (await other.load("t1")).state


async def test_a_follower_is_first_given_what_it_has_missed(store: Store) -> None:
    seen = await begun(store)
    now = await store.append(seen, message("m2"), message("m3"))
    async with contextlib.aclosing(store.follow(seen)) as moves, asyncio.timeout(PATIENCE_SECONDS):
        assert await anext(moves) == now


async def test_a_follower_can_wait_for_a_thread_to_be_opened(store: Store) -> None:
    async with contextlib.aclosing(store.follow(T1)) as moves, asyncio.timeout(PATIENCE_SECONDS):
        first = asyncio.ensure_future(anext(moves))
        await begun(store, "t2")
        thread = await begun(store, "t1")
        assert await first == thread


async def test_a_follower_can_give_up_at_any_moment(store: Store) -> None:
    thread = await begun(store)
    async with contextlib.aclosing(store.follow(thread)) as kept, asyncio.timeout(PATIENCE_SECONDS):
        for moment in range(40):
            async with contextlib.aclosing(store.follow(thread)) as left:
                waiting = asyncio.ensure_future(anext(left))
                for _ in range(moment):
                    await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])
                assert waiting.cancelled()
        await store.append(thread, message("m2"))
        assert (await anext(kept)).version == 3


async def test_a_store_can_be_closed_at_any_moment(backend: Backend) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        for moment in range(40):
            store = await backend.open()
            waiting = asyncio.ensure_future(store.work_arrived(LONG))
            for _ in range(moment):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            await store.aclose()


# Many at once


async def test_every_message_is_seen_and_no_thread_is_worked_on_twice_at_once(store: Store, backend: Backend) -> None:
    stores = [store, await backend.open(), await backend.open()]
    wanted = {f"t{number}": [f"m{n}" for n in range(4)] for number in range(60)}
    seen: dict[str, list[str]] = {}
    held: set[str] = set()

    async def work(store: Store) -> None:
        while seen != wanted:
            for lease in await store.claim(5, LONG):
                assert lease.thread_id not in held, "two hold it"
                held.add(lease.thread_id)
                assert lease.claims == 1
                thread = await store.load(lease.thread_id)
                while True:
                    thread = await store.append(thread, chosen(f"s{thread.version}"), lease=lease)
                    seen[lease.thread_id] = sorted(
                        event.id for event in thread.events if event.kind == "message_received"
                    )
                    held.remove(lease.thread_id)
                    if await store.release(lease, thread):
                        break
                    held.add(lease.thread_id)
            await store.work_arrived(SHORT)

    async def speak(store: Store, number: int) -> None:
        for thread_id in wanted:
            await store.append(Thread(thread_id), opened(), message(f"m{number}"))

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        for worker in range(6):
            tasks.create_task(work(stores[worker % 3]))
        for number in range(4):
            tasks.create_task(speak(stores[number % 3], number))
    assert await store.due_in_seconds() is None


# Losing the end of a log


async def test_a_log_that_lost_its_end_is_not_taken_for_the_one_that_was_read(store: Store, backend: Backend) -> None:
    """Also when it has grown again since: as many events, others."""
    thread = await begun(store)
    lease = await claimed(store)
    read = await store.append(thread, chosen("s2"), lease=lease)
    await backend.lose_last(read)
    await store.append(thread, message("m9"))
    with pytest.raises(ThreadDiverged):
        await store.refresh(read)
    for how in ({}, {"lease": lease}, {"if_unmoved": True}):
        with pytest.raises(ThreadDiverged):
            await store.append(read, chosen("s3"), **how)
    assert not await store.release(lease, read)
    assert ids(await store.load("t1")) == [*ids(thread), "m9"]


async def test_a_lease_that_is_lost_with_its_events_is_no_reason_to_be_silent_about_them(
    store: Store, backend: Backend
) -> None:
    thread = await begun(store)
    lease = await claimed(store, SHORT)
    read = await store.append(thread, chosen("s2"), lease=lease)
    await backend.lose_last(read)
    await backend.pass_time(SHORT)
    await claimed(store)
    with pytest.raises(ThreadDiverged):
        await store.append(read, chosen("s3"), lease=lease)


# What a worker leaves alone


async def test_threads_to_be_skipped_are_not_claimed_and_make_nobody_look(store: Store) -> None:
    for number in range(6):
        await begun(store, f"t{number}")
    skip = {"t0", "t1", "t2", "t3", "t4"}
    assert [lease.thread_id for lease in await store.claim(2, LONG, skip=skip)] == ["t5"]
    assert 0 < (await store.due_in_seconds({*skip}) or 0) <= LONG
    assert await store.claim(2, LONG, "t1", skip=skip) == []


async def test_what_another_worker_held_is_left_alone_while_it_may_renew_it(store: Store, backend: Backend) -> None:
    await begun(store, "t1")
    lease = await claimed(store, SHORT)
    await begun(store, "t2")
    await backend.pass_time(SHORT)
    assert [fresh.thread_id for fresh in await store.claim(9, LONG, expired=False)] == ["t2"]
    assert await store.claim(9, LONG, "t1", expired=False) == []
    assert await store.renew(replace(lease, seconds=LONG))
    assert await store.claim(9, LONG) == []


async def test_every_claim_has_a_token_of_its_own(store: Store, backend: Backend) -> None:
    await begun(store)
    tokens = set()
    for _ in range(3):
        tokens.add((await claimed(store, SHORT)).token)
        await backend.pass_time(SHORT)
    assert len(tokens) == 3


async def test_a_lease_is_good_until_it_runs_out_or_is_lost(store: Store, backend: Backend) -> None:
    await begun(store)
    lease = await claimed(store, SHORT)
    await backend.pass_time(SHORT)
    assert not lease.is_good
    longer = replace(lease, seconds=LONG)
    assert await store.renew(longer)
    assert longer.is_good
    await store.hand_back(longer)
    assert not await store.renew(longer)
    assert not longer.is_good
