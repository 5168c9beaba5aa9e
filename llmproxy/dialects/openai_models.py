"""What OpenAI's models refuse: efforts, "no thinking", sampling beside thinking, stop sequences, long answers. For chat
and responses.

Models differ, and only their names tell how. Sources: pydantic-ai `profiles/openai.py` ("live-verified 2026-07"),
vercel/ai `openai-language-model-capabilities.ts`, opencode#4451, and the parameters' documentation in the SDK's types.
Recorded refusals of stop sequences: smolagents#1671 (gpt-5-mini), #1868 (5.1), #1893 (5.2); of answers that are longer
than a model's longest: catwalk#41.
`scripts/model_rules.py` compares the table with a public one. What services add stands in their rows
(`Options.efforts`). Begin reading at `openai_model`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from llmproxy.dialects.model import Effort

EffortRows: TypeAlias = tuple[tuple[str, tuple[Effort, ...]], ...]

ENCRYPTED_REASONING = "reasoning.encrypted_content"
"""What `include` of a responses request names to get reasoning that can be sent back."""


class OpenAIModel(NamedTuple):
    """What one model accepts: `efforts`, empty where it does not reason; sampling `always`, with the effort `none`
    alone, also where no effort is sent (`default`), or `never`; how many stop sequences
    (those without any have no `logit_bias` either); and the `longest` limit of an answer in tokens. None of the last
    two: the service decides."""

    efforts: tuple[Effort, ...]
    samples: Literal["always", "default", "none", "never"] = "never"
    stops: int | None = 0
    longest: int | None = 128000


_TO_HIGH: tuple[Effort, ...] = ("low", "medium", "high")
_TO_XHIGH: tuple[Effort, ...] = (*_TO_HIGH, "xhigh")
_TO_MAX: tuple[Effort, ...] = (*_TO_XHIGH, "max")
_FROM_MEDIUM: tuple[Effort, ...] = ("medium", "high", "xhigh")

_PLAIN = OpenAIModel((), "always", stops=4, longest=16384)
# What follows a name must not make it another one: gpt-5 is not gpt-5.1.
_END = r"(?![\w.])"
_MODELS: tuple[tuple[str, OpenAIModel], ...] = (
    (r"gpt-oss", OpenAIModel(_TO_HIGH, "always", stops=None, longest=None)),
    (r"gpt-4o(?:-mini)?-search", OpenAIModel((), stops=4, longest=16384)),
    (r"gpt-5-search", OpenAIModel(())),
    (r"gpt-4\.1", _PLAIN._replace(longest=32768)),
    (r"gpt-4o-2024-05-13|gpt-4(?![o.])|gpt-3\.?5", _PLAIN._replace(longest=4096)),  # Azure's name is gpt-35-turbo
    (r"gpt-5-chat|chatgpt-4o|gpt-4|gpt-audio", _PLAIN),
    (r"gpt-5\.\d+-chat", OpenAIModel(("medium",), longest=16384)),
    (r"chat-latest|gpt-chat-latest", OpenAIModel(("medium",))),
    (rf"gpt-5-pro{_END}", OpenAIModel(("high",), longest=272000)),
    (rf"gpt-5\.\d+-pro{_END}", OpenAIModel(_FROM_MEDIUM)),
    (r"gpt-5(?:\.1)?-codex(?!-max)", OpenAIModel(_TO_HIGH)),
    (r"codex-mini", OpenAIModel(_TO_HIGH, longest=100000)),
    (r"gpt-5\.\d+-codex", OpenAIModel(_TO_XHIGH)),
    (rf"gpt-5\.1{_END}", OpenAIModel(("none", *_TO_HIGH), "default")),
    (rf"gpt-5\.[2-4]{_END}", OpenAIModel(("none", *_TO_XHIGH), "default")),
    (rf"gpt-5\.\d+{_END}", OpenAIModel(("none", *_TO_XHIGH), "none")),
    (rf"gpt-5{_END}", OpenAIModel(("minimal", *_TO_HIGH))),
    (r"gpt-6-(?:sol|luna)|gpt-6\.1-terra", OpenAIModel(("none", *_TO_MAX), "none")),
    (r"gpt-6", OpenAIModel(_TO_MAX)),
    (r"o1-(?:mini|preview)", OpenAIModel((), longest=None)),
    (r"o\d+(?:-mini)?-deep-research", OpenAIModel(("medium",), longest=100000)),
    (rf"o1{_END}", OpenAIModel(_TO_HIGH, stops=4, longest=100000)),
    (rf"o[34]{_END}", OpenAIModel(_TO_HIGH, longest=100000)),
)


@lru_cache(maxsize=1024)
def openai_model(name: str) -> OpenAIModel | None:
    """Return the facts of a model by its name, which may stand behind a maker's; None for models of others."""
    lower = name.lower()
    return next((model for pattern, model in _MODELS if re.search(rf"(?:^|[/:.])(?:{pattern})", lower)), None)


@lru_cache(maxsize=1024)
def takes_breakpoints(name: str) -> bool:
    """Return whether a model of OpenAI knows prompt-cache marks: those from 5.6 on (SDK, `PromptCacheOptions`)."""
    return re.search(r"(?:^|[/:.])gpt-(?:5\.(?:[6-9]|\d\d)|[6-9])", name.lower()) is not None


def is_openai(name: str) -> bool:
    """Return whether a name is that of a model of OpenAI."""
    return openai_model(name) is not None


@lru_cache(maxsize=1024)
def served_model(name: str, rows: EffortRows) -> OpenAIModel | None:
    """Return the facts of a model at a service that knows the efforts `rows`, by patterns of names."""
    lower = name.lower()
    efforts = next((efforts for pattern, efforts in rows if re.search(pattern, lower)), None)
    return openai_model(name) if efforts is None else OpenAIModel(efforts, "always", stops=None, longest=None)
