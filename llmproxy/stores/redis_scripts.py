"""What is done with sessions in Redis, one Lua script for each operation, so that it happens at once or not at all.

All keys begin with KEYS[1], a hash tag, so that a cluster keeps them on one server:
`:used` and `:of:TENANT` sort names of sessions by their last use, `:is:NAME` has a session's fields, `:by:NAME` the
list of its keys, `:key:TENANT:KEY` a name. Each has a time to live of twice the sessions' own, renewed by visits, that
of a session's parts every half ttl only. Numbers come as text with all digits; times are seconds.
"""

from __future__ import annotations

from llmproxy.stores.redis_link import Script
from llmproxy.stores.sessions import MAX_KEYS, MAX_MODELS, RECENT, SKETCH_BYTES

FEW = 32  # so many sessions end with one visit at most

_BEGIN = """
local base, now, ttl = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local used, over = base .. ':used', now - ttl
local function exact(number) return string.format('%.17g', number) end
local function key_of(tenant, key) return base .. ':key:' .. #tenant .. ':' .. tenant .. ':' .. key end
local function lives(name)
  local seen = redis.call('ZSCORE', used, name)
  return seen and tonumber(seen) > over and redis.call('EXISTS', base .. ':is:' .. name) == 1
end
"""

_CHANGE = """
local ms = string.format('%d', math.max(1, math.floor(ttl * 2000)))
local function finish(name)
  local is, by = base .. ':is:' .. name, base .. ':by:' .. name
  local tenant = redis.call('HGET', is, 'tenant')
  if tenant then
    for _, key in ipairs(redis.call('LRANGE', by, 0, -1)) do
      local at = key_of(tenant, key)
      if redis.call('GET', at) == name then redis.call('DEL', at) end
    end
    redis.call('ZREM', base .. ':of:' .. tenant, name)
  end
  redis.call('DEL', is, by)
  redis.call('ZREM', used, name)
end
local function learn(name, tenant, first, last)
  local by = base .. ':by:' .. name
  for i = first, last do
    local key = ARGV[i]
    local at = key_of(tenant, key)
    local before = redis.call('GET', at)
    if before ~= name then
      if before then redis.call('LREM', base .. ':by:' .. before, 0, key) end
      redis.call('SET', at, name, 'PX', ms)
      if redis.call('RPUSH', by, key) > MAX_KEYS then
        redis.call('DEL', key_of(tenant, redis.call('LPOP', by)))
      end
      redis.call('PEXPIRE', by, ms)
    end
  end
end
""".replace("MAX_KEYS", str(MAX_KEYS))

# ARGV: now, ttl, most sessions, tenant, client, "=" and the session or "", number of keys, keys, keys to learn.
# Gives: the session or false, the place or -1, whether it was created, how many expired, how many were evicted.
TOUCH = Script(
    _BEGIN
    + _CHANGE
    + """
local most, tenant, client, session, keys = tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local expired, evicted, place, created, name = 0, 0, -1, 0, nil
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', used, '-inf', exact(over), 'LIMIT', 0, FEW)) do
  finish(gone)
  expired = expired + 1
end
for i = 1, keys do
  local found = redis.call('GET', key_of(tenant, ARGV[7 + i]))
  if found and lives(found) then
    place, name = i - 1, found
    break
  end
end
if not name then
  if session == '' then return {false, -1, 0, expired, evicted} end
  name = string.sub(session, 2)
  while lives(name) and redis.call('HGET', base .. ':is:' .. name, 'tenant') ~= tenant do
    name = name .. '~' .. string.sub(tenant, 1, 8)
  end
  if not lives(name) then
    if redis.call('ZSCORE', used, name) then
      finish(name)
      expired = expired + 1
    end
    local more = math.min(redis.call('ZCARD', used) + 1 - most, FEW)
    if more > 0 then
      for _, gone in ipairs(redis.call('ZRANGE', used, 0, more - 1)) do
        finish(gone)
        evicted = evicted + 1
      end
    end
    redis.call('DEL', base .. ':by:' .. name)
    redis.call('HSET', base .. ':is:' .. name, 'tenant', tenant, 'client', client, 'started', ARGV[1], 'requests', 0,
      'errors', 0, 'input', 0, 'output', 0, 'models', '', 'sketch', '', 'kept', ARGV[1])
    redis.call('PEXPIRE', base .. ':is:' .. name, ms)
    created = 1
  end
end
local is, by, of = base .. ':is:' .. name, base .. ':by:' .. name, base .. ':of:' .. tenant
local seen = exact(math.max(now, tonumber(redis.call('ZSCORE', used, name) or 0)))
redis.call('ZADD', used, seen, name)
redis.call('ZADD', of, seen, name)
redis.call('PEXPIRE', used, ms)
redis.call('PEXPIRE', of, ms)
learn(name, tenant, 8 + keys, #ARGV)
if now - tonumber(redis.call('HGET', is, 'kept') or 0) >= ttl / 2 then
  redis.call('HSET', is, 'kept', ARGV[1])
  redis.call('PEXPIRE', is, ms)
  redis.call('PEXPIRE', by, ms)
  for _, key in ipairs(redis.call('LRANGE', by, 0, -1)) do redis.call('PEXPIRE', key_of(tenant, key), ms) end
end
return {name, place, created, expired, evicted}
""".replace("FEW", str(FEW))
)

# ARGV: now, ttl, then for each outcome: session, tenant, errors, model, input, output, cached, cost, 1 where that is
# unknown, sketch, number of keys, keys.
SETTLE = Script(
    _BEGIN
    + _CHANGE
    + """
local i = 3
while i <= #ARGV do
  local name, tenant, model, sketch, keys = ARGV[i], ARGV[i + 1], ARGV[i + 3], ARGV[i + 9], tonumber(ARGV[i + 10])
  local is = base .. ':is:' .. name
  if lives(name) and redis.call('HGET', is, 'tenant') == tenant then
    redis.call('HINCRBY', is, 'requests', 1)
    redis.call('HINCRBY', is, 'errors', ARGV[i + 2])
    redis.call('HINCRBY', is, 'input', ARGV[i + 4])
    redis.call('HINCRBY', is, 'output', ARGV[i + 5])
    redis.call('HINCRBY', is, 'cached', ARGV[i + 6])
    redis.call('HINCRBYFLOAT', is, 'cost', ARGV[i + 7])
    redis.call('HINCRBY', is, 'unpriced', ARGV[i + 8])
    local kept = redis.call('HMGET', is, 'models', 'sketch')
    local models, count = '\\0' .. (kept[1] or ''), select(2, string.gsub(kept[1] or '', '%z', ''))
    if model ~= '' and count < MAX_MODELS and not string.find(models, '\\0' .. model .. '\\0', 1, true) then
      redis.call('HSET', is, 'models', (kept[1] or '') .. model .. '\\0')
    end
    if sketch ~= '' then redis.call('HSET', is, 'sketch', string.sub((kept[2] or '') .. sketch, -SKETCH_BYTES)) end
    learn(name, tenant, i + 11, i + 10 + keys)
  end
  i = i + 11 + keys
end
return 1
""".replace("MAX_MODELS", str(MAX_MODELS)).replace("SKETCH_BYTES", str(SKETCH_BYTES))
)

# ARGV: now, ttl, tenant. Gives names and sketches in turn.
RECENT_OF = Script(
    _BEGIN
    + """
local found = {}
local names = redis.call('ZREVRANGEBYSCORE', base .. ':of:' .. ARGV[3], '+inf', '(' .. exact(over), 'LIMIT', 0, RECENT)
for _, name in ipairs(names) do
  local sketch = redis.call('HGET', base .. ':is:' .. name, 'sketch')
  if sketch then
    found[#found + 1] = name
    found[#found + 1] = sketch
  end
end
return found
""".replace("RECENT", str(RECENT))
)

_DESCRIBE = """
local function describe(name)
  local seen = redis.call('ZSCORE', used, name)
  local fields = redis.call('HMGET', base .. ':is:' .. name, 'client', 'started', 'requests', 'errors',
    'input', 'output', 'models', 'cost', 'unpriced', 'cached')
  for i = 8, 10 do fields[i] = fields[i] or '0' end
  return {name, seen, unpack(fields)}
end
"""

# ARGV: now, ttl, name. Gives a list of one session, or of none.
ONE = Script(
    _BEGIN
    + _DESCRIBE
    + """
if lives(ARGV[3]) then return {describe(ARGV[3])} end
return {}
"""
)

# ARGV: now, ttl, limit. Gives a list of sessions.
LAST_USED = Script(
    _BEGIN
    + _DESCRIBE
    + """
local found = {}
for _, name in ipairs(redis.call('ZREVRANGEBYSCORE', used, '+inf', '(' .. exact(over), 'LIMIT', 0, ARGV[3])) do
  if lives(name) then found[#found + 1] = describe(name) end
end
return found
"""
)

# ARGV: now, ttl. Gives how many live.
ACTIVE = Script(_BEGIN + "return redis.call('ZCOUNT', used, '(' .. exact(over), '+inf')\n")
