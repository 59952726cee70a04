"""Every name that we use in Redis.

The names of one thread share the hash tag of its shard, so that one script can change them on a cluster too. Not here:
the keys that stand in a log, which are `store.keys`.
"""

from __future__ import annotations

from zlib import crc32

SHARDS = 8
"""Fixed for good: a thread's keys are found by it. A cluster spreads threads over at most this many slots."""


class Keys:
    """Every name that we use in Redis."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.bell = f"{prefix}:bell"

    def shard(self, thread_id: str) -> int:
        return crc32(thread_id.encode()) % SHARDS

    def log(self, thread_id: str) -> str:
        return f"{self._tag(self.shard(thread_id))}:log:{thread_id}"

    def ids(self, thread_id: str) -> str:
        return f"{self._tag(self.shard(thread_id))}:ids:{thread_id}"

    def due(self, shard: int) -> str:
        """Sorted set: thread id -> when to look at it (ms)."""
        return f"{self._tag(shard)}:due"

    def leases(self, shard: int) -> str:
        """Hash: thread id -> token of its holder."""
        return f"{self._tag(shard)}:leases"

    def tries(self, shard: int) -> str:
        """Hash: thread id -> claims since it was last released in order."""
        return f"{self._tag(shard)}:tries"

    def fence(self, shard: int) -> str:
        """Counter that the tokens come from."""
        return f"{self._tag(shard)}:fence"

    def threads(self, shard: int) -> str:
        """Sorted set: thread id -> when it last moved (ms)."""
        return f"{self._tag(shard)}:threads"

    def moved(self, thread_id: str) -> str:
        """Channel that hears of every append to the thread."""
        return f"{self._prefix}:moved:{thread_id}"

    @property
    def notes(self) -> str:
        """Hash: what channels have noted, by its name."""
        return f"{self._prefix}:notes"

    def tally(self, name: str) -> str:
        """Sorted set: member -> when it was counted (ms)."""
        return f"{self._prefix}:tally:{name}"

    def _tag(self, shard: int) -> str:
        return f"{self._prefix}:{{{shard}}}"
