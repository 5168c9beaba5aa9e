"""`trace show --curl`: builds a command that repeats a request. Begin reading at `curl_command`."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator

from llmproxy.access.presented_keys import KEY_HEADER
from llmproxy.dialects import catalog
from llmproxy.records.record import Record, RecordedHeaders
from llmproxy.redaction.names import MASK
from llmproxy.settings import format_size
from llmproxy.transcripts.transcript import request_bytes
from llmproxy.wire.http import HOP_BY_HOP

# The kernel refuses longer arguments (MAX_ARG_STRLEN on Linux).
_ARGUMENT_BYTES = 100_000
_UNSEEN = re.compile(
    r"[^\n\t -~\u00a1-\u00ac\u00ae-\u024f\u0370-\u05ff\u0900-\u115e\u1161-\u17b3\u17b6-\u180a\u1810-\u1fff\u2030-\u205e"
    r"\u2070-\u3163\u3165-\ud7ff\uf900-\ufdff\U0001f000-\U0003ffff]"
)
_END = "END_OF_BODY"
_KEY_VARIABLE = "LLMPROXY_KEY"
_NOT_SENT = frozenset((*HOP_BY_HOP, "host", "content-length", "content-encoding", "accept-encoding", "expect"))

# Headers of requests that AWS's SDKs signed.
_SIGNED, _SESSION = "x-amz-date", "x-amz-security-token"
_OF_SIGNATURE = frozenset((_SIGNED, _SESSION, "authorization", "x-amz-content-sha256"))
_SIGN_NOTE = "# curl signs it again: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


class IncompleteRecord(Exception):
    """Raised when the record does not hold the whole request; the text says why."""


def curl_command(record: Record) -> str:
    """Return a command for a POSIX shell that repeats the request. Raises IncompleteRecord."""
    body = request_bytes(record.request)
    if record.request.truncated or (record.request.size and not body):
        raise IncompleteRecord(
            f"cannot repeat the request: the trace has {'only a part' if body else 'nothing'} of its body of "
            f"{format_size(record.request.size)} (see `max_body_size` and `include_body` of the trace middleware)"
        )
    headers = record.request.headers or {}
    host = headers.get("host", "127.0.0.1:3000")
    query = f"?{record.query}" if record.query else ""
    dialect = catalog.by_name(record.dialect)
    variable = "API_KEY" if dialect is None else dialect.key_variable
    url = f"http://{host if isinstance(host, str) else host[0]}{record.path}{query}"
    lines = [f"curl {_options(record.method, url)} {_quoted(url, variable)}"]
    signature = list(_signature(headers))
    if signature:
        lines += signature
        headers = {name: value for name, value in headers.items() if name not in _OF_SIGNATURE}
    recorded = None if record.request.headers is None else headers
    lines += [f"-H {_quoted(header, variable)}" for header in _headers(recorded, of_body=bool(body))]
    notes = [_SIGN_NOTE] if signature else []
    if record.client.name is not None:  # what let it in is not recorded
        lines.append(f'-H "{KEY_HEADER}: ${_KEY_VARIABLE}"')
        notes.append(f"# set {_KEY_VARIABLE} to a key of the client {record.client.name!r}")
    if any(MASK in line for line in (url, *map(str, headers.values()))):
        notes.append(f"# set {variable} to the masked secret")
    if MASK.encode() in body:
        notes.append(f"# a secret in the body is masked: replace {MASK} in it")
    if record.request.headers is None and body:
        notes.append("# the trace has no headers: add the required ones, such as authorization")
    if not body:
        return "\n".join([*notes, " \\\n  ".join(lines)])
    return "\n".join([*notes, _with_body(lines, body)])


def _signature(headers: RecordedHeaders) -> Iterator[str]:
    """Yield the options with which curl signs a request that was signed; the old signature holds for minutes."""
    if _SIGNED in headers:
        yield '--aws-sigv4 "aws:amz:${AWS_REGION:-us-east-1}:bedrock"'
        yield '--user "${AWS_ACCESS_KEY_ID}:${AWS_SECRET_ACCESS_KEY}"'
        if _SESSION in headers:
            yield f'-H "{_SESSION}: ${{AWS_SESSION_TOKEN}}"'


def _options(method: str, url: str) -> str:
    """Return the options without which curl would expand brackets, shorten paths, or wait for the body of an answer to
    HEAD.
    """
    options = ["-sS -N", "-I" if method == "HEAD" else f"-X {shlex.quote(method)}"]
    if any(bracket in url for bracket in "[]{}"):
        options.append("-g")
    if "/." in url:
        options.append("--path-as-is")
    return " ".join(options)


def _headers(headers: RecordedHeaders | None, *, of_body: bool) -> Iterator[str]:
    """Yield the headers as curl takes them: empty ones with a semicolon, and the content type, which curl would set to
    a form.
    """
    if of_body and "content-type" not in (headers or ()):
        yield "content-type: application/json" if headers is None else "content-type:"
    for name, value in (headers or {}).items():
        if name not in _NOT_SENT:
            for each in value if isinstance(value, list) else [value]:
                yield f"{name}: {each}" if each else f"{name};"


def _quoted(text: str, variable: str) -> str:
    """Return `text` as one word of a shell, with a variable in place of masked values."""
    scheme = "Bearer " if text.startswith("authorization: *") else ""
    parts = [_word(part) if part else "" for part in text.split(MASK)]
    return f'"{scheme}${{{variable}}}"'.join(parts) or "''"


def _word(text: str) -> str:
    """Return `text` as a word of bash and zsh, with control characters escaped."""
    if not _UNSEEN.search(text):
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_UNSEEN.sub(lambda match: _escaped(match[0]), escaped)}'"


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))


def _with_body(lines: list[str], body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    long = len(body) > _ARGUMENT_BYTES
    if not text or "\0" in text or (long and _UNSEEN.search(text)):
        encoded = base64.b64encode(body).decode()
        command = " \\\n  ".join([*lines, "--data-binary @-"])
        return f"base64 -d <<'{_END}' | {command}\n{encoded}\n{_END}"
    if long:
        end = _END
        while end in text:
            end += "_"
        return " \\\n  ".join([*lines, f"--data-binary @- <<'{end}'"]) + f"\n{text}\n{end}"
    return " \\\n  ".join([*lines, f"--data-raw {_word(text)}"])
