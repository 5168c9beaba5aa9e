"""Objects as Google's servers read them."""

from __future__ import annotations

import pytest

from llmproxy.dialects.gemini.proto_members import ProtoMembers, camel
from llmproxy.errors import BadRequest


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("system_instruction", "systemInstruction"),
        ("top_p", "topP"),
        ("parts", "parts"),
        ("_x", "_x"),
        ("a__b", "a__b"),
    ],
)
def test_names_are_in_camel_case(name: str, expected: str) -> None:
    assert camel(name) == expected


def test_inner_objects_are_read_in_the_same_way() -> None:
    members = ProtoMembers({"generation_config": {"top_p": 0.5}, "contents": {"parts": [{"inline_data": {}}]}})
    config = members.inner("generationConfig")
    assert config is not None and config.number("topP") == 0.5
    [content] = members.objects("contents")
    assert [part.rest for part in content.objects("parts")] == [{"inlineData": {}}]
    assert content.path == "contents" and members.left() == {}


def test_what_is_no_list_and_no_object_is_refused() -> None:
    with pytest.raises(BadRequest, match="contents must be an array"):
        list(ProtoMembers({"contents": 5}).objects("contents"))


def test_of_two_forms_of_a_name_the_other_one_is_left() -> None:
    members = ProtoMembers({"top_k": 1, "topK": 2, "a_b": 3})
    assert (members.any("topK"), members.any("aB")) == (2, 3) and members.left() == {"top_k": 1}
