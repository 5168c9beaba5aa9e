"""Wrong usage in our own words: unknown commands and options with the nearest, values with what is allowed.

Typer's exceptions are told apart by the names of their classes, as it keeps those in a private copy of click. Begin
reading at `describe_usage_error`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typer import BadParameter, Context, TyperException
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer.core import TyperArgument, TyperOption

_FILES = (".yaml", ".yml", ".json")
WORDS_OF_OTHERS: Mapping[str, str] = {
    "add": "new",
    "check": "validate-config",
    "config": "generate-config",
    "convert": "import",
    "create": "new",
    "init": "generate-config",
    "log": "trace tail",
    "logs": "trace tail",
    "migrate": "import",
    "models": "explain",
    "ps": "stats",
    "route": "explain",
    "run": "serve",
    "start": "serve",
    "status": "stats",
    "test": "check-live",
    "up": "serve",
    "validate": "validate-config",
    "version": "--version",
}
"""Words of other programs, with what does that here: the letters alone would lead from `start` to `stats`."""
_FLAGS_OF_TYPER = ("help", "install_completion", "show_completion")


@contextmanager
def _in_context(ctx: Context) -> Iterator[None]:
    """Give errors the context that their message needs; the parser leaves it out of some."""
    try:
        yield
    except TyperException as error:
        if vars(error).get("ctx") is None:
            vars(error)["ctx"] = ctx
        raise


def _prepared(params: list[Any]) -> list[Any]:
    """Return options, of which the flags show no type in help. Those of Typer are False where they are absent: it
    imports pydantic to convert None, which takes a quarter of the time for help."""
    for each in params:
        if vars(each).get("is_flag"):
            each.metavar = ""
            if each.name in _FLAGS_OF_TYPER and each.default is None:
                each.default = False
    return params


class WrongUsage(TyperException):
    """Raised with a message for the user; the program ends with 2."""

    exit_code = 2


class Command(TyperCommand):
    """A command that names the arguments which are too many, and shows its own in the usual form."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # type: ignore[override] # the private copy's
        ctx.allow_extra_args = True
        with _in_context(ctx):
            rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            several = "arguments" if len(rest) > 1 else "argument"
            raise WrongUsage(f"unexpected {several} {', '.join(map(repr, rest))}")
        return rest

    def get_params(self, ctx: Context) -> list[Any]:  # type: ignore[override]
        return _prepared(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Context) -> list[str]:  # type: ignore[override]
        names = [
            (param.metavar or param.name, param.required, param.nargs != 1)
            for param in self.params
            if param.param_type_name == "argument"
        ]
        labels = [f"{name}{'...' if many else ''}" for name, _, many in names]
        return ["[OPTIONS]", *(each if need else f"[{each}]" for each, (_, need, _) in zip(labels, names, strict=True))]


class CommandGroup(TyperGroup):
    """A group of commands that names the nearest to one that it does not have."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:  # type: ignore[override]
        with _in_context(ctx):
            return super().parse_args(ctx, args)

    def get_params(self, ctx: Context) -> list[Any]:  # type: ignore[override]
        return _prepared(super().get_params(ctx))

    def resolve_command(self, ctx: Context, args: list[str]) -> Any:  # type: ignore[override]
        name = args[0]
        if name not in self.commands and not ctx.resilient_parsing:
            raise WrongUsage(f"unknown command {name!r}{self._hint(ctx, args)}")
        return super().resolve_command(ctx, args)

    def _hint(self, ctx: Context, args: list[str]) -> str:
        name = args[0]
        if ctx.parent is None and (name.endswith(_FILES) or os.path.isfile(name)):
            return f"; to serve a file: {ctx.command_path} serve {name}"
        known = [each for each, command in self.commands.items() if not command.hidden]
        meant = WORDS_OF_OTHERS.get(name, "")
        at_the_top = meant.startswith("-") and ctx.parent is None
        near = meant if at_the_top or meant.partition(" ")[0] in known else nearest_word(name, known)
        return f"; did you mean {near!r}?" if near else f"; commands: {', '.join(known)}"


def nearest_word(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, if one is."""
    import difflib

    names = list(known)
    begun = [each for each in names if len(name) > 2 and each.startswith(name)]
    return next(iter(begun or difflib.get_close_matches(name, names, n=1)), None)


def describe_usage_error(error: TyperException) -> str:
    """Return what is wrong, in one line without a full stop."""
    facts = vars(error)
    ctx = facts.get("ctx")
    params: list[Any] = [] if ctx is None else ctx.command.params
    match type(error).__name__:
        case "NoSuchOption":
            return _unknown_option(str(facts["option_name"]), params)
        case "BadOptionUsage":
            return _option_usage(str(facts["option_name"]), params)
        case "MissingParameter" if facts.get("param") is not None:
            return _missing(facts["param"])
    if isinstance(error, BadParameter):
        return _bad_value(error)
    message = error.message.rstrip(".")
    return message[:1].lower() + message[1:]


def _unknown_option(name: str, params: list[Any]) -> str:
    known = [option for param in params for option in (*param.opts, *param.secondary_opts) if option.startswith("-")]
    near = nearest_word(name, [*known, "--help"])
    return f"unknown option {name}" + (f"; did you mean {near}?" if near else "")


def _option_usage(name: str, params: list[Any]) -> str:
    param = next((each for each in params if name in each.opts), None)
    if param is None or param.is_flag:
        return f"{name} takes no value"
    return f"{name} needs a value: {name} {_placeholder(param)}"


def _missing(param: TyperArgument | TyperOption) -> str:
    name = param.metavar or param.name if param.param_type_name == "argument" else _longest(param.opts)
    what = (param.help or "").rstrip(".")
    return f"{name} is missing" + (f": {what[:1].lower()}{what[1:]}" if what else "")


def _bad_value(error: BadParameter) -> str:
    param = error.param
    hint = error.param_hint
    place = hint if isinstance(hint, str) else "" if param is None else _name(param)
    cause = error.__cause__
    if type(cause).__name__ == "ValidationError" and param is not None:
        return f"{place}: {_refused(vars(param), param, _input(cause))}"
    message = error.message.rstrip(".")
    return f"{place}: {message}" if place else message


def _refused(facts: dict[str, Any], param: Any, value: object) -> str:
    """Return why a value was refused by its type."""
    choices = param.type_descriptor.choices
    if choices:
        names = [str(getattr(each, "value", each)) for each in choices]
        near = nearest_word(str(value).lower(), names)
        return f"{value!r} is not one of {', '.join(names)}" + (f"; did you mean {near!r}?" if near else "")
    low, high = facts.get("min"), facts.get("max")
    bounds = {
        (False, False): "",
        (True, True): f" from {low} to {high}",
        (True, False): f" of at least {low}",
        (False, True): f" of at most {high}",
    }
    kind = "number" if param.type_descriptor.annotation is float else "whole number"
    return f"{value!r} is not a {kind}{bounds[low is not None, high is not None]}"


def _input(cause: Any) -> object:
    """Return the value that pydantic refused."""
    return cause.errors(include_url=False)[0]["input"]


def _name(param: Any) -> str:
    return str(param.metavar or param.name) if param.param_type_name == "argument" else _longest(param.opts)


def _longest(options: list[str]) -> str:
    return max(options, key=len)


def _placeholder(param: Any) -> str:
    choices = param.type_descriptor.choices
    return param.metavar or ("|".join(str(getattr(each, "value", each)) for each in choices) if choices else "VALUE")
