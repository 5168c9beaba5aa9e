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
from dataclasses import replace
from functools import partial

from llmproxy.config.changes import describe_changes, keep_fixed
from llmproxy.config.load import Loaded
from llmproxy.errors import ProxyError
from llmproxy.registry import RegistryError
from llmproxy.server.file_watch import FileWatch, file_stamp
from llmproxy.server.reloading import Reloaded, Reloader, ReloadFailed
from llmproxy.server.runtime import Runtime
from llmproxy.server.shared import Shared

log = logging.getLogger(__name__)


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
        again = self.loaded.again
        if again is None:
            message = "The configuration was passed from Python. Only one in a file can be reloaded"
            raise ProxyError(message, status=409, code="not_reloadable")
        loaded = await asyncio.to_thread(again)
        self._read = loaded.files
        if loaded.config is None:
            raise ReloadFailed("; ".join(str(each) for each in loaded.problems if each.severity == "error"))
        config, ignored = keep_fixed(self.loaded.checked(), loaded.config)
        loaded = replace(loaded, config=config)
        before, replaced = self.loaded, await self._replace(loaded)
        # Nothing is awaited from here on: who is cancelled would not retire what was replaced.
        self.loaded = loaded
        for warning in loaded.warnings:
            if warning not in before.warnings:
                log.warning("%s", warning)
        if config.logging.level != before.checked().logging.level:
            logging.getLogger("llmproxy").setLevel(config.logging.level.upper())
        return Reloaded(
            changes=describe_changes(before, loaded),
            ignored=ignored,
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

    @contextlib.asynccontextmanager
    async def watching(self, reloader: Reloader) -> AsyncIterator[None]:
        """Reload when a file of the configuration changes, within the block, or has changed since it was read."""

        async def changed() -> None:
            stamps = await asyncio.to_thread(lambda: {path: file_stamp(path) for path in self._read})
            if self.loaded.checked().server.reload_on_change and stamps != self._read:
                reloader.begin("its file has changed")

        watch = FileWatch(list(self._read), changed)
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
