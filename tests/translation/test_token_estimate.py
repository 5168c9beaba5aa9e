"""Tokens of a request are estimated from everything that the model reads."""

from __future__ import annotations

import pytest

from llmproxy.dialects.model import (
    Block,
    Format,
    Instruction,
    Media,
    Message,
    Opaque,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from llmproxy.translation.token_estimate import estimate_body_tokens, estimate_tokens, stated_output_tokens
from llmproxy.wire.json import read_members

LONG = "word " * 80


def asking(*content: Block) -> Request:
    return Request(dialect="chat", model="m", messages=[Message(role="user", content=list(content))])


def test_an_empty_request_has_one_token() -> None:
    assert estimate_tokens(Request(dialect="chat", model="m")) == 1


@pytest.mark.parametrize(
    ("text", "expected"), [("", 4), ("a", 5), ("abcd", 5), ("abcde", 6), ("\u4f60\u597d", 6), ("\u4f60abcd", 6)]
)
def test_four_ascii_characters_or_one_other_make_a_token(text: str, expected: int) -> None:
    assert estimate_tokens(asking(Text(text=text))) == expected


@pytest.mark.parametrize(
    "block",
    [
        Text(text=LONG),
        Refusal(text=LONG),
        Thinking(text=LONG, dialect="messages"),
        Thinking(text="", encrypted=LONG, dialect="responses"),
        ToolCall(id="c", name="f", arguments=LONG),
        ToolResult(id="c", content=[Text(text=LONG)]),
        Opaque(dialect="responses", kind="x", value={"x": LONG}),
        Media(kind="document", text=LONG),
        Media(kind="image", url="https://x.example/a.png"),
        Media(kind="image", data="A" * 4_000_000),
        Media(kind="document", data="A" * 40_000),
        Media(kind="document", file_id="f"),
    ],
    ids=lambda block: type(block).__name__,
)
def test_every_block_counts_and_none_by_its_base64(block: Block) -> None:
    assert 100 <= estimate_tokens(asking(block)) < 2000


def test_system_tools_and_the_form_of_the_answer_count() -> None:
    schema = {"type": "object", "description": LONG}
    for request in (
        Request(dialect="chat", model="m", system=[Instruction(content=[Text(text=LONG)])]),
        Request(dialect="chat", model="m", tools=[Tool(name="f", description=LONG)]),
        Request(dialect="chat", model="m", tools=[Tool(name="f", schema=schema)]),
        Request(dialect="chat", model="m", tools=[Opaque(dialect="chat", kind="x", value=schema)]),
        Request(dialect="chat", model="m", format=Format(kind="schema", schema=schema)),
    ):
        assert 100 <= estimate_tokens(request) < 200


def test_a_body_is_estimated_by_its_size() -> None:
    assert estimate_body_tokens(b'{"model": "m", "messages": []}') == 8


@pytest.mark.parametrize("media", [b"A" * 100_000, b"data:image/png;base64," + b"iVBOR/+w" * 20_000])
def test_media_in_a_body_count_as_images(media: bytes) -> None:
    text = b"some words and more " * 1000
    body = b'{"content": "' + text + b'", "image": "' + media + b'", "more": "' + text + b'"}'

    assert 11_600 <= estimate_body_tokens(body) <= 11_700


@pytest.mark.parametrize(
    ("body", "stated"),
    [
        (b'{"max_tokens": 5}', 5),
        (b'{"max_completion_tokens":77, "messages": []}', 77),
        (b'{"max_output_tokens": 1}', 1),
        (b'{"generationConfig": {"temperature": 1, "maxOutputTokens": 300}}', 300),
        (b'{"inferenceConfig": {"maxTokens": 12}}', 12),
        (b'{"max_tokens": "many"}', None),
        (b'{"messages": [{"max_tokens": 5}]}', None),
        (b"[]", None),
    ],
)
def test_the_output_that_a_request_allows_is_read_by_its_names(body: bytes, stated: int | None) -> None:
    assert stated_output_tokens(read_members(body)) == stated
