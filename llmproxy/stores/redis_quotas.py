"""Counters in a Redis: the facet `QuotaStore`, one Lua script that settles and takes.

The time is the server's, so that replicas whose clocks differ count alike. All keys begin with KEYS[1], a hash tag:
`:KEY` has the fields of a counter (base, sum, oldest, newest, warned, and its slots by their numbers), `:did:PROCESS:N`
says that a batch of settlements was applied. The arithmetic is that of `quota_counter.py`. A value there that is no
counter is replaced: an error would keep all counters of the call from counting, and its settlements come again with
every later call.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Sequence

import msgspec

from llmproxy.stores.facet import StoreFault
from llmproxy.stores.quota_queue import Batch, Group, QueuedQuotas
from llmproxy.stores.quotas import SLOTS, Quota, Taken
from llmproxy.stores.redis_link import LONGEST_S, RedisLink, Script

_APPLIED_MS = 600_000
_READ = msgspec.msgpack.Decoder(list[list[float]])

# ARGV: one value in MessagePack, since packing and parsing hundreds of arguments costs the client more than all else:
# the time or -1; the batch or ""; for each settlement: its quota, slot, taken, charged; for each group, for each of its
# quotas: the quota, limit, amount, whether it refuses, warn_at. A quota is: key, whether it is a total, seconds of its
# window, milliseconds to keep it or 0.
# Gives in the same form for each group: refused or -1, wait, settled, then for each quota: used, slot, whether it is
# over, whether to warn.
COUNT = Script(
    """
local base = KEYS[1]
local now, batch, settlements, groups = unpack(cmsgpack.unpack(ARGV[1]))
if now < 0 then
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
local function load(quota)
  local key, window = quota[1], quota[3]
  local c = known[key]
  if c then return c end
  local at = base .. ':' .. key
  local f = redis.pcall('HMGET', at, 'base', 'sum', 'oldest', 'newest', 'warned')
  if f.err then
    redis.call('DEL', at)
    f = {}
  end
  c = {at = at, base = tonumber(f[1] or 0) or 0, sum = tonumber(f[2] or 0) or 0, oldest = tonumber(f[3] or ''),
    newest = tonumber(f[4] or ''), warned = f[5], total = quota[2], window = window,
    slot = math.floor(now * SLOTS / window), keep = quota[4]}
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
  local added = redis.pcall('HINCRBYFLOAT', c.at, name(slot), exact(amount))
  if type(added) == 'table' and added.err then redis.call('HSET', c.at, name(slot), exact(amount)) end
  c.oldest, c.newest, c.sum, c.changed = c.oldest or slot, slot, c.sum + amount, true
  return slot
end

if #settlements > 0 and not redis.call('SET', base .. ':did:' .. batch, 1, 'NX', 'PX', APPLIED) then
  settlements = {}
end
for _, each in ipairs(settlements) do
  local c, slot, taken, charged = load(each[1]), each[2], each[3], each[4]
  if c.total then
    c.base, c.changed = c.base + charged, true
    charged = 0
  end
  local before = c.newest and slot >= c.oldest and slot <= c.newest and redis.call('HGET', c.at, name(slot))
  if before then
    before = tonumber(before) or 0
    local after = math.max(before + charged - taken, 0)
    redis.call('HSET', c.at, name(slot), exact(after))
    c.sum, c.changed = c.sum + after - before, true
  elseif charged > taken then
    add(c, charged - taken)
  end
end

local answer = {}
for _, group in ipairs(groups) do
  local refused, wait, settled, states = -1, 0, 0, {}
  for q, each in ipairs(group) do
    local c, limit, amount = load(each[1]), each[2], each[3]
    local used, over, warn = c.base + c.sum + amount, 0, 0
    if used > limit * 1.000000001 then
      if not each[4] then
        over = 1
      else
        local missing, waiting = used - limit, math.huge
        if c.oldest then
          for n, value in ipairs(redis.call('HMGET', c.at, unpack(names(c.oldest, c.newest)))) do
            missing = missing - (tonumber(value or 0) or 0)
            if missing <= 1e-9 then
              waiting = (c.oldest + n + SLOTS) * c.window / SLOTS - now
              break
            end
          end
        end
        if refused < 0 or waiting > wait then refused, wait, settled = q - 1, waiting, c.base end
      end
    end
    if not c.warned and c.base >= each[5] then
      c.warned, c.changed, warn = '1', true, 1
      redis.call('HSET', c.at, 'warned', 1)
    end
    states[q] = {used, c.slot, over, warn}
  end
  local result = {refused, wait, settled}
  for q, each in ipairs(group) do
    local amount, state = each[3], states[q]
    if refused >= 0 then
      state[1] = state[1] - amount
    elseif amount > 0 then
      state[2] = add(load(each[1]), amount)
    end
    for _, value in ipairs(state) do result[#result + 1] = value end
  end
  answer[#answer + 1] = result
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
    if c.keep == 0 then redis.call('PERSIST', c.at) else redis.call('PEXPIRE', c.at, name(c.keep)) end
  end
end
return cmsgpack.pack(answer)
""".replace("SLOTS", str(SLOTS)).replace("APPLIED", str(_APPLIED_MS))
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
        now_s = -1.0 if self._clock is None else self._clock()
        value = (
            now_s,
            "" if batch is None else f"{self._process}:{batch.number}",
            [(self._quota(each.quota), each.slot, each.taken, each.charged) for each in batch.settlements]
            if batch is not None
            else [],
            [
                [
                    (self._quota(quota), quota.limit, amount, quota.refuses, quota.warn_at)
                    for quota, amount in zip(group.quotas, group.amounts, strict=True)
                ]
                for group in groups
            ],
        )
        answer = await self._link.run(COUNT, self._base, msgspec.msgpack.encode(value))
        try:
            results = _READ.decode(answer)
        except (msgspec.MsgspecError, TypeError) as error:
            raise _unexpected() from error
        if len(results) != len(groups):
            raise _unexpected()
        return [_taken(each, len(group.quotas)) for each, group in zip(results, groups, strict=True)]

    def _quota(self, quota: Quota) -> tuple[str, bool, float, int]:
        keep_s = quota.keep_s(time.time() if self._clock is None else self._clock())
        keep_ms = 0 if keep_s == math.inf else round(min(keep_s, LONGEST_S) * 1000)
        return quota.key, quota.kind == "total", quota.window_s, keep_ms


def _taken(result: list[float], count: int) -> Taken:
    if len(result) != 3 + 4 * count:
        raise _unexpected()
    over, warn = result[5::4], result[6::4]
    return Taken(
        used=result[3::4],
        slots=[int(each) for each in result[4::4]],
        refused=int(result[0]),
        wait_s=result[1],
        settled=result[2],
        over=[index for index, each in enumerate(over) if each] if any(over) else (),
        warnings=[index for index, each in enumerate(warn) if each] if any(warn) else (),
    )


def _unexpected() -> StoreFault:
    return StoreFault("its answer to a script cannot be understood")
