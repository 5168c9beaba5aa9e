"""Entries are read back as they were stored; anything else is not an entry."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.caching.entry import CacheEntry, pack, unpack


def entry(**changes: Any) -> CacheEntry:
    values: dict[str, Any] = {
        "status": 200,
        "headers": [("content-type", "text/event-stream")],
        "stream": True,
        "counted": False,
        "created_s": 1_700_000_000.5,
        "spent_s": 1.25,
        "input_tokens": 3,
        "output_tokens": None,
        "paces": [(0, 5), (40, 6)],
        "body": b"data: {}\n\n\x00\xff",
    }
    return CacheEntry(**values | changes)


@pytest.mark.parametrize("body", [b"", b"\x00", bytes(range(256)) * 5000])
def test_an_entry_comes_back_as_it_went(body: bytes) -> None:
    assert unpack(pack(entry(body=body))) == entry(body=body)
    assert unpack(pack(entry(headers=[], paces=[], output_tokens=2**40))) == entry(
        headers=[], paces=[], output_tokens=2**40
    )


def test_any_flipped_bit_is_no_entry() -> None:
    raw = pack(entry())
    for place in range(len(raw)):
        for bit in range(8):
            broken = bytearray(raw)
            broken[place] ^= 1 << bit
            assert unpack(bytes(broken)) is None


def test_a_part_of_an_entry_or_more_than_one_is_none() -> None:
    raw = pack(entry())
    assert all(unpack(raw[:length]) is None for length in range(len(raw)))
    assert unpack(raw + b"\x00") is None and unpack(raw + raw) is None


@given(st.binary(max_size=200))
def test_rubbish_is_no_entry(rubbish: bytes) -> None:
    assert unpack(rubbish) is None
    assert unpack(b"lpc1" + rubbish) is None


@pytest.mark.parametrize("value", [None, 1, [], {}, [200, []], [200, [], True, True, "now", 1, 1, 1, [], b""]])
def test_another_value_in_our_wrapping_is_no_entry(value: object) -> None:
    packed = msgspec.msgpack.encode(value)
    assert unpack(b"lpc1" + zlib.crc32(packed).to_bytes(4, "big") + packed) is None


def test_an_entry_of_another_version_is_none() -> None:
    raw = pack(entry())
    assert unpack(b"lpc0" + raw[4:]) is None and unpack(b"lpc2" + raw[4:]) is None
