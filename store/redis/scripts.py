"""The Lua scripts that run in Redis. Each changes one thread, or one note, atomically.

When a reply is lost, the client runs the script again, so every script is safe to repeat: an append deduplicates by
event id, and a claimed lease whose reply was lost expires. Time is the server's. No script knows what an event means.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"


APPEND = Script(
    _NOW
    + """
-- KEYS log ids due leases threads   ARGV thread known if_unmoved token wake_channel moved (id line)*
-- known: the events that the caller has read; -1: none, and return none; -2: the same, and do not open the thread.
local thread, known = ARGV[1], tonumber(ARGV[2])
if ARGV[4] ~= '' and redis.call('HGET', KEYS[4], thread) ~= ARGV[4] then return {'lease lost', {}} end
local length = redis.call('LLEN', KEYS[1])
if known == -2 and length == 0 then return {'unknown', {}} end
if length < known then return {'diverged', {}} end
if ARGV[3] == '1' and length ~= known then return {'moved', redis.call('LRANGE', KEYS[1], known, -1)} end
local added = false
for i = 7, #ARGV, 2 do
  if redis.call('SADD', KEYS[2], ARGV[i]) == 1 then
    redis.call('RPUSH', KEYS[1], ARGV[i + 1])
    added = true
  end
end
if added then
  redis.call('ZADD', KEYS[5], now, thread)
  redis.call('PUBLISH', ARGV[6], '')
  if ARGV[4] == '' and redis.call('HEXISTS', KEYS[4], thread) == 0 then
    redis.call('ZADD', KEYS[3], now, thread)
    redis.call('PUBLISH', ARGV[5], '')
  end
end
return {'ok', known < 0 and {} or redis.call('LRANGE', KEYS[1], known, -1)}
"""
)


TAIL = Script("return {redis.call('LLEN', KEYS[1]), redis.call('LRANGE', KEYS[1], ARGV[1], -1)}")


CLAIM = Script(
    _NOW
    + """
-- KEYS due leases fence claims   ARGV limit lease_ms only
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
if ARGV[3] ~= '' then
  local at = redis.call('ZSCORE', KEYS[1], ARGV[3])
  due = (at and tonumber(at) <= now) and {ARGV[3]} or {}
end
local claims = {}
for _, thread in ipairs(due) do
  local token = redis.call('INCR', KEYS[3])
  redis.call('HSET', KEYS[2], thread, token)
  redis.call('ZADD', KEYS[1], now + ARGV[2], thread)
  claims[#claims + 1] = {thread, token, redis.call('HINCRBY', KEYS[4], thread, 1)}
end
return claims
"""
)


RENEW = Script(
    _NOW
    + """
-- KEYS due leases   ARGV thread token lease_ms
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
return 1
"""
)


RELEASE = Script(
    _NOW
    + """
-- KEYS due leases claims log   ARGV thread token seen wake_in_ms wake_channel
-- seen -1: any version. wake_in_ms -1: not due until the next append.
if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 1 end
if ARGV[3] ~= '-1' and redis.call('LLEN', KEYS[4]) ~= tonumber(ARGV[3]) then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
local wake_in = tonumber(ARGV[4])
if wake_in < 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], now + wake_in, ARGV[1])
  redis.call('PUBLISH', ARGV[5], '')
end
return 1
"""
)


WAKE = Script(
    _NOW
    + """
-- KEYS due leases log   ARGV thread wake_channel
if redis.call('EXISTS', KEYS[3]) == 1 and redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then
  redis.call('ZADD', KEYS[1], now, ARGV[1])
  redis.call('PUBLISH', ARGV[2], '')
end
"""
)


SET_NOTE = Script(
    """
-- KEYS notes   ARGV name text expected
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""
)


COUNT_DISTINCT = Script(
    _NOW
    + """
-- KEYS counted   ARGV member window_ms
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[1], 'NX', now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""
)
