"""What the models of Bedrock's makers accept."""

from __future__ import annotations

import pytest

from llmproxy.dialects.converse.models import effort_fields, family_of


@pytest.mark.parametrize(
    ("model", "caches", "strict", "status", "forced"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", True, True, True, "named"),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", True, False, True, "named"),
        ("eu.amazon.nova-pro-v1:0", True, False, True, "named"),
        ("arn:aws:bedrock:us-east-1::foundation-model/mistral.mistral-large-2407-v1:0", False, True, False, "any"),
        ("us.meta.llama3-3-70b-instruct-v1:0", False, False, False, "none"),
        ("cohere.command-r-plus-v1:0", False, False, False, "none"),
        ("openai.gpt-oss-120b-1:0", False, True, False, "any"),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", True, True, True, "named"),
    ],
)
def test_a_maker_is_known_by_the_id(model: str, caches: bool, strict: bool, status: bool, forced: str) -> None:
    family = family_of(model)
    assert (family.caches, family.strict, family.status, family.forced) == (caches, strict, status, forced)


def test_efforts_are_asked_for_as_the_maker_has_them() -> None:
    nova, oss = family_of("amazon.nova-2-lite-v1:0"), family_of("openai.gpt-oss-20b-1:0")
    assert effort_fields(nova, "xhigh") == {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}
    assert effort_fields(nova, "none") == {"reasoningConfig": {"type": "disabled"}}
    assert effort_fields(oss, "minimal") == {"reasoning_effort": "low"}
    assert not family_of("amazon.nova-pro-v1:0").efforts
