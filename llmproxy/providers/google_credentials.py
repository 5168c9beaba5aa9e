"""Tokens of Google Cloud, from wherever Google's own libraries find credentials.

google-auth looks: in a file (a service account, a user, a workload of another cloud), at what gcloud has stored, and at
the metadata server of the machine. It blocks, so that all of this happens in a thread; it is imported there, once there
is something to ask. Begin reading at `GoogleCredentials.fetch`.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC
from io import BytesIO
from typing import Any

from llmproxy.errors import UpstreamError
from llmproxy.providers.daemon_thread import in_daemon_thread
from llmproxy.providers.refreshed_token import Token
from llmproxy.upstream.egress import trust

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_REMEDY = f"Set `credentials_file` or {_FILE_VARIABLE}, or run `gcloud auth application-default login`"
_LIMIT_S = 10.0
_LONGEST_ANSWER = 1024 * 1024


class GoogleCredentials:
    """Gets tokens for Google Cloud. `file` holds the credentials; without one they are searched for.

    After `fetch`, `project` is the project that they belong to and `quota_project` the one that pays for their
    requests; None where they do not say.
    """

    def __init__(self, file: str | None = None) -> None:
        self.project: str | None = None
        self.quota_project: str | None = None
        self._file = file
        self._found: Any = None
        self._request: Any = None

    async def fetch(self) -> Token:
        """Return a new token. Raises UpstreamError that names the sources, and what went wrong with them."""
        return await in_daemon_thread(self._fetch)

    def _fetch(self) -> Token:
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

        logging.getLogger("google.auth").setLevel(logging.ERROR)  # it warns of what we say ourselves
        try:
            if self._found is None:
                self._find()
            self._found.refresh(self._request)
        except (GoogleAuthError, OSError, ValueError) as error:
            self._found = None  # the file may be another one next time
            if isinstance(error, DefaultCredentialsError):
                raise _no_token(self._source() if self._file else _sources(), _reason(error), _REMEDY) from error
            raise _no_token(self._source(), _reason(error)) from error
        except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
            self._found = None
            raise _no_token(self._source(), "what answered is not a token server") from error
        end = self._found.expiry
        return Token(text=self._found.token, ends_s=None if end is None else end.replace(tzinfo=UTC).timestamp())

    def _find(self) -> None:
        import google.auth

        if self._request is None:
            self._request = _new_request()
        if self._file is not None:
            load: Any = google.auth.load_credentials_from_file  # has no types
            found = load(self._file, scopes=[_SCOPE], request=self._request)
        else:
            found = google.auth.default(scopes=[_SCOPE], request=self._request)
        self._found, self.project = found
        self.quota_project = self._found.quota_project_id

    def _source(self) -> str:
        """Return where the credentials come from, as far as that is known without asking for a token."""
        if self._file is not None:
            return f"credentials_file {self._file!r}"
        file = os.environ.get(_FILE_VARIABLE)
        return f"{_FILE_VARIABLE} {file!r}" if file else "the credentials of gcloud, or of this machine"


def _new_request() -> Any:
    """Return google-auth's way to send requests, with the certificates that the proxy trusts, and a shorter limit."""
    from google.auth.transport.requests import Request
    from requests import Session
    from requests.adapters import HTTPAdapter

    context = trust(None)

    class Adapter(HTTPAdapter):
        def send(self, *arguments: Any, **named: Any) -> Any:
            answer = super().send(*arguments, **named)
            answer.raw = BytesIO(answer.raw.read(_LONGEST_ANSWER, decode_content=True))
            return answer

        def init_poolmanager(self, *arguments: Any, **named: Any) -> Any:
            return super().init_poolmanager(*arguments, ssl_context=context, **named)

        def proxy_manager_for(self, *arguments: Any, **named: Any) -> Any:
            return super().proxy_manager_for(*arguments, ssl_context=context, **named)

    class LimitedRequest(Request):
        def __call__(self, url: str, *arguments: Any, timeout: float | None = _LIMIT_S, **named: Any) -> Any:
            send: Any = super().__call__  # has no types
            return send(url, *arguments, timeout=timeout, **named)

    session = Session()
    session.mount("https://", Adapter())
    session.mount("http://", Adapter())  # metadata servers
    return LimitedRequest(session)


def _sources() -> str:
    """Return where google-auth looks, in its order."""
    file = os.environ.get(_FILE_VARIABLE, "not set")
    server = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    return (
        f"tried {_FILE_VARIABLE} ({file}), the credentials that gcloud stores (`application-default login`), and the "
        f"metadata server {server}"
    )


def _reason(error: BaseException) -> str:
    """Return the first words of an error of google-auth, whose other arguments are answers and more errors."""
    first = error.args[0] if error.args else error
    reason = (str(first).strip().splitlines() or ["its server answered with an error"])[0][:300]
    details = error.args[1] if len(error.args) > 1 else None
    if isinstance(details, dict) and details.get("error") == "invalid_grant":
        reason += " (a deleted key, a withdrawn login, or a wrong clock of this machine)"
    return reason


def _no_token(where: str, reason: str, remedy: str = "") -> UpstreamError:
    message = f"No token of Google Cloud: {where}: {reason.rstrip('. ')}. {remedy}"
    return UpstreamError(message.rstrip(), code="no_credential")
