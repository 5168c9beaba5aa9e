from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs would be one more package
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.dialects.usage import Usage
from llmproxy.records.entry import AttemptEntry, ClientEntry, Entry, ErrorEntry
from llmproxy.records.record import CapturedMessage, Record, mask_headers, record_schema, write_record
from llmproxy.redaction.json_path import parse_path
from llmproxy.redaction.names import MASK
from llmproxy.wire.compression import compress

SCHEMA = record_schema()
FILE = Path(__file__).parent.parent.parent / "configs" / "trace.schema.json"


def entry(**members: Any) -> Entry:
    kept: dict[str, Any] = {
        "id": "a1",
        "request_id": "r1",
        "started": "2026-11-21T23:59:58.123456Z",
        "duration_ms": 12.5,
    }
    kept |= {"client": ClientEntry(address="127.0.0.1"), "method": "POST", "path": "/v1/chat/completions"}
    return Entry(**(kept | {"outcome": "complete", "complete": True} | members))


def text(
    request: CapturedMessage | None = None,
    response: CapturedMessage | None = None,
    *paths: str,
    secrets: tuple[str, ...] = (),
    **members: Any,
) -> bytes:
    return write_record(
        entry(**members),
        request or CapturedMessage(),
        response or CapturedMessage(),
        secrets=secrets,
        paths=[parse_path(path) for path in paths],
        limit_bytes=1000,
    ).text


def written(request: CapturedMessage | None = None, response: CapturedMessage | None = None, **members: Any) -> Any:
    record = json.loads(text(request, response, **members))
    jsonschema.Draft202012Validator(SCHEMA).validate(record)
    return record


def body(data: bytes, **members: Any) -> CapturedMessage:
    return CapturedMessage(parts=[data], size=len(data), **members)


def test_the_first_line_is_the_entry_alone() -> None:
    made = entry(usage=Usage(input=5), error=ErrorEntry(code="x", message="y"), attempts=[AttemptEntry(provider="p")])
    lines = write_record(made, body(b'{\n"a":1}'), CapturedMessage(), secrets=(), limit_bytes=1000).text.split(b"\n")
    assert lines[0].endswith(b",")
    assert msgspec.json.decode(lines[0][:-1] + b"}", type=Entry) == made
    assert lines[1].startswith(b'"request":{')


def test_a_record_is_read_back_as_what_it_was() -> None:
    record = msgspec.json.decode(text(body(b'{ "a": 1.0 }')), type=Record)
    assert (bytes(record.request.body), record.response.chunks) == (b'{ "a": 1.0 }', None)


def test_an_exchange_without_anything_is_a_record_too() -> None:
    record = written()
    nothing = {"headers": None, "size": 0, "format": None, "body": None, "truncated": False}
    assert (record["request"], record["response"]) == (nothing, {**nothing, "chunks": None})


def test_headers_are_named_in_lower_case_and_secret_ones_masked() -> None:
    headers = [("Accept", "a"), ("ACCEPT", "b"), ("accept", "c"), ("X-Api-Key", "k"), ("x-\udcff", "\udcffz")]
    headers += [("Referer", "https://u:p@h/?key=k&n=1"), ("x-echo", "it is sk-012345"), ("Set-Cookie", "a=b")]
    headers += [("x-upstream", "Bearer k-0123"), ("WWW-Authenticate", 'Bearer realm="x"')]
    record = written(CapturedMessage(headers=headers), secrets=("sk-012345",))
    assert record["request"]["headers"] == {
        "accept": ["a", "b", "c"],
        "x-api-key": MASK,
        "x-\ufffd": "\ufffdz",
        "referer": f"https://{MASK}@h/?key={MASK}&n=1",
        "x-echo": f"it is {MASK}",
        "set-cookie": MASK,
        "x-upstream": MASK,
        "www-authenticate": 'Bearer realm="x"',
    }


HEADER_NAMES = st.sampled_from(["Accept", "X-Api-Key", "X-Own", "x-own", "X-\udce9", "Authorization", "Referer"])
VALUES = ["a", "Bearer abcdef", "basic x", "a Bearer b=c", "sk-0123456789", "https://u:p@h/", "h?key=1", "é", "\udce9"]


@given(st.lists(st.tuples(HEADER_NAMES, st.lists(st.sampled_from(VALUES), max_size=3).map("".join)), max_size=6))
def test_headers_that_are_looked_at_together_are_those_looked_at_alone(headers: list[tuple[str, str]]) -> None:
    secrets = ("sk-0123456789", "abcdef")
    record = written(CapturedMessage(headers=headers), secrets=secrets)
    assert record["request"]["headers"] == mask_headers(headers, secrets)


def test_chunks_of_a_stream_tell_when_they_were_sent() -> None:
    parts = [b"data: 1\n\n", b"\xff", b"data: 2\n\n"]
    stream = CapturedMessage(parts=parts, size=19, times_ms=[1.5, 2.5, 3.5])
    assert written(CapturedMessage(), stream)["response"]["chunks"] == [
        {"at_ms": 1.5, "text": "data: 1\n\n"},
        {"at_ms": 2.5, "base64": "/w=="},
        {"at_ms": 3.5, "text": "data: 2\n\n"},
    ]
    assert written(CapturedMessage(), CapturedMessage(times_ms=[]))["response"]["chunks"] == []


def test_compressed_streams_are_shown_decoded() -> None:
    wire = compress(b"data: 1\n\n", "gzip")
    stream = CapturedMessage(parts=[wire[:-3], wire[-3:]], encoding="gzip", times_ms=[1.0, 2.0])
    assert written(CapturedMessage(), stream)["response"]["chunks"] == [{"at_ms": 1.0, "text": "data: 1\n\n"}]


def test_what_is_longer_than_allowed_is_marked() -> None:
    long = compress(b"x" * 5000, "gzip")
    record = written(body(b"12345", short=True), body(long, encoding="gzip"))
    assert (record["request"]["truncated"], record["response"]["truncated"]) == (True, True)
    assert (record["request"]["body"], record["response"]["body"]) == ("12345", "x" * 1000)
    record = written(CapturedMessage(), CapturedMessage(parts=[long], encoding="gzip", times_ms=[1.0]))
    assert record["response"]["truncated"]


def test_paths_count_for_their_side_only() -> None:
    both = body(b'{"user":"u","id":"i"}'), body(b'{"user":"u","id":"i"}')
    record = json.loads(text(*both, "request.body.user", "response.body.id"))
    assert record["request"]["body"] == {"user": MASK, "id": "i"}
    assert record["response"]["body"] == {"user": "u", "id": MASK}


def test_what_the_request_says_is_a_credential_is_not_repeated_by_the_answer() -> None:
    asked = body(b'{"tools":[{"authorization_token":"mcp-12345"}],"user":"mcp-12345"}')
    error = ErrorEntry(code="provider_error", message="mcp-12345 is refused")
    answered = body(b'{"error":"mcp-12345 is refused"}', headers=[("x-why", "mcp-12345")])
    assert b"mcp-12345" not in text(asked, answered, error=error)


@pytest.mark.parametrize("outcome", ["cancelled", "broken", "incomplete"])
def test_a_secret_that_the_end_of_an_answer_cuts_is_hidden(outcome: str) -> None:
    answered = body(b"your key sk-0123")
    record = written(CapturedMessage(), answered, secrets=("sk-0123456",), outcome=outcome, complete=False)
    assert (record["response"]["body"], record["response"]["truncated"]) == (f"your key {MASK}", False)


def test_the_schema_refuses_what_is_no_record() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    record = json.loads(text(body(b"{}")))
    for change in ({"version": 2}, {"status": "200"}, {"usage": 5}, {"request": None}, {"duration_ms": -1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**record, **change}, SCHEMA)
    for name in record:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({key: value for key, value in record.items() if key != name}, SCHEMA)


def test_the_schema_of_the_repository_is_the_one_that_records_have() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == SCHEMA
