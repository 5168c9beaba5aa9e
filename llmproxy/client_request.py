"""What a client asks, before anything is known of the answer: the part of an exchange that providers see.

A provider gets a ClientRequest and not the whole Exchange: that one knows its route, which knows its providers.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from llmproxy.answer import Headers
from llmproxy.body import Body, FormBody, StreamedBody, StreamedForm
from llmproxy.client_key import ClientKey
from llmproxy.dialects.dialect import Endpoint
from llmproxy.dialects.socket_calls import model_in_query, with_model
from llmproxy.errors import BadRequest
from llmproxy.wire.json import write_value
from llmproxy.wire.text import replace_surrogates

SESSION_HEADER = "x-llmproxy-session"
"""The header that names the session in answers."""

SESSION_HEADERS = ("x-session-id", SESSION_HEADER, "x-claude-code-session-id", "session-id", "session_id")
"""The headers in which clients name their session; the first one that is present counts."""

SESSION_LENGTH = 200

# The longest name at a cloud (Bedrock's modelId). What is known of a model is remembered by its name.
_LONGEST_MODEL = 2048

PRINTABLE = frozenset(map(chr, range(33, 127)))
"""The characters that a request id may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A client's certificate that was verified when its connection began.

    `subject` is written as `O=Acme,CN=ci`, `parts` are the parts of that in any order, `name` is its common name.
    """

    subject: str
    parts: frozenset[str]
    name: str


class Client(msgspec.Struct, kw_only=True):
    """The client of an exchange.

    `key` is the verified client key, when there is one, `tenant` and `name` are its own. `certificate` is that of its
    connection, where clients have one, `tls` says that this is encrypted. `credentials_verified` says that every
    provider gets the credentials that clients send, and so verifies them. `identity` is kept here by
    `access.identity.identity_of`, the only one to read it.
    """

    address: str
    agent: str = ""
    name: str | None = None
    tenant: str = ""
    credentials_verified: bool = False
    identity: str = ""
    key: ClientKey | None = None
    certificate: ClientCertificate | None = None
    tls: bool = False

    @property
    def label(self) -> str:
        """Return the name of the client's key, else its address: how pages and lines call the client."""
        return self.name or self.address


class ClientRequest(msgspec.Struct, kw_only=True):
    """One request of a client, or what translation makes of it for a provider.

    `path` is below the provider's prefix where there is one, `full_path` as the client sent it; `query` is without the
    question mark, None where there is none; all byte for byte (surrogateescape). `headers` are the client's, hooks may
    change them. `model` is what the client asks for; setting it to another name routes again. `started_s` is
    `time.monotonic()`, `began_s` the wall clock. `request_id` is what the client sees as `x-request-id`: its own when
    it sent a short printable one, else `id`. `template` is the path in metrics. `session` is the conversation's id,
    when a middleware recognised one. `credential` is the mark of the provider's credential with which was made what it
    names, where that has several (`Provider.credential_mark`). `upgrade` says that it opens a WebSocket, which has no
    body.
    """

    id: str
    method: str
    full_path: str
    path: str
    query: str | None
    headers: Headers
    client: Client
    started_s: float
    began_s: float
    endpoint: Endpoint | None = None
    template: str = ""
    request_id: str = ""
    body: Body | StreamedBody | None = None
    model: str | None = None
    stream: bool = False
    session: str | None = None
    credential: str = ""
    upgrade: bool = False

    @property
    def session_id(self) -> str | None:
        """Return `session`, else the session that the client names in a header; cut to 200 characters."""
        name = self.session
        if name is None:
            headers = self.headers
            for header in SESSION_HEADERS:
                if header in headers and (name := headers[header]):  # `get` takes three times as long to find none
                    break
            else:
                return None
        return replace_surrogates(name[:SESSION_LENGTH])

    @property
    def own_url(self) -> str:
        """Return the address at which the client reaches the proxy, without a path: for URLs that it gets alone."""
        scheme = self.headers.get("X-Forwarded-Proto", "").strip().lower()
        if scheme not in ("http", "https"):
            scheme = "https" if self.client.tls else "http"
        return f"{scheme}://{self.headers.get('Host', '')}"

    def read_model(self) -> None:
        """Take model and stream flag from where the dialect has them: path, query or body. Raises BadRequest when the
        body cannot be decoded, or the name of the model is too long."""
        endpoint, body = self.endpoint, self.body
        if endpoint is not None and endpoint.socket is not None and endpoint.model:
            model = model_in_query(self.query)
        elif endpoint is None or not isinstance(body, (Body, StreamedForm)):
            return
        else:
            if isinstance(body, Body):
                self.stream = body.flag("stream") if endpoint.streams is None else endpoint.streams
            model = body.model if endpoint.model_in is None else endpoint.model_of(self.path)
        if model is not None and len(model) > _LONGEST_MODEL:
            raise BadRequest(f"The name of the model has more than {_LONGEST_MODEL} characters", param="model")
        self.model = model

    def write_model(self, model: str) -> None:
        """Put another name of the model where the dialect has it."""
        endpoint, body = self.endpoint, self.body
        if endpoint is not None and endpoint.socket is not None:
            self.query = with_model(self.query, model) if endpoint.model else self.query
        elif endpoint is not None and endpoint.model_in is not None:
            self.path = endpoint.renamed(self.path, model)
        elif isinstance(body, (FormBody, StreamedForm)):
            body.rename_model(model)
        elif isinstance(body, Body) and body.model != model and "model" in body.members:
            body.replace("model", write_value(model))

    @property
    def held(self) -> Body:
        """Return the body, when it can be read. Raises BadRequest when there is none or it passes through."""
        if isinstance(self.body, Body):
            return self.body
        raise BadRequest(f"{self.method} {self.full_path} needs a body")
