from __future__ import annotations

import asyncio
import traceback
from pathlib import Path

import pytest

from llmproxy.errors import ComponentFailed
from llmproxy.middleware.base import Middleware
from llmproxy.middleware.cache import Cache
from llmproxy.registry import find_component
from llmproxy.user_code import UserStream, is_cancellation, is_user_defined, line_of, log_failure, short_name


class Mine(Middleware):
    """A class outside llmproxy."""


def test_own_is_what_is_defined_outside_of_llmproxy() -> None:
    assert is_user_defined(Mine) and not is_user_defined(Cache) and not is_user_defined(Middleware)


@pytest.mark.parametrize(
    ("who", "short"),
    [
        ("around of middleware './my/tag.py:Tag'", "around of middleware 'Tag'"),
        ("around of middleware 'C:\\my\\tag.py:Tag'", "around of middleware 'Tag'"),
        ("around of middleware 'tag'", "around of middleware 'tag'"),
        ("order of strategy 'a:b'", "order of strategy 'a:b'"),
    ],
)
def test_a_client_is_not_shown_where_a_file_is(who: str, short: str) -> None:
    assert short_name(who) == short
    assert short in log_failure(who, "id", "did wrong").message


def test_a_failure_that_somebody_raised_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise KeyError("secret")
    except KeyError as error:
        failed = log_failure("on_request of middleware 'x'", "id", error)
    assert isinstance(failed, ComponentFailed) and "secret" not in failed.message
    assert "exchange id: on_request of middleware 'x' failed with KeyError" in caplog.text
    assert "Traceback" in caplog.text


async def test_only_the_cancellation_of_the_task_itself_goes_on() -> None:
    raised: list[bool] = []

    async def work(wait: bool) -> None:
        try:
            if wait:
                await asyncio.get_running_loop().create_future()
            raise asyncio.CancelledError
        except asyncio.CancelledError as error:
            raised.append(is_cancellation(error))

    await work(wait=False)
    task = asyncio.get_running_loop().create_task(work(wait=True))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert raised == [False, True] and not is_cancellation(KeyError())


def test_the_line_of_an_error_is_in_the_file_of_the_component(tmp_path: Path) -> None:
    (tmp_path / "tag.py").write_text(
        "import json\nfrom llmproxy.middleware.base import Middleware\n\n\nclass Tag(Middleware):\n"
        "    async def start(self):\n        json.loads('{')\n"
    )
    tag = find_component("middlewares", "./tag.py:Tag", tmp_path)
    with pytest.raises(ValueError) as raised:
        asyncio.run(tag(tag.Config()).start())  # type: ignore[attr-defined]
    assert line_of(raised.value, tag) == f"{tmp_path / 'tag.py'}, line 7"
    innermost = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert line_of(raised.value) == f"{innermost.filename}, line {innermost.lineno}"
    assert line_of(ValueError()) == ""


def test_a_close_that_would_have_to_be_awaited_is_named(caplog: pytest.LogCaptureFixture) -> None:
    class Late:
        async def read(self) -> bytes:
            return b""

        async def close(self) -> None:
            raise AssertionError("nobody runs it")

    UserStream(Late(), "around of middleware 'x'", "e1").close()  # type: ignore[arg-type]  # as users write it
    assert "the stream Late of the answer of around of middleware 'x' has an asynchronous close" in caplog.text
