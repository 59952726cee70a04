"""What the server says about itself: version, role, replicas, persistence, memory, clock. For `bot doctor`.

Nothing here judges or changes anything. What a server does not reveal (managed servers close CONFIG) is empty.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis.asyncio
from redis.exceptions import ResponseError


@dataclass(frozen=True, slots=True)
class Replica:
    address: str
    state: str
    """`online`: it receives every write."""
    lag_seconds: int
    """Since it last said how far it is."""

    @property
    def is_online(self) -> bool:
        return self.state == "online"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    version: str
    clock_offset_seconds: float
    """The server's clock minus the clock of this machine."""
    is_cluster_node: bool
    role: str
    """`master` or `slave`, as the server calls it."""
    primary: str
    """host:port of a replica's primary."""
    replicas: tuple[Replica, ...]
    appendonly: str
    appendfsync: str
    append_only_bytes: int
    write_error: str
    """What the server could not write to its disk last time; empty: nothing."""
    maxmemory_policy: str


async def read_facts(client: redis.asyncio.Redis) -> ServerFacts:
    info: Mapping[str, Any] = {}
    config: dict[str, str] = {}
    offset = await _clock_offset_seconds(client)
    with contextlib.suppress(ResponseError):
        info = await client.info()
    with contextlib.suppress(ResponseError):
        for pattern in ("append*", "maxmemory-policy", "save"):
            config |= cast(dict[str, str], await client.config_get(pattern))
    return ServerFacts(
        version=str(info.get("valkey_version") or info.get("redis_version") or "unknown"),
        clock_offset_seconds=offset,
        is_cluster_node=info.get("cluster_enabled") == 1,
        role=str(info.get("role", "")),
        primary=f"{info['master_host']}:{info['master_port']}" if "master_host" in info else "",
        replicas=_replicas(info),
        appendonly=config.get("appendonly", ""),
        appendfsync=config.get("appendfsync", ""),
        append_only_bytes=int(info.get("aof_current_size", 0)),
        write_error=_write_error(info, saves=bool(config.get("save"))),
        maxmemory_policy=config.get("maxmemory-policy", ""),
    )


async def _clock_offset_seconds(client: redis.asyncio.Redis) -> float:
    await client.time()  # Connects, so that the round trip below is only that.
    before = time.time()
    seconds, micros = await client.time()
    return float(seconds + micros / 1e6 - (before + time.time()) / 2)


def _replicas(info: Mapping[str, Any]) -> tuple[Replica, ...]:
    names = [f"slave{number}" for number in range(int(info.get("connected_slaves", 0)))]
    rows = [info[name] for name in names if name in info]
    return tuple(Replica(f"{row['ip']}:{row['port']}", str(row["state"]), int(row.get("lag", 0))) for row in rows)


def _write_error(info: Mapping[str, Any], *, saves: bool) -> str:
    """`saves`: whether the server is set to write snapshots; the result of an old one does not matter otherwise."""
    if info.get("aof_last_write_status", "ok") != "ok":
        return "its append-only file"
    if info.get("aof_last_bgrewrite_status", "ok") != "ok":
        return "a shorter append-only file"
    if saves and info.get("rdb_last_bgsave_status", "ok") != "ok":
        return "a snapshot"
    return ""
