"""The Lua scripts that run in Redis. Each changes one thread, or one note, atomically.

A script is given one key of a thread, and names the others after it: to send them would take as many bytes as an event.
They are in the slot of that key (see `store.redis.keys`), so a cluster and an ACL by prefix let it.

When a reply is lost, the client runs the script again, so every script is safe to repeat: an append deduplicates by
event id, and a claimed lease whose reply was lost expires. Time is the server's. No script knows what an event means.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from store.marks import MARK_CHARS
from store.redis.shorthand import LUA

ID_BYTES_MAX = 64
"""The longest id that is kept as it stands: Redis packs a set of short members (set-max-listpack-value)."""

TAIL_LINES = 8
"""How many lines a claim reads: a new thread, or what happened to one that is remembered, has fewer."""
TAIL_BYTES_MAX = 16_000
"""Fewer lines, if they are long: a claim may be of many threads."""


@dataclass(frozen=True, slots=True)
class Script:
    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"


_WHOLE = f"""
-- Whether the log begins with what the caller has read: `known` events, the last of which has this mark.
local function whole(log, known, mark)
  if known <= 0 then return true end
  local last = redis.call('LINDEX', log, known - 1)
  return last and (mark == '' or string.sub(redis.sha1hex(last), 1, {MARK_CHARS}) == mark)
end
"""


_NAMED = """
local tag, prefix, thread = string.match(KEYS[1], '^((.-):{%d+}):log:(.*)$')
local ids, due, leases = tag .. ':ids:' .. thread, tag .. ':due', tag .. ':leases'
local function wake(at)
  redis.call('ZADD', due, at, thread)
  redis.call('PUBLISH', prefix .. ':bell', '')
end
"""


APPEND = Script(
    _NOW
    + _WHOLE
    + _NAMED
    + LUA
    + f"""
local ID_MAX = {ID_BYTES_MAX}
"""
    + """
-- KEYS log   ARGV how (id? line)*
-- how: 'known mark moved confirm token forms'. `moved`: 1: not if the thread has moved. `forms`: '+' for each event
-- whose id comes before its line, to be looked up among the ids; '-' for each without: the caller knows that it is not
-- in what it has read, so look at the rest.
-- line: in shorthand (see `store.redis.shorthand`).
-- known: the events that the caller has read; -1: none, and return the ids that were new instead of events; -2: the
-- same, and do not open the thread.
-- Returns the outcome and the lines that the caller has not read; 1 instead of lines: they are the given ones.
local known, mark, moved, confirm, token, forms = string.match(ARGV[1], '^(%S+) (%S*) (%d) (%d) (%S*) (%S*)$')
known = tonumber(known)
local threads = tag .. ':threads'
local length = redis.call('LLEN', KEYS[1])
if known == -2 and length == 0 then return {'unknown', {}} end
-- First: the lease may be lost with the events.
if not whole(KEYS[1], known, mark) then return {'diverged', {}} end
if token ~= '' and redis.call('HGET', leases, thread) ~= token then return {'lease lost', {}} end
-- Also for a repetition that is to be confirmed: WAIT waits for what this connection wrote.
if confirm == '1' then redis.call('ZADD', threads, now, thread) end
if moved == '1' and length ~= known then return {'moved', redis.call('LRANGE', KEYS[1], known, -1)} end
local function id_in(line) return string.match(line, '^{"v":%d+,"kind":"[%w_]+","id":"([^"]*)"') end
local unread = {}
if length > known and known >= 0 then
  for _, line in ipairs(redis.call('LRANGE', KEYS[1], known, -1)) do unread[id_in(line) or ''] = true end
end
local function is_new(id, line)
  if id == '' then
    id = id_in(line)
    local found = unread[id]
    unread[id] = true
    return not found
  end
  if #id > ID_MAX then
    -- As a hash: one long member makes the set of a short thread four times as large.
    if redis.call('SISMEMBER', ids, id) == 1 then return false end -- An older version wrote it.
    id = '#' .. redis.sha1hex(id)
  end
  return redis.call('SADD', ids, id) == 1
end
local added, at = {}, 2
for form in string.gmatch(forms, '.') do
  local id = ''
  if form == '+' then id, at = ARGV[at], at + 1 end
  local line = written_out(ARGV[at])
  if is_new(id, line) then
    redis.call('RPUSH', KEYS[1], line)
    added[#added + 1] = id
  end
  at = at + 1
end
if #added > 0 then
  redis.call('ZADD', threads, now, thread)
  redis.call('PUBLISH', prefix .. ':moved:' .. thread, '')
  if token == '' and redis.call('HEXISTS', leases, thread) == 0 then wake(now) end
end
if known < 0 then return {'ok', added} end
if #added == #forms and length == known then return {'ok', 1} end
return {'ok', redis.call('LRANGE', KEYS[1], known, -1)}
"""
)


TAIL = Script(
    _WHOLE
    + """
-- KEYS log   ARGV known mark
if not whole(KEYS[1], tonumber(ARGV[1]), ARGV[2]) then return false end
return redis.call('LRANGE', KEYS[1], ARGV[1], -1)
"""
)


CLAIM = Script(
    _NOW
    + f"""
local TAIL_LINES, TAIL_BYTES_MAX = {TAIL_LINES}, {TAIL_BYTES_MAX}
"""
    + """
-- KEYS due   ARGV token limit lease_ms only expired skip*
-- Returns for each thread its id, its claims, the length of its log and the last lines.
-- A thread that is due and has a lease is one whose lease expired; expired 0: leave it alone.
local tag = string.match(KEYS[1], '^(.*):due$')
local leases, tries = tag .. ':leases', tag .. ':tries'
local limit, only, skip = tonumber(ARGV[2]), ARGV[4], {}
for i = 6, #ARGV do skip[ARGV[i]] = true end
local function free(thread)
  return not skip[thread] and (ARGV[5] == '1' or redis.call('HEXISTS', leases, thread) == 0)
end
local function tail(log)
  local lines, bytes = redis.call('LRANGE', log, -TAIL_LINES, -1), 0
  for i = #lines, 1, -1 do
    bytes = bytes + #lines[i]
    if bytes > TAIL_BYTES_MAX then return {unpack(lines, i + 1)} end
  end
  return lines
end
local due, from, page = {}, 0, {}
if only ~= '' then
  local at = redis.call('ZSCORE', KEYS[1], only)
  if at and tonumber(at) <= now and free(only) then due[1] = only end
else
  repeat
    page = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', from, limit)
    for _, thread in ipairs(page) do
      if #due < limit and free(thread) then due[#due + 1] = thread end
    end
    from = from + #page
  until #due == limit or #page < limit
end
local claims = {}
for _, thread in ipairs(due) do
  redis.call('HSET', leases, thread, ARGV[1])
  redis.call('ZADD', KEYS[1], now + ARGV[3], thread)
  local log, count = tag .. ':log:' .. thread, redis.call('HINCRBY', tries, thread, 1)
  claims[#claims + 1] = {thread, count, redis.call('LLEN', log), tail(log)}
end
return claims
"""
)


RENEW = Script(
    _NOW
    + _NAMED
    + """
-- KEYS log   ARGV token lease_ms
if redis.call('HGET', leases, thread) ~= ARGV[1] then return 0 end
redis.call('ZADD', due, now + ARGV[2], thread)
return 1
"""
)


RELEASE = Script(
    _NOW
    + _WHOLE
    + _NAMED
    + """
-- KEYS log   ARGV how row?
-- how: 'seen mark wake_in_ms token'. seen -1: any version. wake_in_ms -1: not due until the next append.
-- row: of the thread as seen.
local seen, mark, wake_in, token = string.match(ARGV[1], '^(%S+) (%S*) (%S+) (%S+)$')
seen, wake_in = tonumber(seen), tonumber(wake_in)
-- First: the lease may be lost with the events.
if seen >= 0 and not whole(KEYS[1], seen, mark) then return 0 end
if redis.call('HGET', leases, thread) ~= token then return 1 end
if seen >= 0 and redis.call('LLEN', KEYS[1]) ~= seen then return 0 end
redis.call('HDEL', leases, thread)
redis.call('HDEL', tag .. ':tries', thread)
if ARGV[2] then redis.call('HSET', tag .. ':rows', thread, ARGV[2]) end
if wake_in < 0 then redis.call('ZREM', due, thread) else wake(now + wake_in) end
return 1
"""
)


WAKE = Script(
    _NOW
    + _NAMED
    + """
-- KEYS log
if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('HEXISTS', leases, thread) == 0 then wake(now) end
"""
)


LIST = Script(
    _NOW
    + """
-- KEYS threads rows   ARGV format statuses changed after floor scan_max found_max logs
-- Reads on by the last change, newest first: from the time `changed` ('': the newest), from the thread `after`
-- if that is its last change, down to the time `floor`. It looks at scan_max threads at most, and gives found_max at
-- most: those with a true row of one of the `statuses` (' a b '; '': any), and those without a true row.
-- Returns now, whether it is at the end, the last thread looked at with its time, and {thread, time, row or ''} each.
-- The keys of the logs are not declared, since the threads are not known before; they share the slot of KEYS.
local start = 0
if ARGV[3] ~= '' then
  local changed = ARGV[4] ~= '' and redis.call('ZSCORE', KEYS[1], ARGV[4])
  if changed and tonumber(changed) == tonumber(ARGV[3]) then
    start = redis.call('ZREVRANK', KEYS[1], ARGV[4]) + 1
  else
    start = redis.call('ZCOUNT', KEYS[1], '(' .. ARGV[3], '+inf')
  end
end
local scanned = redis.call('ZREVRANGE', KEYS[1], start, start + ARGV[6] - 1, 'WITHSCORES')
if #scanned == 0 then return {now, 1, ARGV[4], ARGV[3], {}} end
local threads = {}
for i = 1, #scanned, 2 do threads[#threads + 1] = scanned[i] end
local rows = redis.call('HMGET', KEYS[2], unpack(threads))
local found = {}
for i, thread in ipairs(threads) do
  local changed = scanned[2 * i]
  if tonumber(changed) < tonumber(ARGV[5]) then return {now, 1, thread, changed, found} end
  local row = rows[i] or ''
  local format, length, status = string.match(row, '^%[(%d+),(%d+),"([%a_]+)"')
  if format ~= ARGV[1] or tonumber(length) ~= redis.call('LLEN', ARGV[8] .. thread) then row = '' end
  if row == '' or ARGV[2] == '' or string.find(ARGV[2], ' ' .. status .. ' ', 1, true) then
    found[#found + 1] = {thread, changed, row}
  end
  if #found == tonumber(ARGV[7]) then return {now, 0, thread, changed, found} end
end
return {now, #threads < tonumber(ARGV[6]) and 1 or 0, threads[#threads], scanned[#scanned], found}
"""
)


SET_ROW = Script(
    _WHOLE
    + """
-- KEYS log rows   ARGV thread length mark row
-- Sets the row that was computed from a log of this length, if it is still that log.
local length = tonumber(ARGV[2])
if redis.call('LLEN', KEYS[1]) == length and whole(KEYS[1], length, ARGV[3]) then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
end
"""
)


SET_NOTE = Script(
    """
-- KEYS notes   ARGV name text expected
-- It holds the text already if this runs a second time, because the reply to the first run was lost. It is written
-- again, so that there is something to confirm.
local known = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if known ~= ARGV[3] and known ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[2] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) end -- An empty note is one that is not set.
return 1
"""
)


SHELVE = Script(
    _NOW
    + """
-- KEYS order   ARGV name text expected kept_ms kept_max
-- Returns 0 if something else is there. Written again if the reply to a first run was lost, as by SET_NOTE.
local texts = string.match(KEYS[1], '^(.*):order$') .. ':text:'
local kept_ms, kept_max = tonumber(ARGV[4]), tonumber(ARGV[5])
local known = redis.call('GET', texts .. ARGV[1]) or ''
if known ~= ARGV[3] and known ~= ARGV[2] then return 0 end
redis.call('SET', texts .. ARGV[1], ARGV[2], 'PX', kept_ms)
redis.call('ZADD', KEYS[1], 'NX', now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], kept_ms)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - kept_ms)
local over = redis.call('ZCARD', KEYS[1]) - kept_max
if over > 0 then
  for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, over - 1)) do redis.call('DEL', texts .. name) end
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, over - 1)
end
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
