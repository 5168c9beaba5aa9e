"""Says in plain words why a file, a socket or a connection failed.

Python's own texts have numbers, addresses and the names of modules in them, and asyncio joins those of several
addresses. Everything that shows such an error to people asks `explain_fault`; this module knows nothing of the program.
"""

from __future__ import annotations

import errno
import os
import re

_NUMBER = re.compile(r"\[(?:Errno|WinError) (\d+)\]")
_WORDS = {errno.ECONNREFUSED: "connection refused", errno.ECONNRESET: "connection reset"}
# The reasons of OpenSSL for a server that answers without TLS.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})


def explain_fault(error: BaseException) -> str:
    """Return the reason of an error without its number, address and path, as the end of a sentence."""
    import socket  # commands start faster without them
    import ssl

    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error  # aiohttp wraps what happened
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return "it does not speak TLS" if cause.reason in _NO_TLS else f"TLS failed: {_in_words(cause.reason)}"
    if isinstance(cause, socket.gaierror):
        return "unknown host" if cause.errno != socket.EAI_AGAIN else "the name service (DNS) does not answer"
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError):
        return _explain(cause)
    return str(cause).lower() or "no reason is known"


def _explain(error: OSError) -> str:
    number, text = error.errno, error.strerror
    if number and error.filename is None and (not text or "('" in text):  # asyncio puts addresses into its texts
        return _words_of(number)
    if text:
        return text.lower()
    # A host with several addresses has an error for each: "Multiple exceptions: [Errno 111] ..., [Errno 101] ...".
    numbers = dict.fromkeys(int(each) for each in _NUMBER.findall(str(error)))
    return " and ".join(map(_words_of, numbers)) or str(error).lower() or "no reason is known"


def _words_of(number: int) -> str:
    return _WORDS.get(number) or os.strerror(number).lower()


def _in_words(reason: str) -> str:
    return reason.replace("_", " ").lower()
