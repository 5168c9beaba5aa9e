"""Counters in a Redis: the facet `QuotaStore`, one Lua script that settles and takes.

The time is the server's, so that replicas whose clocks differ count alike. All keys begin with KEYS[1], a hash tag:
`:KEY` has the fields of a counter (base, sum, oldest, newest, warned, and its slots by their numbers), `:did:PROCESS:N`
says that a batch of settlements was applied. The arithmetic is that of `quota_counter.py`.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Sequence

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.quota_queue import Batch, Group, QueuedQuotas
from llmproxy.stores.quotas import SLOTS, Quota, Taken
from llmproxy.stores.redis_link import LONGEST_S, Argument, RedisLink, Script

_APPLIED_MS = 600_000
_NEVER = 1e300

# ARGV: the time or "", the batch or "", the number of settlements, for each: its quota, slot, taken, charged; then
# until the end for each group: the number of quotas, for each: its quota, limit, amount, whether it refuses, warn_at.
# A quota is: key, whether it is a total, seconds of its window, milliseconds to keep it or 0.
# Gives for each group: refused or -1, wait, settled, then for each quota: used, slot, whether it is over, whether to
# warn.
COUNT = Script(
    """
local base, now = KEYS[1], tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local function exact(number) return string.format('%.17g', number) end
local function name(slot) return string.format('%.0f', slot) end
local function names(first, last)
  local found = {}
  for slot = first, last do found[#found + 1] = name(slot) end
  return found
end
local function drop(c, first, last)
  local fields = names(first, last)
  for _, value in ipairs(redis.call('HMGET', c.at, unpack(fields))) do c.sum = c.sum - (tonumber(value or 0) or 0) end
  redis.call('HDEL', c.at, unpack(fields))
  c.changed = true
end
local known = {}
local function load(i)
  local key, window = ARGV[i], tonumber(ARGV[i + 2])
  local c = known[key]
  if c then return c end
  local at = base .. ':' .. key
  local f = redis.call('HMGET', at, 'base', 'sum', 'oldest', 'newest', 'warned')
  c = {at = at, base = tonumber(f[1] or 0) or 0, sum = tonumber(f[2] or 0) or 0, oldest = tonumber(f[3] or ''),
    newest = tonumber(f[4] or ''), warned = f[5], total = ARGV[i + 1] == '1', window = window,
    slot = math.floor(now * SLOTS / window), keep = ARGV[i + 3]}
  known[key] = c
  if c.oldest and c.newest then
    if c.newest > c.slot + 1 then
      local sum = c.sum
      drop(c, c.oldest, math.min(c.newest, c.oldest + SLOTS + 1))
      redis.call('HSET', at, name(c.slot), exact(sum))
      c.sum, c.oldest, c.newest = sum, c.slot, c.slot
    elseif c.newest < c.slot - SLOTS then
      drop(c, c.oldest, c.newest)
      c.sum, c.oldest, c.newest = 0, nil, nil
    elseif c.oldest < c.slot - SLOTS then
      drop(c, c.oldest, c.slot - SLOTS - 1)
      c.oldest = c.slot - SLOTS
    end
  end
  return c
end
local function add(c, amount)
  local slot = c.slot
  if c.newest and c.newest > slot then slot = c.newest end
  redis.call('HINCRBYFLOAT', c.at, name(slot), exact(amount))
  c.oldest, c.newest, c.sum, c.changed = c.oldest or slot, slot, c.sum + amount, true
  return slot
end

local i, settlements = 4, tonumber(ARGV[3])
if settlements > 0 and not redis.call('SET', base .. ':did:' .. ARGV[2], 1, 'NX', 'PX', APPLIED) then
  i, settlements = i + 7 * settlements, 0
end
for _ = 1, settlements do
  local c, slot, taken, charged = load(i), tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5]), tonumber(ARGV[i + 6])
  if c.total then
    c.base, c.changed = c.base + charged, true
    charged = 0
  end
  local before = c.newest and slot >= c.oldest and slot <= c.newest and redis.call('HGET', c.at, name(slot))
  if before then
    before = tonumber(before)
    local after = math.max(before + charged - taken, 0)
    redis.call('HSET', c.at, name(slot), exact(after))
    c.sum, c.changed = c.sum + after - before, true
  elseif charged > taken then
    add(c, charged - taken)
  end
  i = i + 7
end

local answer = {}
while i <= #ARGV do
  local quotas, first = tonumber(ARGV[i]), i + 1
  local refused, wait, settled, states = -1, 0, 0, {}
  for q = 0, quotas - 1 do
    local at = first + q * 8
    local c, limit, amount = load(at), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
    local used, over, warn = c.base + c.sum + amount, 0, 0
    if used > limit * 1.000000001 then
      if ARGV[at + 6] == '0' then
        over = 1
      else
        local missing, waiting = used - limit, NEVER
        if c.oldest then
          for n, value in ipairs(redis.call('HMGET', c.at, unpack(names(c.oldest, c.newest)))) do
            missing = missing - (tonumber(value or 0) or 0)
            if missing <= 1e-9 then
              waiting = (c.oldest + n + SLOTS) * c.window / SLOTS - now
              break
            end
          end
        end
        if refused < 0 or waiting > wait then refused, wait, settled = q, waiting, c.base end
      end
    end
    if not c.warned and c.base >= tonumber(ARGV[at + 7]) then
      c.warned, c.changed, warn = '1', true, 1
      redis.call('HSET', c.at, 'warned', 1)
    end
    states[q] = {used, c.slot, over, warn}
  end
  local result = {refused, exact(wait), exact(settled)}
  for q = 0, quotas - 1 do
    local at = first + q * 8
    local amount, state = tonumber(ARGV[at + 5]), states[q]
    if refused >= 0 then
      state[1] = state[1] - amount
    elseif amount > 0 then
      state[2] = add(load(at), amount)
    end
    result[#result + 1] = exact(state[1])
    result[#result + 1] = name(state[2])
    result[#result + 1] = state[3]
    result[#result + 1] = state[4]
  end
  answer[#answer + 1] = result
  i = first + quotas * 8
end

for _, c in pairs(known) do
  if c.changed then
    if c.oldest then
      redis.call('HSET', c.at, 'base', exact(c.base), 'sum', exact(c.sum), 'oldest', name(c.oldest),
        'newest', name(c.newest))
    else
      redis.call('HSET', c.at, 'base', exact(c.base), 'sum', 0)
      redis.call('HDEL', c.at, 'oldest', 'newest')
    end
    if c.keep == '0' then redis.call('PERSIST', c.at) else redis.call('PEXPIRE', c.at, c.keep) end
  end
end
return answer
""".replace("SLOTS", str(SLOTS))
    .replace("APPLIED", str(_APPLIED_MS))
    .replace("NEVER", repr(_NEVER))
)


class RedisQuotas(QueuedQuotas):
    """Counters below `namespace`. With a `clock` that counts in place of the server's."""

    def __init__(self, link: RedisLink, namespace: str, clock: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._link = link
        self._base = f"{{{namespace}:quotas}}"
        self._process = secrets.token_hex(8)
        self._clock = clock

    async def _send(self, batch: Batch | None, groups: Sequence[Group]) -> list[Taken]:
        now = "" if self._clock is None else repr(self._clock())
        arguments: list[Argument] = [now]
        if batch is None:
            arguments += ("", 0)
        else:
            arguments += (f"{self._process}:{batch.number}", len(batch.settlements))
            for each in batch.settlements:
                arguments += (*self._quota(each.quota), each.slot, repr(each.taken), repr(each.charged))
        for group in groups:
            arguments.append(len(group.quotas))
            for quota, amount in zip(group.quotas, group.amounts, strict=True):
                warn_at = min(quota.warn_at, _NEVER)
                more = (repr(quota.limit), repr(amount), int(quota.refuses), repr(warn_at))
                arguments += (*self._quota(quota), *more)
        answer = await self._link.run(COUNT, self._base, *arguments)
        if not isinstance(answer, list) or len(answer) != len(groups):
            raise _unexpected()
        return [_taken(each, len(group.quotas)) for each, group in zip(answer, groups, strict=True)]

    def _quota(self, quota: Quota) -> tuple[Argument, ...]:
        keep_s = quota.keep_s(time.time() if self._clock is None else self._clock())
        keep_ms = 0 if keep_s == math.inf else round(min(keep_s, LONGEST_S) * 1000)
        return quota.key, int(quota.kind == "total"), repr(quota.window_s), keep_ms


def _taken(answer: object, count: int) -> Taken:
    try:
        assert isinstance(answer, list)
        refused, wait_s, settled = int(answer[0]), float(answer[1]), float(answer[2])
        used, slots, over, warn = (answer[3 + at :: 4] for at in range(4))
        if len(warn) != count:
            raise ValueError(count)
        return Taken(
            used=[float(each) for each in used],
            slots=[int(each) for each in slots],
            refused=refused,
            wait_s=math.inf if wait_s >= _NEVER else wait_s,
            settled=settled,
            over=[index for index, each in enumerate(over) if each],
            warnings=[index for index, each in enumerate(warn) if each],
        )
    except (AssertionError, IndexError, TypeError, ValueError) as error:
        raise _unexpected() from error


def _unexpected() -> StoreFault:
    return StoreFault("its answer to a script makes no sense")
