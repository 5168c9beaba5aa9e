from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from pydantic import BaseModel

from llmproxy.config.auth import ClaimsConfig, JwtConfig, KeyConfig
from llmproxy.config.generate import generate
from llmproxy.config.json_schema import FILE_NAME, config_schema
from llmproxy.config.load import load
from llmproxy.config.observability import LoggingConfig, OtlpConfig, TelemetryConfig
from llmproxy.config.presets import Preset
from llmproxy.config.routing_schema import ModelConfig, TargetConfig
from llmproxy.config.schema import MiddlewareEntry, ServerConfig
from llmproxy.config.transport import CorsConfig, TlsConfig
from llmproxy.registry import config_of, find_component, names

CONFIGS = Path(__file__).parent.parent.parent / "configs"
PRESETS = list(Preset)
LEFT_OUT = re.compile(r"^( *)#(?! [^ ])", re.MULTILINE)
TAG = "from llmproxy.middleware.base import Middleware\nfrom llmproxy.settings import Strict\n\n" + (
    "class Tag(Middleware):\n    class Config(Strict):\n        team: str\n"
    "    def on_end(self, exchange):\n        pass\n"
)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_written_is_fine_whether_or_not_keys_are_set(tmp_path: Path, preset: Preset) -> None:
    (tmp_path / "x.yaml").write_text(generate(preset))
    for environ in ({}, {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}):
        loaded = load("x.yaml", directory=tmp_path, environ=environ)
        assert loaded.problems == []
        assert loaded.implicit == ""
    assert load("x.yaml", directory=tmp_path, no_env=True).problems == []


@pytest.mark.parametrize("preset", PRESETS)
def test_the_schema_is_named_for_editors(preset: Preset) -> None:
    assert generate(preset).startswith(f"# yaml-language-server: $schema=./{FILE_NAME}\n")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_files_of_the_repository_are_what_is_written(preset: Preset) -> None:
    assert (CONFIGS / f"{preset}.yaml").read_text(encoding="utf-8") == generate(preset)


def test_the_schema_of_the_repository_is_the_one_that_is_written() -> None:
    assert json.loads((CONFIGS / FILE_NAME).read_text(encoding="utf-8")) == config_schema()


def nested(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        default: object = field.default
        if isinstance(default, BaseModel):
            yield from nested(type(default))


def test_full_shows_and_explains_every_key() -> None:
    text = generate(Preset.full)
    models: list[type[BaseModel]] = [
        ServerConfig,
        LoggingConfig,
        TelemetryConfig,
        OtlpConfig,
        ModelConfig,
        TargetConfig,
        MiddlewareEntry,
    ]
    models += [
        inner for type_ in names("providers") for inner in nested(config_of(find_component("providers", type_, Path())))
    ]
    models += [config_of(find_component("middlewares", type_, Path())) for type_ in names("middlewares")]
    models += [KeyConfig, JwtConfig, ClaimsConfig, CorsConfig, TlsConfig]
    prose = re.sub(r"\s*\n\s*(#+\s+)+", " ", text)
    for model in models:
        for name, field in model.model_fields.items():
            assert re.search(rf"^[ #-]*{name}:( |$)", text, re.MULTILINE), f"{model.__qualname__}.{name} is not shown"
            assert field.description and field.description in prose, f"{model.__qualname__}.{name} is not explained"
    for section in config_schema()["properties"]:
        older = ("interceptors", "general_settings", "model_groups", "session", "cache")
        assert section in older or re.search(rf"^#?{section}:", text, re.MULTILINE)


VARIABLES = {"OPENAI_API_KEY": "k", "LLMPROXY_ADMIN_KEY": "a-long-key", "REDIS_PASSWORD": "p"}
VARIABLES |= {"CI_KEY": "a-key-of-ci", "JWT_SECRET": "s" * 32}
CERTIFICATES = Path(__file__).parent.parent / "support" / "certificates"


def test_everything_that_full_leaves_out_may_be_put_in(tmp_path: Path) -> None:
    text = LEFT_OUT.sub(r"\1", generate(Preset.full))
    assert text != generate(Preset.full)
    text = re.sub(r"^ *api_key: .*\n", "", text, flags=re.MULTILINE)  # api_key_env takes its place
    (tmp_path / "x.yaml").write_text(text)
    for name in ("company-ca.pem", "service-account.json"):
        (tmp_path / name).write_text("{}")
    for name in ("server.pem", "server.key"):
        (tmp_path / name).write_bytes((CERTIFICATES / name).read_bytes())
    (tmp_path / "clients-ca.pem").write_bytes((CERTIFICATES / "ca.pem").read_bytes())
    certificate = load_pem_x509_certificate((CERTIFICATES / "server.pem").read_bytes())
    public = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "token-key.pem").write_bytes(public)
    (tmp_path / "keys.yaml").write_text("keys: []\n")
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "tag.py").write_text(TAG)
    loaded = load("x.yaml", directory=tmp_path, environ=VARIABLES)
    assert [str(problem) for problem in loaded.problems] == []
    config = loaded.checked()
    assert config.llm is not None
    assert config.default_provider == "openai"
    assert [entry.type for entry in config.middlewares if entry.enabled] == ["./my/tag.py:Tag"]


def test_full_shows_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(generate(Preset.full))
    config = load("x.yaml", directory=tmp_path, environ={}).checked()
    assert config.server == ServerConfig()
    assert config.logging == LoggingConfig()
    assert [(entry.type, entry.enabled) for entry in config.middlewares] == [(n, False) for n in names("middlewares")]
    for entry in config.middlewares:
        assert entry.config == config_of(find_component("middlewares", entry.type, Path()))()
    provider = config.providers[0]
    assert provider.model_dump(exclude_defaults=True) == {"name": "openai", "type": "openai"}


@pytest.mark.parametrize("preset", PRESETS)
def test_no_word_is_split_over_two_lines_of_a_comment(preset: Preset) -> None:
    assert not [line for line in generate(preset).splitlines() if re.search(r"#.*\w-$", line)]
