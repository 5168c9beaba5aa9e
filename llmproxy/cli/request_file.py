"""A client's request in a file, read as the server reads it, for commands that send nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llmproxy.cli.output import fail
from llmproxy.system_errors import explain_fault

if TYPE_CHECKING:
    from llmproxy.dialects.dialect import Endpoint
    from llmproxy.dialects.model import Request
    from llmproxy.exchange import Exchange
    from llmproxy.translation.translator import Translator


def read_file(file: str) -> bytes:
    """Return the content of a file, `-` for standard input. Exits with 2 when it cannot be read."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        fail(f"{file}: {explain_fault(error)}", code=2)


def call_in(dialect: str) -> Endpoint:
    """Return the call of a dialect that can be translated."""
    from llmproxy.dialects.catalog import by_name, translated_call

    known = by_name(dialect)
    assert known is not None, "the option was checked"
    return translated_call(known)


def exchange_with(endpoint: Endpoint, raw: bytes, model: str) -> Exchange:
    """Return the exchange of a client that sends the body `raw` and requests `model`."""
    from multidict import CIMultiDict

    from llmproxy.body import Body
    from llmproxy.client_request import Client
    from llmproxy.exchange import Exchange

    path = f"{endpoint.dialect.version}{endpoint.path_for(model)}"
    return Exchange(
        id="explained",
        method="POST",
        full_path=path,
        path=path,
        query=None,
        headers=CIMultiDict(),
        client=Client(address="127.0.0.1"),
        started_s=0.0,
        began_s=0.0,
        endpoint=endpoint,
        body=Body(raw),
        model=model,
    )


def translator(*, strict: bool = False) -> Translator:
    """Return a translator that knows of no earlier request."""
    from llmproxy.exchange import MemoryBudget
    from llmproxy.stores.memory import MemoryResponses
    from llmproxy.translation.translator import Translator

    return Translator(MemoryResponses(1 << 20), MemoryBudget(1 << 30), strict=strict)


def decode_as_served(dialect: str, raw: bytes) -> Request:
    """Return a request as the server would before it translates it. Raises BadRequest, also for what continues an
    earlier request: only the store of a server has that."""
    import asyncio

    from llmproxy.errors import BadRequest

    try:
        request, _ = asyncio.run(translator().request(exchange_with(call_in(dialect), raw, "")))
    except BadRequest as error:
        if error.status != 404:
            raise
        where = f"{error.param}: {error.message}" if error.param else error.message
        hint = "It is in the store of a server, which this command does not read. Put the whole conversation into input"
        raise BadRequest(f"{where} {hint}", status=error.status, code=error.code, param=error.param) from None
    return request
