from __future__ import annotations

import pytest

from llmproxy.errors import UpstreamError
from llmproxy.target_health import BreakerSettings
from tests.support.targets import USED_UP, Line, Moody, asked, reply


async def test_a_dead_target_gets_one_probe_in_each_recovery_time() -> None:
    dead = Moody("dead", 500)
    line = Line(dead, Moody("well"), breaker=BreakerSettings(failures=5, recovery_s=30.0, max_recovery_s=60.0))
    for _ in range(600):  # five minutes, two requests a second
        assert (await line.ask()).status == 200
        line.now_s += 0.5
    assert len(dead.asked) == 5 + 5  # after 30, 90, 150, 210 and 270 seconds
    dead.script = [200]
    line.now_s += 60
    await line.ask()
    assert line.health.out == 0


async def test_a_target_with_nothing_left_is_skipped_until_its_reset() -> None:
    one, two = Moody("one", reply(200, *USED_UP)), Moody("two")
    line = Line(one, two)
    await line.ask()
    await line.ask()
    assert asked([one, two]) == [1, 1] and line.health.out == 0
    line.now_s += 4.0
    await line.ask()
    assert asked([one, two]) == [2, 1]


@pytest.mark.parametrize(
    "headers",
    [
        (("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-reset-requests", "4s")),
        (("x-ratelimit-remaining-requests", "0"),),
        (("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1000000000000")),
        (
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2026-99-99T00:00:00Z"),
        ),
    ],
)
async def test_what_is_unknown_or_broken_keeps_no_target_out(headers: tuple[tuple[str, str], ...]) -> None:
    one, two = Moody("one", reply(200, *headers)), Moody("two")
    line = Line(one, two)
    await line.ask()
    await line.ask()
    assert asked([one, two]) == [2, 0]


async def test_no_header_keeps_a_target_out_for_longer_than_ten_minutes() -> None:
    late = (("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "999999999999s"))
    one, two = Moody("one", reply(200, *late)), Moody("two")
    line = Line(one, two)
    await line.ask()
    line.now_s += 599
    await line.ask()
    assert asked([one, two]) == [1, 1]
    line.now_s += 1
    await line.ask()
    assert asked([one, two]) == [2, 1]


async def test_a_target_at_its_limit_is_well_and_others_answer_until_it_is_back() -> None:
    one, two = Moody("one", reply(429, ("Retry-After", "20")), 200), Moody("two")
    line = Line(one, two, breaker=BreakerSettings(failures=1))
    assert [(await line.ask()).status for _ in range(3)] == [200] * 3
    assert asked([one, two]) == [1, 3] and line.health.out == 0 and line.waits == []


async def test_limits_of_clients_own_keys_keep_no_target_out() -> None:
    one = Moody("one", reply(429, ("Retry-After", "20"), *USED_UP))
    one.forwards_credentials = True
    line = Line(one, Moody("two"))
    await line.ask()
    await line.ask()
    assert len(one.asked) == 2


async def test_a_client_in_a_hurry_takes_no_target_from_others() -> None:
    line = Line(Moody("one", "hang"), breaker=BreakerSettings(failures=1))
    with pytest.raises(UpstreamError):
        await line.ask(line.exchange(("x-llmproxy-timeout", "0.001")))
    assert line.health.out == 0
