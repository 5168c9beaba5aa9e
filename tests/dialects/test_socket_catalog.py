"""Which WebSockets are known, by path and query."""

from __future__ import annotations

import pytest

from llmproxy.dialects.socket_catalog import find_socket, is_http_path

LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


@pytest.mark.parametrize(
    ("path", "query", "found"),
    [
        ("/v1/realtime", "model=m", ("openai", "/v1/realtime", True)),
        ("/realtime", None, ("openai", "/v1/realtime", False)),
        ("/v1/realtime/translations", "model=m", ("openai", "/v1/realtime/{path}", True)),
        ("/v1/responses", "model=m", ("responses-websocket", "/v1/responses", False)),
        (LIVE, "key=k", ("gemini", "/ws/google.ai.generativelanguage.{id}", False)),
        (
            "/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent",
            None,
            ("gemini", "/ws/google.cloud.aiplatform.{id}/BidiGenerateContent", False),
        ),
        ("/v1/chat/completions", None, None),
    ],
)
def test_paths_of_websockets(path: str, query: str | None, found: tuple[str, str, bool] | None) -> None:
    endpoint = find_socket(path, query)
    assert (endpoint and (endpoint.capability, endpoint.template, endpoint.model)) == found


def test_paths_of_calls_over_http() -> None:
    assert is_http_path("/v1/chat/completions") and not is_http_path("/v1/nothing")
