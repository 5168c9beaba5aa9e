"""A Redis that answers every command in the same odd way: errors, half answers, wrong types, nothing, floods."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ODD = {
    "out of memory": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "read only": b"-READONLY You can't write against a read only replica.\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "moved": b"-MOVED 3999 127.0.0.1:1\r\n",
    "ask": b"-ASK 3999 127.0.0.1:1\r\n",
    "cluster down": b"-CLUSTERDOWN The cluster is down\r\n",
    "no auth": b"-NOAUTH Authentication required.\r\n",
    "busy": b"-BUSY Redis is busy running a script.\r\n",
    "no script": b"-NOSCRIPT No matching script.\r\n",
    "wrong type": b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    "a number": b":7\r\n",
    "a list": b"*2\r\n:1\r\n$-1\r\n",
    "half a value": b"$1000\r\nhalf",
    "half a line": b"$10",
    "nothing": b"",
    "rubbish": b"\x00\xff\r\n" * 9,
    "an endless value": b"$1000000000\r\n",
    "an endless list": b"*1000000000\r\n",
    "an endless line": b"+",
}
_FLOODS = {"an endless value": b"x" * 65536, "an endless list": b":1\r\n" * 16384, "an endless line": b"y" * 65536}


@contextmanager
def odd_redis(kind: str) -> Iterator[str]:
    """Yield the URL of a server that answers as ODD says; halves are followed by the end of the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, kind), daemon=True).start()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def _accept(listening: socket.socket, kind: str) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection, kind), daemon=True).start()


def _answer(connection: socket.socket, kind: str) -> None:
    try:
        with connection:
            while connection.recv(65536):
                connection.sendall(ODD[kind])
                while kind in _FLOODS:
                    connection.sendall(_FLOODS[kind])
                if "half" in kind:
                    return
    except OSError:
        return
