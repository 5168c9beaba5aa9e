"""The switch of google-genai, as the SDK itself reads it."""

from __future__ import annotations

import pytest
from google import genai

from llmproxy.providers.service import VERTEX_SWITCHES, switched_to_vertex, takes_all


@pytest.mark.parametrize("enterprise", ["", "1", "false"])
@pytest.mark.parametrize("vertexai", ["", "True", "0", "yes"])
def test_the_switch_is_read_as_the_sdk_reads_it(
    enterprise: str, vertexai: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = dict(zip(VERTEX_SWITCHES, (enterprise, vertexai), strict=True))
    for name, value in values.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    with pytest.MonkeyPatch.context() as quiet:
        quiet.setattr("warnings.warn", lambda *_: None)
        client = genai.Client(api_key="k")
    assert switched_to_vertex(values.__getitem__) is bool(client.vertexai)
    client.close()


def test_other_services_take_every_variable() -> None:
    assert takes_all("ANY", str)
