from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.access.identity import digest
from llmproxy.answer import Headers
from llmproxy.client_request import SESSION_HEADERS
from llmproxy.recognition.session_names import SessionName, answer_key, session_name_of

ID = "0b1e6d2c-7a55-4c1b-9f3e-2d4c8a9b7e61"
TENANT = "tenant"


def named(body: dict[str, Any], **headers: str) -> str | None:
    """Return the id that the session of a request gets."""
    sent = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    name = session_name_of(sent, SESSION_HEADERS, body, TENANT)
    return None if name is None else name.id


def test_names_count_in_this_order() -> None:
    body = {"conversation": "conv_1", "previous_response_id": "resp_1", "metadata": {"user_id": f"u_session_{ID}"}}
    headers = Headers({name: f"by {name}" for name in SESSION_HEADERS})
    for header in SESSION_HEADERS:
        match = session_name_of(headers, SESSION_HEADERS, body, TENANT)
        assert match is not None and match.id == f"by {header}"
        del headers[header]
    assert named(body) == "conv_1"
    del body["conversation"]
    assert session_name_of(Headers(), SESSION_HEADERS, body, TENANT) == SessionName(answer_key("resp_1", TENANT), None)
    del body["previous_response_id"]
    assert named(body) == ID
    del body["metadata"]
    assert named(body) is None


def test_a_header_that_says_nothing_is_none() -> None:
    assert named({}, x_session_id="  ", session_id="b") == "b"
    assert named({}, session_id="") is None


def test_only_the_headers_that_are_meant_are_read() -> None:
    headers = Headers({"session-id": "a", "X-Mine": "b"})
    assert session_name_of(headers, ("x-mine",), {}, TENANT) == session_name_of(
        Headers({"x-mine": "b"}), ("x-mine",), {}, TENANT
    )
    assert session_name_of(headers, (), {}, TENANT) is None


@pytest.mark.parametrize("body", [{"conversation": "conv_1"}, {"conversation": {"id": "conv_1"}}])
def test_a_conversation_is_named_by_its_id(body: dict[str, Any]) -> None:
    assert named(body) == "conv_1"


@pytest.mark.parametrize(
    "user",
    [
        f"user_8d969eef6ecad3c29a3a629280e686cf_account_{ID}_session_{ID}",
        f"user_8d969eef6ecad3c29a3a629280e686cf_account__session_{ID}",
        json.dumps({"device_id": "d", "account_uuid": "", "session_id": ID}),
        json.dumps({"session_id": ID}, indent=1),
    ],
)
def test_coding_agents_name_their_session_in_metadata(user: str) -> None:
    assert named({"metadata": {"user_id": user}}) == ID


@pytest.mark.parametrize(
    "user",
    [
        *(
            "user-42",
            ID,
            f"user_{ID}",
            f"session-{ID}",
            f"u_session_{ID}_more",
            f"u_session_{ID[:-1]}",
            "u_session_abc",
        ),
        *("u_session_", f"u_session_{ID}\n", f'"session_id": "{ID}"', '{"session_id": 5}', '{"session_id": ""}', "{"),
        *('{"session": "a"}', f'["session_id", "{ID}"]', f"u_session_{'g' + ID[1:]}", "{" * 5000, "", 5, None, [ID]),
    ],
)
def test_what_only_looks_like_a_session_in_metadata_is_none(user: object) -> None:
    assert named({"metadata": {"user_id": user}}) is None


@pytest.mark.parametrize(
    "body",
    [
        *({"metadata": [ID]}, {"metadata": ID}, {"conversation": 5}, {"conversation": {}}, {"conversation": {"id": 5}}),
        *({"conversation": ""}, {"previous_response_id": ""}, {"previous_response_id": {}}, {"conversation": None}),
        *({"prompt_cache_key": ID}, {"user": f"u_session_{ID}"}, {"safety_identifier": ID}, {"session_id": ID}),
    ],
)
def test_nothing_else_names_a_session(body: dict[str, Any]) -> None:
    assert named(body) is None


@pytest.mark.parametrize("text", ["a" * 200, "a b", "~!{}/%", "..", "s_00"])
def test_a_name_is_the_id_of_its_session_as_the_client_sent_it(text: str) -> None:
    assert named({"conversation": text}) == text


@pytest.mark.parametrize("text", ["a" * 201, "a\nb", "a\x00", "é", "日本", "\ud800", "a  b", "\udcff", "a\x7f", " a"])
def test_what_cannot_stand_in_a_header_is_known_by_its_digest(text: str) -> None:
    match = named({"conversation": text})
    assert match is not None and match.isalnum() and len(match) == 32
    assert match == named({"conversation": text}) != named({"conversation": text + "x"})


@given(st.text(min_size=1))
def test_any_name_gives_an_id_that_can_stand_in_a_header(name: str) -> None:
    match = named({"conversation": name})
    assert match is not None and 0 < len(match) <= 200 and match.isascii() and match.isprintable()


def test_the_same_name_of_two_tenants_is_looked_for_by_two_keys() -> None:
    headers = Headers({"session-id": "a"})
    one, other = (session_name_of(headers, SESSION_HEADERS, {}, tenant) for tenant in ("one", "other"))
    assert one and other and one.key != other.key
    assert answer_key("resp_1", "one") != answer_key("resp_1", "other")


def test_long_names_are_reported_apart_and_not_held_in_memory() -> None:
    names = ["x" * 100_000 + end for end in "ab"]
    before = digest.cache_info().currsize
    keys = {answer_key(name, "t") for name in names} | {answer_key(names[0], "u")}
    assert len(keys) == 3 and digest.cache_info().currsize == before
