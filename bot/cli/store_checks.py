"""What `bot doctor` says about the store: whether it works for real, what it promises, and what it runs short of.

The facts come from `store.redis.facts`, the trial from `store.redis.probe`. This module only judges them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import assert_never

from bot.cli.findings import Finding, State
from bot.settings import Settings
from bot.setup import Setup
from bot.store_time import DIFFERENCE_SECONDS_MAX, difference
from bot.stores import connected
from store.base import StoreUnavailable
from store.embedded.server import FREE_BYTES_MIN, EmbeddedRedisError, free_bytes
from store.redis.connection import Confirmation
from store.redis.facts import Replica, ServerFacts
from store.redis.probe import ProbeFailed, probe

FREE_BYTES_ENOUGH = 200_000_000
"""Beside room for the whole append-only file, which is written anew beside the old one when it is shortened."""
REPLICA_LAG_SECONDS_MAX = 5
CLOCK_OFF_SECONDS_MAX = 60.0
"""With a larger difference, one of the clocks is plainly wrong, and requests expire at the wrong time."""


async def check_store(setup: Setup) -> list[Finding]:
    settings = setup.settings
    try:
        async with connected(settings) as connection:
            facts = await connection.facts()
            where = connection.where if settings.redis_url else "embedded"
            found = [_answers(facts, where)]
            try:
                await probe(connection.url, confirms=settings.durable_before_acting, why_away=connection.why_away)
                found.append(Finding("scripts", "ok", "every operation of the store works, on every shard."))
            except (StoreUnavailable, ProbeFailed) as error:
                found.append(Finding("scripts", "failed", str(error)))
    except (StoreUnavailable, EmbeddedRedisError) as error:
        return [Finding("redis", "failed", str(error))]
    return [*found, *judged(facts, settings), _clock(facts.clock_offset_seconds)]


def judged(facts: ServerFacts, settings: Settings) -> list[Finding]:
    """What the store promises as it is set up, and what it runs short of."""
    found = [_persistence(facts), _eviction(facts)]
    found += [*_replicas(facts)] if settings.redis_url else [_disk(settings.bot_home, facts)]
    return [*found, _durability(settings.durable_before_acting, facts)]


def _answers(facts: ServerFacts, where: str) -> Finding:
    answers = f"{where} answers; version {facts.version}"
    if facts.role == "slave":
        text = f"{answers}. It is a replica, which takes no writes: point REDIS_URL at the primary, {facts.primary}."
        return Finding("redis", "failed", text)
    if facts.is_cluster_node:
        return Finding("redis", "ok", f"{answers}; a node in cluster mode, which must hold every slot.")
    return Finding("redis", "ok", f"{answers}.")


def _persistence(facts: ServerFacts) -> Finding:
    if facts.write_error:
        text = f"the server could not write {facts.write_error}. Free space on its disk, and look at its log."
        return Finding("persistence", "failed", text)
    match facts.appendonly, facts.appendfsync:
        case "yes", "always":
            return Finding("persistence", "ok", "append-only file, appendfsync always. A crash loses nothing.")
        case "yes", often:
            lost = "up to two seconds" if often == "everysec" else "up to half a minute"
            text = (
                f"append-only file, appendfsync {often}. A crash of the server loses nothing; "
                f"a crash of its machine may lose {lost}. `always` loses nothing."
            )
            return Finding("persistence", "warning", text)
        case "no", _:
            return Finding("persistence", "failed", "no append-only file: a crash loses threads. Set `appendonly yes`.")
        case _:
            return Finding("persistence", "warning", "unknown (CONFIG is disabled). Ask the server's administrator.")


def _eviction(facts: ServerFacts) -> Finding:
    match facts.maxmemory_policy:
        case "noeviction":
            return Finding("eviction", "ok", "it deletes no thread when memory is short.")
        case "":
            return Finding("eviction", "warning", "the server does not say what it deletes when memory is short.")
        case policy:
            text = f"maxmemory-policy {policy} deletes threads when memory is short. Set `noeviction`."
            return Finding("eviction", "failed", text)


def _replicas(facts: ServerFacts) -> Iterator[Finding]:
    """What is lost with the primary's disk. No finding on a replica, which does not know."""
    if facts.role != "master":
        return
    online = [replica for replica in facts.replicas if replica.is_online]
    behind = [replica for replica in facts.replicas if replica not in online or _is_late(replica)]
    if not facts.replicas:
        yield Finding("replicas", "ok", "none. If the disk of this server is lost, so is all since its last backup.")
        return
    promise = (
        f"{len(online)} of {len(facts.replicas)} online. A failover may lose the last writes, as `durability` says."
        if online
        else f"none of {len(facts.replicas)} is online, so a failover loses whatever they lack."
    )
    late = [f"{one.address} is {one.state}, last heard of {one.lag_seconds} s ago." for one in behind]
    yield Finding("replicas", "warning" if behind else "ok", " ".join([promise, *late]))


def _durability(confirms: Confirmation, facts: ServerFacts) -> Finding:
    """What is promised of a tool that acts, with DURABLE_BEFORE_ACTING as it is."""
    online = any(replica.is_online for replica in facts.replicas)
    match confirms:
        case "replica" if not online:
            text = "DURABLE_BEFORE_ACTING is replica, and no replica is online: no tool that acts begins."
            return Finding("durability", "failed", text)
        case "replica":
            text = (
                "a tool that acts begins, and a message is acknowledged, when a replica has it too. A failover to it "
            )
            return Finding("durability", "ok", f"{text}forgets neither.")
        case "disk":
            text = "a tool that acts begins when its start is on the disk of Redis. A crash forgets nothing that acts"
            return Finding("durability", "ok", f"{text}; a failover may." if facts.replicas else f"{text}.")
        case "" if facts.replicas:
            text = (
                "a worker writes back what a failover lost. What only a worker knew that died as well may run again: "
                "DURABLE_BEFORE_ACTING=replica rules that out."
            )
            return Finding("durability", "warning", text)
        case "":
            text = "a tool that acts begins when Redis has stored its start, as safely as `persistence` says."
            return Finding("durability", "ok", text)
    assert_never(confirms)


def _is_late(replica: Replica) -> bool:
    return replica.lag_seconds > REPLICA_LAG_SECONDS_MAX


def _disk(home: Path, facts: ServerFacts) -> Finding:
    free = free_bytes(home)
    text = f"{_size(free)} free for BOT_HOME; the store takes {_size(facts.append_only_bytes)}"
    if free < FREE_BYTES_MIN:
        return Finding("disk", "failed", f"{text}. The disk is full: free some space, or nothing can be stored.")
    if free < FREE_BYTES_ENOUGH + facts.append_only_bytes:
        return Finding(
            "disk", "warning", f"{text}. Free some space: the store grows, and needs its size again at times."
        )
    return Finding("disk", "ok", f"{text}.")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def _clock(offset_seconds: float) -> Finding:
    text = difference(offset_seconds)
    if abs(offset_seconds) > DIFFERENCE_SECONDS_MAX:
        state: State = "failed" if abs(offset_seconds) > CLOCK_OFF_SECONDS_MAX else "warning"
        return Finding("clock", state, f"{text} Times are kept by Redis. Run NTP on both machines.")
    return Finding("clock", "ok", text)
