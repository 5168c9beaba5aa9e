"""Read a tree into pydantic models, and turn validation errors into problems with position and plain words.

YAML does not know which values are text: a number (`1.10`) is passed with its spelling where a model takes text. The
placeholder of a missing variable is varied until it is valid. Begin reading at `read_model`.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from llmproxy.config.document import ConfigNode, below
from llmproxy.config.problems import Problem
from llmproxy.redaction.names import is_secret
from llmproxy.registry import names, nearest
from llmproxy.user_code import is_user_defined, line_of

M = TypeVar("M", bound=BaseModel)

# Values that are tried for a variable that counts as present with any value.
STAND_INS = ("placeholder", "1", "true", "1s", "http://placeholder.invalid")


def read_model(
    node: ConfigNode, model: type[M], directory: Path, homes: Mapping[str, str] | None = None
) -> tuple[M | None, list[Problem]]:
    """Read `node` into `model`, or return its problems.

    Paths are relative to `directory`. `homes` maps keys to their full paths, for hints about keys in the wrong section.
    """
    while True:
        try:
            return model.model_validate(node.plain(), context={"directory": directory}), []
        except ValidationError as error:
            errors = error.errors(include_url=False)
        except Exception as error:
            if not is_user_defined(model):
                raise
            line = line_of(error, model)
            message = f"{model.__qualname__} fails with {type(error).__name__}: {error}{line and f' ({line})'}"
            return None, [node.problem(message)]
        repaired = [_repair(node, each) for each in errors]
        if not any(repaired):
            return None, _problems(node, model, [each for each in errors if not _excused(node, each)], homes or {})


def _problems(
    node: ConfigNode, model: type[BaseModel], errors: list[ErrorDetails], homes: Mapping[str, str]
) -> list[Problem]:
    """Return a problem for each value: of one that may be a number or a word, the errors of both are one."""
    problems: list[Problem] = []
    places: dict[int, int] = {}  # of the first problem of a value, by its id
    for error in errors:
        target, rest = _find(node, error["loc"])
        place = None if rest else places.get(id(target))
        if place is not None and error["type"] == "literal_error":
            problems[place] = _with_words(problems[place], target, _choices(error))
            continue
        if not rest:
            places.setdefault(id(target), len(problems))
        problems.append(_problem(node, model, error, homes))
    return problems


def _with_words(problem: Problem, target: ConfigNode, words: list[str]) -> Problem:
    """Return the problem of a value that may be one of `words`, too."""
    instead = _instead(target)
    return replace(problem, message=f"{problem.message.removesuffix(instead)}, or {', '.join(words)}{instead}")


def _choices(error: ErrorDetails) -> list[str]:
    return re.findall(r"'([^']*)'", str(error.get("ctx", {})["expected"]))


def _repair(node: ConfigNode, error: ErrorDetails) -> bool:
    """Replace the value by another one that may be valid. Return whether there was one."""
    target, rest = _find(node, error["loc"])
    if rest or isinstance(target.value, (list, dict)):
        return False
    if target.stand_in:
        tried = str(target.value)
        expected = re.match(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
        choices = [*STAND_INS, *(expected.groups() if expected else ())]
        following = choices.index(tried) + 1 if tried in choices else len(choices)
        if following < len(choices):
            target.value = choices[following]
            return True
        return False
    if error["type"] == "string_type" and target.text and target.value is not None:
        target.value, target.text = target.text, None
        return True
    return False


def _excused(node: ConfigNode, error: ErrorDetails) -> bool:
    target, rest = _find(node, error["loc"])
    return target.stand_in and not rest and error["type"] != "extra_forbidden"


def _find(node: ConfigNode, place: tuple[int | str, ...]) -> tuple[ConfigNode, tuple[int | str, ...]]:
    """Return the deepest value on the path `place`, and the rest of the path. Names of union members are skipped."""
    for index, step in enumerate(place):
        if isinstance(node.value, dict) and step in node.value:
            node = node.value[str(step)]
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
        elif isinstance(node.value, dict) and index == len(place) - 1:
            return node, place[index:]
    return node, ()


def _problem(node: ConfigNode, model: type[BaseModel], error: ErrorDetails, homes: Mapping[str, str]) -> Problem:
    target, rest = _find(node, error["loc"])
    sort = error["type"]
    if sort == "extra_forbidden":
        return unknown_key(target, _model_at(model, error["loc"][:-1]), homes)
    if sort == "missing":
        key = below(target.key, rest[0]) if rest else target.key
        return Problem(mark=target.mark, key=key, message="is missing", code="missing-key")
    if sort == "string_pattern_mismatch":
        return target.problem(_pattern(target, model, error), "invalid-value")
    problem = target.problem(*_words(target, error))
    left_out = rest and rest[0] in _model_at(model, error["loc"][:-1])
    return replace(problem, key=below(target.key, rest[0])) if left_out else problem


def unknown_key(node: ConfigNode, allowed: list[str], homes: Mapping[str, str]) -> Problem:
    """Report a key that is not one of `allowed`."""
    name = node.key.rpartition(".")[2]
    close = nearest(name, allowed)
    if name in homes and homes[name] != node.key:
        hint = f"; did you mean {homes[name]!r}?"
    elif close:
        hint = f"; did you mean {close!r}?"
    else:
        hint = f"; allowed: {', '.join(allowed)}" if allowed else "; this block takes no keys"
    return Problem(mark=node.key_mark or node.mark, key=node.key, message=f"unknown key{hint}", code="unknown-key")


def unknown_section(node: ConfigNode, sections: list[str], homes: Mapping[str, str]) -> Problem:
    """Report a section that is not one of `sections`."""
    problem = unknown_key(node, sections, homes)
    if node.key not in names("middlewares"):
        return problem
    return replace(problem, message=f"unknown key; add `- type: {node.key}` to `middlewares`")


# Values that may be keys: they are not repeated.
_SECRET = re.compile(r"(?:^auth\.keys|\.api_keys?)(?:\[\d+\])?$")
_TYPED_ENTRY = re.compile(r"(middlewares|providers)\[\d+\]")

# The key of an entry that people write as the key of a block.
_ENTRY_NAMES = {"providers": "name", "models": "name", "middlewares": "type"}
# What people write in short, and the block that stands for it.
_FORMS = (
    (re.compile(r"llm"), "`llm: {base_url: URL}`"),
    (re.compile(r"models\[\d+\]"), "`{name: NAME, targets: [PROVIDER/MODEL]}`"),
    (re.compile(r"(?:providers\[\d+\]\.)?prices\..+"), "`{input: 2.5, output: 10}`"),
    (re.compile(r"(?:.+\.)?timeouts"), "`{first_byte: 30s}`"),
    (re.compile(r"logging"), "`{level: debug}`"),
    (re.compile(r"server\.cors"), '`{allow_origins: ["https://app.example.com"]}`'),
    (re.compile(r"auth\.keys\[\d+\]"), "`{name: NAME, key: ${VARIABLE}}`"),
    (re.compile(r"auth"), "`{keys: [...]}`; `llmproxy keys new NAME` makes a key"),
)

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list (lines that begin with `- `)",
    "tuple": "a list (lines that begin with `- `)",
    "set": "a list (lines that begin with `- `)",
    "dict": "a block of keys",
    "model": "a block of keys",
    "mapping": "a block of keys",
    "path": "a path",
    "none": "nothing",
}
_BOUNDS = {
    "greater_than": ("gt", "must be more than {}"),
    "greater_than_equal": ("ge", "must be at least {}"),
    "less_than": ("lt", "must be less than {}"),
    "less_than_equal": ("le", "must be at most {}"),
    "string_too_short": ("min_length", "must have at least {} characters"),
    "string_too_long": ("max_length", "must have at most {} characters"),
    "too_short": ("min_length", "must have at least {} entries"),
    "too_long": ("max_length", "must have at most {} entries"),
}


def _words(node: ConfigNode, error: ErrorDetails) -> tuple[str, str]:
    """Describe the error in plain words. Return the message and its code."""
    sort, context = error["type"], error.get("ctx", {})
    if sort in ("value_error", "assertion_error"):
        return str(context["error"]), "invalid-value"
    if sort in _BOUNDS:
        if isinstance(node.value, str):  # pydantic counts the characters of a secret as entries
            sort = sort.replace("too_", "string_too_", 1) if sort in ("too_short", "too_long") else sort
        name, words = _BOUNDS[sort]
        if context[name] == 1 and name == "min_length":
            return "must not be empty", "invalid-value"
        bound = context[name]
        secret = sort.startswith("string") and is_secret(node.key.rpartition(".")[2])
        return words.format(f"{bound:g}" if isinstance(bound, float) else bound) + (
            "" if secret else _instead(node)
        ), "invalid-value"
    if sort in ("literal_error", "enum"):
        choices = _choices(error)
        close = nearest(node.word or "", choices)
        hint = f"; did you mean {close!r}?" if close else ""
        return f"must be one of {', '.join(choices)}{_instead(node)}{hint}", "invalid-value"
    if (kind := sort.partition("_")[0]) in _KINDS:
        return wrong_kind(node, kind).message, "wrong-type"
    return error["msg"][:1].lower() + error["msg"][1:], "invalid-value"


def _pattern(node: ConfigNode, model: type[BaseModel], error: ErrorDetails) -> str:
    """Describe a text of another form than its key takes, by the example that the field has."""
    *above, name = error["loc"]
    owner = _class_at(model, tuple(above))
    examples = owner.model_fields[str(name)].examples if owner and name in owner.model_fields else None
    form = f"look like {examples[0]}" if examples else f"match {error['ctx']['pattern']}"
    return f"must {form}{_instead(node)}"


def wrong_kind(node: ConfigNode, kind: str) -> Problem:
    """Report a value of the wrong kind; `kind` is a word of pydantic."""
    text = node.value if isinstance(node.value, str) else ""
    hint = "; add a space after the colon" if re.fullmatch(r"\w+:(?!//)\S+", text) and kind == "model" else ""
    if _TYPED_ENTRY.fullmatch(node.key) and re.fullmatch(r"[\w-]+", text):
        hint = (
            f"; write `{{name: {text}, type: {text}}}`"
            if node.key.startswith("providers")
            else f"; write `type: {text}`"
        )
    elif node.key.endswith(".api_key") and isinstance(node.value, list):
        hint = "; write several keys in `api_keys`"
    elif kind in ("list", "tuple") and node.members:
        hint = f"; write {_as_entry(node)}"
    elif kind in ("model", "dict", "mapping") and (form := next((v for k, v in _FORMS if k.fullmatch(node.key)), "")):
        hint = f"; write {form}"
    return node.problem(f"must be {_KINDS[kind]}{_instead(node)}{hint}", "wrong-type")


def _as_entry(node: ConfigNode) -> str:
    """Return how the first key of a block, which ought to be a list, begins an entry."""
    name, member = next(iter(node.members.items()))
    key = _ENTRY_NAMES.get(node.key)
    if key is None or key in node.members:
        return f"`- {name}: {member.word or '...'}`" if not is_secret(name) else f"`- {name}: ...`"
    return f"`- {key}: {name}`"


def _instead(node: ConfigNode) -> str:
    """Quote the value, but never that of a variable, which may be a secret."""
    if node.mark.source in node.variables:
        return ""
    if node.variables:
        return f"; it is set by {' and '.join(node.variables)}"
    if isinstance(node.value, list):
        return ", not a list"
    if isinstance(node.value, dict):
        return ", not a block of keys"
    if node.value is None:
        return "; the value is empty"
    if _SECRET.search(node.key):
        return ""
    text = node.text or str(node.value)
    return f", not {text[:60]!r}"


def _model_at(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the model at `place` below `model`."""
    inner = _class_at(model, place)
    return list(inner.model_fields) if inner else []


def _class_at(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Return the model at `place` below `model`."""
    here: Any = model
    for step in place:
        inner = _inner(here)
        if isinstance(step, str) and inner and step in inner.model_fields:
            here = inner.model_fields[step].annotation
    return _inner(here)


def _inner(annotation: Any) -> type[BaseModel] | None:
    """Return the first model within `X | None`, `list[X]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Annotated, Union, types.UnionType, list, tuple, dict):
        return next((inner for each in get_args(annotation) if (inner := _inner(each))), None)
    return None
