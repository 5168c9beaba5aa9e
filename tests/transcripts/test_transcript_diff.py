from __future__ import annotations

from llmproxy.transcripts.transcript import TranscriptPart
from llmproxy.transcripts.transcript_diff import SessionTranscript, TranscriptDiff


def parts(*output: str) -> list[TranscriptPart]:
    """`u:text` is the user's, `a:` the answer, `s:` a system prompt, `t:` thinking."""
    roles = {"u": "user", "a": "assistant", "s": "system", "t": "thinking"}
    return [TranscriptPart(roles[each[0]], each[2:]) for each in output]


def test_of_a_growing_conversation_only_the_end_is_new() -> None:
    heard = SessionTranscript()
    assert heard.add(parts("s:Be nice", "u:Hi"), parts("a:Hello")) == TranscriptDiff(parts("s:Be nice", "u:Hi"), 0, 0)
    asked = parts("s:Be nice", "u:Hi", "a:Hello", "u:More")
    assert heard.add(asked, parts("a:Yes")) == TranscriptDiff(parts("u:More"), 3, 0)
    assert heard.add([*asked, *parts("a:Yes", "u:yes")], []) == TranscriptDiff(parts("u:yes"), 5, 0)


def test_the_same_words_once_more_are_new() -> None:
    heard = SessionTranscript()
    heard.add(parts("u:yes"), parts("a:ok"))
    assert heard.add(parts("u:yes", "a:ok", "u:yes"), parts("a:ok")).new == parts("u:yes")
    assert heard.add(parts("u:yes", "a:ok", "u:yes", "a:ok", "u:yes"), []).new == parts("u:yes")


def test_white_space_at_the_ends_is_no_news() -> None:
    heard = SessionTranscript()
    heard.add(parts("u:Hi "), parts("a:\nHello"))
    assert heard.add(parts("u:Hi", "a:Hello\n", "u:More"), []).new == parts("u:More")


def test_what_is_asked_again_is_not_new() -> None:
    heard = SessionTranscript()
    heard.add(parts("u:Hi"), [])
    assert heard.add(parts("u:Hi"), parts("a:Hello")) == TranscriptDiff([], 1, 0)
    assert heard.add(parts("u:Hi"), parts("a:Good day")) == TranscriptDiff([], 1, 1), "another answer is wanted"


def test_an_edited_message_is_new_and_what_it_replaced_is_gone() -> None:
    heard = SessionTranscript()
    heard.add(parts("u:A", "a:B", "u:C"), parts("a:D"))
    assert heard.add(parts("u:A", "a:B", "u:c"), parts("a:d")) == TranscriptDiff(parts("u:c"), 2, 2)


def test_of_a_trimmed_or_summarised_front_only_the_summary_is_new() -> None:
    heard = SessionTranscript()
    long = parts("u:1", "a:2", "u:3", "a:4", "u:5")
    heard.add(long, parts("a:6"))
    assert heard.add([*long[2:], *parts("a:6", "u:7")], parts("a:8")) == TranscriptDiff(parts("u:7"), 4, 2)
    summed = [*parts("u:So far 1 to 4"), *long[4:], *parts("a:6", "u:7", "a:8", "u:9")]
    assert heard.add(summed, []) == TranscriptDiff(parts("u:So far 1 to 4", "u:9"), 4, 2)


def test_conversations_side_by_side_are_compared_with_their_own() -> None:
    heard = SessionTranscript()
    heard.add(parts("s:S", "u:1"), parts("a:2"))
    assert heard.add(parts("s:S", "u:other"), parts("a:x")) == TranscriptDiff(parts("u:other"), 1, 0)
    assert heard.add(parts("u:a title for 1"), parts("a:One")) == TranscriptDiff(parts("u:a title for 1"), 0, 0)
    assert heard.add(parts("s:S", "u:1", "a:2", "u:3"), []) == TranscriptDiff(parts("u:3"), 3, 0)
    assert heard.add(parts("s:S", "u:other", "a:x", "u:y"), []) == TranscriptDiff(parts("u:y"), 3, 0)


def test_another_task_about_the_same_words_is_no_continuation() -> None:
    heard = SessionTranscript()
    heard.add(parts("s:Be nice", "u:Hi"), parts("a:Hello"))
    assert heard.add(parts("s:Write a title", "u:Hi"), []) == TranscriptDiff(parts("s:Write a title", "u:Hi"), 0, 0)
    assert heard.add(parts("s:Be nicer", "u:Hi", "a:Hello", "u:More"), []).new == parts("s:Be nicer", "u:More")


def test_old_thinking_comes_and_goes_without_a_word() -> None:
    heard = SessionTranscript()
    heard.add(parts("u:1"), parts("t:Hmm", "a:2"))
    assert heard.add(parts("u:1", "t:Hmm", "a:2", "u:3"), parts("a:4")) == TranscriptDiff(parts("u:3"), 3, 0)
    assert heard.add(parts("u:1", "a:2", "u:3", "a:4", "u:5"), []) == TranscriptDiff(parts("u:5"), 4, 0)


def test_of_a_system_prompt_that_changes_the_new_lines_are_reported() -> None:
    heard = SessionTranscript()
    heard.add(parts("s:Be nice\n\nIt is Monday", "u:1"), parts("a:2"))
    asked = parts("u:1", "a:2", "u:3")
    news = heard.add([*parts("s:Be nice\n\nIt is Tuesday"), *asked], [])
    assert news == TranscriptDiff([TranscriptPart("system, changed", "It is Tuesday"), *parts("u:3")], 2, 0)
    assert heard.add([*parts("s:Be nice"), *asked], []).new == [], "a shorter one says nothing new"
    assert heard.add([*parts("s:Quite\nanother"), *asked], []).new == parts("s:Quite\nanother")


def test_a_request_that_refers_to_what_was_reported_repeats_nothing() -> None:
    heard = SessionTranscript()
    heard.add(parts("s:S", "u:yes"), parts("a:ok"))
    assert heard.add(parts("s:S", "u:yes"), parts("a:ok"), refers=True) == TranscriptDiff(parts("u:yes"), 1, 0)
