from __future__ import annotations

import pytest

from llmproxy.errors import BadRequest
from llmproxy.exchange import Exchange
from llmproxy.route import Route
from llmproxy.routing.conditions import fitting
from llmproxy.target import Condition, Target
from tests.support.exchanges import NamedProvider, new_exchange

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def request(
    *headers: tuple[str, str], client: str | None = None, content: object = "hi", **members: object
) -> Exchange:
    body = {"model": "m", "messages": [{"role": "user", "content": content}], **members}
    return new_exchange("/v1/chat/completions", *headers, body=body, client=client)


async def taken(when: Condition, exchange: Exchange) -> bool:
    targets = (
        Target(provider=NamedProvider("one"), when=when),
        Target(provider=NamedProvider("other")),
    )
    return [each.provider.name for each in await fitting(Route(name="m", targets=targets), exchange)] == [
        "one",
        "other",
    ]


@pytest.mark.parametrize(
    ("when", "fits", "does_not"),
    [
        (Condition(headers=(("X-Tier", "gold*"),)), request(("x-tier", "golden")), request(("x-tier", "tin"))),
        (Condition(headers=(("X-Tier", "*"),)), request(("x-tier", "")), request()),
        (Condition(keys=("ci", "team-*")), request(client="team-a"), request(client="b")),
        (Condition(keys=("*",)), request(client="b"), request(client=None)),
        (Condition(max_tokens=50), request(), request(content="x" * 400)),
        (Condition(min_tokens=50), request(content="x" * 400), request()),
        (Condition(has_images=True), request(content=[IMAGE]), request()),
        (Condition(has_images=False), request(), request(content=[IMAGE])),
        (Condition(has_tools=True), request(tools=[TOOL]), request()),
        (Condition(has_tools=False, max_tokens=500), request(), request(tools=[TOOL])),
    ],
)
async def test_a_target_takes_what_fits_its_condition(when: Condition, fits: Exchange, does_not: Exchange) -> None:
    if when.keys == ("*",):
        assert await taken(when, fits) and await taken(when, does_not)
        return
    assert await taken(when, fits) and not await taken(when, does_not)


async def test_images_in_results_of_tools_and_large_bodies_are_seen() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 100_000}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    messages = [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    exchange = new_exchange("/v1/messages", body={"model": "m", "max_tokens": 1, "messages": messages})
    assert await taken(Condition(has_images=True), exchange)


async def test_what_cannot_be_read_holds_nothing() -> None:
    assert not await taken(Condition(has_images=True), new_exchange(body=b"not json"))
    assert await taken(Condition(has_tools=False), new_exchange("/v1/files", body=b"x"))


async def test_a_request_that_no_target_takes_is_refused() -> None:
    route = Route(name="m", targets=(Target(provider=NamedProvider("one"), when=Condition(min_tokens=10_000)),))
    with pytest.raises(BadRequest, match="No target of the model 'm' takes this request"):
        await fitting(route, request())
