"""Change the answer of a provider between the forms of a call: the frames of its stream, and its errors.

Whole replies are the same in all forms and keep their bytes. Begin reading at `adapter`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from llmproxy.answer import Answer, Headers
from llmproxy.body import ByteStream
from llmproxy.dialects import catalog
from llmproxy.dialects.call_form import CallForm, StreamConverter
from llmproxy.dialects.dialect import Dialect, Endpoint
from llmproxy.errors import BrokenStream, UpstreamError

_ERROR_BYTES = 1024 * 1024
_OF_BODY = ("Content-Length", "Content-Encoding", "Content-Type")


class ConvertedStream:
    """The rest of a stream in other frames."""

    def __init__(self, stream: ByteStream, converter: StreamConverter) -> None:
        self._stream = stream
        self._converter = converter
        self._ended = False

    async def read(self) -> bytes:
        while not self._ended:
            self._converter.feed(b"")  # raises the error behind what was returned last
            data = await self._stream.read()
            self._ended = not data
            converted = self._converter.feed(data) if data else self._converter.close()
            if converted:
                return converted
        return b""

    def close(self) -> None:
        self._stream.close()


async def changed_answer(
    answer: Answer, provider: Dialect, client: Dialect, converter: StreamConverter | None, request_id: str
) -> Answer:
    """Return the `answer` of a provider that speaks `provider` for a client of `client`, which is a form of the same
    dialect. `converter` converts its stream, where it may have one. Raises UpstreamError for a stream that begins with
    an error."""
    if answer.status >= 400:
        return await _changed_error(answer, provider, client, request_id)
    streams = answer.headers.get("Content-Type", "").lower().startswith(provider.framing.media_type)
    if converter is None or not streams:
        return answer
    answer.headers["Content-Type"] = client.framing.content_type
    answer.headers.popall("Content-Length", None)
    answer.length = None
    try:
        answer.body = converter.feed(answer.body) if answer.body else b""
        converter.feed(b"")  # raises an error behind it: nothing is sent yet
        if answer.stream is None:
            answer.body += converter.close()
    except BrokenStream as error:
        answer.close()
        raise UpstreamError(error.message, status=error.status, code=error.code) from error
    if answer.stream is not None:
        answer.stream = ConvertedStream(answer.stream, converter)
    return answer


async def read_whole(answer: Answer) -> bytes:
    """Read the rest of a small answer, and return its body; of a long one the beginning."""
    body = bytearray(answer.body)
    while answer.stream is not None and len(body) < _ERROR_BYTES:
        data = await answer.stream.read()
        if not data:
            break
        body += data
    answer.close()
    answer.stream, answer.body = None, bytes(body)
    return answer.body


async def _changed_error(answer: Answer, provider: Dialect, client: Dialect, request_id: str) -> Answer:
    assert provider.codec is not None, "forms are of dialects with a codec"
    error = provider.codec.decode_error(answer.status, await read_whole(answer))
    headers = Headers([pair for pair in answer.headers.items() if pair[0].title() not in _OF_BODY])
    headers.update(client.error_headers(error))
    headers["Content-Type"] = "application/json"
    written = client.write_error(error, request_id)
    return Answer(status=client.status_of(error), headers=headers, body=written, length=len(written))


def adapter(
    endpoint: Endpoint, provider_form: CallForm | None, request_id: str
) -> Callable[[Answer], Awaitable[Answer]] | None:
    """Return what changes answers in the form `provider_form` into those of the client's `endpoint`; None where both
    have the same frames."""
    theirs = None if provider_form is None else provider_form.frames
    own = None if endpoint.form is None else endpoint.form.frames
    if theirs is own:
        return None
    client = endpoint.dialect
    if theirs is not None:
        provider, converter = catalog.by_name(theirs.dialect), theirs.unwrap
    else:
        assert own is not None, "the frames differ"
        provider, converter = catalog.by_name(client.base), own.wrap
    assert provider is not None, "a form names dialects of the catalog"

    async def adapt(answer: Answer) -> Answer:
        return await changed_answer(answer, provider, client, converter(), request_id)

    return adapt
