"""Takes a proven delivery: wakes who waits for it, or puts a trigger into the thread that a rule names. Exactly once.

What is to be done is worked out once and kept (`records`) before anything is done, under the delivery's id. Each part
of it may be done again: the events have ids that derive from the delivery. So whoever is told twice, dies in between,
or is one of several replicas, does what was kept. The answer to the service comes after all of it is durable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, assert_never

import structlog

from agent.awaiting import no_longer, who_awaits
from agent.notes import StoredNotes
from bot.inbox import Inbox
from bot.team.hooks import HookRule, HookTable
from bot.web.hooks.judging import Verdict, rule_for, thread_key, trigger_of
from bot.web.hooks.records import Did, End, Hear, Incident, Record, Records, Take, Tell, Wake, is_late, packed, unpacked
from channels import places
from channels.hooks.kind import Delivery, Kind, Options, Posted, Unreadable, headers_of
from channels.places import Firing
from store.base import Store
from store.keys import thread_id_of
from store.text import one_line
from store.values import Place

LATE_AFTER = timedelta(minutes=1)
"""No request takes so long: whoever began it has died."""
UNFINISHED_MAX = 50
WHY_CHARS_MAX = 300

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook, as it is served."""

    name: str
    table: HookTable
    kind: Kind
    secrets: tuple[str, ...] = ()

    @property
    def options(self) -> Options:
        return self.table.options()

    @property
    def namespace(self) -> str:
        """Of its events' ids: nobody else's are in it."""
        return f"hook {self.name}"


class Taker(Protocol):
    """Code of ours that takes deliveries of its own, before anybody else is asked. It may be told twice."""

    name: str

    def wants(self, hook: Hook, delivery: Delivery, /) -> bool: ...

    async def take(self, hook: Hook, delivery: Delivery, /) -> str:
        """Durable when it returns what came of it, in words. Raises StoreUnavailable."""


class Listener(Protocol):
    """Code of ours that hears of deliveries which others may want as well. It may be told twice."""

    name: str

    def hears(self, hook: Hook, delivery: Delivery, /) -> bool: ...

    async def hear(self, hook: Hook, delivery: Delivery, /) -> str:
        """Durable when it returns what came of it, in words; empty: nothing did. Raises StoreUnavailable."""


@dataclass(frozen=True, slots=True)
class Taken:
    did: Did
    why: str = ""
    thread: str = ""
    known: bool = False
    """It was taken before, and nothing new was done."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with a delivery."""

    did: Did
    why: str = ""
    thread: str = ""
    steps: tuple[Wake | Tell | End | Take | Hear, ...] = ()
    rule: int = 0


class Hooks:
    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        hooks: Mapping[str, Hook],
        *,
        agent: str,
        now: Callable[[], datetime],
        takers: Sequence[Taker] = (),
        listeners: Sequence[Listener] = (),
    ) -> None:
        """`agent`: who answers where a rule names nobody."""
        self._store = store
        self._inbox = inbox
        self.by_name = hooks
        self._agent = agent
        self._now = now
        self._takers = {taker.name: taker for taker in takers}
        self._listeners = {listener.name: listener for listener in listeners}
        self._notes = StoredNotes(store, now)

    def now(self) -> datetime:
        return self._now()

    def records(self, hook: Hook) -> Records:
        return Records(self._store, hook.name)

    async def take(self, hook: Hook, delivery: Delivery, body: bytes, *, event_header: str = "") -> Taken:
        """Durable when it returns. Raises StoreUnavailable."""
        records = self.records(hook)
        record = await records.find(delivery.id)
        if record and record.done:
            return Taken(record.did, record.why, record.thread, known=True)
        if record is None:
            plan = await self.plan(hook, delivery, claims=True)
            new = _record(delivery, plan, self._now(), len(body), event_header, packed(body))
            # If it is there already, another replica has just planned it.
            record = new if await records.put(new) else await records.find(delivery.id) or new
        return await self._carry_out(hook, record, delivery)

    async def replay(self, hook: Hook, record: Record) -> Taken:
        """Put a kept delivery in again, by the rules of now if nothing came of it.

        Raises Unreadable, StoreUnavailable.
        """
        if record.done and record.did != "nothing":
            return Taken(record.did, record.why, record.thread, known=True)
        delivery = _read_again(hook, record, self._now())
        if delivery is None:
            raise Unreadable("its body was too large to keep.")
        if record.done:
            plan = await self.plan(hook, delivery, claims=True)
            new = _record(delivery, plan, record.at, record.size_bytes, record.event_header, record.body)
            if not await self.records(hook).put(new, before=record):
                raise Unreadable("somebody else puts it in just now.", 409)
            record = new
        return await self._carry_out(hook, record, delivery)

    async def plan(self, hook: Hook, delivery: Delivery, *, claims: bool) -> Plan:
        """What would be done with it. Nothing is, but with `claims` the thread of its incident is settled."""
        if delivery.test:
            return Plan("test")
        for taker in self._takers.values():
            if taker.wants(hook, delivery):
                return Plan("taken", steps=(Take(taker=taker.name),))
        if hook.kind.is_mail:
            return Plan("taken", "it goes the way of all mail")
        hearing = (one.name for one in self._listeners.values() if one.hears(hook, delivery))
        heard = tuple(Hear(listener=name) for name in hearing)
        plan = await self._otherwise(hook, delivery, claims=claims)
        return replace(plan, steps=(*heard, *plan.steps))

    async def _otherwise(self, hook: Hook, delivery: Delivery, *, claims: bool) -> Plan:
        if wakes := await self._wakes(delivery, cleans=claims):
            return Plan("resumed", thread=wakes[0].thread, steps=wakes)
        verdict = rule_for(hook.table, delivery)
        if verdict.rule is None:
            return Plan("nothing", verdict.why)
        return await self._told(hook, verdict, verdict.rule, delivery, claims=claims)

    async def finish(self, hook: Hook) -> int:
        """Do what was planned by somebody who died before it was done. Returns how many there were."""
        finished = 0
        for record in await self.records(hook).newest(UNFINISHED_MAX):
            if not is_late(record, self._now(), LATE_AFTER):
                continue
            try:
                delivery = _read_again(hook, record, self._now())
            except Unreadable:
                delivery = None  # It is set up otherwise by now; what its plan says may be done all the same.
            if all(self._can(step, delivery) for step in record.plan):
                await self._carry_out(hook, record, delivery)
                finished += 1
        return finished

    def _can(self, step: Wake | Tell | End | Take | Hear, delivery: Delivery | None) -> bool:
        """Whether it can be done here. Else it is left for a process that is set up for it, or for its service, which
        got no answer and sends it again."""
        match step:
            case Take():
                return delivery is not None and step.taker in self._takers
            case Hear():
                return delivery is not None and step.listener in self._listeners
            case _:
                return True

    async def _carry_out(self, hook: Hook, record: Record, delivery: Delivery | None) -> Taken:
        """Raises Unreadable, StoreUnavailable."""
        why = record.why
        for step in record.plan if not record.done else ():
            if not self._can(step, delivery):
                raise Unreadable("what was to take it is not set up here.", 503)
            match step:
                case Wake():
                    by = f"hook {hook.name}: {one_line(record.event, 60)}"
                    if await self._inbox.wake(step.thread, by) != "woken":
                        await no_longer(self._notes, step.key, step.thread)
                case Tell():
                    await self._inbox.trigger(step.place, step.trigger, agent=step.agent, namespace=hook.namespace)
                case End():
                    await self._store.set_note(step.note, "", expected=step.text)
                case Take():
                    assert delivery is not None, "it is not finished without its body"
                    why = one_line(await self._takers[step.taker].take(hook, delivery), WHY_CHARS_MAX)
                case Hear():
                    assert delivery is not None, "it is not finished without its body"
                    said = one_line(await self._listeners[step.listener].hear(hook, delivery), WHY_CHARS_MAX)
                    why = said or why
                case _:
                    assert_never(step)
        if not record.done:
            # If another replica did the same, it has noted the same.
            await self.records(hook).put(record.model_copy(update={"done": True, "why": why}), before=record)
        log.info("hook_delivered", hook=hook.name, did=record.did, delivery=record.id, thread=record.thread, why=why)
        return Taken(record.did, why, record.thread)

    async def _wakes(self, delivery: Delivery, *, cleans: bool) -> tuple[Wake, ...]:
        found = []
        for key in delivery.awaited:
            for thread_id in await who_awaits(self._notes, key):
                if await self._inbox.waits(thread_id):
                    found.append(Wake(thread=thread_id, key=key))
                elif cleans:
                    await no_longer(self._notes, key, thread_id)
        return tuple({wake.thread: wake for wake in reversed(found)}.values())

    # Rules

    async def _told(self, hook: Hook, verdict: Verdict, rule: HookRule, delivery: Delivery, *, claims: bool) -> Plan:
        ready = delivery.ready if delivery.ready and delivery.ready.event == rule.event else None
        spec = hook.kind.events[ready.event] if ready else None
        shares = rule.thread or ("same" if spec and spec.has_subject else "new")
        agent = rule.agent or self._agent
        end: tuple[End, ...] = ()
        if shares == "new":
            place = _place(rule.place, hook, delivery.id)
        elif shares == "same" and ready:
            note = _note(hook, ready.subject)
            shared = await self._shared(note, rule, hook, delivery, claims=claims)
            if shared is None:
                return Plan("nothing", "the thread of its incident is over, or was never opened", rule=verdict.number)
            place, agent, text = shared
            end = (End(note=note, text=text),) if spec and spec.ends and text else ()
        else:
            opener = next((one for one in hook.table.on if one.opens and one.thread == rule.thread), rule)
            place = _place(rule.place or opener.place, hook, thread_key(rule, delivery))
        thread_id = thread_id_of(place)
        is_there = await self._store.exists(thread_id)
        if not is_there and not rule.opens:
            return Plan("nothing", "there is no thread that it could go on with", rule=verdict.number)
        trigger = trigger_of(hook.kind, hook.name, rule, delivery, self._now())
        steps: tuple[Wake | Tell | End | Take, ...] = (Tell(place=place, agent=agent, trigger=trigger), *end)
        return Plan("joined" if is_there else "opened", "", thread_id, steps, verdict.number)

    async def _shared(
        self, note: str, rule: HookRule, hook: Hook, delivery: Delivery, *, claims: bool
    ) -> tuple[Place, str, str] | None:
        """Where the incident is talked about, with which agent, and the note that says so. None: nowhere."""
        while True:
            if text := await self._store.get_note(note):
                known = Incident.model_validate_json(text)
                return known.place, known.agent, text
            if not rule.opens:
                return None
            new = Incident(place=_place(rule.place, hook, delivery.id), agent=rule.agent or self._agent)
            text = new.model_dump_json()
            if not claims or await self._store.set_note(note, text, expected=""):
                return new.place, new.agent, text


def _record(delivery: Delivery, plan: Plan, at: datetime, size_bytes: int, event_header: str, body: str) -> Record:
    return Record(
        id=delivery.id,
        event=delivery.event,
        at=at,
        size_bytes=size_bytes,
        did=plan.did,
        why=plan.why,
        thread=plan.thread,
        plan=plan.steps,
        done=not plan.steps,
        event_header=event_header,
        body=body,
    )


def _read_again(hook: Hook, record: Record, now: datetime) -> Delivery | None:
    """None: its body was too large to keep. Raises Unreadable."""
    if not record.body:
        return None
    headers = zip(headers_of(hook.kind, hook.options), (record.event_header, record.id), strict=True)
    posted = Posted({name.lower(): text for name, text in headers if name}, unpacked(record.body), now)
    return hook.kind.read(posted, hook.options)


def _place(text: str, hook: Hook, mark: str) -> Place:
    """The same mark is the same place. Hashed, because it comes from outside."""
    hashed = hashlib.blake2b(mark.encode(errors="surrogatepass"), digest_size=12).hexdigest()
    return places.parse(text, Firing(f"hook-{hook.name}", hashed))


def _note(hook: Hook, subject: str) -> str:
    hashed = hashlib.blake2b(subject.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return f"hooks/{hook.name}/incident/{hashed}"
