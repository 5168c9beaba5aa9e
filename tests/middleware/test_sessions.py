"""Which requests are one conversation, and which are not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmproxy.client_request import Client
from tests.support.session_client import (
    ANN,
    ANSWER,
    ASIDE,
    BOB,
    CHAT,
    LAST,
    MESSAGES,
    MORE,
    QUESTION,
    REPLY,
    RESPONSES,
    SessionClient,
    turns,
)

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "sky"}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "blue"}


async def test_a_conversation_goes_on_turn_by_turn() -> None:
    asking = SessionClient()
    said = [QUESTION, REPLY, MORE, ANSWER, LAST]
    sessions = [await asking.say(*said[:count]) for count in (1, 3, 5)]
    assert len(set(sessions)) == 1 and sessions[0] is not None
    assert await asking.figure("created") == 1 and await asking.figure("fuzzy_matches") == 0


async def test_tool_turns_go_on() -> None:
    asking = SessionClient()
    messages: list[dict[str, Any]] = [*turns("Look"), CALLED, RESULT]
    sessions = {await asking.ask({"messages": messages[:count]}) for count in (1, 3)}
    sessions.add(await asking.ask({"messages": [*messages, *turns("It is", "Thanks", role="assistant")]}))
    assert len(sessions) == 1 and await asking.figure("fuzzy_matches") == 0


@pytest.mark.parametrize("results", [1, 30, 100])
async def test_however_many_tools_are_called_at_once(results: int) -> None:
    asking = SessionClient()
    first = await asking.say("Look")
    called = {**CALLED, "tool_calls": [CALL] * results}
    assert await asking.ask({"messages": [*turns("Look"), called, *[RESULT] * results]}) == first


async def test_short_texts_go_on_as_well() -> None:
    asking = SessionClient()
    assert await asking.say("Hi") == await asking.say("Hi", "Hi", "Ok") == await asking.say("Hi", "Hi", "Ok", "Ok", "?")


async def test_a_retry_is_the_same_session() -> None:
    asking = SessionClient()
    assert await asking.say(QUESTION) == await asking.say(QUESTION)
    assert await asking.say(QUESTION, REPLY, MORE) == await asking.say(QUESTION, REPLY, MORE)
    assert await asking.figure("created") == 1


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param((QUESTION, "No, none of them", MORE), id="regenerated answer"),
        pytest.param((QUESTION, REPLY, ASIDE), id="edited last message"),
        pytest.param((QUESTION,), id="last turn taken back"),
        pytest.param((QUESTION, REPLY, ASIDE, ANSWER, LAST), id="an earlier message edited"),
        pytest.param((QUESTION, REPLY, MORE, "Other answer", LAST), id="an earlier answer edited"),
    ],
)
async def test_what_is_changed_at_the_end_goes_on(texts: tuple[str, ...]) -> None:
    asking = SessionClient()
    first = await asking.say(QUESTION)
    await asking.say(QUESTION, REPLY, MORE)
    assert await asking.say(*texts) == first
    assert await asking.figure("fuzzy_matches") == 0


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param((MORE, ANSWER, LAST, "In summer", "Thanks"), id="trimmed by two"),
        pytest.param((LAST, "In summer", "Thanks"), id="trimmed by four"),
        pytest.param(("We spoke of lakes and ferries.", "Yes.", LAST, "In summer", "Thanks"), id="summarised"),
        pytest.param((QUESTION + " Please", REPLY, MORE, ANSWER, LAST, "In summer", "Thanks"), id="first one edited"),
    ],
)
async def test_what_is_changed_at_the_front_is_recognised_by_its_words(texts: tuple[str, ...]) -> None:
    asking = SessionClient()
    said = (QUESTION, REPLY, MORE, ANSWER, LAST)
    [first] = {await asking.say(*said[:count]) for count in (1, 3, 5)}
    await asking.say(ASIDE)
    assert await asking.say(*texts) == first
    assert await asking.figure("fuzzy_matches") == 1
    assert await asking.say(*texts, "You are welcome", "Bye") == first, "it is known from then on"
    assert await asking.figure("fuzzy_matches") == 1


async def test_the_form_of_the_json_does_not_count() -> None:
    asking = SessionClient()
    messages = [{"role": "user", "content": QUESTION + "\n "}]
    first = await asking.ask(json.dumps({"messages": messages, "model": "a"}, indent=4).encode())
    parts = [{"content": [{"text": "  " + QUESTION, "type": "text"}], "role": "user"}]
    assert await asking.ask(json.dumps({"model": "b", "messages": parts}, separators=(",", ":")).encode()) == first


async def test_white_space_in_texts_does_not_count() -> None:
    asking = SessionClient()
    spaced = QUESTION.replace(" ", "\n  ")
    assert await asking.say(QUESTION) == await asking.say(spaced) == await asking.say(spaced, REPLY, MORE)
    long = " ".join([QUESTION, REPLY, MORE])
    assert await asking.say(long) == await asking.say(long.replace(" ", "  "))


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_another_system_prompt_alone_is_no_new_session(role: str) -> None:
    asking = SessionClient()
    prompts = [[{"role": role, "content": text}] for text in ("It is Monday", "It is Tuesday")]
    first = await asking.ask({"messages": [*prompts[0], *turns(QUESTION)]})
    assert await asking.ask({"messages": [*prompts[1], *turns(QUESTION, REPLY, MORE)]}) == first
    assert await asking.ask({"messages": turns(QUESTION, REPLY, MORE)}) == first


async def test_system_prompts_of_other_dialects_do_not_count_either() -> None:
    asking = SessionClient()
    for path, member, holder in ((MESSAGES, "system", "messages"), (RESPONSES, "instructions", "input")):
        one, other = ({member: f"It is {day}", holder: turns(path + QUESTION)} for day in ("Monday", "Tuesday"))
        assert await asking.ask(one, path=path) == await asking.ask(other, path=path)


async def test_a_conversation_goes_on_in_another_dialect() -> None:
    asking = SessionClient()
    first = await asking.say(QUESTION)
    assert await asking.ask({"messages": turns(QUESTION, REPLY, MORE)}, path=MESSAGES) == first
    said = turns(QUESTION, REPLY, MORE, ANSWER, LAST)
    assert await asking.ask({"input": said}, path=RESPONSES) == first


async def test_counting_tokens_belongs_to_the_conversation() -> None:
    asking = SessionClient()
    body = {"messages": turns(QUESTION)}
    assert await asking.ask(body, path="/messages/count_tokens") == await asking.ask(body, path=MESSAGES) is not None


async def test_interleaved_conversations_of_one_client_stay_apart() -> None:
    asking = SessionClient()
    seen: dict[str, set[str | None]] = {"a": set(), "b": set()}
    for count in (1, 3, 5):
        for name, first in (("a", QUESTION), ("b", ASIDE)):
            seen[name].add(await asking.say(*[first, REPLY, MORE, ANSWER, LAST][:count]))
    assert [len(each) for each in seen.values()] == [1, 1] and seen["a"] != seen["b"]


async def test_unlike_questions_are_unlike_sessions() -> None:
    asking = SessionClient()
    assert len({await asking.say(text) for text in (QUESTION, REPLY, MORE, ANSWER, LAST, ASIDE, "Hi", "Yes")}) == 8


async def test_two_clients_never_share_a_session() -> None:
    asking = SessionClient(max_sessions=2)
    clients = [ANN, BOB, Client(address=ANN.address, agent="sdk/2"), Client(address="x", tenant="a")]
    for texts in ((QUESTION,), (QUESTION, REPLY, MORE), (MORE, ANSWER, LAST)):
        sessions = [await asking.say(*texts, client=client) for client in clients * 2]
        assert not set(sessions[::4]) & (set(sessions[1::4]) | set(sessions[2::4]) | set(sessions[3::4]))
    assert await asking.figure("evicted") > 0, "each pushed out the other's"


async def test_two_clients_share_no_session_by_its_name_either() -> None:
    asking = SessionClient()
    ann, bob = [await asking.say(QUESTION, client=client, session_id="mine") for client in (ANN, BOB)]
    assert ann == "mine" and bob is not None and bob.startswith("mine~")
    assert await asking.say(MORE, client=BOB, session_id="mine") == bob
    assert await asking.say(MORE, client=BOB, session_id=bob) == bob, "what it was told is its name too"
    assert await asking.say(MORE, client=ANN, session_id=bob) not in (ann, bob)
    assert await asking.say(MORE, client=ANN, session_id="mine") == ann


PHRASES = ["/new", "/reset", " /Clear ", "New conversation", "new chat!", "Start over.", "RESET CONVERSATION", "/new\n"]


@pytest.mark.parametrize("phrase", PHRASES)
async def test_a_reset_phrase_begins_a_new_session(phrase: str) -> None:
    asking = SessionClient()
    first = await asking.say(QUESTION)
    assert await asking.say(QUESTION, REPLY, MORE) == first
    second = await asking.say(QUESTION, REPLY, MORE, ANSWER, phrase)
    assert second != first and await asking.figure("resets") == 1
    assert await asking.say(QUESTION, REPLY, MORE, ANSWER, phrase) == second, "a retry"
    assert await asking.say(QUESTION, REPLY, MORE, ANSWER, phrase, "Yes?", LAST) == second
    assert await asking.say(QUESTION, REPLY, MORE) == first


async def test_each_first_message_that_resets_begins_a_session() -> None:
    asking = SessionClient()
    one, other = await asking.say("/new"), await asking.say("/new")
    assert one != other
    assert await asking.say("/new", "Yes?", QUESTION) == other
    assert await asking.figure("resets") == 2


@pytest.mark.parametrize(
    "said",
    [
        "What does /new do",
        "/new?",
        "Can we start over?",
        "start over with the soup",
        "news",
        "new",
        "/newer",
        "/new " * 60,
        [{"type": "text", "text": "Explain this line:"}, {"type": "text", "text": "/new"}],
        [{"type": "text", "text": "/new"}, {"type": "image_url", "image_url": {"url": "https://h/a.png"}}],
    ],
)
async def test_a_reset_phrase_inside_a_message_is_none(said: object) -> None:
    asking = SessionClient()
    first = await asking.say(QUESTION)
    messages = [*turns(QUESTION, REPLY), {"role": "user", "content": said}]
    assert await asking.ask({"messages": messages}) == first
    assert await asking.figure("resets") == 0


async def test_only_the_user_resets() -> None:
    asking = SessionClient()
    assert await asking.say(QUESTION) == await asking.say(QUESTION, "/new")
    assert await asking.ask({"messages": [*turns(QUESTION), CALLED, {**RESULT, "content": "/new"}]})
    assert await asking.figure("resets") == 0


async def test_reset_phrases_are_those_of_the_configuration() -> None:
    asking = SessionClient(reset_phrases=["Anderes Thema", "..."])
    first = await asking.say(QUESTION)
    assert await asking.say(QUESTION, REPLY, "/new") == await asking.say(QUESTION, REPLY, "?!") == first
    assert await asking.say(QUESTION, REPLY, "anderes  thema!") != first
    off = SessionClient(reset_phrases=[])
    assert await off.say(QUESTION) == await off.say(QUESTION, REPLY, "/new")


async def test_similarity_threshold_is_how_alike_a_request_must_be() -> None:
    changed = QUESTION.replace("twelve largest", "dozen biggest")
    for threshold, same in ((0.4, True), (0.85, False), (1.0, False)):
        asking = SessionClient(similarity_threshold=threshold, max_messages_for_new_session=0)
        assert (await asking.say(QUESTION) == await asking.say(changed)) is same, threshold
    asking = SessionClient(similarity_threshold=1, max_messages_for_new_session=0)
    assert await asking.say(QUESTION) == await asking.say(QUESTION.replace(" ", "\t ") + " " * 300), "all words"


async def test_fewer_messages_than_configured_are_a_new_session_unless_they_repeat_one() -> None:
    almost = QUESTION + " Thanks"
    for fewest, same in ((0, True), (1, True), (2, False)):
        asking = SessionClient(similarity_threshold=0.8, max_messages_for_new_session=fewest)
        assert (await asking.say(QUESTION) == await asking.say(almost)) is same, fewest
    asking = SessionClient(max_messages_for_new_session=10)
    first = await asking.say(QUESTION)
    assert await asking.say(QUESTION, REPLY, MORE) == first
    assert await asking.say(MORE, ANSWER, LAST) == first, "it repeats a piece"


async def test_only_the_last_eight_sessions_of_a_client_are_compared() -> None:
    for others, same in ((7, True), (8, False)):
        asking = SessionClient()
        first = await asking.say(QUESTION)
        assert await asking.say(QUESTION, REPLY, MORE) == first
        for number in range(others):
            await asking.say(f"{number}: {ASIDE}")
        assert (await asking.say(MORE, ANSWER, LAST) == first) is same


async def test_headers_are_those_of_the_configuration() -> None:
    asking = SessionClient(headers=["X-Mine"])
    assert await asking.say(QUESTION, x_mine="m") == "m"
    assert await asking.say(QUESTION, session_id="s") != "s"
    assert (await SessionClient(headers=[]).say(QUESTION, x_session_id="s") or "").startswith("s_")


async def test_a_name_is_a_session_whatever_is_said() -> None:
    asking = SessionClient()
    for text in (QUESTION, ASIDE, "/new"):
        assert await asking.say(text, x_session_id="mine") == "mine"
    assert await asking.say(QUESTION, x_session_id="other") == "other"
    assert await asking.figure("created") == 2


async def test_responses_continue_the_session_of_the_answer_that_they_name() -> None:
    asking = SessionClient()
    first = await asking.ask({"input": QUESTION}, path=RESPONSES, answer="resp_1")
    await asking.ask({"input": ASIDE}, path=RESPONSES, answer="resp_other")
    second = {"input": MORE, "previous_response_id": "resp_1"}
    assert await asking.ask(second, path=RESPONSES, answer="resp_2") == first
    assert await asking.ask({"input": LAST, "previous_response_id": "resp_2"}, path=RESPONSES) == first
    assert await asking.ask(second, path=RESPONSES, client=BOB) != first
    unknown = {"input": MORE, "previous_response_id": "resp_9"}
    assert await asking.ask(unknown, path=RESPONSES) == await asking.ask(unknown, path=RESPONSES) != first


async def test_prompt_cache_key_decides_nothing() -> None:
    asking = SessionClient()
    one, other = ({"messages": turns(text), "prompt_cache_key": "key"} for text in (QUESTION, ASIDE))
    assert await asking.ask(one) != await asking.ask(other)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/embeddings", {"input": QUESTION}),
        ("POST", "/embeddings", {"input": [QUESTION, REPLY]}),
        ("GET", "/responses/resp_1", None),
        ("GET", "/models", None),
        ("POST", "/nobody/knows", None),
        ("POST", CHAT, {}),
        ("POST", CHAT, {"messages": []}),
        ("POST", CHAT, {"messages": "Hi"}),
        ("POST", CHAT, b"no JSON"),
        ("POST", CHAT, b"[]"),
        ("POST", CHAT, b""),
    ],
)
async def test_what_is_no_conversation_has_a_session_by_header_only(method: str, path: str, body: Any) -> None:
    asking = SessionClient()
    assert await asking.ask(body, method=method, path=path) is None
    assert await asking.ask(body, method=method, path=path, session_id="mine") == "mine"


async def test_equal_first_requests_at_the_same_time_are_sessions_of_their_own() -> None:
    asking = SessionClient()
    runs = [await asking.begin({"messages": turns(QUESTION)}) for _ in range(2)]
    for each in runs:
        asking.sessions.on_end(each)
    first, second = (each.session for each in runs)
    assert first != second and await asking.figure("created") == 2
    nexts = [await asking.say(QUESTION, answer, MORE) for answer in (REPLY, ANSWER)]
    assert nexts == [first, second], "each goes on with a session of its own"
    assert [await asking.say(QUESTION, answer, MORE, ASIDE, LAST) for answer in (REPLY, ANSWER)] == [first, second]
    assert await asking.figure("created") == 2


async def test_an_equal_request_after_the_other_or_of_another_client_is_no_twin() -> None:
    asking = SessionClient()
    one = await asking.begin({"messages": turns(QUESTION)})
    asking.sessions.on_end(one)
    assert await asking.say(QUESTION) == one.session, "a retry"
    running = await asking.begin({"messages": turns(QUESTION, REPLY, MORE)})
    assert await asking.say(QUESTION, REPLY, MORE) == running.session == one.session, "later turns are recognised"
