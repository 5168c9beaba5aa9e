"""The messages dialect."""

from __future__ import annotations

from dataclasses import replace

from llmproxy.dialects import aws_exceptions, invoke_embeddings, limit_headers
from llmproxy.dialects.call_form import vertex_form
from llmproxy.dialects.claude_models import is_claude, sealed_name
from llmproxy.dialects.claude_rules import fit_claude_request
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.derived import readers
from llmproxy.dialects.dialect import Dialect, TokenCount
from llmproxy.dialects.messages import history, invoke, model_list, reshape, stream_watch, summary
from llmproxy.dialects.messages.error_body import write_error, write_error_event
from llmproxy.dialects.messages.limit_headers import read_vendor_limits, write_limit_headers
from llmproxy.dialects.messages.request_decode import decode_request, decode_turns
from llmproxy.dialects.messages.request_encode import encode_request
from llmproxy.dialects.messages.response_decode import decode_response
from llmproxy.dialects.messages.response_encode import encode_response, finish_reason_of
from llmproxy.dialects.messages.sealed_thinking import SEALED
from llmproxy.dialects.messages.stream_decode import MessagesStreamDecoder
from llmproxy.dialects.messages.stream_encode import MessagesStreamEncoder
from llmproxy.dialects.messages.tables import STOP_REASONS
from llmproxy.dialects.model_list import ModelPages
from llmproxy.wire.eventstream import EVENT_STREAM

CODEC = Codec(
    fit_request=fit_claude_request,
    knows_model=is_claude,
    name="messages",
    turns="messages",
    decode_request=decode_request,
    decode_turns=decode_turns,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    finish_reason_of=finish_reason_of,
    stop_words=frozenset(STOP_REASONS),
    stream_decoder=MessagesStreamDecoder,
    stream_encoder=MessagesStreamEncoder,
    sealed_name=sealed_name,
    key_header="x-api-key",
    key_scheme="",
    takes_url=frozenset({"image", "document"}),
    needs_thinking=lambda model: True,
    longest_tool_name=128,
)

# The class AnthropicVertex of Anthropic's SDK, and platform.claude.com/docs/en/api/claude-on-vertex-ai.
_VERTEX = "/publishers/anthropic/models"
_VERTEX_MEMBERS = (("anthropic_version", b'"vertex-2023-10-16"'),)
_VERSION = ("anthropic-version", "anthropic_version", "2023-06-01")

DIALECT = Dialect(
    name=CODEC.name,
    paths=("/messages", "/messages/count_tokens"),
    other_calls=(
        ("GET POST", "/messages/batches"),
        ("GET DELETE", "/messages/batches/{id}"),
        ("GET", "/messages/batches/{id}/results"),
        ("POST", "/messages/batches/{id}/cancel"),
    ),
    forms=(
        invoke.INVOKE_FORM,
        vertex_form(
            "/messages",
            f"{_VERTEX}/{{model}}:rawPredict",
            f"{_VERTEX}/{{model}}:streamRawPredict",
            without=("model",),
            members=_VERTEX_MEMBERS,
            version=_VERSION,
        ),
        vertex_form(
            "/messages/count_tokens",
            f"{_VERTEX}/count-tokens:rawPredict",
            members=_VERTEX_MEMBERS,
            version=_VERSION,
        ),
    ),
    significant=("anthropic-beta", "anthropic-version"),
    own_headers=("anthropic-",),
    markers=("anthropic-version",),
    models=ModelPages(one=model_list.one, all=model_list.page),
    token_count=TokenCount(path="/messages/count_tokens", write=lambda count: b'{"input_tokens":%d}' % count),
    key_variable="ANTHROPIC_API_KEY",
    overloaded=529,
    limit_headers=write_limit_headers,
    read_limits=read_vendor_limits,
    write_error=write_error,
    write_error_event=write_error_event,
    readers=replace(
        readers(CODEC),
        summarize=summary.summarize,
        watch=stream_watch.MessagesWatch,
        history=history.read_history,
        turns="messages",
        history_by_item=True,
    ),
    reshape=reshape.RESHAPE,
    codec=CODEC,
    sealed=SEALED,
)

# Bedrock's InvokeModel has the same bodies for the models of this dialect; others' are relayed.
INVOKE = replace(
    DIALECT,
    name="invoke",
    base=DIALECT.name,
    form=invoke.INVOKE_FORM,
    forms=(),
    version="",
    paths=(invoke.PATH,),
    stream_paths=(invoke.STREAM_PATH,),
    other_calls=(),
    framing=EVENT_STREAM,
    markers=(),
    models=None,
    token_count=None,
    embeddings={invoke_embeddings.CALL: invoke_embeddings.find_invoked},
    embedding_codecs=invoke_embeddings.INVOKE_EMBEDDINGS,
    key_variable="AWS_BEARER_TOKEN_BEDROCK",
    overloaded=503,
    write_error=aws_exceptions.write_error,
    write_error_event=aws_exceptions.write_error_event,
    error_headers=aws_exceptions.error_headers,
    error_statuses=aws_exceptions.ERROR_STATUSES,
    limit_headers=limit_headers.write_limit_headers,
    readers=replace(
        DIALECT.readers,
        watch=invoke.InvokeWatch,
        summarize=invoke_embeddings.counting(DIALECT.readers.summarize),
    ),
    sealed=replace(SEALED, unwrap=invoke.Unwrap),
    reshape=invoke.InvokeReshape(),
    codec=replace(
        CODEC,
        stream_decoder=invoke.InvokeStreamDecoder,
        stream_encoder=invoke.InvokeStreamEncoder,
        decode_request=invoke.decode_invoke_request,
        key_header="Authorization",
        key_scheme="Bearer ",
    ),
)
