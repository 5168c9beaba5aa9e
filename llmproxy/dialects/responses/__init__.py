"""The responses dialect."""

from __future__ import annotations

from dataclasses import replace

from llmproxy.dialects.codec import Codec
from llmproxy.dialects.derived import readers
from llmproxy.dialects.dialect import Dialect, TokenCount
from llmproxy.dialects.error_body import write_error
from llmproxy.dialects.openai_models import is_openai
from llmproxy.dialects.openai_rules import fit_openai_request
from llmproxy.dialects.responses import history, reshape, stream_watch, summary
from llmproxy.dialects.responses.error_event import write_error_event
from llmproxy.dialects.responses.request_decode import decode_request
from llmproxy.dialects.responses.request_encode import encode_request
from llmproxy.dialects.responses.response_decode import decode_response, finish_reason_of
from llmproxy.dialects.responses.response_encode import encode_response
from llmproxy.dialects.responses.sealed_thinking import SEALED
from llmproxy.dialects.responses.socket import SOCKET
from llmproxy.dialects.responses.stream_decode import ResponsesStreamDecoder
from llmproxy.dialects.responses.stream_encode import ResponsesStreamEncoder
from llmproxy.dialects.responses.tables import STOP_REASONS

CODEC = Codec(
    fit_request=fit_openai_request,
    knows_model=is_openai,
    name="responses",
    turns="input",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    finish_reason_of=finish_reason_of,
    stop_words=frozenset((*STOP_REASONS, "completed", "incomplete")),
    stream_decoder=ResponsesStreamDecoder,
    stream_encoder=ResponsesStreamEncoder,
    takes_url=frozenset({"image", "document"}),
)

DIALECT = Dialect(
    name=CODEC.name,
    paths=("/responses", "/responses/compact", "/responses/input_tokens"),
    other_calls=(
        ("GET POST DELETE", "/responses/{id}"),
        ("GET", "/responses/{id}/input_items"),
        ("POST", "/responses/{id}/cancel"),
    ),
    significant=("openai-beta", "openai-organization", "openai-project"),
    own_headers=("openai-",),
    stateful=True,
    token_count=TokenCount(
        path="/responses/input_tokens",
        write=lambda count: b'{"object":"response.input_tokens","input_tokens":%d}' % count,
    ),
    sockets=SOCKET,
    key_variable="OPENAI_API_KEY",
    write_error=write_error,
    write_error_event=write_error_event,
    readers=replace(
        readers(CODEC),
        summarize=summary.summarize,
        watch=stream_watch.ResponsesWatch,
        history=history.read_history,
        turns="input",
        history_by_item=True,
    ),
    reshape=reshape.RESHAPE,
    codec=CODEC,
    sealed=SEALED,
)
