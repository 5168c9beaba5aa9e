"""Targets that are out, in a Redis: the facet `BreakerStore`, one Lua script over one hash.

The time is the server's, so that replicas whose clocks differ agree. The fields of the hash are targets; their values
are the four numbers of `OutageRow`, times in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmproxy.stores.breakers import KEEP_S, BreakerStore, Outage, OutageRow
from llmproxy.stores.facet import StoreFault
from llmproxy.stores.redis_link import RedisLink, Script

# ARGV: what to do, the target, a number of milliseconds. Gives whether a probe may be made.
_CHANGE = Script(
    """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local n = {}
for word in string.gmatch(redis.call('HGET', KEYS[1], ARGV[2]) or '', '%S+') do n[#n + 1] = tonumber(word) end
local retry, recovery, probe, rest = n[1] or 0, n[2] or 0, n[3] or 0, n[4] or 0
local ms, result = tonumber(ARGV[3]), 1
if ARGV[1] == 'trip' then
  retry, recovery, probe = now + ms, ms, 0
elseif ARGV[1] == 'probe' then
  if recovery == 0 then return 1 end
  if now < retry or now < probe then return 0 end
  probe = now + ms
elseif ARGV[1] == 'reset' then
  retry, recovery, probe = 0, 0, 0
else
  rest = now + ms
end
if recovery == 0 and rest <= now then
  redis.call('HDEL', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], string.format('%.0f %.0f %.0f %.0f', retry, recovery, probe, rest))
  redis.call('PEXPIRE', KEYS[1], KEEP_MS)
end
return result
""".replace("KEEP_MS", str(int(KEEP_S * 1000)))
)

_READ = Script("""
local time = redis.call('TIME')
return {time[1] * 1000 + math.floor(time[2] / 1000), redis.call('HGETALL', KEYS[1])}
""")


class RedisBreakers(BreakerStore):
    """Targets below `namespace`."""

    def __init__(self, link: RedisLink, namespace: str) -> None:
        self._link = link
        self._key = f"{{{namespace}:breakers}}"

    async def trip(self, target: str, recovery_s: float) -> None:
        await self._change("trip", target, recovery_s)

    async def probe(self, target: str, lease_s: float) -> bool:
        return await self._change("probe", target, lease_s)

    async def reset(self, target: str) -> None:
        await self._change("reset", target, 0.0)

    async def rest(self, target: str, seconds: float) -> None:
        await self._change("rest", target, seconds)

    async def outages(self) -> Mapping[str, Outage]:
        match await self._link.run(_READ, self._key):
            case [int() as now_ms, list() as pairs]:
                rows = dict(zip(pairs[::2], pairs[1::2], strict=False))
                return {_name(target): _row(value).outage(now_ms / 1000) for target, value in rows.items()}
            case _:
                raise StoreFault("its answer about breakers cannot be understood")

    async def _change(self, change: str, target: str, seconds: float) -> bool:
        return bool(await self._link.run(_CHANGE, self._key, change, target, max(int(seconds * 1000), 0)) == 1)


def _name(target: object) -> str:
    return target.decode("utf-8", "replace") if isinstance(target, bytes) else str(target)


def _row(value: object) -> OutageRow:
    words = value.split() if isinstance(value, bytes) else []
    if len(words) != 4 or not all(word.isdigit() for word in words):
        return OutageRow()
    return OutageRow(*(int(word) / 1000 for word in words))
