"""Compare the tables of models with a public one: `model_prices_and_context_window_backup.json` of the package litellm.

    python -m scripts.model_rules [FILE]

Without FILE the installed package is read, which is no dependency of this program. Prints each difference that
EXPLAINED does not explain; exit 1 when there is any. Begin reading at `differences`.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmproxy.dialects.claude_models import claude_of
from llmproxy.dialects.openai_models import openai_model

TABLE = "model_prices_and_context_window_backup.json"

EXPLAINED: tuple[tuple[str, str, str], ...] = (
    (r"claude-sonnet-5-5", "xhigh|max", "its page names low, medium and high"),
    (r"gpt-5\.2-pro", "minimal", "refused from 5.1 on (opencode#4451)"),
    (r"gpt-5\.3-codex", "none", "recorded for the mainline models alone; low is always accepted"),
    (r"gpt-5-pro", "minimal", "it accepts `high` alone"),
    (r"gpt-5-chat|gpt-5-search-api", "minimal|reasoning", "it does not reason (pydantic-ai)"),
)
"""Models, what differs, and why ours is kept."""


def differences(table: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield the model, what differs, the public value and ours, whether explained or not."""
    for name, public in table.items():
        if not isinstance(public, dict) or public.get("mode") not in ("chat", "responses"):
            continue
        ours: dict[str, Any] = {}
        if public.get("litellm_provider") == "anthropic":
            ours = _claude(name)
        elif public.get("litellm_provider") == "openai":
            ours = _openai(name)
        for what, value in ours.items():
            theirs = public.get(what)
            if theirs is not None and theirs != value:
                yield name, what, theirs, value


def unexplained(table: Mapping[str, Any]) -> list[str]:
    """Return a line for each difference without an explanation."""
    return [
        f"{name}: {what} is {theirs} there and {ours} here"
        for name, what, theirs, ours in differences(table)
        if not any(re.search(model, name) and re.search(each, what) for model, each, _ in EXPLAINED)
    ]


def _claude(name: str) -> dict[str, Any]:
    model = claude_of(name)
    facts: dict[str, Any] = {
        "thinking_always_on": model.off != "disabled",
        "supports_forced_tool_use": model.forced,
        "supports_assistant_prefill": model.prefill,
        "supports_sampling_params": model.samples != "none",
        "supports_adaptive_thinking": model.thinks == "adaptive",
        "supports_mid_conversation_system": model.system_turns,
        "max_output_tokens": model.max_tokens,
    }
    return facts | {f"supports_{each}_reasoning_effort": each in model.efforts for each in ("xhigh", "max")}


def _openai(name: str) -> dict[str, Any]:
    model = openai_model(name)
    if model is None:
        return {}
    efforts = ("none", "minimal", "low", "xhigh", "max")
    facts: dict[str, Any] = {f"supports_{each}_reasoning_effort": each in model.efforts for each in efforts}
    return facts if model.longest is None else facts | {"max_output_tokens": model.longest}


def _file() -> Path | None:
    if len(sys.argv) > 1:
        return Path(sys.argv[1])
    found = importlib.util.find_spec("litellm")
    return None if found is None or found.origin is None else Path(found.origin).parent / TABLE


def main() -> None:
    """Print the differences."""
    file = _file()
    if file is None:
        sys.exit(f"model_rules: the package litellm is not installed; name its file {TABLE}")
    lines = unexplained(json.loads(file.read_text(encoding="utf-8")))
    print("\n".join(lines), end="\n" if lines else "")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
