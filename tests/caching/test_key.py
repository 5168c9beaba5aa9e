"""Whatever may change an answer changes its key, and nothing else does."""

from __future__ import annotations

import copy
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from llmproxy.answer import Headers
from llmproxy.body import Body
from llmproxy.caching.key import cache_key, model_prefix
from llmproxy.caching.request_content import CacheableRequest, read_content
from llmproxy.dialects.catalog import find
from llmproxy.dialects.chat import DIALECT as CHAT
from llmproxy.exchange import Exchange
from llmproxy.route import Route
from llmproxy.target import Target
from tests.support.draws import draws
from tests.support.exchanges import ended
from tests.support.provider import Upstream
from tests.support.proxy import provider
from tests.support.vendors import answer

GOLDEN = Path(__file__).parent.parent / "golden" / "translation"
PATHS = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "messages": "/messages",
    "gemini": "/models/m:generateContent",
    "converse": "/model/m/converse",
}
REQUESTS = [
    (path.name.partition(".")[0], json.loads(path.read_bytes())) for path in sorted(GOLDEN.glob("*/*.request.json"))
]
OF_STREAM = (("stream",), ("stream_options", "include_usage"))
_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_QUICK = draws(300, suppress_health_check=list(HealthCheck))


def key(content: object, dialect: str = "chat", tenant: str = "", left_out: Any = OF_STREAM, **changes: Any) -> str:
    return key_of(json.dumps(content).encode(), dialect, tenant, left_out, **changes)


def key_of(raw: bytes, dialect: str = "chat", tenant: str = "", left_out: Any = OF_STREAM, **changes: Any) -> str:
    """Return the key of a request, its bytes where it is no standard JSON and never cached."""
    request: Exchange = ended(endpoint=find("POST", PATHS[dialect]), **changes)
    assert request.endpoint is not None
    content = read_content(Body(raw), request.endpoint.dialect)
    return raw.hex() if content is None else cache_key(request, content, left_out, tenant)


def test_there_are_requests_of_every_dialect() -> None:
    assert {dialect for dialect, _ in REQUESTS} >= set(PATHS) and len(REQUESTS) > 30


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every array or object within `value`, with each of its keys."""
    for name, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, name
        if isinstance(each, (dict, list)):
            yield from places(each)


def same(one: Any, other: Any) -> bool:
    """Return whether two values are one in JSON, where 1, 1.0 and true are three."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@_QUICK
@given(st.data())
def test_any_change_of_any_field_changes_the_key(data: st.DataObject) -> None:
    dialect, before = data.draw(st.sampled_from(REQUESTS))
    after = copy.deepcopy(before)
    inside, name = data.draw(st.sampled_from(list(places(after))))
    match data.draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            inside[name] = data.draw(_JSON)
        case "remove":
            del inside[name]
        case _:
            if isinstance(inside, dict):
                inside["another"] = data.draw(_JSON)
            else:
                inside.insert(name, data.draw(_JSON))
    trimmed = [
        {name: each for name, each in value.items() if name not in ("stream", "stream_options")}
        for value in (before, after)
    ]
    if not same(*trimmed):
        assert key(before, dialect) != key(after, dialect)


@_QUICK
@given(st.sampled_from(REQUESTS), st.randoms(use_true_random=False), st.integers(0, 4))
def test_key_order_and_white_space_do_not_matter(
    request: tuple[str, dict[str, Any]], random_: random.Random, indent: int
) -> None:
    dialect, content = request

    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(each) for each in value]
        if not isinstance(value, dict):
            return value
        names = list(value)
        random_.shuffle(names)
        return {name: shuffled(value[name]) for name in names}

    other = json.dumps(shuffled(content), indent=indent or None, ensure_ascii=indent % 2 == 0)
    assert key_of(f"\n {other}\t".encode(), dialect) == key(content, dialect)


@_QUICK
@given(_JSON, _JSON)
def test_any_two_values_have_two_keys(one: object, other: object) -> None:
    assert (key({"input": one}) == key({"input": other})) == same(one, other)


@pytest.mark.parametrize(
    "values",
    [
        ["1", "1.0", "true", '"1"', "[1]", '{"1":1}', "null", "1.5"],
        ["0", "0.0", "-0.0", "false", '""', "[]", "{}", "null"],
        [f"{2**53}", f"{2**53 + 1}", f"{2**64}", f"{2**64 + 1}", f"{10**30}", f"{10**30 + 1}", "9" * 400, "9" * 401],
        ['"a"', '"A"', '" a"', '"a\\u0000"', '"\\u00e4"', '"a\\u0308"', '"\\ud83d\\ude00"'],
    ],
)
def test_values_that_a_reader_could_take_for_each_other_are_apart(values: list[str]) -> None:
    keys = [key_of(b'{"seed":%b}' % value.encode()) for value in values]
    assert len(set(keys)) == len(values)
    assert len({key({}), key({"seed": None}), key({"seed": {}})}) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":{"x":1,"x":2}}', b'{"a":{"x":2}}'),
        (b'{"a":{"x":1,"x":2}}', b'{"a":{"x":3,"x":2}}'),
        (b'{"a":[{"x":1,"x":2}]}', b'{"a":[{"x":2}]}'),
        (b'{"a":{"x":1,"\\u0078":2}}', b'{"a":{"x":2}}'),
        (b'{"a":{"x":2,"x":2}}', b'{"a":{"x":2}}'),
        (b'{"a":1,"a":2}', b'{"a":2}'),
        (b'{"t":0.30000000000000001}', b'{"t":0.3}'),
        (b'{"t":0.30000000000000001}', b'{"t":0.300000000000000001}'),
        (b'{"t":1e-400}', b'{"t":0.0}'),
        (b'{"t":-0}', b'{"t":0}'),
        (b'{"t":9007199254740993.0}', b'{"t":9007199254740992.0}'),
    ],
)
def test_bodies_that_are_read_in_different_ways_are_the_same_as_themselves_only(one: bytes, other: bytes) -> None:
    assert Body(one).content == Body(other).content or b'"x":3' in other
    assert key_of(one) != key_of(other) != key_of(b" " + one)
    assert key_of(one) == key_of(bytes(one))


def test_the_same_value_in_another_spelling_is_the_same() -> None:
    assert key_of(b'{"user":"\\u00e4\\/"}') == key_of('{"user":"ä/"}'.encode())
    assert key_of(b'{"user":"\\ud83d\\ude00"}') == key_of('{"user":"😀"}'.encode())
    assert key_of(b'{"t":1e2}') == key_of(b'{"t":100.0}') == key_of(b'{"t":1.0E+2}')
    assert key_of(b'{"t":0.70}') == key_of(b'{"t":7e-1}') == key_of(b'{"t":0.7}')


def test_how_it_is_sent_does_not_matter() -> None:
    plain = key({"n": 1})
    assert key({"n": 1, "stream": True}) == key({"n": 1, "stream": False}) == plain
    assert key({"n": 1, "stream": True, "stream_options": {"include_usage": True}}) == plain
    assert key({"n": 1, "stream_options": {"include_usage": True, "more": 1}}) != plain
    assert key({"n": 1, "inner": {"stream": True}}) != key({"n": 1, "inner": {}})


def test_volatile_members_do_not_matter_wherever_they_stand() -> None:
    left_out = (("user",), ("metadata", "trace", "id"), ("no", "such"))

    def volatile(content: object) -> str:
        return key(content, left_out=left_out)

    plain = volatile({"n": 1})
    assert volatile({"n": 1, "user": "a"}) == volatile({"n": 1, "user": {"deep": 1}}) == plain
    assert volatile({"n": 1, "metadata": {"trace": {"id": 7}}}) == plain
    assert volatile({"n": 1, "metadata": {"trace": {"id": 7}, "kept": 1}}) == volatile(
        {"n": 1, "metadata": {"kept": 1}}
    )
    assert volatile({"n": 1, "metadata": {"trace": "id"}}) != plain
    assert volatile({"n": 1, "metadata": ["trace"]}) != plain
    assert volatile({"n": 1, "metadata": {}}) != plain


def test_everything_around_the_body_counts() -> None:
    chat, legacy = find("POST", "/chat/completions"), find("POST", "/completions")
    with Upstream(answer) as upstream:
        target = Target(provider=provider(upstream))
    names = (("a", False), ("b", False), ("a", True))
    routes = [Route(name=name, targets=(target,), relay=relay) for name, relay in names]
    request = [
        ended(endpoint=chat),
        ended(endpoint=legacy),
        ended(query="a=1"),
        ended(query=""),
        ended(headers=Headers({"x-llmproxy-provider": "main"})),
        ended(headers=Headers({"OpenAI-Beta": "one"})),
        ended(headers=Headers({"openai-beta": "two"})),
        ended(headers=Headers([("openai-beta", "one"), ("openai-beta", "two")])),
        ended(headers=Headers({"openai-project": "one"})),
        *(ended(route=route) for route in routes),
    ]
    content = CacheableRequest(members={"n": 1})
    keys = [cache_key(each, content, (), "") for each in request]
    keys += [cache_key(request[0], content, (), tenant) for tenant in ("tenant a", "tenant b")]
    assert [one for one, other in itertools.combinations(keys, 2) if one == other] == []
    assert cache_key(ended(headers=Headers({"x-other": "1"})), content, (), "") == keys[0]


def test_the_dialects_of_one_request_are_apart() -> None:
    assert len({key({"n": 1}, dialect) for dialect in PATHS}) == len(PATHS)
    beta = [Headers({"anthropic-beta": name}) for name in ("one", "two")]
    assert len({key({"n": 1}, "messages", headers=each) for each in beta}) == 2
    assert len({key({"n": 1}, "chat", headers=each) for each in beta}) == 1


def test_a_key_is_short_ascii_and_begins_with_that_of_its_model() -> None:
    for model in ("gpt-4o", "", "ü" * 5000, "\ud800", "*"):
        result = key({"n": 1}, model=model)
        assert len(result) == 64 and set(result) <= set("0123456789abcdef")
        assert result.startswith(model_prefix(model)) and len(model_prefix(model)) == 12
    assert key({"n": 1}, model=None).startswith(model_prefix(""))


def test_text_that_is_no_unicode_has_a_key_of_its_own() -> None:
    keys = [key_of(b'{"user":"%b"}' % text) for text in (b"\\ud800", b"\\udc00", b"?", b"\\ufffd")]
    assert len(set(keys)) == 4
    assert key({"n": 1}, query="a=\udcff") != key({"n": 1}, query="a=\udcfe")


def test_a_body_as_deep_as_can_be_read_has_a_key() -> None:
    depth = 100
    while Body(b'{"a":' * depth + b"1" + b"}" * depth).content:
        raw = b'{"a":' * depth + b"1" + b"}" * depth
        body = Body(raw)
        if (content := read_content(body, CHAT)) is not None:
            assert len(cache_key(ended(), content, (), "")) == 64
        depth += 1


def test_keys_stay_the_same_from_version_to_version() -> None:
    """Stores outlive the process: a key that changes by accident empties them all."""
    assert key({"model": "gpt-4o", "t": 1.0, "user": "ü"}, model="gpt-4o") == (
        "a2a69af70d1bf6498ed904dc7d8d15bc5a954b5521c41595fa52d7f2de239217"
    )
