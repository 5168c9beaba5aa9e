from __future__ import annotations

import pytest
from pydantic import ValidationError

from llmproxy.answer import Answer, Headers
from llmproxy.client_request import Client
from llmproxy.exchange import Exchange
from llmproxy.middleware.base import Middleware


def exchange() -> Exchange:
    return Exchange(
        id="1",
        method="GET",
        full_path="/",
        path="/",
        query="",
        headers=Headers(),
        client=Client(address="127.0.0.1"),
        started_s=0.0,
        began_s=0.0,
    )


async def test_hooks_that_nobody_overrides_change_nothing() -> None:
    middleware, asked = Middleware(Middleware.Config()), exchange()
    answer = Answer(status=200, headers=Headers(), body=b"as it was")

    async def proceed(_: Exchange | None = None, /) -> Answer:
        return answer

    await middleware.start()
    assert await middleware.on_request(asked) is None
    assert await middleware.around(asked, proceed) is answer
    await middleware.on_response(asked, answer)
    middleware.on_chunk(asked, b"data")
    middleware.on_end(asked)
    await middleware.close()

    assert answer == Answer(status=200, headers=Headers(), body=b"as it was")
    assert asked == exchange()


def test_without_settings_any_key_is_refused() -> None:
    with pytest.raises(ValidationError):
        Middleware.Config.model_validate({"team": "blue"})


def test_a_config_cannot_be_changed_once_it_is_read() -> None:
    class Tag(Middleware):
        class Config(Middleware.Config):
            team: str = "red"

    config = Tag.Config(team="blue")
    with pytest.raises(ValidationError):
        config.team = "green"
    assert Tag(config).config is config
