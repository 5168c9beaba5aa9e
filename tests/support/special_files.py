"""Files that are none: pipes, devices, sockets, folders and links that lead nowhere, under any name."""

from __future__ import annotations

import os
import socket
from pathlib import Path

SPECIAL = ("pipe", "device", "socket", "directory", "loop", "nowhere")


def make_special(path: Path, kind: str) -> None:
    """Put one of SPECIAL at `path`."""
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "socket":
            _make_socket(path)
        case "directory":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "nowhere":
            path.symlink_to(path.with_name("nowhere-at-all"))
        case _:
            raise ValueError(kind)


def _make_socket(path: Path) -> None:
    """Bind a socket below its folder: the whole path may be too long for one."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
