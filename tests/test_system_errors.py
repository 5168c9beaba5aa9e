"""Tests of the words for errors of files, sockets and connections."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from pathlib import Path

import pytest

from llmproxy.system_errors import explain_fault


def _certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1000)")
    error.verify_message = "self-signed certificate"
    return error


def _tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] words of OpenSSL (_ssl.c:1000)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('127.0.0.1', 1), "
                "[Errno 101] Connect call failed ('::1', 1, 0, 0), [Errno 111] Connect call failed ('127.0.0.2', 1)"
            ),
            f"{os.strerror(111).lower()} and {os.strerror(101).lower()}",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/etc/x"), "no such file or directory"),
        (OSError(errno.EINVAL, "Not a regular file", "/dev/null"), "not a regular file"),
        (OSError(errno.EBADF, "standard output is closed"), "standard output is closed"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "unknown host"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "the name service (DNS) does not answer"),
        (TimeoutError(), "no answer in time"),
        (_certificate(), "its certificate is not trusted: self-signed certificate"),
        (_tls("WRONG_VERSION_NUMBER"), "it does not speak TLS"),
        (_tls("TLSV1_ALERT_PROTOCOL_VERSION"), "TLS failed: tlsv1 alert protocol version"),
        (ValueError("embedded null byte"), "embedded null byte"),
        (OSError(), "no reason is known"),
    ],
)
def test_an_error_is_explained_without_numbers_addresses_and_names_of_modules(error: Exception, words: str) -> None:
    assert explain_fault(error) == words


def test_what_a_library_wraps_is_explained() -> None:
    wrapping = RuntimeError("Cannot connect to host localhost:1 ssl:default [Connect call failed ('127.0.0.1', 1)]")
    wrapping.__cause__ = OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)")

    assert explain_fault(wrapping) == "connection refused"


def test_a_real_error_of_a_file_is_explained_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        (tmp_path / "none").read_text()

    assert explain_fault(caught.value) == os.strerror(errno.ENOENT).lower()
