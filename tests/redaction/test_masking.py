from __future__ import annotations

import itertools
import json
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.redaction.masking import _URL, Edit, apply_edits, find_credentials, mask_parts
from llmproxy.redaction.names import MASK
from llmproxy.redaction.secrets import forms_of
from llmproxy.wire.repeated_json import JsonMemory
from tests.support.agent_turns import agent_turns

SECRET = b"sk-0123456789"
M = MASK.encode()


def masked(data: bytes, *, whole: bool = True) -> bytes:
    [result] = mask_parts([data], (SECRET,), whole=whole)
    return result


@given(st.lists(st.sampled_from([b"a", SECRET, b"sk-", b"0123", b"\xc3"]), max_size=8), st.sets(st.integers(0, 60)))
def test_a_secret_is_found_wherever_the_bytes_are_cut(pieces: list[bytes], cuts: set[int]) -> None:
    data = b"".join(pieces)
    at = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    parts = [data[start:end] for start, end in itertools.pairwise(at)]
    result = mask_parts(parts, (SECRET,), whole=True)
    assert len(result) == len(parts)
    assert b"".join(result).replace(M, b"") == data.replace(SECRET, b"")


def test_both_parts_of_a_secret_that_is_cut_become_masks() -> None:
    assert mask_parts([b"x sk-01", b"234", b"56789 y"], (SECRET,), whole=True) == [b"x " + M, M, M + b" y"]


def test_parts_without_secrets_are_given_back_as_they_are() -> None:
    parts = [b"abc", b"def"]
    assert mask_parts(parts, (SECRET,), whole=True) is parts


def test_the_beginning_of_a_secret_at_a_cut_is_hidden() -> None:
    assert masked(b"key: sk-01234", whole=False) == b"key: " + M
    assert masked(b"key: sk-01234") == b"key: sk-01234"
    assert masked(b"about sk-", whole=False) == b"about sk-"


@pytest.mark.parametrize("key", [b"sk-01234=6789+xy", b"sk-01234/6789&xy"])
@pytest.mark.parametrize("backslashes", [b"\\", b"\\\\\\"])
def test_a_secret_is_found_however_json_escapes_it(key: bytes, backslashes: bytes) -> None:
    several = re.sub(rb"[=+/&]", lambda found: b"%bu%04x" % (backslashes, ord(found[0])), key)
    every = b"".join(b"%bu%04X" % (backslashes, each) for each in key)
    for written in (several, every, every[:12] + key[2:] if len(backslashes) == 1 else several):
        for parts in ([b'{"a": "', written, b'"}'], [written[:5], written[5:]]):
            assert MASK.encode() in b"".join(mask_parts(parts, (key,), whole=True))
            assert written[-4:] not in b"".join(mask_parts(parts, (key,), whole=True))
    assert mask_parts([b"key: " + several[:-3]], (key,), whole=False)[0].startswith(b"key: " + M)


def test_escapes_that_hide_nothing_stay() -> None:
    parts = [rb'{"a": "x \u003d \u0041\/b"}']
    assert mask_parts(parts, (SECRET,), whole=True) is parts
    assert masked(rb'{"a": "x \u003d", "b": "sk-0123456789 \u0041"}') == rb'{"a": "x \u003d", "b": "%b \u0041"}' % M


def test_members_and_urls_are_read_without_their_escapes() -> None:
    assert masked(rb'{"\u0061pi_key": "abc"}') == rb'{"\u0061pi_key": "%b"}' % M
    assert masked(rb'"https://x/y?a=1\u0026sig=abcdef"') == b'"https://x/y?a=1&sig=%b"' % M
    assert list(find_credentials([rb'{"\u0061pi_key": "a\u003db"}'])) == ["a=b"]


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "Authorization",
        "authorization_token",
        "api_key",
        "apiKey",
        "x-api-key",
        "password",
        "client_secret",
        "access_token",
        "refresh_token",
        "secret_access_key",
        "Set-Cookie",
    ],
)
def test_members_for_credentials_are_masked_at_any_depth(name: str) -> None:
    value = {"tools": [{"headers": {name: 'Bearer "quoted" \\ x', "other": "stays"}}], "n": [1]}
    expected = {"tools": [{"headers": {name: MASK, "other": "stays"}}], "n": [1]}
    assert json.loads(masked(json.dumps(value).encode())) == expected
    assert json.loads(masked(json.dumps(value, indent=2).encode())) == expected


@pytest.mark.parametrize(
    "value",
    [
        {"max_tokens": 5, "usage": {"prompt_tokens": 1}},
        {"prompt_cache_key": "conversation-1", "signature": "EqQBCg==", "key": "k", "token": "t"},
        {"properties": {"token": {"type": "string"}, "api_key": {"type": "string"}}, "required": ["api_key"]},
        {"arguments": '{"api_key": "given by the model"}'},
        {"authorization": None, "password": "", "access_token": 5},
        {"text": 'he wrote "password": "x" there'},
    ],
)
def test_what_only_looks_like_a_credential_stays(value: object) -> None:
    data = json.dumps(value).encode()
    assert masked(data) == data


def test_headers_for_others_are_judged_as_headers() -> None:
    headers = {"X-Subscription-Token": 'b{"1', "CONTEXT7_API_KEY": "c-1", "accept": "a", "x-on": "Bearer d", "x-n": 1}
    tool = {"type": "mcp", "headers": headers, "key": "public"}
    shown = {**headers, "X-Subscription-Token": MASK, "CONTEXT7_API_KEY": MASK, "x-on": MASK}
    for indent in (None, 2):
        body = json.dumps({"tools": [tool, tool]}, indent=indent).encode()
        assert json.loads(masked(body)) == {"tools": [{**tool, "headers": shown}] * 2}
        assert list(find_credentials([body])) == ['b{"1', "c-1", "Bearer d"] * 2
        assert masked(body[: body.index(b"c-1") + 2], whole=False).endswith(b'"CONTEXT7_API_KEY": "' + M)


def test_a_credential_that_is_cut_off_is_hidden() -> None:
    assert masked(b'{"tools":[{"authorization_token":"mcp-12', whole=False).endswith(b'_token":"' + M)


def test_what_members_hold_can_be_had() -> None:
    body = b'{"api_key": "a\\"b", "x": {"Authorization": "Bearer c"}, "key": "k"}'
    assert list(find_credentials([body[:20], body[20:]])) == ['a"b', "Bearer c"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:p@host/x", f"https://{MASK}@host/x"),
        ("https://token@host", f"https://{MASK}@host"),
        ("https://h/a?X-Amz-Signature=abc&n=1", f"https://h/a?X-Amz-Signature={MASK}&n=1"),
        ("https://h/a?max_tokens=5", "https://h/a?max_tokens=5"),
        ("https://h/@user", "https://h/@user"),
        ("mail me@x.org, see https://h/ now", "mail me@x.org, see https://h/ now"),
    ],
)
def test_credentials_in_urls_are_hidden(text: str, shown: str) -> None:
    assert json.loads(masked(json.dumps({"url": text}).encode())) == {"url": shown}
    escaped = json.dumps({"url": text}).replace("/", "\\/").encode()
    assert json.loads(masked(escaped)) == {"url": shown}


@given(st.lists(st.sampled_from([b":", b"//", rb"\/\/", rb"\/", b"a", b"@", b"?", b"#", b" ", b'"', b"\\"])))
def test_urls_are_found_as_by_looking_behind_at_each_byte(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    slow = re.compile(rb"""(?<=[a-zA-Z0-9]):(?://|\\/\\/)[^\s"'<>\\]*(?:\\/[^\s"'<>\\]*)*""")
    found = [(match.span(), match[1] is not None) for match in _URL.finditer(data)]
    assert found == [(match.span(), not {*b"@?#"}.isdisjoint(match[0])) for match in slow.finditer(data)]


def test_edits_replace_and_the_outer_of_two_counts() -> None:
    assert apply_edits([b"0123", b"4567", b"89"], [Edit(1, 9, b"<new>"), Edit(2, 3), Edit(9, 10)]) == [
        b"0<new>",
        b"",
        M,
    ]
    assert apply_edits([b"0123456789"], [Edit(1, 5), Edit(3, 8)]) == [b"0" + M + b"89"]


@pytest.mark.parametrize(
    "word",
    [
        b"a",
        b"a-",
        b"://",
        b"x://a",
        b"a\\",
        b"\\",
        b'"',
        b'"password":"',
        b'"headers":{',
        b'"headers":{"a":"',
        b"?a",
        b",a",
        b":\\/\\/",
        b"\\u00",
    ],
)
def test_bodies_of_one_long_word_take_no_longer_than_others(word: bytes) -> None:
    data = b'"api_key":"x" a://b?' + word * (1_000_000 // len(word)) + b"\\u00x"
    assert masked(data, whole=False).startswith(b'"api_key":"' + MASK.encode())


@pytest.mark.parametrize("seed", range(2))
def test_a_body_that_goes_on_is_masked_as_if_it_stood_alone(seed: int) -> None:
    memory, forms, masked = JsonMemory(), forms_of(("sk-client-secret", "sk-abc\u00e9=/+")), 0
    for raw in agent_turns("/messages", random.Random(seed), 30):
        read = memory.read(raw, "messages")
        alone = mask_parts([raw], forms, whole=True)
        assert mask_parts([raw], forms, whole=True, read=read) == alone
        assert list(find_credentials([raw], read)) == list(find_credentials([raw]))
        masked += alone != [raw]
        if read is not None and read.known:
            assert {"_values", "_places", "_credentials"} <= read.derived.keys()
    assert masked > 10


def test_of_thousands_of_credentials_in_a_body_little_is_kept() -> None:
    memory = JsonMemory()
    keys = [{"api_key": f"sk-{number:04}"} for number in range(2000)]
    raw = json.dumps({"list": keys, "password": "the longest of all"}).encode()
    read = memory.read(raw, "list")
    assert read is not None
    found = find_credentials([raw], read)
    assert "the longest of all" in found and len(set(found)) == 50
    assert mask_parts([raw], (), whole=True, read=read) == mask_parts([raw], (), whole=True)
    assert b"sk-" not in mask_parts([raw], (), whole=True)[0] and "_places" not in read.derived


def test_a_secret_that_ends_in_a_new_turn_is_found() -> None:
    memory, secret = JsonMemory(), '"},{"text":"abc'
    forms = forms_of((secret,))
    for number in range(1, 4):
        items = [{"text": "x" * 20_000}, *[{"text": "abcdef"}] * number]
        raw = json.dumps({"list": items}, separators=(",", ":")).encode()
        masked = mask_parts([raw], forms, whole=True, read=memory.read(raw, "list"))
        assert masked == mask_parts([raw], forms, whole=True) and masked != [raw]


@pytest.mark.parametrize("value", [r"hunter\2", "hunter2\\", "\\", r"a\/b", r"\u0041\\"])
def test_a_credential_with_backslashes_is_the_same_in_a_body_that_was_read(value: str) -> None:
    for more in ({}, {"x": "\0"}):
        raw = json.dumps({"password": value, **more, "list": ["x" * 20_000]}).encode()
        read = JsonMemory().read(raw, "list")
        assert list(find_credentials([raw], read)) == list(find_credentials([raw]))
