"""The five SDKs against the six kinds of providers, and against what else these serve: one started program, one
upstream that is as strict as the vendors are (`tests/support/six_vendors.py`).

Each case is run for a sample in which each client meets each provider; `--long` runs all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from google.genai import errors as genai_errors
from urllib3.exceptions import HTTPError

from tests.support.program import Program
from tests.support.sdk_conversations import ASKERS, PNG, SdkConversation
from tests.support.six_program import MORE, SIX, TEXT, go_round
from tests.support.six_vendors import LATE_WORDS, WORDS, SixVendors
from tests.support.vendors import CACHED, IN, OUT, REASONING

LIMITED = (openai.RateLimitError, anthropic.RateLimitError, ClientError, genai_errors.ClientError)
FAILED = (
    *(openai.APIError, anthropic.APIError, ClientError, BotoCoreError, genai_errors.APIError),
    *(httpx2.TransportError, HTTPError, RuntimeError),
)
# What the vendors' counts say of tokens read from a cache, written to one and spent on reasoning; what clients can say.
COUNTED = {
    "chat": (CACHED, 0, REASONING),
    "responses": (CACHED, 0, REASONING),
    "messages": (CACHED, 16, 0),
    "converse": (CACHED, 16, 0),
    "gemini": (CACHED, 0, REASONING),
}
SAYS = {"chat": (1, 1, 1), "responses": (1, 1, 1), "messages": (1, 1, 1), "converse": (1, 1, 0), "gemini": (1, 0, 1)}


WAYS: dict[str, tuple[Any, ...]] = {"stream": (False, True), "trouble": ("cut", "torn")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test for each client, provider and way. Without `--long` for a sample: one client with each provider and
    one way for it, which move on from test to test."""
    way = next((name for name in WAYS if name in metafunc.fixturenames), None)
    case = [name for name in vars(metafunc.module) if name.startswith("test_")].index(metafunc.function.__name__)
    cells = []
    for place, (name, model) in enumerate((SIX | MORE).items()):
        for number, asker in enumerate(ASKERS):
            ways = [*enumerate(WAYS[way] if way else (None,))]
            if not metafunc.config.getoption("--long"):
                met = (number + place + case) % len(ASKERS) == 0 and (name in SIX or case % 4 == place % 4)
                ways = [ways[(place + case) % len(ways)]] if met else []
            values = [[asker, model, *([value] if way else ())] for _, value in ways]
            named = f"{asker.dialect} client-{name}"
            cells += [pytest.param(*each, id="-".join(map(str, [named, *each[2:]]))) for each in values]
    metafunc.parametrize(["asker", "model", *([way] if way else ())], cells, indirect=["asker"])


@pytest.fixture
def asker(request: pytest.FixtureRequest, clouds: Program) -> Iterator[SdkConversation]:
    conversation: SdkConversation = request.param(clouds.url)
    with conversation.client:
        yield conversation


@pytest.mark.ledger("H1", "P1", "P5")
def test_a_question_is_answered_with_the_counts_of_the_provider(
    asker: SdkConversation, model: str, stream: bool, six: SixVendors
) -> None:
    asker.system = "You answer in German."
    asker.more = {"temperature": 0.5} if asker.dialect != "messages" else {}  # its API has no temperature any more
    asker.say("Grüß Gott")
    turn = asker.ask(model, stream=stream)
    assert (turn.text, turn.calls, turn.stop) == (TEXT, [], asker.stops[0])
    assert six.calls[-1].model == model.partition("/")[2]
    assert six.calls[-1].stream is stream and asker.system in six.last_body
    assert (turn.tokens_in, turn.tokens_out) == (IN, OUT) and turn.total in (None, IN + OUT)
    counted = COUNTED[six.calls[-1].dialect]
    assert turn.parts == tuple(count * said for count, said in zip(counted, SAYS[asker.dialect], strict=True))


def test_two_turns_of_tools_go_round(asker: SdkConversation, model: str, stream: bool, six: SixVendors) -> None:
    go_round(asker, model, stream=stream, think=False)
    results = [text for _, text in six.questions[-1].results]
    assert "clock: 12" in results[1] and "weather: 3" in results[2]


def test_thinking_is_kept_while_tools_are_called(
    asker: SdkConversation, model: str, stream: bool, six: SixVendors
) -> None:
    go_round(asker, model, stream=stream, think=True)


def test_a_picture_arrives(asker: SdkConversation, model: str, six: SixVendors) -> None:
    asker.say("What is this?", image=True)
    assert asker.ask(model, stream=False).text == TEXT
    body = six.last_body
    if six.calls[-1].dialect == asker.dialect == "gemini":
        body = body.replace("-", "+").replace("_", "/")  # its SDK writes the base64 of URLs
    assert PNG in body and ("image/png" in body or '"png"' in body) and "What is this?" in body


def test_an_answer_in_a_form_is_asked_for(asker: SdkConversation, model: str, six: SixVendors) -> None:
    if "nova" in model:
        pytest.skip("has no forms of answers")
    asker.say("Where?")
    asker.ask(model, stream=False, schema=True)
    body = six.last_body.replace("\\", "")
    assert '"people"' in body and '"integer"' in body


def test_an_answer_that_the_limit_cut_short_says_so(
    asker: SdkConversation, model: str, stream: bool, six: SixVendors
) -> None:
    asker.say("Tell me everything")
    asker.limit = 64
    six.cut_short = True
    turn = asker.ask(model, stream=stream)
    assert (turn.text, turn.stop) == (TEXT, asker.cut)
    assert "64" in six.last_body


def test_a_limit_is_the_error_of_the_sdk_in_the_words_of_the_provider(
    asker: SdkConversation, model: str, stream: bool, six: SixVendors
) -> None:
    six.trouble = "limit"
    asker.say("Hi")
    with pytest.raises(LIMITED) as caught:
        asker.ask(model, stream=stream)
    error: Any = caught.value
    assert WORDS in str(error) and len(six.calls) == 1
    if asker.dialect == "converse":
        assert type(error).__name__ == error.response["Error"]["Code"] == "ThrottlingException"
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
    elif asker.dialect == "gemini":
        assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED")
        headers = error.response.headers
    else:
        headers = error.response.headers
    if not six.calls[-1].dialect == asker.dialect == "gemini":
        assert headers["retry-after"] == "7"


def test_an_error_in_the_middle_of_a_stream_is_raised(asker: SdkConversation, model: str, six: SixVendors) -> None:
    six.trouble = "error"
    asker.say("Hi")
    with pytest.raises(FAILED) as caught:
        asker.ask(model, stream=True)
    assert LATE_WORDS in str(caught.value) or asker.dialect == "responses"


def test_a_stream_that_breaks_off_never_ends_well(
    asker: SdkConversation, model: str, trouble: Any, six: SixVendors
) -> None:
    six.trouble = trouble
    asker.say("Hi")
    with pytest.raises(FAILED):
        asker.ask(model, stream=True)
