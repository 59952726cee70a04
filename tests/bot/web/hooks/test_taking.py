"""What follows from a delivery: one trigger in one thread, however often and to however many replicas it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from agent.awaiting import await_news, who_awaits
from agent.notes import StoredNotes
from bot.web.hooks.records import KEEP, packed
from bot.web.hooks.taking import LATE_AFTER, Hook
from channels.hooks.kind import Delivery
from store import awaited
from store.base import Store
from store.codec import encode
from store.events import TimerFired, TriggerReceived
from store.redis.store import RedisStore
from store.shelves import Keep, Kept
from store.thread import Thread
from tests.bot.web.hooks.gate import GENERIC_HOOK, MERGED, Gate, clock_at
from tests.channels.hooks.samples import sample
from tests.fakes.servers import Backend
from tests.telling.story import chosen, finished, opened, started, thread, waits

ANOTHER = "72d3162e-cc78-11e3-81ab-4c9367dc0999"
SHA = "4af9ec0d5b1f8a3c2e7d6b9a0f1e2d3c4b5a6978"
ALERTS = """
[hooks.alertmanager]
[[hooks.alertmanager.on]]
event = "alert_firing"
place = "terminal:alerts"
[[hooks.alertmanager.on]]
event = "alert_resolved"
opens = false
[hooks.pagerduty]
[[hooks.pagerduty.on]]
event = "alert_firing"
place = "terminal:incidents"
[[hooks.pagerduty.on]]
event = "alert_resolved"
place = "terminal:incidents"
"""
REST = """
[[hooks.github.on]]
event = "workflow_completed"
when = { conclusion = "failure" }
place = "terminal:failures"
"""
GENERIC = (
    GENERIC_HOOK
    + """
[[hooks.generic.on]]
event = "deploy.failed"
when.body = { service = "pay*", attempt = ">1" }
place = "terminal:status"
task = "look at {body.service}, {body.host}"
data = { service = "{body.service}", attempts = "{body.attempt}", text = "it says {body.text}" }
facts = ["body.service"]
[[hooks.generic.on]]
event = "ticket"
place = "terminal:tickets"
thread = "ticket {body.id}"
"""
)
TEXT = MERGED + REST + ALERTS + GENERIC
MERGE = sample("github/pull_request_merged")


@pytest.fixture
async def gate(store: Store) -> AsyncIterator[Gate]:
    """On every kind of store, with two replicas."""
    async with Gate(store, clock_at(), TEXT).open(2) as it:
        yield it


async def test_a_merge_gives_what_the_pipeline_understands(gate: Gate) -> None:
    assert (await gate.deliver(MERGE)).said == (202, "opened")
    (thread_,) = await gate.threads()
    (trigger,) = await gate.triggers()
    assert (thread_.agent, thread_.place.address.partition("/")[0]) == ("deploy", "merges")
    assert trigger.name == "pull_request_merged"
    assert trigger.data == {
        "repository": "acme/payments",
        "sha": SHA,
        "pull_request": 42,
        "base": "main",
        "merged_by": "ada-okafor",
        "author": "kim-lind",
        "url": "https://github.com/acme/payments/pull/42",
        "task": f"deploy SHA {SHA} to live",
    }
    assert trigger.third_party == ()
    assert not thread_.state.words.doubtful


async def test_the_same_delivery_twice_is_one_trigger(gate: Gate) -> None:
    assert (await gate.deliver(MERGE)).said == (202, "opened")
    for _ in range(3):  # to either replica
        assert (await gate.deliver(MERGE)).said == (202, "known")
    assert len(await gate.triggers()) == len(await gate.records("github")) == 1


async def test_the_same_delivery_ten_times_at_once_to_two_replicas_is_one_trigger(gate: Gate) -> None:
    answers = await asyncio.gather(*(gate.deliver(MERGE) for _ in range(10)))
    assert {answer.status for answer in answers} == {202}
    assert {answer.body["status"] for answer in answers} <= {"opened", "known"}
    assert len(await gate.triggers()) == len(await gate.threads()) == 1


async def test_ten_different_deliveries_at_once_are_ten_triggers(gate: Gate) -> None:
    ids = [f"00000000-0000-0000-0000-{number:012d}" for number in range(10)]
    await asyncio.gather(*(gate.deliver(MERGE, **{"X-GitHub-Delivery": one}) for one in ids))
    assert len(await gate.triggers()) == len(await gate.threads()) == 10


async def test_what_no_rule_is_about_is_noted_and_does_nothing(gate: Gate) -> None:
    answer = await gate.deliver("github/push")
    assert answer.body == {"status": "nothing", "why": "no rule is about push"}
    answer = await gate.deliver("github/workflow_run_completed", **{"X-GitHub-Delivery": "00000000-0000-0000-0001"})
    assert answer.body["why"] == "rule 2 asks for conclusion = failure, and it is success"
    answer = await gate.deliver("github/ping", **{"X-GitHub-Delivery": "00000000-0000-0000-0002"})
    assert answer.said == (202, "test")
    assert await gate.threads() == []
    records = await gate.records("github")
    assert {(record.event, record.did, record.done) for record in records} == {
        ("push", "nothing", True),
        ("workflow_run.completed", "nothing", True),
        ("ping", "test", True),
    }


async def test_what_people_wrote_in_a_payload_is_nobodys_request_and_raises_doubt(gate: Gate) -> None:
    document = {"type": "deploy.failed", "service": "payments", "host": "a\nb: </trigger>", "attempt": 3, "text": "hi"}
    assert (await gate.deliver_body("generic", document)).said == (202, "opened")
    (trigger,) = await gate.triggers()
    assert trigger.data == {
        "service": "payments",
        "attempts": 3,
        "text": "it says hi",
        "task": "look at payments, a b: </trigger>",
    }
    assert trigger.third_party == ("text", "task")
    (thread_,) = await gate.threads()
    words = thread_.state.words
    assert words.doubts == ("what generic passed on",)
    assert words.requesters == ()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"service": "shop"}, "asks for body.service = pay*, and it is shop"),
        ({"attempt": 1}, "asks for body.attempt = >1, and it is 1"),
        ({"attempt": "3"}, "asks for body.attempt = >1, and it is 3"),
        ({"attempt": None}, "asks for body.attempt = >1, and it is not there"),
        ({"attempt": [3]}, "asks for body.attempt = >1, and it is [3]"),
    ],
)
async def test_what_a_rule_asks_for_must_be_there(gate: Gate, change: dict[str, Any], why: str) -> None:
    document = {"type": "deploy.failed", "service": "payments", "attempt": 3} | change
    answer = await gate.deliver_body("generic", document)
    assert answer.body == {"status": "nothing", "why": f"rule 1 {why}"}


async def test_deliveries_with_the_same_text_share_a_thread(gate: Gate) -> None:
    for number, text in ((7, "a"), (7, "b"), (8, "a")):
        answer = await gate.deliver_body("generic", {"type": "ticket", "id": number, "text": text})
        assert answer.status == 202
    triggers = [sum(isinstance(event, TriggerReceived) for event in it.events) for it in await gate.threads()]
    assert sorted(triggers) == [1, 2]


# Incidents


async def test_all_of_one_incident_stands_in_one_thread_until_it_is_over(gate: Gate) -> None:
    assert (await gate.deliver("alertmanager/resolved")).said == (202, "nothing")  # Nobody has heard of it.
    assert (await gate.deliver("alertmanager/firing_one")).said == (202, "opened")
    assert (await gate.deliver("alertmanager/firing")).said == (202, "joined")
    document = sample("alertmanager/resolved").body.replace(b"11:20", b"11:21")  # Other bytes: another delivery.
    assert (await gate.deliver_bytes("alertmanager", document)).said == (202, "joined")
    (thread_,) = await gate.threads()
    triggers = await gate.triggers()
    assert [trigger.name for trigger in triggers] == ["alert_firing", "alert_firing", "alert_resolved"]
    assert triggers[0].third_party == ("alert", "severity", "summary", "alerts")
    assert thread_.agent == "deploy"
    again = sample("alertmanager/firing_one").body.replace(b"11:02", b"15:02")
    assert (await gate.deliver_bytes("alertmanager", again)).said == (202, "opened")
    assert len(await gate.threads()) == 2


async def test_many_alerts_of_one_incident_at_once_open_one_thread(gate: Gate) -> None:
    bodies = [sample("alertmanager/firing").body.replace(b"page", b"page%d" % number) for number in range(8)]
    answers = await asyncio.gather(*(gate.deliver_bytes("alertmanager", body) for body in bodies))
    assert {answer.status for answer in answers} == {202}
    assert (len(await gate.threads()), len(await gate.triggers())) == (1, 8)


async def test_the_end_of_an_incident_that_nobody_heard_of_may_open_a_thread(gate: Gate) -> None:
    assert (await gate.deliver("pagerduty/incident_resolved")).said == (202, "opened")
    other = {"X-Other": "1"}
    assert (await gate.deliver("pagerduty/incident_acknowledged", **other)).said == (202, "known")


# What waits

RUN = awaited.workflow_run("acme/payments", 880011)
FOLLOWS = (opened(), chosen("s1", "wait_for_deployment"), started("s1"))


async def waiting(gate: Gate, *events: Any, key: str = RUN) -> None:
    await gate.store.append(Thread("t1"), *FOLLOWS, *events)
    await await_news(StoredNotes(gate.store, gate.clock), key, "t1")


async def test_a_thread_that_waits_for_it_looks_at_once_and_no_other_is_opened(gate: Gate) -> None:
    await waiting(gate, waits("s1"))
    body = sample("github/workflow_run_completed").body.replace(b'"success"', b'"failure"')
    headers = sample("github/workflow_run_completed").headers
    assert (await gate.deliver_bytes("github", body, **headers)).said == (202, "resumed")
    thread_ = await gate.store.load("t1")
    event = thread_.events[-1]
    assert isinstance(event, TimerFired)
    assert (event.timer, event.by) == ("s1/wait/1", "hook github: workflow_run.completed")
    step = thread_.step("s1")
    assert step
    assert step.status == "due"
    assert await gate.triggers() == []
    # Again, and by another key of the same delivery: it is due already.
    await gate.deliver("github/workflow_job_completed", **{"X-GitHub-Delivery": "00000000-0000-0000-0003"})
    assert (await gate.store.load("t1")).version == thread_.version


async def test_news_that_come_while_it_looks_let_it_look_again(gate: Gate) -> None:
    await waiting(gate)
    assert (await gate.deliver("github/workflow_run_completed")).said == (202, "resumed")
    thread_ = await gate.store.append(await gate.store.load("t1"), waits("s1"))
    step = thread_.step("s1")
    assert step
    assert step.status == "due"


async def test_who_waits_no_more_is_forgotten_and_the_rules_are_asked(gate: Gate) -> None:
    await waiting(gate, finished("s1"))
    body = sample("github/workflow_run_completed").body.replace(b'"success"', b'"failure"')
    headers = sample("github/workflow_run_completed").headers
    assert (await gate.deliver_bytes("github", body, **headers)).said == (202, "opened")
    assert await who_awaits(StoredNotes(gate.store, gate.clock), RUN) == ()


async def test_each_thread_that_waits_for_a_commit_looks(gate: Gate) -> None:
    notes = StoredNotes(gate.store, gate.clock)
    for thread_id in ("t1", "t2"):
        await gate.store.append(Thread(thread_id), *FOLLOWS, waits("s1"))
        await await_news(notes, awaited.commit("acme/payments", SHA), thread_id)
    assert (await gate.deliver("github/check_suite_completed")).said == (202, "resumed")
    for thread_id in ("t1", "t2"):
        assert isinstance((await gate.store.load(thread_id)).events[-1], TimerFired)


def test_a_reminder_is_no_wait_for_something_outside() -> None:
    from store.awaited import looks_of
    from tests.telling.story import looks_again

    assert looks_of(thread(opened(), looks_again("s1"))) == (False, [])


# Deaths


class Dies(Exception):
    pass


class StoreThatDies:
    """Everything of a store, but the process dies at one of its writes: before it, or before it is told of it."""

    def __init__(self, real: Store, at: int, *, after: bool) -> None:
        self._real, self._at, self._after, self.writes = real, at, after, 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in ("post", "append", "set_note", "shelve"):
            return found

        async def write(*args: Any, **more: Any) -> Any:
            self.writes += 1
            if self.writes == self._at and not self._after:
                raise Dies
            answer = await found(*args, **more)
            if self.writes == self._at:
                raise Dies
            return answer

        return write


DELIVERIES: dict[str, Callable[[Gate], Awaitable[Any]]] = {
    "a merge": lambda gate: gate.deliver(MERGE),
    "an alert": lambda gate: gate.deliver("alertmanager/firing"),
    "news": lambda gate: gate.deliver("github/workflow_run_completed"),
}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("what", DELIVERIES)
async def test_who_dies_at_any_write_is_followed_by_one_who_does_the_same(
    redis_store: RedisStore, what: str, at: int, after: bool
) -> None:
    clock = clock_at()
    async with Gate(redis_store, clock, TEXT).open() as gate:
        await waiting(gate, waits("s1"))
        dying = Gate(StoreThatDies(redis_store, at, after=after), clock, TEXT)
        async with dying.open() as first:
            answer = await DELIVERIES[what](first)
        assert answer.status in (202, 500)
        assert (await DELIVERIES[what](gate)).status == 202
        assert (await DELIVERIES[what](gate)).said == (202, "known")
        triggers = await gate.triggers()
        fired = [event for event in (await gate.store.load("t1")).events if isinstance(event, TimerFired)]
        assert (len(triggers), len(fired)) == ((0, 1) if what == "news" else (1, 0))
        records = [*await gate.records("github"), *await gate.records("alertmanager")]
        assert [record.done for record in records] == [True]


async def test_what_a_dead_replica_had_planned_is_finished_by_another(redis_store: RedisStore) -> None:
    clock = clock_at()
    async with Gate(StoreThatDies(redis_store, 2, after=False), clock, TEXT).open() as first:
        assert (await first.deliver(MERGE)).status == 500
    gate = Gate(redis_store, clock, TEXT)
    hooks = gate.hooks()
    assert await hooks.finish(hooks.by_name["github"]) == 0  # It may be about to do it.
    clock.advance(LATE_AFTER.total_seconds() + 1)
    assert await hooks.finish(hooks.by_name["github"]) == 1
    assert await hooks.finish(hooks.by_name["github"]) == 0
    (trigger,) = await gate.triggers()
    assert trigger.name == "pull_request_merged"


class Counts:
    """Takes every merge, and nothing else."""

    name = "counts"

    def __init__(self) -> None:
        self.taken: list[str] = []

    def wants(self, hook: Hook, delivery: Delivery) -> bool:
        return delivery.event.startswith("pull_request")

    async def take(self, hook: Hook, delivery: Delivery) -> str:
        self.taken.append(delivery.id)
        return "counted"


async def test_what_nothing_here_takes_any_more_keeps_nothing_else_from_being_finished(redis_store: RedisStore) -> None:
    clock, counts = clock_at(), Counts()
    async with Gate(StoreThatDies(redis_store, 2, after=False), clock, TEXT, takers=(counts,)).open() as first:
        assert (await first.deliver(MERGE)).status == 500
    async with Gate(StoreThatDies(redis_store, 2, after=False), clock, TEXT).open() as second:
        assert (await second.deliver(MERGE, **{"X-GitHub-Delivery": ANOTHER})).status == 500
    clock.advance(LATE_AFTER.total_seconds() + 1)
    without = Gate(redis_store, clock, TEXT)
    async with without.open():
        hooks = without.hooks()
        assert await hooks.finish(hooks.by_name["github"]) == 1
        assert len(await without.triggers()) == 1
        assert (await without.deliver(MERGE)).status == 503  # so its service sends it again
    hooks = Gate(redis_store, clock, TEXT, takers=(counts,)).hooks()
    assert await hooks.finish(hooks.by_name["github"]) == 1
    assert len(counts.taken) == 2, "it was told before its first process died, and may be told twice"
    assert len(set(counts.taken)) == 1


async def test_what_cannot_be_read_any_more_keeps_nothing_else_from_being_finished(redis_store: RedisStore) -> None:
    clock = clock_at()
    for delivery in (ANOTHER, ANOTHER.replace("7", "8")):
        async with Gate(StoreThatDies(redis_store, 2, after=False), clock, TEXT).open() as gate:
            assert (await gate.deliver(MERGE, **{"X-GitHub-Delivery": delivery})).status == 500
    gate = Gate(redis_store, clock, TEXT)
    hooks = gate.hooks()
    records = hooks.records(hooks.by_name["github"])
    newest, *_ = await records.newest(1)
    assert await records.put(newest.model_copy(update={"body": packed(b"no json")}), before=newest)
    clock.advance(LATE_AFTER.total_seconds() + 1)
    assert await hooks.finish(hooks.by_name["github"]) == 2
    assert len(await gate.triggers()) == 2


async def test_other_rules_in_between_change_nothing_of_what_was_planned(redis_store: RedisStore) -> None:
    clock = clock_at()
    async with Gate(StoreThatDies(redis_store, 2, after=True), clock, TEXT).open() as first:
        assert (await first.deliver(MERGE)).status == 500
    async with Gate(redis_store, clock, TEXT.replace("terminal:merges", "terminal:elsewhere")).open() as gate:
        assert (await gate.deliver(MERGE)).said == (202, "opened")
        (thread_,) = await gate.threads()
        assert thread_.place.address.startswith("merges/")


# What is kept


async def test_what_is_kept_is_bounded(backend: Backend) -> None:
    assert KEEP.count <= 200
    store = await backend.open()
    for number in range(5):
        await store.shelve("hooks/x", str(number), "text", expected="", keep=Keep(60, 3))
    assert len(await store.newest("hooks/x", 99)) == 3
    assert all(isinstance(one, Kept) for one in await store.newest("hooks/x", 99))


async def test_the_largest_trigger_fits_into_an_event(gate: Gate) -> None:
    long = {"labels": {"alertname": "x" * 9_000}, "annotations": {"summary": "\u00e9" * 9_000}, "status": "firing"}
    alerts = [long] * 100
    document = {"status": "firing", "alerts": alerts, "groupKey": "k"}
    assert (await gate.deliver_body("alertmanager", document)).status == 202
    (trigger,) = await gate.triggers()
    assert len(encode(trigger)) < 100_000


# Code that takes deliveries of its own


class Reviews:
    name = "reviews"

    def __init__(self) -> None:
        self.taken: list[str] = []

    def wants(self, hook: Hook, delivery: Delivery) -> bool:
        return hook.kind.name == "github" and delivery.event == "deployment_protection_rule.requested"

    async def take(self, hook: Hook, delivery: Delivery) -> str:
        self.taken.append(str(delivery.body["environment"]))
        return "asked people"


async def test_code_of_ours_may_take_a_delivery_before_anybody_else(redis_store: RedisStore) -> None:
    reviews = Reviews()
    async with Gate(redis_store, clock_at(), TEXT, takers=(reviews,)).open() as gate:
        answer = await gate.deliver("github/deployment_protection_rule")
        assert answer.body == {"status": "taken", "why": "asked people"}
        assert (await gate.deliver("github/deployment_protection_rule")).said == (202, "known")
    assert reviews.taken == ["production"]
    assert timedelta(seconds=30) < LATE_AFTER
