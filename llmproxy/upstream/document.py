"""Fetch a small document, such as a key set, through aiohttp's ClientSession with the proxies and the trust of the
environment."""

from __future__ import annotations

import asyncio

import aiohttp

from llmproxy.errors import UpstreamError
from llmproxy.system_errors import explain_fault
from llmproxy.upstream.egress import trust

_LIMIT_S = 10.0
_LONGEST_BYTES = 1024 * 1024


async def fetch_document(url: str, *, timeout_s: float = _LIMIT_S) -> bytes:
    """Return the body of the answer to a GET. Raises UpstreamError: for other statuses than 200, redirects too, and for
    more than a megabyte."""
    context = await asyncio.to_thread(trust, None) if url.startswith("https:") else True
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, ssl=context, allow_redirects=False, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status != 200:
                raise UpstreamError(f"it answered with status {answer.status}")
            data = await answer.content.read(_LONGEST_BYTES + 1)
            while len(data) <= _LONGEST_BYTES and (more := await answer.content.read(_LONGEST_BYTES + 1)):
                data += more
    except aiohttp.ClientConnectorError as error:
        raise UpstreamError(f"cannot connect to {error.host}:{error.port}: {explain_fault(error)}") from error
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise UpstreamError(explain_fault(error)) from error
    if len(data) > _LONGEST_BYTES:
        raise UpstreamError(f"it has more than {_LONGEST_BYTES // 1024} KB")
    return data
