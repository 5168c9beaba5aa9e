"""A provider over TLS on this machine, which streams one chat completion in two parts.

The second part waits until `go_on` is set. Its authority is `CA`.
"""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

_CERTIFICATES = Path(__file__).parents[2] / "tests" / "support" / "certificates"
CA = _CERTIFICATES / "ca.pem"
FRAMES = (
    b'data: {"id":"c1","object":"chat.completion.chunk","model":"far",'
    b'"choices":[{"index":0,"delta":{"content":"from "}}]}\n\n',
    b'data: {"id":"c1","object":"chat.completion.chunk","model":"far","choices":[{"index":0,"delta":{"content":"afar"},'
    b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
)
_PATIENCE_S = 60


class TlsUpstream:
    """Use as a context manager; inside, it answers at `url`."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(sum(map(len, FRAMES))))
                self.end_headers()
                self.wfile.write(FRAMES[0])
                self.wfile.flush()
                outer.go_on.wait(_PATIENCE_S)
                self.wfile.write(FRAMES[1])

            def log_message(self, format: str, *args: object) -> None:
                """Keep the output of the build short."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_CERTIFICATES / "server.pem", _CERTIFICATES / "server.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
