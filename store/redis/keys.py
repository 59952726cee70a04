"""The names of all our keys and channels in Redis.

The keys of a thread share the hash tag of its shard, so that one script can change them together on a cluster as well.
The scripts make the names of most of them from one: a name here is a name there.
Keys inside a log are not defined here but in `store.keys`.
"""

from __future__ import annotations

from zlib import crc32

SHARDS = 8
"""Never change it: it decides where a thread's keys are. A cluster spreads threads over at most this many slots."""

PREFIX = "bot"
"""Of all keys, if nobody says otherwise."""


class Keys:
    def __init__(self, prefix: str = PREFIX) -> None:
        self._prefix = prefix
        self.wake_channel = f"{prefix}:bell"
        """Pub/sub channel: one message when a thread becomes due."""

    def shard(self, thread_id: str) -> int:
        return crc32(thread_id.encode()) % SHARDS

    def log(self, thread_id: str) -> str:
        return self.logs(self.shard(thread_id)) + thread_id

    def logs(self, shard: int) -> str:
        """How the key of each log in the shard begins; the thread's id follows."""
        return f"{self._tag(shard)}:log:"

    def ids(self, thread_id: str) -> str:
        """Set: the ids of the events that may come from somebody who has not read the log. Older logs: of all."""
        return f"{self._tag(self.shard(thread_id))}:ids:{thread_id}"

    def due(self, shard: int) -> str:
        """Sorted set: thread id -> when it is due (ms)."""
        return f"{self._tag(shard)}:due"

    def leases(self, shard: int) -> str:
        """Hash: thread id -> the fencing token of its lease."""
        return f"{self._tag(shard)}:leases"

    def claims(self, shard: int) -> str:
        """Hash: thread id -> claims since the last orderly release."""
        return f"{self._tag(shard)}:tries"

    def threads(self, shard: int) -> str:
        """Sorted set: thread id -> when it last changed (ms)."""
        return f"{self._tag(shard)}:threads"

    def rows(self, shard: int) -> str:
        """Hash: thread id -> its row (see `store.index`)."""
        return f"{self._tag(shard)}:rows"

    def all_of(self, thread_id: str) -> tuple[str, ...]:
        """Every key that may hold something of the thread."""
        shard = self.shard(thread_id)
        return (
            self.log(thread_id),
            self.ids(thread_id),
            self.due(shard),
            self.leases(shard),
            self.claims(shard),
            self.threads(shard),
            self.rows(shard),
        )

    def moved(self, thread_id: str) -> str:
        """Pub/sub channel: one message for every append to the thread."""
        return f"{self._prefix}:moved:{thread_id}"

    @property
    def notes(self) -> str:
        """Hash: name -> the text set by `set_note`."""
        return f"{self._prefix}:notes"

    def shelf(self, name: str) -> str:
        """Sorted set: the name of a text on this shelf -> when it was kept first (ms)."""
        return f"{self._prefix}:{{shelf {name}}}:order"

    def shelved(self, shelf: str, name: str) -> str:
        """String: a text on a shelf. It expires."""
        return f"{self._prefix}:{{shelf {shelf}}}:text:{name}"

    def counted(self, name: str) -> str:
        """Sorted set: member -> when it was counted (ms)."""
        return f"{self._prefix}:tally:{name}"

    def _tag(self, shard: int) -> str:
        return f"{self._prefix}:{{{shard}}}"
