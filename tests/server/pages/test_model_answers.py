from __future__ import annotations

import pytest

from llmproxy.errors import ProxyError
from tests.server.pages.test_admin import admin_of, answered, asking, shown
from tests.server.pages.test_models import Upstreams


async def test_models_are_listed_in_the_shape_of_chat_unless_the_client_speaks_messages() -> None:
    chat = await shown(admin_of(), "/v1/models")
    messages = await shown(admin_of(), "/v1/models?limit=1", anthropic_version="2023-06-01")

    assert (chat["object"], [each["id"] for each in chat["data"]]) == ("list", ["gpt-4o", "o/p"])
    assert (messages["has_more"], messages["last_id"], messages["data"][0]["type"]) == (True, "gpt-4o", "model")


@pytest.mark.parametrize("path", ["/v1/models/o/p", "/v1/models/o%2Fp", "/models/openai/o/p"])
async def test_one_model_is_found_with_slashes_in_its_name_as_they_are_or_encoded(path: str) -> None:
    model = await shown(admin_of(), path)

    assert (model["id"].removeprefix("openai/"), model["object"]) == ("o/p", "model")


@pytest.mark.parametrize(("header", "dialect"), [("anthropic_version", "messages"), ("x_other", None)])
async def test_an_unknown_model_is_a_404_that_is_written_in_the_clients_dialect(
    header: str, dialect: str | None
) -> None:
    exchange = asking("/v1/models/nobody", **{header: "1"})

    with pytest.raises(ProxyError) as caught:
        await answered(admin_of(), exchange)

    assert caught.value.status == 404
    assert (exchange.endpoint.dialect.name if exchange.endpoint else None) == dialect


async def test_nothing_of_a_client_reaches_a_provider_that_has_a_key() -> None:
    upstreams = Upstreams(openai=["gpt-4o"])

    await shown(admin_of(upstreams=upstreams), "/v1/models", Cookie="a=b", Authorization="Bearer dummy")

    assert [dict(request.headers) for request in upstreams.requests] == [{"Authorization": "ours"}]
