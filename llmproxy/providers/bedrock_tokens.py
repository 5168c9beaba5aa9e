"""Count tokens at Bedrock for clients of messages: CountTokens has their request as base64 inside another.

Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html. Begin reading at `ask_for_count`.
"""

from __future__ import annotations

import binascii
import re
from urllib.parse import quote

from llmproxy.answer import Answer
from llmproxy.body import Body
from llmproxy.dialects.claude_models import claude_of
from llmproxy.dialects.dialect import Dialect
from llmproxy.errors import UpstreamError
from llmproxy.providers.call_answers import changed_answer, read_whole
from llmproxy.target import UpstreamRequest
from llmproxy.wire.json import read_value, write_value

# It counts for models, which have the ids of their inference profiles without the geography.
_PROFILE = re.compile(r"(?:arn:[^/]*:inference-profile/)?(?:us-gov|us|eu|apac|au|ca|jp|global)\.(?=[a-z0-9-]+\.)")


def counted_model(model: str) -> str:
    """Return the id of the model behind the inference profile `model`; others are what they are."""
    return _PROFILE.sub("", model, count=1) if _PROFILE.match(model) else model


def ask_for_count(
    prepared: UpstreamRequest, model: str, invoked: Body, own: Dialect, client: Dialect, request_id: str
) -> None:
    """Make `prepared` a request for the number of tokens in `invoked`, the client's request in the form of InvokeModel,
    and its answer that of the client's dialect. `own` is the dialect in which Bedrock writes errors."""
    body = Body(invoked.raw, invoked.encoding)
    if "max_tokens" not in body.members:  # required there, though it changes nothing
        thinking = body.value("thinking")
        budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
        tokens = max(claude_of(model).max_tokens, budget + 1 if isinstance(budget, int) else 0)
        body.replace("max_tokens", write_value(tokens))
    encoded = binascii.b2a_base64(body.decoded, newline=False)
    prepared.body = Body(b'{"input":{"invokeModel":{"body":"%b"}}}' % encoded)
    prepared.target = f"/model/{quote(counted_model(model), safe='')}/count-tokens"
    prepared.headers["Content-Type"] = "application/json"
    prepared.headers["Accept-Encoding"] = "identity"
    prepared.headers.popall("Content-Encoding", None)

    async def adapt(answer: Answer) -> Answer:
        if answer.status >= 400:
            return await changed_answer(answer, own, client, None, request_id)
        value = read_value(await read_whole(answer))
        tokens = value.get("inputTokens") if isinstance(value, dict) else None
        if type(tokens) is not int or client.token_count is None:
            raise UpstreamError("The provider's answer contains no number of tokens", code="upstream_bad_reply")
        answer.body = client.token_count.write(tokens)
        answer.length = len(answer.body)
        return answer

    prepared.adapt = adapt
