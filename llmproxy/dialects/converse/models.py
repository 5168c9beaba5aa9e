"""What the models of Bedrock accept beyond each other, by the maker in their ids.

Sources: the service model's words on `toolChoice`, `toolResult.status` and `image`, the user guide's pages on
prompt caching, structured outputs and inference parameters, and refusals that people recorded (langchain-aws#130,
dify#9294). Claude has its own tables in `claude_models.py`. An id that tells nothing, such as that of an application
inference profile, counts as a model that takes everything. Begin reading at `family_of`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from llmproxy.dialects.claude_models import claude_of, is_claude
from llmproxy.dialects.efforts import nearest_effort
from llmproxy.dialects.model import Effort


class Family(NamedTuple):
    """What the models of one maker accept.

    `caches`: cache points. `strict`: structured output and strict tools. `status`: results of tools that say that they
    are errors. `forced`: which tools can be forced, the `named` one, `any` of them, or `none`. `top_k` is the path of
    that knob below `additionalModelRequestFields`. `efforts` are those of models that think by an effort, `effort_form`
    says how it is asked for.
    """

    caches: bool = True
    strict: bool = True
    status: bool = True
    forced: Literal["named", "any", "none"] = "named"
    top_k: tuple[str, ...] = ()
    efforts: tuple[Effort, ...] = ()
    effort_form: Literal["", "nova", "openai"] = ""


_CLAUDE = Family(top_k=("top_k",))
_PLAIN = Family(caches=False, strict=False, status=False, forced="none")
_LOW_TO_HIGH: tuple[Effort, ...] = ("low", "medium", "high")
_NOVA = Family(strict=False, top_k=("inferenceConfig", "topK"))
_FAMILIES: tuple[tuple[str, Family], ...] = (
    (r"claude", _CLAUDE),
    (r"nova-2", _NOVA._replace(efforts=("none", *_LOW_TO_HIGH), effort_form="nova")),
    (r"amazon\.nova|nova-(?:micro|lite|pro|premier)", _NOVA),
    (r"gpt-oss", Family(caches=False, status=False, forced="any", efforts=_LOW_TO_HIGH, effort_form="openai")),
    (r"mistral|magistral|ministral|pixtral", Family(caches=False, status=False, forced="any", top_k=("top_k",))),
    (r"cohere\.|ai21\.|meta\.|llama|amazon\.titan|jamba", _PLAIN),
    (r"deepseek|qwen|kimi|minimax|gemma|nemotron|glm", Family(caches=False, status=False, forced="any")),
)
_UNKNOWN = Family()


@lru_cache(maxsize=1024)
def family_of(model: str) -> Family:
    """Return what a model accepts, by its id, its ARN or the name of its inference profile."""
    lower = model.lower()
    family = next((family for pattern, family in _FAMILIES if re.search(pattern, lower)), _UNKNOWN)
    return family._replace(strict=claude_of(model).strict) if is_claude(model) else family


def effort_fields(family: Family, effort: Effort) -> dict[str, Any]:
    """Return the members of `additionalModelRequestFields` that ask for an effort, or for the nearest that there is."""
    nearest = nearest_effort(effort, family.efforts)
    if family.effort_form == "openai":
        return {"reasoning_effort": nearest}
    if nearest == "none":
        return {"reasoningConfig": {"type": "disabled"}}
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": nearest}}
