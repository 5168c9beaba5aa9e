from __future__ import annotations

import pytest

from llmproxy.answer import Answer, Headers
from llmproxy.providers.google_uploads import with_uploads_here
from tests.support.exchanges import new_exchange

ROOT = "https://google.example/gateway"


async def unchanged(answer: Answer) -> Answer:
    return answer


@pytest.mark.parametrize(
    ("headers", "tls", "own"),
    [
        ((("Host", "proxy:3000"),), False, "http://proxy:3000"),
        ((("Host", "proxy"),), True, "https://proxy"),
        ((("Host", "proxy"), ("X-Forwarded-Proto", "HTTPS")), False, "https://proxy"),
        ((("Host", "proxy"), ("X-Forwarded-Proto", "javascript")), False, "http://proxy"),
    ],
)
async def test_the_address_of_an_upload_becomes_one_here(
    headers: tuple[tuple[str, str], ...], tls: bool, own: str
) -> None:
    exchange = new_exchange("/upload/v1beta/files", *headers)
    exchange.client.tls = tls
    theirs = {"X-Goog-Upload-URL": f"{ROOT}/upload/v1beta/files?upload_id=7", "X-Goog-Upload-Control-URL": "http://x/"}
    answer = await with_uploads_here(unchanged, exchange, ROOT, "gem")(Answer(status=200, headers=Headers(theirs)))
    assert answer.headers["X-Goog-Upload-URL"] == f"{own}/gem/upload/v1beta/files?upload_id=7"
    assert answer.headers["X-Goog-Upload-Control-URL"] == "http://x/", "it is of another server"
