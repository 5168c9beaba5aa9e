"""What a provider's answer of status 400 and more says, in OpenAI's form: an object `error`."""

from __future__ import annotations

from llmproxy.dialects.reading import error_message, string
from llmproxy.errors import ProxyError
from llmproxy.wire.json import read_value

_OVERLOADED = 529


def decode_error(status: int, body: bytes) -> ProxyError:
    """The neutral error. `param` is left out, as it names a member of what we sent, not of what the client did."""
    value = read_value(body)
    said = value if isinstance(value, dict) else {}
    error = said.get("error", said)
    message = error_message(said.get("error")) or string(said.get("message")) or string(said.get("detail"))
    code = (string(error.get("code")) or string(error.get("type"))) if isinstance(error, dict) else None
    status = 503 if status == _OVERLOADED else status
    return ProxyError(
        message or f"The provider answered with status {status}",
        status=status,
        code=code or "upstream_error",
        retryable=status == 429 or status >= 500,
    )
