from __future__ import annotations

import pytest

from llmproxy.access.admission import Admission
from llmproxy.access.exposure import Exposure
from llmproxy.client_request import Client
from llmproxy.errors import ProxyError
from llmproxy.providers.openai import OpenAI
from llmproxy.providers.stub import Stub
from llmproxy.target import Provider
from tests.support.exchanges import ended


def openai(**keys: str | None) -> OpenAI:
    defaults = {"name": "p", "type": "openai", "base_url": "http://h.test/v1", "api_key": None, "proxy": None}
    return OpenAI(OpenAI.Config.model_validate(defaults | keys))


STUB = Stub(Stub.Config.model_validate({"name": "stub", "type": "stub"}))
CLIENTS = openai()
OURS = openai(api_key="ours")
EITHER = openai(api_key="ours", auth="passthrough")


@pytest.mark.parametrize(
    ("providers", "verified"),
    [
        *(([CLIENTS], True), ([CLIENTS, EITHER], True), ([], False), ([OURS], False), ([STUB], False)),
        *(([CLIENTS, OURS], False), ([CLIENTS, STUB], False)),
    ],
)
def test_credentials_are_verified_where_every_provider_gets_them(providers: list[Provider], verified: bool) -> None:
    exchange = ended()
    Admission(providers).admit(exchange)
    assert exchange.client.credentials_verified is verified


def test_the_admin_key_lets_others_change_our_pages() -> None:
    admission = Admission((), Exposure(admin_key="secret"))
    exchange = ended(method="DELETE", own=True, client=Client(address="10.0.0.1"))
    with pytest.raises(ProxyError, match="admin_key"):
        admission.admit(exchange)
    exchange.headers["Authorization"] = "Bearer secret"
    admission.admit(exchange)


@pytest.mark.parametrize("own", [False, True])
def test_a_path_that_climbs_is_refused(own: bool) -> None:
    with pytest.raises(ProxyError) as caught:
        Admission().admit(ended(method="GET", full_path="/main/%2e%2e/x", own=own))
    assert (caught.value.status, caught.value.code) == (400, "invalid_path")
