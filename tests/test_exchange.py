from __future__ import annotations

import pytest
from multidict import CIMultiDict

from llmproxy.answer import Headers
from llmproxy.body import Body, StreamedBody
from llmproxy.client_request import SESSION_HEADERS, Client
from llmproxy.errors import Overloaded
from llmproxy.exchange import BURST_BYTES, Exchange, MemoryBudget
from tests.support.exchanges import ended, new_exchange


def exchange(body: Body | StreamedBody | None = None) -> Exchange:
    return Exchange(
        id="1",
        method="POST",
        full_path="/openai/v1/chat/completions",
        path="/v1/chat/completions",
        query="",
        headers=CIMultiDict(),
        client=Client(address="127.0.0.1"),
        started_s=1.0,
        began_s=1.7e9,
        body=body,
    )


def test_held_bytes_are_counted_over_all_exchanges_and_given_back_with_each() -> None:
    budget, first, second = MemoryBudget(100), exchange(), exchange()
    budget.hold(first, 60)
    budget.hold(second, 40)
    assert (budget.used_bytes, first.held_bytes) == (100, 60)

    budget.release_all(first)
    budget.release_all(first)
    assert budget.used_bytes == 40


def test_more_than_may_be_held_is_refused_with_a_time_to_come_back_and_counts_nothing() -> None:
    budget, asking = MemoryBudget(100), exchange()
    budget.hold(asking, 60)

    with pytest.raises(Overloaded) as caught:
        budget.hold(asking, 41)

    assert caught.value.status == 503
    assert ("Retry-After", "1") in caught.value.headers
    assert (budget.used_bytes, asking.held_bytes) == (60, 60)


@pytest.mark.parametrize("name", SESSION_HEADERS)
def test_the_session_is_what_the_client_says(name: str) -> None:
    assert ended(headers=Headers({name: "talk-1"})).session_id == "talk-1"


def test_the_session_that_was_recognised_wins() -> None:
    headers = Headers({SESSION_HEADERS[0]: "said", SESSION_HEADERS[1]: "later"})
    assert ended(headers=headers).session_id == "said"
    assert ended(headers=headers, session="recognised").session_id == "recognised"
    assert ended().session_id is None
    assert ended(headers=Headers({SESSION_HEADERS[0]: "x" * 1000})).session_id == "x" * 200


SESSION = ("x-claude-code-session-id", "s-1")
TITLE_SYSTEM = [{"type": "text", "text": "Generate a concise, sentence-case title (3-7 words) for this session."}]
TITLE_SCHEMA = {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"title": {}}}}}
ASKED = [{"role": "user", "content": "Fix the title bar"}]


@pytest.mark.parametrize(
    ("headers", "body", "thread"),
    [
        ((SESSION,), {"messages": ASKED}, None),
        ((SESSION, ("x-claude-code-agent-id", "a1f6c3d")), {"messages": ASKED, "tools": [{}]}, "a1f6c3d"),
        ((SESSION, ("x-claude-code-agent-id", "main")), {"messages": ASKED}, None),
        ((("session_id", "s-2"), ("x-openai-subagent", "review")), {"input": "Hi"}, "review"),
        ((SESSION,), {"system": TITLE_SYSTEM, "messages": ASKED}, "title"),
        ((SESSION,), {"system": "Short", "output_config": TITLE_SCHEMA, "messages": ASKED}, "title"),
        ((SESSION,), {"system": TITLE_SYSTEM, "messages": ASKED, "tools": [{"name": "x"}]}, None),
        ((), {"system": TITLE_SYSTEM, "messages": ASKED}, None),
        ((), {"system": TITLE_SYSTEM, "messages": ASKED, "metadata": {"user_id": "u_session_1"}}, "title"),
        ((SESSION,), b'{"title": broken', None),
    ],
)
def test_subagents_and_title_calls_are_threads(
    headers: tuple[tuple[str, str], ...], body: object, thread: str | None
) -> None:
    assert new_exchange("/v1/messages", *headers, body=body).thread_id == thread


def test_a_budget_says_when_a_burst_is_over() -> None:
    relieved: list[int] = []
    budget = MemoryBudget(10 * BURST_BYTES, lambda: relieved.append(budget.used_bytes))
    small, first, second = new_exchange(), new_exchange(), new_exchange()
    budget.hold(small, BURST_BYTES - 1)
    budget.release_all(small)
    assert not relieved  # no burst

    budget.hold(first, BURST_BYTES)
    budget.hold(second, BURST_BYTES // 2)
    budget.release_all(second)
    assert not relieved  # more than half is still held
    budget.hold(small, 100)
    budget.release_all(first)
    assert relieved == [100]
    budget.release_all(small)
    assert relieved == [100]  # once for each burst


def test_a_view_has_all_values_of_its_exchange_and_is_changed_alone() -> None:
    original = ended()
    view = original.view()
    assert type(view) is type(original)
    assert view == original
    view.model = "other"
    assert original.model == "gpt-4o"
