"""Check what a user's component overrides, before it is used: names nearly right, `async` forgotten, other parameters.

Python accepts all of that in silence: a hook with a misspelt name is never called, one without `async` fails at each
request. Begin reading at `check_overrides`.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType

from llmproxy.user_code import is_user_defined

_HOOK = "on_"
_CUTOFF = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideFault:
    """A fault of a method of a user's class; `warning` where it may be meant."""

    message: str
    warning: bool = False


def check_overrides(component: type) -> list[OverrideFault]:
    """Return the faults in the methods of a user's class; none for a class of ours."""
    base = next(each for each in component.__mro__ if not is_user_defined(each) or each is object)
    if base is component:
        return []
    expected = _methods(base)
    owners = [each for each in component.__mro__ if is_user_defined(each) and each is not object]
    faults: dict[str, OverrideFault] = {}
    overridden = False
    for owner in owners:
        for name, value in vars(owner).items():
            if name in expected:
                overridden = True
                for message in _faults(name, value, expected[name]):
                    faults.setdefault(name, OverrideFault(message=_at(message, value)))
            elif not name.startswith("_") and isinstance(value, FunctionType) and (hint := _hint(name, list(expected))):
                faults.setdefault(name, OverrideFault(message=_at(hint, value), warning=True))
    if not overridden and _hooks(expected) and all(name in vars(base) for name in _hooks(expected)):
        message = (
            f"{component.__name__} overrides no hook, so it does nothing; the hooks are {', '.join(_hooks(expected))}"
        )
        faults.setdefault("", OverrideFault(message=message, warning=True))
    return list(faults.values())


def _methods(base: type) -> dict[str, FunctionType]:
    """Return the public methods of a class of ours, with those of its bases."""
    found: dict[str, FunctionType] = {}
    for owner in reversed(base.__mro__):
        for name, value in vars(owner).items():
            if isinstance(value, FunctionType) and not name.startswith("_"):
                found[name] = value
    return found


def _hooks(expected: Iterable[str]) -> list[str]:
    return [name for name in expected if name.startswith(_HOOK) or name == "around"]


def _faults(name: str, value: object, expected: FunctionType) -> Iterator[str]:
    bound = not isinstance(value, staticmethod)
    function = _function(value)
    if not callable(function):
        yield f"{name} must be a method, not a {type(function).__name__}"
        return
    if not isinstance(function, FunctionType):
        return
    call = f"{name}({', '.join(list(inspect.signature(expected).parameters)[not bound :])})"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        yield f"{name} contains `yield`, so it would never run; it must return"
    elif inspect.iscoroutinefunction(expected) and not inspect.iscoroutinefunction(function):
        yield f"{name} must be async: write `async def {call}`"
    elif inspect.iscoroutinefunction(function) and not inspect.iscoroutinefunction(expected):
        yield f"{name} must not be async, as nobody would await it: write `def {call}`"
    elif not _accepts(function, len(inspect.signature(expected).parameters) - (not bound)):
        yield f"{name} has other parameters; write `{call}`"


def _accepts(function: FunctionType, count: int) -> bool:
    """Return whether the function can be called with so many positional arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


def _hint(name: str, expected: list[str]) -> str:
    """Return a hint for a method that looks like another one: a name that begins like a hook's, or nearly another's."""
    plain = {each.replace("_", ""): each for each in expected}
    word = name.replace("_", "").lower()
    hooked = word.startswith("on") and any(each.startswith(_HOOK) for each in expected)
    close = difflib.get_close_matches(word, plain, n=1, cutoff=0.65 if hooked else _CUTOFF)
    if close and (hooked or not (close[0] in word or word in close[0])):
        return f"{name} is never called by llmproxy; did you mean {plain[close[0]]!r}?"
    if name.startswith(_HOOK) and hooked:
        return f"{name} is never called by llmproxy; the hooks are {', '.join(_hooks(expected))}"
    return ""


def _at(message: str, value: object) -> str:
    """Add the line of a method."""
    function = _function(value)
    if not isinstance(function, FunctionType):
        return message
    return f"{message} ({function.__code__.co_filename}, line {function.__code__.co_firstlineno})"


def _function(value: object) -> object:
    """Return the function behind a static or class method and behind decorators that name what they wrap."""
    inner = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
    return inspect.unwrap(inner) if callable(inner) else inner
