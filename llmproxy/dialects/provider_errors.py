"""Errors of providers: in answers of status 400 and more, in replies of status 200, or in streams.

Providers copy each other's forms of errors, so all are decoded alike: an object or a text `error`, alone or in an
array, `message` or `detail` alone, a list `errors`, plain text. Begin reading at `decode_error`.
"""

from __future__ import annotations

import html
import re
from typing import Any

from llmproxy.dialects.lenient_json import error_message, string
from llmproxy.errors import ProxyError
from llmproxy.wire.http import RETRYABLE_STATUSES
from llmproxy.wire.json import read_value
from llmproxy.wire.text import cut_text

_LONGEST_TEXT = 500
_READ_BYTES, _FIRST_WORDS = 16 * 1024, 200
_TITLE = re.compile(r"<title[^>]*>([^<]*)<", re.IGNORECASE)
_TAGS = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)|<[^>]*(?:>|$)", re.IGNORECASE | re.DOTALL)
_ERROR = "error"
_NO_ERROR: tuple[object, ...] = (None, "", False, [])
# Where services put the words of an error, and its name or status.
_MESSAGES = ("message", "Message", "msg", "detail", "error_message", "error_msg", "error_description")
_NAMES = ("code", "type", "status", "status_code", "statusCode")
_UNKNOWN = 502
# Names of errors, and the status of an answer with them.
_STATUSES = {
    "invalid_request_error": 400,
    "invalid_prompt": 400,
    "context_length_exceeded": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "overloaded_error": 529,
    "server_overloaded": 503,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "timeout_error": 504,
}
# How services say that a request is longer than the model's context. Agents compact their conversation then.
_TOO_LONG = re.compile(
    r"prompt is too long|maximum context length|exceeds the (?:available )?context|context[_ ]length[_ ]exceeded"
    r"|input token count.{0,40}exceeds|input is too long|maximum prompt length",
    re.IGNORECASE,
)
TOO_LONG_CODE = "context_length_exceeded"
"""The code of a request that is longer than the context of its model, in the word of OpenAI."""


def decode_error(status: int, body: bytes) -> ProxyError:
    """Return the neutral error of an answer. `param` is left out, as it names a member of our request, not of the
    client's."""
    message, error = read_error(read_value(body))
    message, code = message or _plain(body), code_of(error) or "upstream_error"
    if message is not None and status in (400, 413) and _TOO_LONG.search(message):
        code = TOO_LONG_CODE
    return ProxyError(
        message or f"The provider answered with status {status}",
        status=status,
        code=code,
        retryable=status in RETRYABLE_STATUSES,
    )


def code_of(error: object) -> str | None:
    """Return the machine-readable name of an error object: that of its cause, its code, its type or status."""
    if not isinstance(error, dict):
        return None
    details = error.get("details")
    cause = string(details.get("error_code")) if isinstance(details, dict) else None
    kind = string(error.get("type"))
    named = cause or string(error.get("code")) or (None if kind == _ERROR else kind)
    return named or string(error.get("status"))


def status_of(error: object) -> int:
    """Return the status that an answer with this error object would have; 502 for an unknown error."""
    named = [error.get(name) for name in _NAMES] if isinstance(error, dict) else []
    for name in named:
        status = int(name) if isinstance(name, str) and len(name) == 3 and name.isdecimal() else name
        if isinstance(status, str):
            status = _STATUSES.get(status)
        if type(status) is int and 400 <= status <= 599:
            return status
    return _UNKNOWN


def read_error(value: object) -> tuple[str | None, Any]:
    """Return the message of an error that a provider sent, None without one, and the object that has its code."""
    value = _first(value)
    if not isinstance(value, dict):
        return None, None
    error, listed = value.get("error"), value.get("errors")
    if error is None and isinstance(listed, list):
        error = _first(listed)
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    words = _words(error) or _words(value)
    message = words or error_message(error)
    return message, error if isinstance(error, dict) else value


def reports_error(value: object) -> bool:
    """Return whether JSON that a provider sent is an error, in whatever form, and not only words."""
    value = _first(value)
    if not isinstance(value, dict):
        return False
    if _ERROR in (value.get("object"), value.get("type")) or value.get("errors"):
        return True
    return value.get(_ERROR) not in _NO_ERROR or status_of(value) != _UNKNOWN


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value


def _words(error: object) -> str | None:
    """Return the words in an error object, wherever a service puts them."""
    if not isinstance(error, dict):
        return None
    return next((words for name in _MESSAGES if (words := _detail(error.get(name))) is not None), None)


def _detail(detail: object) -> str | None:
    """Return the member `detail` of services made with FastAPI: text, an object, or a list of problems of the
    request."""
    if isinstance(detail, dict):
        return next((words for name in (*_MESSAGES, _ERROR) if (words := string(detail.get(name)))), None)
    if isinstance(detail, list):
        messages = [message for each in detail if isinstance(each, dict) and (message := string(each.get("msg")))]
        return "; ".join(messages) or None
    return string(detail)


def _plain(body: bytes) -> str | None:
    """Return a body that is a few words of text, as gateways answer."""
    text = body[: _LONGEST_TEXT + 1].decode("utf-8", "replace").strip()
    if not text.isprintable() or len(text) > _LONGEST_TEXT or text[:1] in "<{[":
        return None
    return text


def error_text(body: bytes) -> str | None:
    """Return why an answer failed, in a few words: the message of its error, else the title of its page, else the
    first words that it says."""
    message, _ = read_error(read_value(body))
    if message is not None:
        return message
    text = body[:_READ_BYTES].decode("utf-8", "replace")
    if text.lstrip()[:1] == "<":
        title = _TITLE.search(text)
        text = html.unescape(_TAGS.sub(" ", title[1] if title and title[1].strip() else text))
    words = " ".join(text.split())
    if not words or sum(not each.isprintable() or each == "\ufffd" for each in words) > len(words) / 10:
        return None
    return cut_text(words, _FIRST_WORDS)


class BadReply(ProxyError):
    """An answer of a provider that is not of its dialect: 502; or one that holds `error`: the status of that.

    `reported` is the provider's own message when it reports an error.
    """

    def __init__(self, message: str, error: object = None) -> None:
        super().__init__(message, status=status_of(error), code=code_of(error) or "upstream_bad_reply", retryable=True)
        self.reported, _ = read_error(error)
