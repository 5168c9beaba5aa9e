"""Run llmproxy as a user starts it, and a provider beside it, for demonstrations. Begin reading at `running_proxy`."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("llmproxy")


@contextmanager
def running_proxy(config: str) -> Iterator[tuple[str, Path]]:
    """Run a proxy with `config`, which names no server, in a new folder; yield its address and the folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="llmproxy-demo-") as folder:
        Path(folder, "llmproxy.yaml").write_text(f"server: {{port: {port}}}\n{config}")
        command = [str(PROGRAM), "serve", "--log-level", "error"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=folder) as process:
            try:
                while process.poll() is None and not _listens(port):
                    time.sleep(0.02)
                yield f"http://127.0.0.1:{port}", Path(folder)
            finally:
                process.terminate()


@contextmanager
def running_provider(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Run a provider whose requests `handler` answers; yield its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except OSError:
        return False
    return True
