"""Members of JSON objects, read and exchanged without touching what stands around them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.errors import BadRequest
from llmproxy.wire.json import (
    read_as,
    read_members,
    read_value,
    remove_member,
    replace_member,
    write_unicode,
    write_value,
)

spaces = st.text(" \t\n\r", max_size=3)
names = st.one_of(
    st.sampled_from(["model", "stream", "a", "", 'q"uote', "back\\slash", "{", "é😀"]), st.text(max_size=5)
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(['"', "\\", "}", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@dataclass
class Member:
    """One member as text: white space, key and colon, value, white space."""

    name: str
    lead: str
    head: str
    value: str
    tail: str


@dataclass
class Written:
    """An object as text, with what stands around its members."""

    opening: str
    members: list[Member]
    closing: str

    def write(self, **values: str) -> bytes:
        """Return the bytes, with other values for the members that are named."""
        members = ",".join(m.lead + m.head + values.get(m.name, m.value) + m.tail for m in self.members)
        return (self.opening + members + self.closing).encode("utf-8", "surrogatepass")


@st.composite
def objects(draw: st.DrawFn) -> Written:
    """Draw any object, with any white space, its keys spelled with and without escapes."""
    members = []
    for name in draw(st.lists(names, unique=True, max_size=5)):
        key = json.dumps(name, ensure_ascii=draw(st.booleans()))
        if name == "model" and draw(st.booleans()):
            key = '"mo\\u0064el"'
        value = json.dumps(draw(values), indent=draw(st.sampled_from([None, 1])))
        members.append(Member(name, draw(spaces), f"{key}{draw(spaces)}:{draw(spaces)}", value, draw(spaces)))
    mark = draw(st.sampled_from(["", "", "\ufeff"]))
    return Written(f"{mark}{draw(spaces)}{{", members, f"{draw(spaces) if not members else ''}}}{draw(spaces)}")


def in_order(data: bytes) -> list[tuple[str, object]]:
    """Return what another reader finds, members in their order."""
    pairs: list[tuple[str, object]] = json.loads(
        data.decode("utf-8-sig", "surrogatepass"), object_pairs_hook=lambda found: found
    )
    return pairs


@given(objects())
def test_every_member_is_read_as_it_is_written(written: Written) -> None:
    members = read_members(written.write())
    assert [(name, bytes(raw).decode()) for name, raw in members.items()] == [
        (m.name, m.value) for m in written.members
    ]


@given(objects())
def test_replacing_changes_the_value_alone(written: Written) -> None:
    for member in written.members:
        assert replace_member(written.write(), member.name, b'["new"]') == written.write(**{member.name: '["new"]'})


@given(objects())
def test_adding_keeps_every_byte_and_comes_last(written: Written) -> None:
    changed = replace_member(written.write(), "added here", b"[1]")
    assert repr(in_order(changed)) == repr([*in_order(written.write()), ("added here", [1])])
    before, after = changed.split(b'"added here":[1]')
    assert (before.removesuffix(b",") if written.members else before) + after == written.write()


@given(objects(), st.data())
def test_removing_takes_one_member_and_one_comma(written: Written, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*(m.name for m in written.members), "not there"]))
    changed = remove_member(written.write(), name)
    left = [m for m in written.members if m.name != name]
    assert repr(in_order(changed)) == repr([pair for pair in in_order(written.write()) if pair[0] != name])
    assert len(left) < len(written.members) or changed == written.write()
    at = len(written.opening.encode())
    assert changed[:at] == written.opening.encode()
    for member in left:
        kept = (member.head + member.value).encode("utf-8", "surrogatepass")
        at = changed.index(kept, at) + len(kept)


@pytest.mark.parametrize(
    ("data", "name", "replaced", "removed"),
    [
        (b"{}", "model", b'{"model":"n"}', b"{}"),
        (b" { \n} ", "model", b' {"model":"n" \n} ', b" { \n} "),
        (b'{"model":"o"}', "model", b'{"model":"n"}', b"{}"),
        (b'{ "model" :\t"o" , "b":2 }', "model", b'{ "model" :\t"n" , "b":2 }', b'{ "b":2 }'),
        (b'{"a":1 , "model":"o"\n}', "model", b'{"a":1 , "model":"n"\n}', b'{"a":1\n}'),
        (b'{"a":{"model":1},"model":2}', "model", b'{"a":{"model":1},"model":"n"}', b'{"a":{"model":1}}'),
        (b'{"model":2,"a":[{"model":1}]}', "model", b'{"model":"n","a":[{"model":1}]}', b'{"a":[{"model":1}]}'),
        (b'{"mo\\u0064el":"o"}', "model", b'{"mo\\u0064el":"n"}', b"{}"),
        (b'{"t":NaN,"model":"o"}', "model", b'{"t":NaN,"model":"n"}', b'{"t":NaN}'),
        (b'\xef\xbb\xbf{"model":"o"}', "model", b'\xef\xbb\xbf{"model":"n"}', b"\xef\xbb\xbf{}"),
        (b'{"t":"\\ud83d","model":"o"}', "model", b'{"t":"\\ud83d","model":"n"}', b'{"t":"\\ud83d"}'),
        (b'{"t":"\xff\xfe","model":"o"}', "model", b'{"t":"\xff\xfe","model":"n"}', b'{"t":"\xff\xfe"}'),
        (b'{"modelx":1}', "model", b'{"modelx":1,"model":"n"}', b'{"modelx":1}'),
        (b'{"n":1e400,"model":12345678901234567890123}', "model", b'{"n":1e400,"model":"n"}', b'{"n":1e400}'),
    ],
)  # fmt: skip
def test_a_splice_gives_these_bytes(data: bytes, name: str, replaced: bytes, removed: bytes) -> None:
    assert replace_member(data, name, b'"n"') == replaced
    assert remove_member(data, name) == removed


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":12,"a":1}',
        b'{"a":1,"b":2,"a":12}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":{"x":1,"b":2},"b":3,"a":{"x":1}}',
        b'{"a":NaN,"a":1}',
        b'{"model":1,"x":2,"model":3}',
    ],
)
def test_an_object_with_a_key_twice_is_not_changed(data: bytes) -> None:
    for change in (partial(replace_member, raw=b"1"), remove_member):
        with pytest.raises(BadRequest, match="twice") as refused:
            change(data, name="model")
        assert refused.value.status == 400
        assert refused.value.param in read_members(data)


DEEP = 100_000

NOT_OBJECTS = [
    b"",
    b" ",
    b"[]",
    b'"text"',
    b"null",
    b"{",
    b'{"a"}',
    b'{"a":}',
    b'{"a":1,}',
    b'{,"a":1}',
    b'{"a":1 "b":2}',
    b'{"a":1}x',
    b'{"a":NaN}x',
    b"{a:1}",
    b"{'a':1}",
    b'{1:"a"}',
    b'{"a":NaN,1:2}',
    b'{"a":NaN,"b":}',
    b'{"a":01}',
    b'{"a":"\n"}',
    b'{"\xff":1}',
    b'{"a":NaN,"\xff":1}',
    b"\xff\xfe{}",
    b"--boundary\r\ncontent-disposition: form-data",
    b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}",
    b'{"a":NaN,"b":' + b'{"a":' * DEEP + b"}" * DEEP + b"}",
]


@pytest.mark.parametrize("data", NOT_OBJECTS, ids=lambda data: repr(data[:20]))
def test_what_is_no_object_has_no_members_and_is_not_changed(data: bytes) -> None:
    assert read_members(data) == {}
    for change in (partial(replace_member, raw=b"1"), remove_member):
        with pytest.raises(BadRequest, match="not a JSON object"):
            change(data, name="model")


@given(st.binary(max_size=60))
def test_no_bytes_make_reading_fail(data: bytes) -> None:
    assert isinstance(read_members(data), dict)
    read_value(data)
    read_as(msgspec.json.Decoder(dict[str, int]), data)


@pytest.mark.parametrize("value", [b"1", b"NaN"])
def test_an_object_of_very_many_members_is_not_walked_through(value: bytes) -> None:
    def written(members: int) -> bytes:
        return b"{" + b",".join(b'"%d":%b' % (number, value) for number in range(members)) + b"}"

    assert len(read_members(replace_member(written(9_999), "model", b"1"))) == 10_000
    with pytest.raises(BadRequest, match="at most 10000 members"):
        replace_member(written(10_001), "model", b"1")
    assert len(read_members(written(10_001))) == (10_001 if value == b"1" else 0)


def test_of_a_key_that_stands_twice_the_last_value_is_read() -> None:
    assert bytes(read_members(b'{"model":1,"model":2}')["model"]) == b"2"
    assert bytes(read_members(b'{"model":1,"model":2,"x":NaN}')["model"]) == b"2"


def test_values_that_only_the_standard_library_reads_are_read() -> None:
    assert read_value(b'"\\ud800"') == "\ud800"
    assert read_value(b"-Infinity") == -math.inf
    assert read_value(b"\xef\xbb\xbf[1]") == [1]
    assert read_value(msgspec.Raw(b'{"a": [1.5]}')) == {"a": [1.5]}
    assert read_value(b"nonsense") is None
    assert read_value(b"[" * DEEP + b"]" * DEEP) is None


def test_typed_reading_takes_the_same_values() -> None:
    decoder = msgspec.json.Decoder(dict[str, str | float])
    assert read_as(decoder, b'{"a":"x"}') == {"a": "x"}
    assert read_as(decoder, b'{"a":"\\ud800","b":1e400}') == {"a": "\ud800", "b": math.inf}
    assert read_as(decoder, b'{"a":1e400}') == {"a": math.inf}
    assert read_as(decoder, b'{"a":[]}') is None
    assert read_as(decoder, b'{"a":[],"b":Infinity}') is None
    assert read_as(decoder, b"{") is None


class Inner(msgspec.Struct):
    b: int = 0


class Outer(msgspec.Struct):
    a: Inner
    rest: list[Inner] = []


def test_a_name_of_half_a_character_costs_only_itself() -> None:
    data = rb'{"\ud800": 1, "a": {"\udc00x": {}, "b": 2}, "rest": [{"\ud83d": 3, "b": 4}]}'
    assert read_as(msgspec.json.Decoder(Outer), data) == Outer(Inner(2), [Inner(4)])


def test_text_that_is_no_unicode_is_written_with_escapes() -> None:
    assert write_value({"a": "é", "b": [1, None]}) == '{"a":"é","b":[1,null]}'.encode()
    assert write_value({"a": "\udcff"}) == b'{"a":"\\udcff"}'


def test_text_that_is_no_unicode_is_replaced_for_sdks() -> None:
    assert write_unicode({"a": "é"}) == '{"a":"é"}'.encode()
    assert write_unicode({"a": "\udcff"}) == '{"a":"\ufffd"}'.encode()
    assert write_unicode(["\ud83d\ude00\n"]) == '["\U0001f600\\n"]'.encode()


def test_a_number_of_more_digits_than_python_reads_spoils_nothing_else() -> None:
    body = b'{"model": "m", "n": %b, "x": [1]}' % (b"9" * 5000)
    members = read_members(body)
    assert (read_value(members["model"]), read_value(members["x"])) == ("m", [1])
    assert read_value(body) == {"model": "m", "n": float("inf"), "x": [1]}
    assert replace_member(body, "model", b'"o"') == body.replace(b'"m"', b'"o"')
