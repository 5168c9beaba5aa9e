from __future__ import annotations

import pytest

from llmproxy.body import Body, StreamedBody
from llmproxy.client_request import Client
from llmproxy.errors import BadRequest
from tests.support.exchanges import ended, new_exchange
from tests.support.pieces import Pieces


def test_a_body_that_is_held_can_be_read_and_no_other() -> None:
    body = Body(b"{}")
    assert ended(body=body).held is body

    for other in (None, StreamedBody(stream=Pieces(), length=None)):
        with pytest.raises(BadRequest, match="POST /v1/chat/completions needs a body"):
            _ = ended(body=other).held


def test_a_client_is_labelled_by_its_key_or_else_by_its_address() -> None:
    assert Client(address="10.0.0.1").label == "10.0.0.1"
    assert Client(address="10.0.0.1", name="ci").label == "ci"


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/chat/completions", {"model": "x" * 2049}), (f"/model/{'x' * 2049}/converse", {"messages": []})],
)
def test_a_name_of_a_model_that_no_cloud_has_is_refused(path: str, body: dict[str, object]) -> None:
    exchange = new_exchange(path, body=body)
    with pytest.raises(BadRequest, match="name of the model has more than 2048 characters"):
        exchange.read_model()
