from __future__ import annotations

import pytest

from llmproxy.access.admission import Audience
from llmproxy.answer import Answer, Headers
from llmproxy.errors import ProxyError
from llmproxy.exchange import Exchange
from llmproxy.server.pages.page import Page
from tests.support.exchanges import new_exchange


async def write(exchange: Exchange) -> Answer:
    return Answer(status=200, headers=Headers(), body=exchange.method.encode())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_page_is_read_with_get_and_head(method: str) -> None:
    page = Page(template="/x", write=write, summary="Read x")
    assert (await page(new_exchange("/x", method=method))).body == method.encode()


async def test_another_method_is_refused_and_the_right_ones_are_named() -> None:
    page = Page(template="/x", write=write, summary="Change x", methods=("POST",))
    with pytest.raises(ProxyError, match=r"DELETE is not allowed at /x\. Use POST") as refused:
        await page(new_exchange("/x", method="DELETE"))
    assert refused.value.status == 405 and ("Allow", "POST") in refused.value.headers


def test_its_description_has_its_path_audience_and_one_operation() -> None:
    page = Page(template="/x", write=write, summary="Change x", methods=("POST",), audience=Audience.EVERYBODY)
    described = page.described("/v1/x")
    (operation,) = described.operations
    assert (described.path, described.audience) == ("/v1/x", Audience.EVERYBODY)
    assert (operation.method, operation.summary) == ("POST", "Change x")
