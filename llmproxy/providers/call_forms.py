"""Change a client's request between the forms of its call: where the model stands, and what else is a cloud's own.

Begin reading at `reform`. `call_answers.py` changes the answers.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from llmproxy.answer import Headers
from llmproxy.body import Body, FormBody, StreamedBody, StreamedForm
from llmproxy.client_request import ClientRequest
from llmproxy.dialects.call_form import CallForm, filled, without_fields
from llmproxy.dialects.dialect import Endpoint
from llmproxy.dialects.rest_calls import REST, REST_FORMS
from llmproxy.errors import BadRequest
from llmproxy.wire.json import write_value

_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Reformed(NamedTuple):
    """The parts of a request that differ between forms. `path` is the client's, or unversioned."""

    path: str
    query: str | None
    body: Body | StreamedBody | None


def form_named(endpoint: Endpoint, name: str) -> CallForm | None:
    """Return the form of this call that the cloud called `name` has; None where it has the dialect's own."""
    if endpoint.form is not None and endpoint.form.name == name:
        return endpoint.form
    forms = REST_FORMS if endpoint.capability == REST else endpoint.dialect.forms
    return next((form for form in forms if form.name == name and form.call == endpoint.path), None)


def reform(request: ClientRequest, endpoint: Endpoint, provider_form: CallForm | None, headers: Headers) -> Reformed:
    """Return what `request` is in the form `provider_form`, None for the dialect's own. `headers` are those that go on,
    and are changed too.

    Raises BadRequest when the form has the model in the path and the request has none.
    """
    form, body, query = endpoint.form, request.body, request.query
    if form is provider_form:
        return Reformed(request.path, query, body)
    if endpoint.model_in is None:
        model = body.model if isinstance(body, (Body, StreamedForm)) else request.model
    else:
        model = endpoint.model_of(request.path)
    if form is not None:
        query = without_fields(query, form.query)
        body = _leave(form, body, headers, stream=request.stream)
    if provider_form is not None:
        if not model and "{model}" in provider_form.path:
            raise BadRequest("The request has no model. Add the field `model`", param="model")
        body = entered(provider_form, body, headers) if isinstance(body, Body) else body
        return Reformed(provider_form.path_for(model or "", stream=request.stream), query, body)
    assert form is not None, "the two forms differ"
    path = endpoint.dialect.path_of(form.call, stream=request.stream)
    if "{model}" in path:
        return Reformed(filled(path, model or ""), query, body)
    return Reformed(path, query, body if model is None else _with_model(body, model))


def _with_model(body: Body | StreamedBody | None, model: str) -> Body | StreamedBody | None:
    """Return the body with the model in it, where a path had that."""
    if isinstance(body, (FormBody, StreamedForm)):
        body.rename_model(model)
    elif isinstance(body, Body) and body.model != model:
        body = Body(body.raw, body.encoding)
        body.replace("model", msgspec.json.encode(model))
    return body


def entered(form: CallForm, body: Body, headers: Headers) -> Body:
    """Return the body as `form` has it; the members that it has in common with the dialect keep their bytes. `headers`
    are changed too."""
    if not (form.without or form.members or form.header_members):
        return body
    body = Body(body.raw, body.encoding)
    for name in form.without:
        if name in body.members:
            body.remove(name)
    _enter_version(form, body, headers)
    for name, raw in form.members:
        if name not in body.members:
            body.replace(name, raw)
    for header, name in form.header_members:
        listed = [each.strip() for line in headers.popall(header, []) for each in line.split(",")]
        if any(listed) and name not in body.members:
            body.replace(name, write_value([each for each in listed if each]))
    return body


def _leave(
    form: CallForm, body: Body | StreamedBody | None, headers: Headers, *, stream: bool
) -> Body | StreamedBody | None:
    """Return the body as the dialect itself has it."""
    if not isinstance(body, Body) or not (form.without or form.members or form.header_members):
        return body
    body = Body(body.raw, body.encoding)
    _leave_version(form, body, headers)
    for name, _ in form.members:
        if name in body.members:
            body.remove(name)
    for header, name in form.header_members:
        value = body.value(name)
        if name in body.members:
            body.remove(name)
        if isinstance(value, list) and value and header not in headers:
            headers[header] = ",".join(each for each in value if isinstance(each, str))
    if stream and "stream" in form.without:
        body.replace("stream", b"true")
    return body


def _enter_version(form: CallForm, body: Body, headers: Headers) -> None:
    """Move the version that a client names in a header into the body; the usual one is the cloud's own."""
    if form.version is None:
        return
    header, name, usual = form.version
    dates = headers.popall(header, [])
    if dates and dates[0] != usual and name not in body.members:
        body.replace(name, write_value(dates[0]))


def _leave_version(form: CallForm, body: Body, headers: Headers) -> None:
    """Move the version in the body into the header, where it is not the cloud's own."""
    if form.version is None:
        return
    header, name, _ = form.version
    date = body.value(name)
    if isinstance(date, str) and _DATE.fullmatch(date):
        headers[header] = date
