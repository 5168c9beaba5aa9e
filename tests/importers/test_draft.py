from __future__ import annotations

from llmproxy.importers.draft import Draft, Grade, instructions, number, quote_name, variable_name, whole
from tests.importers.sources import tree

KEY = "sk-0123456789abcdef0123456789"


def test_a_credential_that_is_too_short_is_to_be_replaced() -> None:
    top = tree("{a: sk-1234, b: sk-12345678}")
    draft = Draft(top, str)
    for node in top.members.values():
        draft.text(node, node.key.upper(), least_length=8)
    assert [*instructions(draft.variables, " of x")] == [
        "Set A to a new key of at least 8 characters: the credential in line 1 of x is too short",
        "Set B to the credential in line 1 of x",
    ]


def test_what_nobody_reads_is_unsupported_with_all_its_lines() -> None:
    top = tree("a: 1\nb:\n  c: 2\n  d: [3,\n    4]\ne: {}\n")
    draft = Draft(top, str)
    draft.exact(top.members["a"], "x")
    grades = [(each.line, each.last_line, each.key, each.grade) for each in draft.findings()]
    assert grades == [(1, 1, "a", "exact"), (2, 5, "b", "unsupported"), (6, 6, "e", "exact")]


def test_beside_something_that_is_read_each_key_has_its_own_grade() -> None:
    top = tree("b: {c: 2, d: [3]}\n")
    draft = Draft(top, str)
    draft.exact(top.members["b"].members["c"], "x")
    assert {each.key: each.grade for each in draft.findings()} == {"b.c": "exact", "b.d": "unsupported"}


def test_the_worst_grade_counts_and_every_remark_stays() -> None:
    top = tree("a: 1\n")
    draft = Draft(top, str)
    draft.by_hand(top.members["a"], "one")
    draft.approximate(top.members["a"], "x.y", "two")
    (finding,) = draft.findings()
    assert (finding.grade, finding.becomes, finding.message) == (Grade.by_hand, "x.y", "one; two")


def test_a_credential_gets_one_variable_with_a_free_name() -> None:
    top = tree(f"a: {{api_key: {KEY}1}}\nb: {{api_key: {KEY}2}}\nc: {{api_key: {KEY}1}}\nd: '${{OPENAI_API_KEY}}'\n")
    draft = Draft(top, str)
    texts = [draft.text(each.members["api_key"], "OPENAI_API_KEY") for each in list(top.members.values())[:3]]
    assert texts == ["${OPENAI_API_KEY_2}", "${OPENAI_API_KEY_3}", "${OPENAI_API_KEY_2}"]
    assert [(each.name, each.line) for each in draft.variables][2] == ("OPENAI_API_KEY_2", 3)


def test_what_is_no_credential_stays() -> None:
    top = tree("api_key: ollama\nmodel: gpt-4o\nurl: 'https://h/p?x=1'\npassword: '${P}'\n")
    draft = Draft(top, str)
    assert [draft.text(each) for each in top.members.values()] == ["ollama", "gpt-4o", "https://h/p?x=1", "${P}"]
    assert draft.variables == []


def test_credentials_are_found_by_key_by_form_and_in_urls() -> None:
    top = tree(f"Authorization: Bearer abc-def\nmodel: {KEY}\nurl: 'redis://:hunter2@h:1/0'\n")
    draft = Draft(top, str)
    assert [draft.text(each) for each in top.members.values()] == ["${AUTHORIZATION}", "${MODEL}", "${URL}"]


def test_equal_providers_are_one_and_others_have_names_of_their_own() -> None:
    draft = Draft(tree("a: 1"), str)
    names = [draft.provider(name, {"type": type_})["name"] for name, type_ in (("a b", "x"), ("c", "x"), ("a b", "y"))]
    assert names == ["a-b", "a-b", "a-b-2"]
    assert draft.provider("//", {"type": "z"})["name"] == "provider"


def test_numbers_may_stand_as_text() -> None:
    nodes = tree("a: 1\nb: '2.5'\nc: x\nd: true\ne: [1]\nf: -3\n").members
    assert [number(each) for each in nodes.values()] == [1, 2.5, None, None, None, -3]
    assert [whole(each) for each in nodes.values()] == [1, None, None, None, None, None]


def test_a_name_is_shown_unless_it_is_a_credential() -> None:
    assert (quote_name("gpt-9"), quote_name(KEY)) == ("'gpt-9'", "that")


def test_a_variable_has_a_name_that_shells_allow() -> None:
    names = [variable_name(*words) for words in (("my-own", "API_KEY"), ("302.ai", "API_KEY"), ("é",))]
    assert names == ["MY_OWN_API_KEY", "KEY_302_AI_API_KEY", "KEY"]
