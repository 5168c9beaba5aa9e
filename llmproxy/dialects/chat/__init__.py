"""The chat completions dialect, and what differs from it in a few things: the legacy text completions, and the small
chat endpoint `/proxy`, whose streams are plain text."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from llmproxy.dialects.call_form import CallForm, deployment_form, vertex_form
from llmproxy.dialects.chat import history, model_list, reshape, stream_watch, summary
from llmproxy.dialects.chat.plain_request import decode_plain_request
from llmproxy.dialects.chat.prompt_text import prompt_text
from llmproxy.dialects.chat.proxy_error import MODEL_NOT_FOUND, write_proxy_error, write_proxy_error_event
from llmproxy.dialects.chat.proxy_request import decode_proxy_request
from llmproxy.dialects.chat.proxy_schemas import PROXY_SCHEMAS
from llmproxy.dialects.chat.realtime import REALTIME
from llmproxy.dialects.chat.request_decode import decode_request, decode_turns
from llmproxy.dialects.chat.request_encode import encode_request
from llmproxy.dialects.chat.response_decode import decode_response
from llmproxy.dialects.chat.response_encode import encode_response, finish_reason_of
from llmproxy.dialects.chat.sealed_thinking import SEALED
from llmproxy.dialects.chat.service_rules import fit_chat_request
from llmproxy.dialects.chat.stream_decode import ChatStreamDecoder
from llmproxy.dialects.chat.stream_encode import ChatStreamEncoder
from llmproxy.dialects.chat.tables import FAILED, STOP_REASONS
from llmproxy.dialects.chat.text_stream import TextStreamDecoder, TextStreamEncoder
from llmproxy.dialects.codec import Codec, not_plain
from llmproxy.dialects.derived import DerivedReshape, DerivedWatch, readers
from llmproxy.dialects.dialect import Dialect, Schemas, no_history
from llmproxy.dialects.error_body import write_error, write_error_event
from llmproxy.dialects.model_list import ModelPages
from llmproxy.dialects.openai_models import is_openai

CODEC = Codec(
    fit_request=fit_chat_request,
    knows_model=is_openai,
    name="chat",
    turns="messages",
    decode_request=decode_request,
    decode_turns=decode_turns,
    decode_plain_request=decode_plain_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    finish_reason_of=finish_reason_of,
    stop_words=frozenset((*STOP_REASONS, FAILED)),
    stream_decoder=ChatStreamDecoder,
    stream_encoder=ChatStreamEncoder,
    takes_url=frozenset({"image", "video"}),
)

DIALECT = Dialect(
    name=CODEC.name,
    paths=("/chat/completions",),
    forms=(
        deployment_form("/chat/completions"),
        vertex_form("/chat/completions", "/endpoints/openapi/chat/completions"),
    ),
    significant=("openai-beta", "openai-organization", "openai-project"),
    own_headers=("openai-",),
    models=ModelPages(one=model_list.one, all=model_list.page),
    sockets=REALTIME,
    key_variable="OPENAI_API_KEY",
    write_error=write_error,
    write_error_event=write_error_event,
    readers=replace(
        readers(CODEC),
        summarize=summary.summarize,
        watch=stream_watch.ChatWatch,
        history=history.read_history,
        turns="messages",
        history_by_item=True,
    ),
    reshape=reshape.CHAT_RESHAPE,
    codec=CODEC,
    sealed=SEALED,
)

COMPLETIONS = replace(
    DIALECT,
    name="completions",
    paths=("/completions",),
    forms=(deployment_form("/completions"),),
    models=None,
    sockets=None,
    schemas=Schemas(example={"prompt": "Say hello"}),
    readers=replace(DIALECT.readers, request_text=prompt_text, history=no_history, turns=None),
    reshape=reshape.COMPLETIONS_RESHAPE,
    codec=None,
    sealed=None,
)

# Clients alone use it, so a provider's answer is always encoded for it, with the members of chat that it has.
_PROXY_CODEC = replace(
    CODEC,
    decode_request=decode_proxy_request,
    turns="",
    decode_plain_request=not_plain,
    stream_decoder=TextStreamDecoder,
    stream_encoder=TextStreamEncoder,
)

PROXY = Dialect(
    name="proxy",
    client_only=True,
    needs_authorization=True,
    schemas=PROXY_SCHEMAS,
    version="",
    paths=("/proxy",),
    stream_paths=("/proxy/stream",),
    forms=(CallForm(name="slash", call="/proxy", path="/proxy/", stream_path="/proxy/stream/"),),
    write_error=write_proxy_error,
    write_error_event=write_proxy_error_event,
    error_statuses={MODEL_NOT_FOUND: 404},
    readers=replace(DIALECT.readers, watch=partial(DerivedWatch, _PROXY_CODEC)),
    reshape=DerivedReshape(_PROXY_CODEC, stream_fields=()),
    codec=_PROXY_CODEC,
)
