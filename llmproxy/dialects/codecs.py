"""The codecs of the dialects that are translated into each other, by the dialect's name. A new one is a line."""

from __future__ import annotations

from collections.abc import Mapping

from llmproxy.dialects import chat, messages, responses
from llmproxy.dialects.codec import Codec

CODECS: Mapping[str, Codec] = {codec.name: codec for codec in (chat.CODEC, responses.CODEC, messages.CODEC)}
