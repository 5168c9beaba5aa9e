"""The converse dialect: Bedrock's own, in which all its models are called alike."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmproxy.dialects.aws_exceptions import ERROR_STATUSES, error_headers, write_error, write_error_event
from llmproxy.dialects.claude_models import is_claude, sealed_name
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.converse import summary
from llmproxy.dialects.converse.model_rules import fit_request
from llmproxy.dialects.converse.request_decode import decode_request
from llmproxy.dialects.converse.request_encode import encode_request
from llmproxy.dialects.converse.response_decode import decode_response
from llmproxy.dialects.converse.response_encode import encode_response, finish_reason_of
from llmproxy.dialects.converse.sealed_thinking import SEALED
from llmproxy.dialects.converse.stream_decode import ConverseStreamDecoder
from llmproxy.dialects.converse.stream_encode import ConverseStreamEncoder
from llmproxy.dialects.converse.stream_watch import ConverseWatch
from llmproxy.dialects.converse.tables import SEAL
from llmproxy.dialects.derived import DerivedReshape, readers
from llmproxy.dialects.dialect import Dialect, TokenCount
from llmproxy.dialects.lenient_json import object_of
from llmproxy.dialects.members import wrong
from llmproxy.wire.eventstream import EVENT_STREAM
from llmproxy.wire.json import read_value

_COUNT_PATH = "/model/{model}/count-tokens"


def request_in(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the request in the body of CountTokens: of Converse, or of a model's own API, as base64. Raises
    BadRequest."""
    source = object_of(body.get("input"))
    if dialect_in(body) is not None:
        request = _decoded(object_of(source["invokeModel"]).get("body"))
    else:
        request = source.get("converse")
    if not isinstance(request, dict):
        wrong("input", "must hold a request: `converse`, or `invokeModel` with a JSON body as base64")
    return request


def dialect_in(body: Mapping[str, Any]) -> str | None:
    """Return the dialect of a request that InvokeModel takes, which has the models' own forms."""
    return "invoke" if "invokeModel" in object_of(body.get("input")) else None


def _decoded(body: object) -> object:
    try:
        return read_value(binascii.a2b_base64(body)) if isinstance(body, str) else None
    except ValueError:
        return None


CODEC = Codec(
    fit_request=fit_request,
    name="converse",
    turns="messages",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    finish_reason_of=finish_reason_of,
    stream_decoder=ConverseStreamDecoder,
    stream_encoder=ConverseStreamEncoder,
    sealed_name=sealed_name,
    takes_url=frozenset(),
    needs_thinking=is_claude,
    seal=SEAL,
)

DIALECT = Dialect(
    name=CODEC.name,
    paths=("/model/{model}/converse", _COUNT_PATH),
    stream_paths=("/model/{model}/converse-stream",),
    framing=EVENT_STREAM,
    version="",
    holds_bodies=True,
    other_calls=(
        ("GET POST", "/async-invoke"),
        ("GET", "/async-invoke/{path}"),
        ("POST", "/guardrail/{path}"),
        ("POST", "/guardrail-checks/{path}"),
    ),
    own_headers=("x-amz-", "x-amzn-", "amz-sdk-"),
    token_count=TokenCount(
        path=_COUNT_PATH,
        write=lambda count: b'{"inputTokens":%d}' % count,
        request_in=request_in,
        dialect_in=dialect_in,
    ),
    key_variable="AWS_BEARER_TOKEN_BEDROCK",
    write_error=write_error,
    write_error_event=write_error_event,
    error_headers=error_headers,
    error_statuses=ERROR_STATUSES,
    readers=replace(readers(CODEC), summarize=summary.summarize, watch=ConverseWatch),
    reshape=DerivedReshape(CODEC, stream_fields=()),
    codec=CODEC,
    sealed=SEALED,
)
