"""A response from the cache can be continued, also when the proxy that made it is gone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import openai
import pytest

from tests.support.program import Program
from tests.support.provider import Upstream


@pytest.mark.ledger("K1")
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_response_from_the_disk_is_continued(tmp_path: Path, upstream: Upstream, stream: bool) -> None:
    config = f"""
providers:
  - {{name: on-chat, type: openai-compatible, base_url: "{upstream.url}/v1", dialects: [chat]}}
middlewares:
  - {{type: cache, config: {{store: disk, path: ./cache.sqlite}}}}
"""

    def first(client: openai.OpenAI) -> str:
        asked = client.responses.with_raw_response.create(
            model="on-chat/claude-test", input="one", temperature=0, extra_body={"stream": stream}
        )
        seen.append(asked.headers["x-cache"])
        found = re.search(r'"id": ?"(resp_[^"]+)"', asked.text)
        assert found
        return found[1]

    seen: list[str] = []
    for _ in range(2):
        with (
            Program(tmp_path, "serve", config=config) as program,
            openai.OpenAI(base_url=f"{program.url}/v1", api_key="dummy", max_retries=0) as client,
        ):
            name = first(client)
            client.responses.create(model="on-chat/claude-test", input="two", previous_response_id=name)
            assert client.responses.retrieve(name).id == name
    assert seen == ["miss", "hit"]
    messages = json.loads(upstream.requests[-1].body)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
