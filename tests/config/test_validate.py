"""How pydantic's findings become ours; most of it stands in the golden cases."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr, ValidationInfo, field_validator

from llmproxy.config.document import parse_yaml
from llmproxy.config.validate import read_model
from llmproxy.settings import Strict


class Inner(Strict):
    word: str = ""
    secret: SecretStr = SecretStr("")
    kind: Literal["a", "b"] = "a"


class Outer(Strict):
    inner: Inner = Inner()
    words: list[str] | None = None
    either: int | list[str] = 0
    table: dict[str, Inner] | None = None
    flag: bool = False
    ratio: float = 0.0
    place: str = ""

    @field_validator("place")
    @classmethod
    def _below_directory(cls, value: str, info: ValidationInfo) -> str:
        return str(info.context["directory"] / value) if info.context else value


def fitted(text: str) -> Outer:
    node, problems = parse_yaml(text, "x.yaml")
    assert node and not problems
    model, problems = read_model(node, Outer, Path("base"))
    assert model is not None, problems
    return model


def report(text: str, homes: dict[str, str] | None = None) -> list[str]:
    node, _ = parse_yaml(text, "x.yaml")
    assert node
    model, problems = read_model(node, Outer, Path("base"), homes)
    assert model is None
    return [str(problem) for problem in problems]


def test_numbers_are_text_where_text_is_wanted_as_they_were_written() -> None:
    model = fitted("inner: {word: 1.10, secret: 007}\nwords: [1e3, true, 0x1]\ntable: {1: {word: 2}}\n")
    assert (model.inner.word, model.inner.secret) == ("1.10", SecretStr("007"))
    assert model.words == ["1e3", "true", "0x1"]
    assert model.table and model.table["1"].word == "2"


def test_text_is_a_number_or_a_truth_where_one_is_wanted() -> None:
    model = fitted("flag: 'yes'\nratio: '1.5'\neither: '3'\n")
    assert (model.flag, model.ratio, model.either) == (True, 1.5, 3)


def test_validators_know_the_directory() -> None:
    assert fitted("place: x").place == str(Path("base", "x"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner: {wrod: 1}", "x.yaml:1:9: inner.wrod: unknown key; did you mean 'word'?"),
        ("inner: {zzz: 1}", "x.yaml:1:9: inner.zzz: unknown key; allowed: word, secret, kind"),
        ("table: {k: {zzz: 1}}", "x.yaml:1:13: table.k.zzz: unknown key; allowed: word, secret, kind"),
        ("inner: {secret: [a]}", "x.yaml:1:17: inner.secret: must be text, not a list"),
        ("inner: {kind: aa}", "x.yaml:1:15: inner.kind: must be one of a, b, not 'aa'; did you mean 'a'?"),
        ("words: {}", "x.yaml:1:8: words: must be a list (lines that begin with `- `), not a block of keys"),
        ("table: x", "x.yaml:1:8: table: must be a block of keys, not 'x'"),
        ("flag: 7", "x.yaml:1:7: flag: must be true or false, not '7'"),
        ("ratio: much", "x.yaml:1:8: ratio: must be a number, not 'much'"),
        ("inner: {word: null}", "x.yaml:1:15: inner.word: must be text; the value is empty"),
    ],
)
def test_what_does_not_fit_is_reported_in_plain_words(text: str, message: str) -> None:
    assert report(text) == [message]


def test_a_key_in_the_wrong_place_is_reported_where_it_belongs() -> None:
    assert report("word: x", {"word": "inner.word"}) == ["x.yaml:1:1: word: unknown key; did you mean 'inner.word'?"]


def test_a_value_that_is_too_long_is_cut() -> None:
    (text,) = report(f"flag: {'x' * 500}")
    assert len(text) < 150


def test_every_branch_of_a_choice_is_reported() -> None:
    assert report("either: {}") == [
        "x.yaml:1:9: either: must be a whole number, not a block of keys",
        "x.yaml:1:9: either: must be a list (lines that begin with `- `), not a block of keys",
    ]
