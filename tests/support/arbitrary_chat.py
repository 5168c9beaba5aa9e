"""Nearly valid chat requests, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_WORDS = st.sampled_from(
    ["user", "assistant", "tool", "system", "function", "text", "image_url", "file", "auto", "custom"]
)
_NAMES = st.sampled_from(
    ["role", "content", "type", "text", "image_url", "url", "tool_calls", "function", "id", "name", "arguments", "file"]
)
_NEAR: Any = st.recursive(
    _JSON | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=15,
)
_TOP = st.sampled_from(
    ["tools", "tool_choice", "functions", "function_call", "stop", "stream_options", "response_format", "n", "audio"]
)

_PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "refusal", "x"])},
    optional={
        "text": st.text(max_size=3),
        "refusal": st.text(max_size=3),
        "image_url": st.fixed_dictionaries({"url": st.sampled_from(["https://x", "data:image/png;base64,AA==", ""])}),
        "file": st.fixed_dictionaries({}, optional={"file_id": st.text(max_size=3), "file_data": st.text(max_size=3)}),
    },
)
_CALLS = st.fixed_dictionaries(
    {"id": st.text(max_size=50)},
    optional={
        "type": st.sampled_from(["function", "custom", "x"]),
        "function": st.fixed_dictionaries({"name": st.text(max_size=3), "arguments": st.text(max_size=3)}),
        "custom": st.fixed_dictionaries({"name": st.text(max_size=3), "input": st.text(max_size=3)}),
    },
)
_MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function"])},
    optional={
        "content": st.none() | st.text(max_size=3) | st.lists(_PARTS, max_size=3),
        "name": st.text(max_size=3),
        "tool_call_id": st.text(max_size=50),
        "tool_calls": st.lists(_CALLS, max_size=3),
        "reasoning": st.text(max_size=3),
        "refusal": st.text(max_size=3),
        "audio": st.just({"id": "a"}),
    },
)

MESSAGES: Any = st.lists(_MESSAGES, max_size=4) | st.lists(_NEAR, max_size=3) | _JSON
MEMBERS: Any = st.dictionaries(_TOP, _NEAR, max_size=3)
