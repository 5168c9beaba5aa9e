"""Parts of contents, read and written."""

from __future__ import annotations

from typing import Any

import pytest

from llmproxy.dialects.encode_context import EncodeContext, Losses
from llmproxy.dialects.gemini.call_ids import CallIds
from llmproxy.dialects.gemini.content import encode_part, read_part
from llmproxy.dialects.gemini.proto_members import ProtoMembers
from llmproxy.dialects.model import Block, Media, Opaque, Text, Thinking, ToolCall, ToolResult
from llmproxy.errors import BadRequest, Untranslatable

PARTS: list[tuple[dict[str, Any], type[Block]]] = [
    ({"text": "Hi"}, Text),
    ({"text": "Hi", "thoughtSignature": "c2ln"}, Text),
    ({"text": "Hm", "thought": True, "thoughtSignature": "c2ln"}, Thinking),
    ({"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "mediaResolution": {"level": "LOW"}}, Media),
    ({"inlineData": {"mimeType": "image/png", "data": "-_-_"}}, Media),
    ({"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}, "videoMetadata": {"fps": 1}}, Media),
    ({"functionCall": {"id": "c", "name": "look", "args": {"a": [1]}}, "thoughtSignature": "c2ln"}, ToolCall),
    (
        {"functionResponse": {"id": "c", "name": "look", "response": {"temperature": 3}, "willContinue": False}},
        ToolResult,
    ),
    ({"functionResponse": {"name": "look", "response": {"error": {"code": 5}}}}, ToolResult),
    (
        {"functionResponse": {"id": "c", "name": "look", "response": {}, "parts": [{"inlineData": {"data": "AA"}}]}},
        ToolResult,
    ),
    ({"executableCode": {"code": "1+1", "language": "PYTHON"}}, Opaque),
    ({"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {}}}, Opaque),
]


def decoded(part: dict[str, Any]) -> Block:
    return read_part(ProtoMembers(part, "contents[0].parts[0]"), CallIds())


def encoded(block: Block, *, own: bool, names: dict[str, str] | None = None, inside: bool = True) -> Any:
    losses = Losses()
    parts = encode_part(block, names or {}, EncodeContext(losses=losses, own=own), media_results=inside)
    return parts, losses.dropped


@pytest.mark.parametrize(("part", "kind"), PARTS)
def test_a_part_goes_back_as_it_stood(part: dict[str, Any], kind: type[Block]) -> None:
    block = decoded(part)
    assert type(block) is kind
    if "functionCall" not in part:
        assert encoded(block, own=True) == ([part], [])
    else:
        assert encoded(block, own=True)[0][0]["functionCall"] == part["functionCall"]


@pytest.mark.parametrize(
    ("response", "text", "error"),
    [
        ({"output": "3 degrees"}, "3 degrees", False),
        ({"result": "3 degrees"}, "3 degrees", False),
        ({"error": "no such city"}, "no such city", True),
        ({"error": {"code": 5}}, '{"code":5}', True),
        ({"output": {"a": 1}}, '{"output":{"a":1}}', False),
        ({"output": "x", "error": "y"}, '{"output":"x","error":"y"}', False),
        ({}, "{}", False),
    ],
)
def test_what_a_function_responds_is_its_output_its_error_or_all(response: Any, text: str, error: bool) -> None:
    result = decoded({"functionResponse": {"name": "look", "response": response}})
    assert isinstance(result, ToolResult) and result.error is error
    assert [block.text for block in result.content if isinstance(block, Text)] == [text]


def test_a_result_is_written_below_the_name_of_its_call() -> None:
    result = ToolResult(id="c", content=[Text(text="a"), Text(text="b")])
    parts, _ = encoded(result, own=False, names={"c": "look"})
    assert parts == [{"functionResponse": {"id": "c", "name": "look", "response": {"output": "a\nb"}}}]
    failed = ToolResult(id="noid_1", content=[Text(text="a")], error=True)
    parts, _ = encoded(failed, own=False, names={"noid_1": "look"})
    assert parts == [{"functionResponse": {"name": "look", "response": {"error": "a"}}}]


@pytest.mark.parametrize("inside", [True, False])
def test_pictures_of_a_result_stand_inside_where_the_model_knows_that(inside: bool) -> None:
    media = Media(path="m", kind="image", media_type="image/png", data="AAAA")
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    parts, _ = encoded(ToolResult(id="c", content=[media]), own=False, names={"c": "look"}, inside=inside)
    response = parts[0]["functionResponse"]
    assert response.get("parts", []) == ([picture] if inside else []) and parts[1:] == ([] if inside else [picture])


def test_a_signature_goes_back_to_its_maker_alone() -> None:
    call = ToolCall(id="c", name="look", arguments="{}", signature={"thoughtSignature": "c2ln"})
    assert encoded(call, own=False)[0][0]["thoughtSignature"] == "c2ln"
    foreign = ToolCall(id="c", name="look", arguments="{}", signature={"google": {}})
    assert "thoughtSignature" not in encoded(foreign, own=False)[0][0]


def test_empty_texts_and_foreign_thinking_are_left_out() -> None:
    assert encoded(Text(text=""), own=False) == ([], [])
    assert encoded(Thinking(path="t", text="Hm", dialect="messages", signature="x"), own=False) == ([], ["t"])


def test_code_that_the_provider_ran_has_words() -> None:
    code = decoded({"executableCode": {"code": "1+1", "language": "PYTHON"}})
    result = decoded({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}})
    assert isinstance(code, Opaque) and code.words == "```python\n1+1\n```"
    assert isinstance(result, Opaque) and result.words == "2"


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"functionCall": {"args": {}}}, ".functionCall.name"),
        ({"functionCall": {"name": "a", "args": []}}, ".functionCall.args"),
        ({"inlineData": {"mimeType": "image/png"}}, ".inlineData.data"),
        ({"fileData": {}}, ".fileData.fileUri"),
        ({"text": 5}, ".text"),
        ({"functionResponse": {"name": "a", "parts": [{"functionCall": {"name": "b"}}]}}, ".functionResponse.parts[0]"),
    ],
)
def test_what_is_wrong_is_named(part: dict[str, Any], path: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decoded(part)
    assert refused.value.param == "contents[0].parts[0]" + path


def test_what_cannot_be_carried_is_refused() -> None:
    with pytest.raises(Untranslatable):
        encoded(Opaque(path="o", dialect="messages", kind="server_tool_use", value={}), own=False)
    with pytest.raises(Untranslatable):
        encoded(ToolResult(id="c", content=[Opaque(path="o", dialect="chat", kind="x", value={})]), own=False)


def test_arguments_that_are_no_object_are_kept_as_text() -> None:
    parts, dropped = encoded(ToolCall(path="c", id="c", name="look", arguments="[1"), own=False)
    assert parts[0]["functionCall"]["args"] == {"_raw": "[1"} and dropped == ["c"]
