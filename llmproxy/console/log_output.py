"""Write log messages to standard error, or to a file of their own that is renamed when it is full.

The file is readable by its owner alone, and several processes may write to it. What cannot be written is lost and said
once on standard error: logging never fails an exchange. Begin reading at `set_up_logging`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TextIO

from llmproxy.console.log_lines import JsonLogFormatter, LogFormatter
from llmproxy.log_context import is_repeated
from llmproxy.private_files import keep_private, make_directory, open_regular, refuse_place
from llmproxy.records.file_lock import has_name, lock_file
from llmproxy.system_errors import explain_fault


class LogFile:
    """A file that is renamed to `name.1` before it grows beyond `max_bytes`, `name.1` to `name.2` and so on.

    `backups` of them are kept; 0 keeps none. Any process that writes to it may rename it; the others go on with the new
    one. Raises ProxyError for a place that can never be used.
    """

    def __init__(self, path: str, max_bytes: int, backups: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._backups = backups
        try:
            make_directory(os.path.dirname(path))
            self._file = self._open()
        except (OSError, ValueError) as error:
            refuse_place("logging.file", path, error, "choose another file")
            raise

    def write(self, text: str) -> int:
        """Write lines that belong together. Raises OSError."""
        data = text.encode("utf-8", "backslashreplace")
        fits = self._newest_bytes() + len(data) <= self._max_bytes
        for part in (data,) if fits else data.splitlines(keepends=True):
            self._append(part)
        return len(text)

    def _append(self, data: bytes) -> None:
        size_bytes = self._newest_bytes()
        if size_bytes and size_bytes + len(data) > self._max_bytes:
            self._rotate(len(data))
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left) :]

    def flush(self) -> None:
        """Do nothing: nothing is buffered here."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _open(self) -> int:
        keep_private(self._path)
        return open_regular(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def _newest_bytes(self) -> int:
        """Return the size of the file that has the name now, which is the one that is open then."""
        if not has_name(self._file, self._path):
            file, self._file = self._file, self._open()
            os.close(file)
        return os.fstat(self._file).st_size

    def _rotate(self, more_bytes: int) -> None:
        """Rename the file, unless another process has done that: then there is room in the new one."""
        lock_file(self._file)
        if not has_name(self._file, self._path) and self._newest_bytes() + more_bytes <= self._max_bytes:
            return
        if sys.platform == "win32":  # an open file cannot be renamed there
            os.close(self._file)
        try:
            for number in range(self._backups, 0, -1):
                source = self._path if number == 1 else f"{self._path}.{number - 1}"
                with contextlib.suppress(FileNotFoundError):
                    os.replace(source, f"{self._path}.{number}")
            if not self._backups:
                os.unlink(self._path)
        finally:
            file, self._file = self._file, self._open()
            if sys.platform != "win32":
                os.close(file)  # this releases the lock


class LogHandler(logging.StreamHandler[TextIO | LogFile]):
    """Writes each message at once, those of requests in batches: whoever logs these calls `flush`."""

    def __init__(self, stream: TextIO | LogFile) -> None:
        super().__init__(stream)
        self.addFilter(lambda record: not is_repeated(record))
        self._waiting: list[str] = []
        self._failed = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._waiting.append(self.format(record))
        except Exception:
            self.handleError(record)
            return
        if "fields" not in record.__dict__:
            self.flush()

    def flush(self) -> None:
        with self.lock or contextlib.nullcontext():
            if not self._waiting:
                return
            text = "\n".join([*self._waiting, ""])
            self._waiting.clear()
            try:
                self.stream.write(text)
                self.stream.flush()
                self._failed = False
            except (OSError, ValueError) as error:
                self._complain(error)

    def close(self) -> None:
        self.flush()
        if isinstance(self.stream, LogFile):
            self.stream.close()
        super().close()

    def _complain(self, error: OSError | ValueError) -> None:
        """Say once that messages are lost."""
        if not self._failed and self.stream is not sys.stderr:
            self._failed = True
            with contextlib.suppress(OSError, ValueError):
                print(f"llmproxy: log messages are lost: {explain_fault(error)}", file=sys.stderr, flush=True)


def set_up_logging(
    *, level: str, form: str = "text", file: str | None = None, max_bytes: int = 0, backups: int = 0
) -> LogHandler | None:
    """Send the messages of the whole process from `level` on to standard error, or to `file`, and return the handler;
    None where the process has handlers of its own and `file` is not set.

    `form` is `text` or `json`. Raises ProxyError for a file that can never be written, OSError for one that cannot now.
    """
    root, handler = logging.getLogger(), None
    if file is not None or not root.handlers:
        handler = LogHandler(sys.stderr if file is None else LogFile(file, max_bytes, backups))
        handler.setFormatter(JsonLogFormatter() if form == "json" else LogFormatter())
        root.addHandler(handler)
        root.setLevel(level.upper())
    logging.getLogger("llmproxy").setLevel(level.upper())
    return handler
