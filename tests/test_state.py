from __future__ import annotations

import socket

import pytest

from llmproxy.config.load import Loaded, load_from_python
from llmproxy.state import State
from llmproxy.workers.order import Order
from llmproxy.workers.parent_link import ParentLink


def configured(**more: object) -> Loaded:
    return load_from_python({"providers": [{"name": "s", "type": "stub"}], **more}, {}, environ={})


async def test_a_worker_has_its_share_of_a_limit_and_a_server_alone_has_all() -> None:
    order = Order(number=2, count=3, pid=7, started_s=12.5, source=configured, dotenv={}, path=[])
    ends = [socket.socket() for _ in range(2)]
    one_of_three, alone = State(1, ParentLink(order, *ends)), State(1)
    assert (one_of_three.share(10), alone.share(10)) == (4, 10)
    assert one_of_three.started_s == 12.5 != alone.started_s
    for each in ends:
        each.close()
    await one_of_three.close()
    await alone.close()


@pytest.mark.parametrize(
    ("changed", "kept"),
    [({"server": {"port": 1}}, True), ({"prices": {"gpt-x": {"input": 1, "output": 2}}}, False)],
)
async def test_prices_are_kept_until_their_settings_change(changed: dict[str, object], kept: bool) -> None:
    state = State(1)
    prices = state.prices(configured().checked())
    assert (state.prices(configured(**changed).checked()) is prices) is kept
    await state.close()


async def test_before_it_serves_it_has_no_components_and_does_not_stop() -> None:
    state = State(1)
    assert (state.components, state.stopping) == ((), False)
    await state.close()
