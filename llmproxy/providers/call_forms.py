"""Change a client's request between the forms of its call: where the model stands, and what else is a cloud's own.

Begin reading at `reform`.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from llmproxy.body import Body, StreamedBody
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.call_form import CallForm, without_fields
from llmproxy.dialects.dialect import Endpoint
from llmproxy.errors import BadRequest


class Reformed(NamedTuple):
    """The parts of a request that differ between forms. `path` is the client's, or unversioned."""

    path: str
    query: str | None
    body: Body | StreamedBody | None


def form_named(endpoint: Endpoint, name: str) -> CallForm | None:
    """Return the form of this call that the cloud called `name` has; None where it has the dialect's own."""
    forms = endpoint.dialect.forms
    return next((form for form in forms if form.name == name and form.call == endpoint.path), None)


def reform(request: ClientRequest, endpoint: Endpoint, wanted: CallForm | None) -> Reformed:
    """Return what `request` is in the form `wanted`, None for the dialect's own.

    Raises BadRequest when the form has the model in the path and the request has none.
    """
    form, body, query = endpoint.form, request.body, request.query
    if form is wanted:
        return Reformed(request.path, query, body)
    if endpoint.model_in is None:
        model = body.model if isinstance(body, Body) else request.model
    else:
        model = endpoint.model_of(request.path)
    if form is not None:
        query = without_fields(query, form.query)
    if wanted is not None:
        if not model:
            raise BadRequest("The request has no model. Add the field `model`", param="model")
        return Reformed(wanted.path_for(model), query, body)
    if isinstance(body, Body) and model is not None and body.model != model:
        body = Body(body.raw, body.encoding)
        body.replace("model", msgspec.json.encode(model))
    return Reformed(endpoint.path, query, body)
