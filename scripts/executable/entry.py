"""Start llmproxy in the executable.

A one-file program of PyInstaller is two processes: a loader, which unpacks everything into a folder for temporary
files, waits and removes it, and its child, which runs this. What the system does to the loader alone has to reach
the server.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from llmproxy.cli import command_line
from llmproxy.cli import main as run

_POLL_S = 0.5


def main() -> None:
    """Run the program. A server ends when its loader is killed, and then removes what the loader has unpacked."""
    if sys.platform == "win32" or command_line(sys.argv[1:])[:1] != ["serve"]:
        return run()
    # A terminal signals a whole process group, and the loader passes signals on: one Ctrl-C would be two for the
    # server, and cut exchanges off.
    os.setpgid(0, 0)
    loader = os.getppid()
    threading.Thread(target=_stop_without, args=(loader,), daemon=True).start()
    try:
        run()
    finally:
        if os.getppid() != loader:
            shutil.rmtree(Path(__file__).parent, ignore_errors=True)


def _stop_without(loader: int) -> None:
    """Stop this process, as SIGTERM does, once `loader` is no longer its parent."""
    while os.getppid() == loader:
        time.sleep(_POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
