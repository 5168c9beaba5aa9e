from __future__ import annotations

from llmproxy.call import Call
from llmproxy.target import Target
from llmproxy.target_health import BreakerSettings, TargetHealth
from tests.support.exchanges import NamedProvider


def test_a_call_counts_as_under_way_until_it_ends_once() -> None:
    health = TargetHealth("p", None, BreakerSettings())
    health.running = 1
    call = Call(target=Target(provider=NamedProvider("p"), health=health), model="m", running=True)
    call.end_running()
    call.end_running()
    assert health.running == 0 and not call.running
