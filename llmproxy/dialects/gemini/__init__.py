"""The gemini dialect: Google's own, at the Gemini API and at Vertex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llmproxy.dialects.call_form import CallForm, vertex_form
from llmproxy.dialects.codec import Codec
from llmproxy.dialects.derived import readers
from llmproxy.dialects.dialect import Dialect, TokenCount
from llmproxy.dialects.gemini import embeddings, model_list
from llmproxy.dialects.gemini.call_ids import is_made_up
from llmproxy.dialects.gemini.error_body import write_error, write_error_event
from llmproxy.dialects.gemini.live import LIVE
from llmproxy.dialects.gemini.models import is_gemini
from llmproxy.dialects.gemini.proto_members import ProtoMembers
from llmproxy.dialects.gemini.request_decode import decode_request
from llmproxy.dialects.gemini.request_encode import encode_request, fit_request
from llmproxy.dialects.gemini.reshape import RESHAPE
from llmproxy.dialects.gemini.response_decode import decode_response
from llmproxy.dialects.gemini.response_encode import encode_response, finish_reason_of
from llmproxy.dialects.gemini.sealed_thinking import SEALED
from llmproxy.dialects.gemini.stream_decode import GeminiStreamDecoder
from llmproxy.dialects.gemini.stream_encode import GeminiStreamEncoder
from llmproxy.dialects.gemini.stream_watch import GeminiWatch
from llmproxy.dialects.gemini.tables import BLOCKED, FINISHES, NAME
from llmproxy.dialects.model_list import ModelPages
from llmproxy.wire.json_array import JSON_ARRAY
from llmproxy.wire.sse import BLANK_LINES

# google-genai with `vertexai=True`; its `_transformers.t_model` splits names such as `meta/llama` at the slash.
_VERTEX = "/publishers/{maker}"
_COUNT_PATH = "/models/{model}:countTokens"
_STREAM_PATH = "/models/{model}:streamGenerateContent"
_PATHS = (
    "/models/{model}:generateContent",
    _COUNT_PATH,
    *(f"/models/{{model}}:{verb}" for verb in ("embedContent", "batchEmbedContents", "asyncBatchEmbedContent")),
    *(f"/models/{{model}}:{verb}" for verb in ("predict", "predictLongRunning", "computeTokens")),
    "/models/{model}:batchGenerateContent",
)


def _vertex_form(path: str) -> CallForm:
    stream_path = _STREAM_PATH if path == _PATHS[0] else ""
    return vertex_form(path, _VERTEX + path, stream_path and _VERTEX + stream_path, maker="google")


def request_in(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the request in the body of countTokens: below `generateContentRequest`, or its contents alone."""
    return ProtoMembers(dict(body)).object("generateContentRequest") or body


CODEC = Codec(
    fit_request=fit_request,
    knows_model=is_gemini,
    name=NAME,
    turns="contents",
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    finish_reason_of=finish_reason_of,
    stop_words=frozenset(FINISHES) | BLOCKED,
    stream_decoder=GeminiStreamDecoder,
    stream_encoder=GeminiStreamEncoder,
    key_header="x-goog-api-key",
    key_scheme="",
    made_up_id=is_made_up,
)

DIALECT = Dialect(
    name=CODEC.name,
    paths=_PATHS,
    stream_paths=(_STREAM_PATH,),
    forms=tuple(_vertex_form(path) for path in _PATHS),
    framing=BLANK_LINES,
    other_framing=JSON_ARRAY,
    stream_query="alt=sse",
    versions=("/v1beta", "/v1alpha"),
    below_projects=True,
    other_calls=(
        *(
            ("GET POST PATCH DELETE", f"/{name}{below}")
            for name in ("cachedContents", "fileSearchStores", "interactions", "tunedModels")
            for below in ("", "/{path}")
        ),
        ("GET POST", "/operations/{path}"),
        ("GET POST", "/models/{id}/operations/{path}"),
        ("POST", "/auth_tokens"),
        ("POST PUT", "/upload/{id}/{path}"),
        ("GET", "/download/{id}/{path}"),
    ),
    own_headers=("x-goog-", "x-server-timeout"),
    markers=("x-goog-api-key", "x-goog-api-client"),
    models=ModelPages(one=model_list.one, all=model_list.page),
    token_count=TokenCount(path=_COUNT_PATH, write=lambda count: b'{"totalTokens":%d}' % count, request_in=request_in),
    embeddings=embeddings.EMBEDDINGS,
    embedding_codecs=embeddings.GOOGLE_EMBEDDINGS,
    sockets=LIVE,
    key_variable="GEMINI_API_KEY",
    write_error=write_error,
    write_error_event=write_error_event,
    readers=replace(readers(CODEC), watch=GeminiWatch),
    reshape=RESHAPE,
    codec=CODEC,
    sealed=SEALED,
)
