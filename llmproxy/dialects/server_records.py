"""What a provider's own tools did in earlier turns, such as a search, as words for other dialects.

A conversation that began at one vendor may go on at another. Such records have no place in a second dialect, but what
they say can be read: queries, code, outputs, titles. Pictures and what only the vendor can decrypt stay behind.
Sources: the SDKs' `response_input_item_param` and `content_block_param`. Begin reading at `record_words`.
"""

from __future__ import annotations

from typing import Any

from llmproxy.wire.json import write_value

_KINDS = frozenset(
    (
        *("web_search_call", "file_search_call", "code_interpreter_call", "program", "program_output"),  # responses
        *("mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response"),
        *("server_tool_use", "mcp_tool_use", "search_result"),  # messages
    )
)
_RESULT = "_tool_result"
_UNREADABLE = frozenset(
    (
        *("type", "id", "status", "tool_use_id", "container_id", "file_id", "fingerprint", "page_age"),
        *("encrypted_content", "encrypted_index", "encrypted_stdout", "citations", "cache_control", "caller"),
    )
)


def record_words(kind: str, value: dict[str, Any]) -> str | None:
    """Return what a record says, None for a block or item that is none."""
    if kind not in _KINDS and not kind.endswith(_RESULT):
        return None
    return f"[{kind}: {write_value(_readable(value)).decode('utf-8', 'replace')}]"


def _readable(value: object) -> object:
    if isinstance(value, dict):
        return {name: _readable(each) for name, each in value.items() if name not in _UNREADABLE and each is not None}
    return [_readable(each) for each in value] if isinstance(value, list) else value
