"""Multipart forms: read as far as the field that names the model, renamed in place, the rest passes through."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader

from llmproxy.access.permission import permitted_route
from llmproxy.body import FormBody, StreamedForm
from llmproxy.client_key import ClientKey
from llmproxy.errors import BadRequest, ProxyError
from llmproxy.exchange import Exchange, MemoryBudget
from llmproxy.route import Route
from llmproxy.server.request_body import read_body
from llmproxy.target import Target
from tests.support.exchanges import NamedProvider, new_exchange
from tests.support.proxy import limited

SPEECH = "/v1/audio/transcriptions"
TYPE = "multipart/form-data; boundary=b"
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n%b\r\n'
MODEL = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nvoice\r\n'
END = b"--b--\r\n"
SMALL = MODEL + FILE % b"\x00\xff" + END
MOST_BYTES = 4 * 1024 * 1024
LARGE_FILE = FILE % (b"\x00" * 2 * 1024 * 1024)
RESTRICTED = ClientKey(id="a", name="a", tenant="a", models=("voice*",))


class Arriving(StreamReader):
    """A body of which each read gives one piece."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(BaseProtocol(loop), 1 << 16, loop=loop)
        self.pieces = list(pieces)

    async def readany(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def at_eof(self) -> bool:
        return not self.pieces


async def form(
    *pieces: bytes,
    length: int | None = None,
    content_type: str = TYPE,
    routed: bool = True,
    key: ClientKey | None = None,
    path: str = SPEECH,
) -> tuple[Exchange, Arriving, MemoryBudget]:
    """Read a form that comes in `pieces`."""
    exchange = new_exchange(path, ("Content-Type", content_type))
    exchange.client.key = key
    if length is not None:
        exchange.headers["Content-Length"] = str(length)
    payload, budget = Arriving(pieces), MemoryBudget(1 << 24)
    await read_body(exchange, payload, limited(max_body_size=MOST_BYTES), budget, lambda: None, routed=routed)
    return exchange, payload, budget


async def rest(exchange: Exchange) -> bytes:
    assert isinstance(exchange.body, StreamedForm)
    parts = []
    while data := await exchange.body.stream.read():
        parts.append(data)
    return b"".join(parts)


@pytest.mark.parametrize("raw", [SMALL, FILE % b"x" + MODEL + END], ids=["model first", "file first"])
async def test_a_small_form_is_held_and_its_model_read_and_renamed(raw: bytes) -> None:
    exchange, _, _ = await form(raw, length=len(raw))
    assert isinstance(exchange.body, FormBody) and exchange.model == "voice" and exchange.body.raw == raw
    exchange.write_model("whisper-1")
    assert exchange.body.raw == raw.replace(b"voice", b"whisper-1")
    exchange.write_model("v")
    assert exchange.body.raw == raw.replace(b"voice", b"v")
    copy = exchange.body.copy()
    copy.rename_model("w")
    assert (copy.model, exchange.body.model) == ("w", "v")
    exchange.body.require_object()
    assert not exchange.body.members and not exchange.body.content


async def test_of_a_large_form_only_the_beginning_is_held_until_the_model_is_there() -> None:
    length = 500 * 1024 * 1024
    exchange, payload, budget = await form(MODEL, FILE[:40], b"more", length=length)
    assert isinstance(exchange.body, StreamedForm) and exchange.model == "voice"
    assert budget.used_bytes <= len(MODEL) + 40 and payload.pieces
    exchange.write_model("whisper-1")
    assert exchange.body.length == length + len("whisper-1") - len("voice")
    assert await rest(exchange) == MODEL.replace(b"voice", b"whisper-1") + FILE[:40] + b"more"
    assert exchange.body.model is None, "nothing of it is left"
    exchange.body.stream.close()


async def test_the_model_is_renamed_beneath_who_watches_the_stream() -> None:
    exchange, _, _ = await form(MODEL, FILE[:40], LARGE_FILE)
    assert isinstance(exchange.body, StreamedForm)
    watched, seen = exchange.body.stream, b""

    class Watching:
        async def read(self) -> bytes:
            nonlocal seen
            data = await watched.read()
            seen += data
            return data

        def close(self) -> None:
            watched.close()

    exchange.body.stream = Watching()
    exchange.write_model("whisper-1")
    assert await rest(exchange) == seen and b"whisper-1" in seen


async def test_a_model_behind_a_file_is_found_as_far_as_bodies_may_be_held() -> None:
    exchange, _, _ = await form(LARGE_FILE, MODEL + END, length=len(LARGE_FILE) + len(MODEL + END))
    assert exchange.model == "voice"
    exchange, _, budget = await form(LARGE_FILE, LARGE_FILE, LARGE_FILE, MODEL + END)
    assert exchange.model is None and budget.used_bytes < 2 * MOST_BYTES
    assert await rest(exchange) == LARGE_FILE * 3 + MODEL + END, "and all of it passes through"


async def test_a_form_without_a_model_has_none() -> None:
    exchange, _, _ = await form(FILE % b"x" + END)
    assert exchange.model is None and isinstance(exchange.body, FormBody)
    exchange.write_model("m")
    assert exchange.body.raw == FILE % b"x" + END


@pytest.mark.parametrize(
    ("raw", "content_type", "words"),
    [
        (SMALL, "multipart/form-data", "no boundary"),
        (b'{"model": "voice"}', TYPE, "does not begin with the boundary"),
        (FILE % b"x", TYPE, "ends without its last boundary"),
        (b"", TYPE, "ends without its last boundary"),
    ],
)
async def test_what_is_no_form_is_refused_where_the_model_decides_and_else_passes(
    raw: bytes, content_type: str, words: str
) -> None:
    with pytest.raises(BadRequest, match=words) as caught:
        await form(raw, content_type=content_type)
    assert (caught.value.status, caught.value.code) == (400, "invalid_form")
    exchange, _, _ = await form(raw, content_type=content_type, routed=False)
    body = exchange.body
    assert (body.raw if isinstance(body, FormBody) else await rest(exchange)) == raw


async def test_a_key_for_some_models_has_its_form_read_to_the_end() -> None:
    twice = SMALL.removesuffix(END) + MODEL.replace(b"voice", b"other") + END
    with pytest.raises(BadRequest, match="twice"):
        await form(twice, key=RESTRICTED)
    exchange, _, _ = await form(SMALL, key=RESTRICTED)
    assert exchange.model == "voice"
    with pytest.raises(ProxyError) as caught:
        await form(MODEL, LARGE_FILE, LARGE_FILE, LARGE_FILE, END, key=RESTRICTED)
    assert caught.value.status == 413


async def test_json_at_such_a_path_is_read_as_json_and_other_paths_read_no_form() -> None:
    exchange, _, _ = await form(b'{"model": "voice"}', content_type="application/json")
    assert exchange.model == "voice" and not isinstance(exchange.body, FormBody)
    exchange, _, _ = await form(SMALL, path="/v1/files")
    assert exchange.model is None and not isinstance(exchange.body, (FormBody, StreamedForm))


async def test_a_form_is_no_json_however_long_it_is() -> None:
    raw = FILE % bytes(200_000) + MODEL + END
    exchange, _, _ = await form(raw, key=RESTRICTED)
    assert isinstance(exchange.body, FormBody) and exchange.model == "voice"
    target = Target(provider=NamedProvider("a"))
    route = Route(name="voice", targets=(target,))
    assert permitted_route(RESTRICTED, route, exchange) is route


@pytest.mark.parametrize("size", [1000, 1_500_000])
async def test_of_a_restricted_key_what_stands_behind_the_end_counts_too(size: int) -> None:
    pieces = [FILE % bytes(size), MODEL + END, MODEL.replace(b"voice", b"other") + END]
    with pytest.raises(BadRequest, match="in other places too"):
        await form(*pieces, key=RESTRICTED)
