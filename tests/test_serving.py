"""What is left of a serving process at its end is tested with `serve`; here, its address, and that a closed terminal
ends it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from llmproxy.config.load import load_from_python
from llmproxy.serving import registration_of
from tests.support.program import clean_environment
from tests.support.waiting import PATIENCE_S

CERTIFICATES = Path(__file__).parent / "support" / "certificates"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals on Windows")
def test_a_terminal_that_closes_ends_the_program(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "llmproxy", "serve", "--port", "0"],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            os.close(theirs)
            assert process.stdout is not None
            while "http://" not in process.stdout.readline():
                pass
            os.close(ours)
            process.send_signal(signal.SIGHUP)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("inherited", "tls", "url"),
    [(False, False, "http://localhost:"), (True, False, "http://127.0.0.1:"), (False, True, "https://localhost:")],
)
def test_an_inherited_socket_is_announced_by_its_own_address(inherited: bool, tls: bool, url: str) -> None:
    files = {"certificate": str(CERTIFICATES / "server.pem"), "key": str(CERTIFICATES / "server.key")}
    server: dict[str, object] = {"host": "localhost", **({"tls": files} if tls else {})}
    loaded = load_from_python({"server": server, "llm": {"type": "stub"}}, {}, environ={})
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        registration = registration_of(loaded, listener, inherited=inherited)
        assert registration.url == f"{url}{listener.getsockname()[1]}"
