"""Every request that the methods of a vendor's SDK send, found by introspection.

Arguments are made from the signatures; each method runs over a transport that keeps its first request and sends
nothing. Begin at `walk`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin

import httpx2
import typing_extensions

FILE = ("f.bin", b"\x00\xff\r\n--not a boundary\r\n{}")
# Arguments of every method, which are no part of the API.
_OF_EVERY_CALL = {"self", "extra_headers", "extra_query", "extra_body", "timeout", "max_retries", "stream"}
_DEEPEST = 6
ONLY = "*"
"""As an argument: the method gets no others than those that stand beside it."""


class Sent(BaseException):
    """Ends a method when its first request is there. No handler of an SDK catches it."""


class Ungeneratable(Exception):
    """A type of which no value can be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkRequest:
    """One request of the SDK method `name`, such as `files.create`. `target` is path and query as sent."""

    name: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Recorder:
    """The transport: keeps the first request of the method that runs."""

    def __init__(self) -> None:
        self.request: httpx2.Request | None = None
        self.transport = httpx2.MockTransport(self._take)

    def _take(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.request = request
        raise Sent


def walk(
    root: object,
    is_resource: Callable[[object], bool],
    recorder: Recorder,
    skipped: Mapping[str, str],
    named: Mapping[str, dict[str, Any]] | None = None,
    *,
    every: int = 1,
) -> Iterator[SdkRequest]:
    """Yield the request of each method below `root`, of one in `every`, but for those in `skipped`, whose values say
    why. `named` are arguments that must have a form, by resource or method; None leaves one out, and ONLY all others.

    Raises AssertionError for a method that sends nothing, or for which no arguments can be made.
    """
    for name, method in islice(_methods(root, is_resource), 0, None, every):
        if name in skipped or name.rpartition(".")[2] in skipped:
            continue
        recorder.request = None
        try:
            outcome = method(**arguments(method, _named(name, named or {})))
            if inspect.isgenerator(outcome):
                next(outcome)
        except Sent:
            pass
        except Exception as error:
            raise AssertionError(f"{name}: no request: {type(error).__name__}: {error}") from error
        request = recorder.request
        assert request is not None, f"{name} sent nothing"
        yield SdkRequest(
            name=name,
            method=request.method,
            target=request.url.raw_path.decode(),
            headers=tuple((key.decode(), value.decode()) for key, value in request.headers.raw),
            body=request.content,
        )


def _methods(root: object, is_resource: Callable[[object], bool], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in sorted(dir(type(root))):
        if name.startswith(("_", "with_")):
            continue
        attribute = inspect.getattr_static(root, name)
        if inspect.isfunction(attribute):
            if prefix:
                yield f"{prefix}{name}", getattr(root, name)
            continue
        value = getattr(root, name)
        if is_resource(value):
            yield from _methods(value, is_resource, f"{prefix}{name}.")


def _named(name: str, named: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the arguments for the method `name`: those of its resources, then its own."""
    parts = name.split(".")
    found: dict[str, Any] = {}
    for count in range(1, len(parts) + 1):
        found |= named.get(".".join(parts[:count]), {})
    return found


def arguments(method: Callable[..., object], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return an argument for each parameter that one can be made for. Raises Ungeneratable where one is needed."""
    if ONLY in named:
        return {name: value for name, value in named.items() if name != ONLY and value is not None}
    function = _declared(method)
    hints = _hints(function)
    made: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in _OF_EVERY_CALL or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if name in named:
            if named[name] is not None:
                made[name] = named[name]
            continue
        try:
            made[name] = value_of(hints.get(name, str), name)
        except Ungeneratable:
            if parameter.default is parameter.empty:
                raise
    return made


def _declared(method: Callable[..., object]) -> Callable[..., object]:
    """Return the function that has the parameters of `method`: wrappers of classes above it take whatever comes."""
    for class_ in type(getattr(method, "__self__", None)).__mro__:
        function = vars(class_).get(method.__name__)
        if inspect.isfunction(function):
            function = cast(Callable[..., object], inspect.unwrap(function))
            kinds = [each.kind for each in inspect.signature(function).parameters.values()]
            if inspect.Parameter.VAR_POSITIONAL not in kinds:
                return function
    return cast(Callable[..., object], inspect.unwrap(method))


def _hints(function: Callable[..., object]) -> dict[str, Any]:
    module = inspect.getmodule(function)
    return typing_extensions.get_type_hints(function, {**vars(typing), **vars(module or typing)})


def value_of(kind: Any, name: str, depth: int = 0) -> Any:
    """Return a value of the type `kind`, the same each time."""
    if depth > _DEEPEST:
        raise Ungeneratable(name)
    origin = get_origin(kind)
    if origin is Literal:
        return get_args(kind)[0]
    if origin in (typing.Annotated, typing.Required, typing.NotRequired):
        return value_of(get_args(kind)[0], name, depth)
    if origin in (typing.Union, types.UnionType):
        return _first_of(get_args(kind), name, depth)
    if origin in (list, Iterable, Sequence, Sequence.__class__) or (isinstance(origin, type) and _is_array(origin)):
        return [value_of(get_args(kind)[0], name, depth + 1)]
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return {"k": value_of(get_args(kind)[1], name, depth + 1)}
    if origin is tuple:
        return FILE
    return _plain(kind, name, depth)


def _is_array(origin: type) -> bool:
    return issubclass(origin, Iterable) and not issubclass(origin, (str, bytes, Mapping, tuple))


def _plain(kind: Any, name: str, depth: int) -> Any:
    if kind is str or kind is Any or kind is object:
        return f"{name}-1"
    if kind is bool:
        return True
    if kind in (int, float):
        return kind(7)
    if kind is bytes:
        return FILE[1]
    if typing_extensions.is_typeddict(kind):
        hints = typing_extensions.get_type_hints(kind)
        return {each: value_of(hints[each], each, depth + 1) for each in sorted(kind.__required_keys__)}
    raise Ungeneratable(name)


def _first_of(kinds: tuple[Any, ...], name: str, depth: int) -> Any:
    for kind in kinds:
        if kind is type(None) or getattr(kind, "__name__", "") in ("Omit", "NotGiven", "Path", "PathLike"):
            continue
        if isinstance(kind, type) and issubclass(kind, Path):
            continue
        try:
            return value_of(kind, name, depth)
        except Ungeneratable:
            continue
    raise Ungeneratable(name)
