"""The store in this process's memory, for tests and demos. It keeps the whole `Store` contract except durability."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from store.base import Lease, LeaseLost, Server, ThreadDiverged, ThreadMoved, UnknownThread
from store.codec import decode, encode
from store.events import Event
from store.index import row_of
from store.marks import mark
from store.pages import PAGE_MAX, Cursor, Page
from store.rows import EVERY_THREAD, Filter, Row
from store.shelves import Keep, Kept
from store.thread import Thread


@dataclass(slots=True)
class _Log:
    lines: list[bytes] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    moved_at: int = 0

    def begins_with(self, thread: Thread) -> bool:
        """Whether it is the log that was read."""
        known = thread.version
        return known <= len(self.lines) and (not known or not thread.mark or mark(self.lines[known - 1]) == thread.mark)


class MemoryStore:
    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._logs: dict[str, _Log] = {}
        self._due: dict[str, datetime] = {}
        self._leases: dict[str, str] = {}
        self._claims: dict[str, int] = {}
        self._moves = 0
        self._notes: dict[str, str] = {}
        self._shelves: dict[str, dict[str, tuple[datetime, str, datetime]]] = {}
        self._counted: dict[str, dict[str, datetime]] = {}
        self._woken = asyncio.Event()
        self._moved = asyncio.Condition()
        self.server = Server("memory", float("-inf"))

    async def append(
        self,
        thread: Thread,
        *events: Event,
        if_unmoved: bool = False,
        lease: Lease | None = None,
        confirm: bool = False,
    ) -> Thread:
        lines = [encode(event) for event in events]
        log = self._logs.get(thread.id) or _Log()
        if not log.begins_with(thread):
            raise ThreadDiverged(thread.id)
        if lease and self._leases.get(thread.id) != lease.token:
            raise LeaseLost(thread.id)
        if if_unmoved and len(log.lines) != thread.version:
            now = self._with_tail(thread, log)
            if all(event.id in log.ids for event in events):
                return now
            raise ThreadMoved(now)
        before = len(log.lines)
        for event, line in zip(events, lines, strict=True):
            if event.id not in log.ids:
                log.ids.add(event.id)
                log.lines.append(line)
        if len(log.lines) > before:
            self._logs[thread.id] = log
            self._moves += 1
            log.moved_at = self._moves
            if not lease:
                await self.wake(thread.id)
            async with self._moved:
                self._moved.notify_all()
        return self._with_tail(thread, log)

    async def post(self, thread_id: str, *events: Event, opens: bool = True) -> frozenset[str] | None:
        log = self._logs.get(thread_id)
        if not opens and log is None:
            return None
        known = log.ids.copy() if log else set()
        await self.append(Thread(thread_id), *events)
        return frozenset(event.id for event in events) - known

    async def exists(self, thread_id: str) -> bool:
        return thread_id in self._logs

    async def load(self, thread_id: str) -> Thread:
        if thread_id not in self._logs:
            raise UnknownThread(thread_id)
        return self._with_tail(Thread(thread_id), self._logs[thread_id])

    async def refresh(self, thread: Thread) -> Thread:
        log = self._logs.get(thread.id) or _Log()
        if not log.begins_with(thread):
            raise ThreadDiverged(thread.id)
        return self._with_tail(thread, log)

    async def page(self, wanted: Filter = EVERY_THREAD, *, limit: int = 50, after: str = "") -> Page:
        """Computes every row from the logs. The time of a cursor is the number of moves."""
        limit, cursor = min(limit, PAGE_MAX), Cursor.parse(after)
        shown: dict[str, Row] = {}
        next_page = ""
        while True:
            began = cursor.began or self._moves + 1
            for log, thread_id in self._newest_first():
                if log.moved_at < cursor.floor or cursor.is_past(log.moved_at, thread_id):
                    continue
                row = row_of(self._with_tail(Thread(thread_id), log))
                if not wanted.takes(row):
                    continue
                if thread_id not in shown and len(shown) == limit:
                    return Page(tuple(shown.values()), next_page)
                shown[thread_id] = row
                next_page = str(Cursor(cursor.floor, began, log.moved_at, thread_id))
            if not cursor.changed:
                return Page(tuple(shown.values()), "")
            # Of what no earlier page showed, something may have moved to the front meanwhile.
            cursor = Cursor(floor=began)

    def _newest_first(self) -> list[tuple[_Log, str]]:
        logs = [(log, thread_id) for thread_id, log in self._logs.items()]
        return sorted(logs, key=lambda entry: entry[0].moved_at, reverse=True)

    async def load_each(self, thread_ids: Sequence[str]) -> AsyncIterator[Thread]:
        for thread_id in thread_ids:
            if log := self._logs.get(thread_id):
                yield self._with_tail(Thread(thread_id), log)

    async def reindex(self) -> int:
        return len(self._logs)

    async def follow(self, thread: Thread) -> AsyncGenerator[Thread]:
        while True:
            async with self._moved:
                while (now := await self.refresh(thread)).version == thread.version:
                    await self._moved.wait()
            thread = now
            yield thread

    async def claim(
        self,
        limit: int,
        lease_seconds: float,
        only: str = "",
        *,
        skip: Collection[str] = (),
        expired: bool = True,
    ) -> list[Lease]:
        now = self._clock()

        def is_free(thread_id: str) -> bool:
            return (
                (not only or thread_id == only) and thread_id not in skip and (expired or thread_id not in self._leases)
            )

        due = sorted((at, thread_id) for thread_id, at in self._due.items() if at <= now and is_free(thread_id))
        return [self._claim(thread_id, now, lease_seconds) for _, thread_id in due[:limit]]

    def _claim(self, thread_id: str, now: datetime, lease_seconds: float) -> Lease:
        token = self._leases[thread_id] = secrets.token_hex(8)
        self._due[thread_id] = now + timedelta(seconds=lease_seconds)
        self._claims[thread_id] = self._claims.get(thread_id, 0) + 1
        good_until = self._seconds() + lease_seconds
        return Lease(thread_id, token, self._claims[thread_id], lease_seconds, good_until, self._seconds)

    def _seconds(self) -> float:
        return self._clock().timestamp()

    async def renew(self, lease: Lease) -> bool:
        if self._leases.get(lease.thread_id) != lease.token:
            lease.lose()
            return False
        self._due[lease.thread_id] = self._clock() + timedelta(seconds=lease.seconds)
        lease.good_until = self._seconds() + lease.seconds
        return True

    async def release(self, lease: Lease, seen: Thread, wake_in_seconds: float | None = None) -> bool:
        log = self._logs.get(lease.thread_id) or _Log()
        if not log.begins_with(seen):
            return False
        if self._leases.get(lease.thread_id) != lease.token:
            return True
        if len(log.lines) != seen.version:
            return False
        del self._leases[lease.thread_id], self._claims[lease.thread_id], self._due[lease.thread_id]
        if wake_in_seconds is not None:
            self._due[lease.thread_id] = self._clock() + timedelta(seconds=wake_in_seconds)
            self._woken.set()
        return True

    async def hand_back(self, lease: Lease) -> None:
        if self._leases.get(lease.thread_id) == lease.token:
            del self._leases[lease.thread_id], self._claims[lease.thread_id]
            await self.wake(lease.thread_id)

    async def due_in_seconds(self, skip: Collection[str] = ()) -> float | None:
        due = min((at for thread_id, at in self._due.items() if thread_id not in skip), default=None)
        return max((due - self._clock()).total_seconds(), 0.0) if due else None

    async def work_arrived(self, timeout_seconds: float) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    async def wake(self, thread_id: str) -> None:
        if thread_id in self._logs and thread_id not in self._leases:
            self._due[thread_id] = self._clock()
            self._woken.set()

    async def get_note(self, name: str) -> str:
        return self._notes.get(name, "")

    async def set_note(self, name: str, text: str, *, expected: str) -> bool:
        if self._notes.get(name, "") not in (expected, text):
            return False
        self._notes[name] = text
        if not text:
            del self._notes[name]
        return True

    async def shelve(self, shelf: str, name: str, text: str, *, expected: str, keep: Keep) -> bool:
        texts, now = self._shelf(shelf), self._clock()
        at, known, _ = texts.get(name, (now, "", now))
        if known not in (expected, text):
            return False
        texts[name] = (at, text, now + timedelta(seconds=keep.seconds))
        for old in sorted(texts, key=lambda one: texts[one][0])[: -keep.count]:
            del texts[old]
        return True

    async def shelved(self, shelf: str, name: str) -> str:
        found = self._shelf(shelf).get(name)
        return found[1] if found else ""

    async def newest(self, shelf: str, limit: int) -> list[Kept]:
        texts = self._shelf(shelf)
        oldest_first = sorted(texts, key=lambda one: texts[one][0])
        return [Kept(name, texts[name][1]) for name in [*reversed(oldest_first)][:limit]]

    def _shelf(self, shelf: str) -> dict[str, tuple[datetime, str, datetime]]:
        """By name: since when, what, and until when."""
        now = self._clock()
        texts = self._shelves[shelf] = {
            name: found for name, found in self._shelves.get(shelf, {}).items() if found[2] > now
        }
        return texts

    async def count_distinct(self, name: str, member: str, window_seconds: float) -> int:
        now = self._clock()
        since = now - timedelta(seconds=window_seconds)
        counted = {who: at for who, at in self._counted.get(name, {}).items() if at > since}
        counted.setdefault(member, now)
        self._counted[name] = counted
        return len(counted)

    async def aclose(self) -> None:
        pass

    @staticmethod
    def _with_tail(thread: Thread, log: _Log) -> Thread:
        tail = log.lines[thread.version :]
        return thread.extended([decode(line) for line in tail], mark(tail[-1])) if tail else thread
