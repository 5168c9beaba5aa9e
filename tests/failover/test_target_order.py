from __future__ import annotations

from dataclasses import replace

from llmproxy.route import Route
from tests.support.targets import Line, Moody, asked


async def test_a_target_of_weight_0_is_called_only_when_all_others_are_out() -> None:
    one, two, last = Moody("one"), Moody("two"), Moody("last")
    line = Line(last, one, two)
    targets = (replace(line.targets[0], weight=0), *line.targets[1:])
    line.route = Route(name="m", targets=targets)
    for _ in range(3):
        await line.ask()
    assert asked([last, one, two]) == [0, 3, 0]
    one.script = two.script = [500]
    assert (await line.ask()).headers["x-llmproxy-provider"] == "last"
