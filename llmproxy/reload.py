"""Put another configuration in the place of the one in effect: load it, compare them, build the new runtime, swap.

The steps up to the swap change nothing that exchanges see. `app.py` says how a runtime is built. Begin reading at
`Replacement.apply`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial

from llmproxy.config.changes import describe_changes, keep_fixed
from llmproxy.config.load import Loaded
from llmproxy.errors import ProxyError
from llmproxy.registry import RegistryError
from llmproxy.server.file_watch import FileStamp, FileWatch, file_stamp
from llmproxy.server.reloading import Reloaded, Reloader, ReloadFailed
from llmproxy.server.runtime import Runtime
from llmproxy.server.shared import Shared


class Replacement:
    """Replaces the runtime of `shared`. `loaded` is the configuration in effect, `build` makes a runtime of one, and
    `release` is called when a replaced one is closed.
    """

    def __init__(
        self,
        loaded: Loaded,
        shared: Shared,
        build: Callable[[Loaded], Runtime],
        release: Callable[[Runtime], None],
    ) -> None:
        self.loaded = loaded
        self._read = loaded.files
        self._shared = shared
        self._build = build
        self._release = release

    async def apply(self) -> Reloaded:
        """Load the configuration again and let new exchanges begin with it. Raises ReloadFailed, or a ProxyError where
        it cannot be loaded again."""
        again = await load_again(self.loaded)
        self._read = again.files
        loaded, ignored = check_reloaded(self.loaded, again)
        before, replaced = self.loaded, await self._replace(loaded)
        # Nothing is awaited from here on: who is cancelled would not retire what was replaced.
        self.loaded = loaded
        level = loaded.checked().logging.level
        if level != before.checked().logging.level:
            logging.getLogger("llmproxy").setLevel(level.upper())
        return Reloaded(
            changes=describe_changes(before, loaded),
            ignored=ignored,
            warnings=[str(each) for each in loaded.warnings if each not in before.warnings],
            replaced=replaced,
            release=partial(self._release, replaced),
        )

    async def _replace(self, loaded: Loaded) -> Runtime:
        """Use `loaded` for new exchanges, and return the runtime before. When that fails nothing has changed."""
        before = self.loaded.dotenv
        export_dotenv(before, loaded.dotenv)
        try:
            return await replace_runtime(self._shared, self._build(loaded))
        except BaseException as error:
            export_dotenv(loaded.dotenv, before)
            with contextlib.suppress(RegistryError):
                self._build(self.loaded)  # it also sets what outlives runtimes: breakers, the limit of memory
            if isinstance(error, RegistryError):
                raise ReloadFailed(str(error)) from error
            raise

    def watching(self, reloader: Reloader) -> AbstractAsyncContextManager[None]:
        """Reload when a file of the configuration changes, within the block, or has changed since it was read."""
        return watch_files(lambda: self._read, lambda: self.loaded.checked().server.reload_on_change, reloader)


async def load_again(loaded: Loaded) -> Loaded:
    """Return the same configuration as its files are now, which may have mistakes. Raises ProxyError where it has no
    file."""
    if loaded.again is None:
        message = "The configuration was passed from Python. Only one in a file can be reloaded"
        raise ProxyError(message, status=409, code="not_reloadable")
    return await asyncio.to_thread(loaded.again)


def check_reloaded(before: Loaded, after: Loaded) -> tuple[Loaded, list[str]]:
    """Return `after` as far as it can take effect without a restart, and a sentence for each thing that cannot.

    Raises ReloadFailed for mistakes.
    """
    if after.config is None:
        raise ReloadFailed("; ".join(str(each) for each in after.problems if each.severity == "error"))
    config, ignored = keep_fixed(before.checked(), after.config)
    return replace(after, config=config), ignored


@contextlib.asynccontextmanager
async def watch_files(
    read: Callable[[], Mapping[str, FileStamp]], watches: Callable[[], bool], reloader: Reloader
) -> AsyncIterator[None]:
    """Reload when a file changes, or has changed since it was read, within the block, while `watches` says so. `read`
    returns the files with the stamps of that time."""

    async def changed() -> None:
        known = read()
        stamps = await asyncio.to_thread(lambda: {path: file_stamp(path) for path in known})
        if watches() and stamps != known:
            reloader.begin("its file has changed")

    watch = FileWatch(list(read()), changed)
    await watch.start()
    await changed()
    try:
        yield
    finally:
        await watch.close()


async def replace_runtime(shared: Shared, runtime: Runtime) -> Runtime:
    """Start `runtime` and let new exchanges begin with it. Return the one before, for `retire`.

    Raises RegistryError when a part does not start; then nothing has changed.
    """
    await runtime.start()
    before, shared.runtime = shared.runtime, runtime
    router = runtime.pipeline.router
    runtime.pipeline.failover.health.keep(router.targets(), router.provider_names())
    assert isinstance(before, Runtime)
    return before


def export_dotenv(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Set the variables of `.env` for libraries and user code that read the environment, which wins over them.

    `before` are those that were set from an earlier state of the file.
    """
    for name in before:
        if name not in after and os.environ.get(name) == before[name]:
            del os.environ[name]
    for name, value in after.items():
        if os.environ.get(name) in (None, before.get(name)):
            os.environ[name] = value
