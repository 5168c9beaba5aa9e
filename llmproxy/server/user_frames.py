"""Find out which method of which component runs or waits right now, from the frames of a thread or a task.

Nothing is noted while exchanges run: the code objects of users' methods are collected at the start, and somebody who
wants to know looks at the stack. Begin reading at `UserFrames`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Coroutine, Iterable
from types import CodeType, FrameType

from llmproxy.user_code import is_user_defined


class UserFrames:
    """The methods of users' components. `components` are pairs of a name ("middleware 'x'") and an instance."""

    def __init__(self, components: Iterable[tuple[str, object]]) -> None:
        self._names: dict[CodeType, str] = {}
        self.add(components)

    def add(self, components: Iterable[tuple[str, object]]) -> None:
        """Know the methods of these too: of a configuration that was reloaded."""
        for who, component in components:
            for owner in type(component).__mro__:
                if is_user_defined(owner) and owner is not object:
                    self._collect(who, owner)

    def __bool__(self) -> bool:
        return bool(self._names)

    def _collect(self, who: str, owner: type) -> None:
        for name, value in vars(owner).items():
            function = inspect.unwrap(getattr(value, "__func__", value))
            if inspect.isfunction(function):
                self._names.setdefault(function.__code__, f"{name} of {who}")

    def running(self, thread_id: int) -> str:
        """Return which method the thread is in, with the line there; "" for none of these."""
        frame = sys._current_frames().get(thread_id)
        lines: dict[str, int] = {}  # the innermost of each file
        while frame is not None:
            file = frame.f_code.co_filename
            lines.setdefault(file, frame.f_lineno)
            if name := self._names.get(frame.f_code):
                return f"{name} ({file}, line {lines[file]})"
            frame = frame.f_back
        return ""

    def waiting(self, coroutine: object) -> str:
        """Return which method a suspended coroutine is in, the innermost one, with the line; "" for none of these."""
        found = ""
        while isinstance(coroutine, Coroutine):
            frame: FrameType | None = getattr(coroutine, "cr_frame", None)
            if frame is not None and (name := self._names.get(frame.f_code)):
                found = f"{name} ({frame.f_code.co_filename}, line {frame.f_lineno})"
            coroutine = getattr(coroutine, "cr_await", None)
        return found
