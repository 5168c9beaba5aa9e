from __future__ import annotations

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from llmproxy.telemetry.names import names_of, operation_name, provider_name


def test_the_sets_differ_where_the_conventions_changed() -> None:
    older, latest = names_of("older"), names_of("latest")
    assert (older["provider"], latest["provider"]) == ("gen_ai.system", "gen_ai.provider.name")
    assert (older["duration_metric"], latest["duration_metric"]) == (
        "gen_ai.client.operation.duration",
        "gen_ai.client.inference.duration",
    )
    assert "token_metric" not in latest and "input_counter" not in older


def test_older_attributes_are_those_of_the_published_package() -> None:
    published = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    ours = {name for key, name in names_of("older").items() if not key.endswith("_metric")}
    assert ours - published == set()


@pytest.mark.parametrize(
    ("template", "operation"),
    [
        ("/v1/chat/completions", "chat"),
        ("/v1/completions", "text_completion"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/messages", "chat"),
        ("/v1/messages/count_tokens", "count_tokens"),
        ("/v1beta/models/{model}:streamGenerateContent", "generate_content"),
        ("/model/{model}/converse", "chat"),
    ],
)
def test_calls_have_the_operation_of_their_path(template: str, operation: str) -> None:
    assert operation_name(template) == operation


@pytest.mark.parametrize(("type_", "name"), [("bedrock", "aws.bedrock"), ("openai", "openai"), ("my-own", "my-own")])
def test_providers_have_the_names_of_the_conventions(type_: str, name: str) -> None:
    assert provider_name(type_) == name
