from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.client_request import ClientRequest
from llmproxy.errors import BadRequest
from llmproxy.route import Route
from llmproxy.routing.router import ResolvedPath, Router
from llmproxy.target import Provider, Target

CHAT, MESSAGES, FILES = "/v1/chat/completions", "/v1/messages", "/v1/files"
COUNT, EMBEDDINGS = "/v1/messages/count_tokens", "/v1/embeddings"


class Named(Provider):
    """A provider that only has its description."""

    def __init__(
        self,
        name: str,
        patterns: Iterable[str] = (),
        speaks: str = "chat responses completions embeddings openai",
        *,
        type: str = "openai",
        priority: int = 1,
        alone: bool = False,
    ) -> None:
        self.name, self.type, self.priority = name, type, priority
        self.patterns = tuple(patterns)
        self.models = tuple(each for each in patterns if "*" not in each)
        self.speaks = frozenset(speaks.split())
        self.sole_catch_all = alone

    def prepare(self, request: ClientRequest, target: Target) -> None:
        return None


def route(name: str, *targets: tuple[Provider, str | None]) -> Route:
    return Route(name=name, targets=tuple(Target(provider=provider, model=model) for provider, model in targets))


def chosen(
    router: Router, model: str | None, path: str = CHAT, wanted: str | None = None
) -> list[tuple[str, str | None]]:
    """Provider and model of each target, in order."""
    match = router.choose(router.locate("POST", path), model, wanted)
    return [(target.provider.name, target.model) for target in match.targets]


OPENAI = Named("openai", ["gpt-*", "o[0-9]*"])
CLAUDE = Named("claude", ["claude-*"], "messages", type="anthropic")
LOCAL = Named("local", ["llama*", "gpt-oss"], type="ollama", priority=2)
GROQ = Named("groq", type="groq", alone=True)
ALL: Sequence[Provider] = (LOCAL, OPENAI, CLAUDE, GROQ)


@pytest.mark.parametrize(
    ("model", "targets"),
    [
        # An exact name of `models:` goes before everything.
        ("gpt-4o", [("local", "mine"), ("openai", None)]),
        ("openai/special", [("local", None)]),
        # `provider/model`, with whatever follows the first slash.
        ("openai/gpt-4o", [("openai", "gpt-4o")]),
        ("groq/anything", [("groq", "anything")]),
        ("groq/openai/gpt-oss", [("groq", "openai/gpt-oss")]),
        ("openai/openai/gpt-4o", [("openai", "openai/gpt-4o")]),
        # Patterns of `models:`, the longest beginning first.
        ("gpt-4-turbo", [("openai", None)]),
        ("gpt-4.1", [("groq", "big")]),
        # The lists of the providers: priority, then the more exact.
        ("gpt-oss", [("openai", None), ("local", None)]),
        ("o3-mini", [("openai", None)]),
        ("llama3:8b", [("local", None)]),
        # A type stands for its best provider where nobody is called so.
        ("ollama/phi", [("local", "phi")]),
        # `llm:` takes the rest.
        ("mystery", [("llm", None)]),
        ("openai/", [("llm", None)]),
        ("/gpt-4", [("llm", None)]),
        ("nobody/gpt-4o", [("llm", None)]),
        ("OpenAI/gpt-4o", [("llm", None)]),
        ("GPT-OSS", [("llm", None)]),
        ("", [("llm", None)]),
    ],
)
def test_the_first_rule_that_knows_the_model_decides(model: str, targets: list[tuple[str, str | None]]) -> None:
    routes = [
        route("gpt-4*", (GROQ, "big")),
        route("gpt-4-*", (OPENAI, None)),
        route("gpt-4o", (LOCAL, "mine"), (OPENAI, None)),
        route("openai/special", (LOCAL, None)),
    ]
    router = Router(ALL, routes, catch_all=Named("llm", type="custom"), default=GROQ)
    assert chosen(router, model) == targets
    assert chosen(router, model) == targets, "the second time too"


def test_the_default_gets_what_nobody_else_answers() -> None:
    router = Router(ALL, default=GROQ)
    assert chosen(router, "mystery") == [("groq", None)]
    assert chosen(router, "gpt-4o") == [("openai", None)]


def test_among_equals_the_more_exact_pattern_goes_first_and_then_the_order_of_the_file() -> None:
    first, second, third = Named("first", ["m-*", "*"]), Named("second", ["m-1"]), Named("third", ["m-1*"])
    assert [name for name, _ in chosen(Router([first, second, third]), "m-1")] == ["second", "third", "first"]
    assert [name for name, _ in chosen(Router([third, Named("late", ["m-1*"])]), "m-1")] == ["third", "late"]
    assert [name for name, _ in chosen(Router([second, Named("zero", ["*"], priority=0)]), "m-1")] == ["zero", "second"]


def test_a_name_with_signs_of_patterns_matches_itself() -> None:
    router = Router([Named("a", ["m[1]"]), OPENAI])
    assert chosen(router, "m[1]") == chosen(router, "m1") == [("a", None)]


def test_a_provider_without_models_answers_everything_only_when_it_stands_alone() -> None:
    assert chosen(Router([GROQ]), "anything") == [("groq", None)]
    assert chosen(Router([GROQ], [route("fast", (GROQ, "x"))]), "fast") == [("groq", "x")]
    for router in (Router([GROQ, CLAUDE]), Router([Named("named", alone=False)])):
        with pytest.raises(BadRequest) as refused:
            chosen(router, "anything")
        assert refused.value.status == 404


def test_an_unknown_model_is_a_404_with_the_names_that_exist() -> None:
    with pytest.raises(BadRequest) as refused:
        chosen(Router(ALL, [route("fast", (GROQ, None)), route("my-*", (GROQ, None))]), "mystery")
    error = refused.value
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    for name in ("'mystery'", "fast", "my-*", "gpt-*", "claude-*", "groq/<model>"):
        assert name in error.message


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("fsat", "Did you mean 'fast'? "),
        ("claud3", "Did you mean a name like 'claude-*', or 'claude/claud3'? "),
        ("gorq/llama-3", "Did you mean 'groq/llama-3'? "),
        ("mystery", "To choose the provider, name it: 'groq/mystery'. "),
    ],
)
def test_an_unknown_model_gets_the_nearest_name_first(model: str, hint: str) -> None:
    with pytest.raises(BadRequest) as refused:
        chosen(Router([GROQ, CLAUDE], [route("fast", (GROQ, None))]), model)
    assert refused.value.message.startswith(f"Unknown model {model!r}. {hint}Available: fast")


def test_messages_stay_short_whatever_the_client_sends() -> None:
    router = Router([Named(f"provider-{number}") for number in range(500)])
    for model, path in (("x" * 100_000, CHAT), ("a/" * 50_000, CHAT), (None, f"/{'y' * 30_000}")):
        with pytest.raises(BadRequest) as refused:
            chosen(router, model, path)
        assert len(refused.value.message) < 12_000


def test_targets_that_cannot_answer_the_call_are_passed_over() -> None:
    both = route("smart", (CLAUDE, "claude-x"), (OPENAI, "gpt-x"))
    router = Router([*ALL, Named("mixed", ["claude-*"], "chat messages embeddings", priority=9)], [both])
    assert chosen(router, "smart", EMBEDDINGS) == [("openai", "gpt-x")]
    assert chosen(router, "smart", COUNT) == [("claude", "claude-x")]
    assert chosen(router, "claude-x", EMBEDDINGS) == [("mixed", None)]


def test_a_conversation_is_answered_in_another_dialect_in_the_order_of_the_route() -> None:
    both = route("smart", (CLAUDE, "claude-x"), (OPENAI, "gpt-x"))
    router = Router([*ALL, Named("counter", ["claude-*"], "embeddings", priority=9)], [both])
    assert chosen(router, "smart", CHAT) == [("claude", "claude-x"), ("openai", "gpt-x")]
    assert chosen(router, "smart", "/v1/responses") == [("claude", "claude-x"), ("openai", "gpt-x")]
    assert chosen(router, "claude-x", MESSAGES) == [("claude", None)]
    assert chosen(router, "gpt-4", MESSAGES) == [("openai", None)]


def test_below_a_providers_prefix_nothing_is_translated() -> None:
    router = Router(ALL)
    assert router.choose(router.locate("POST", "/claude/v1/chat/completions"), "gpt-4", None).relay
    assert not router.choose(router.locate("POST", CHAT), "claude-x", None).relay


@pytest.mark.parametrize(
    ("model", "path", "words"),
    [
        ("claude-x", EMBEDDINGS, ["embeddings", "'claude-x'", "claude speaks messages", "openai, groq, local"]),
        ("claude/x", "/v1/completions", ["completions", "claude speaks messages"]),
    ],
)
def test_a_dialect_that_nobody_speaks_is_a_400_that_says_who_speaks_what(
    model: str, path: str, words: list[str]
) -> None:
    with pytest.raises(BadRequest) as refused:
        chosen(Router(ALL, [route("fast", (GROQ, None))]), model, path)
    assert (refused.value.status, refused.value.code) == (400, "dialect_not_spoken")
    for word in words:
        assert word in refused.value.message


@pytest.mark.parametrize("path", [COUNT, "/v1/responses/compact"])
def test_a_call_without_a_translation_goes_to_those_that_speak_it_or_else_stays(path: str) -> None:
    both = route("both", (OPENAI, None), (CLAUDE, None))
    assert chosen(Router(ALL, [both]), "both", path) == [("claude" if path == COUNT else "openai", None)]
    assert chosen(Router(ALL), "gpt-4", path) == [("openai", None)]
    assert chosen(Router(ALL), "claude-x", path) == [("claude", None)]


def test_without_a_model_only_one_possible_provider_is_asked() -> None:
    assert chosen(Router([OPENAI]), None) == [("openai", None)]
    assert chosen(Router(ALL, catch_all=Named("llm")), None) == [("llm", None)]
    assert chosen(Router(ALL, default=GROQ), None) == [("groq", None)]
    assert chosen(Router(ALL), None, CHAT, "groq") == [("groq", None)]
    with pytest.raises(BadRequest) as refused:
        chosen(Router(ALL), None)
    assert (refused.value.status, refused.value.param) == (400, "model")
    with pytest.raises(BadRequest, match="speaks"):
        chosen(Router([CLAUDE]), None, EMBEDDINGS)


def test_calls_without_a_model_go_to_the_best_provider_that_has_them() -> None:
    assert chosen(Router(ALL), None, FILES) == [("openai", None)]
    assert chosen(Router([LOCAL, CLAUDE]), None, FILES) == [("local", None)]
    assert chosen(Router([CLAUDE]), None, FILES) == [("claude", None)], "the only one may know the call all the same"
    assert chosen(Router(ALL, catch_all=Named("llm")), None, FILES) == [("llm", None)]
    with pytest.raises(BadRequest) as refused:
        chosen(Router([CLAUDE, Named("other", (), "messages")]), None, FILES)
    assert refused.value.status == 404 and "claude speaks messages" in refused.value.message


def test_the_header_names_the_provider_of_calls_without_a_model() -> None:
    router = Router(ALL, catch_all=Named("llm"))
    assert chosen(router, None, FILES, "local") == [("local", None)]
    assert chosen(router, None, FILES, "ollama") == [("local", None)]
    assert chosen(router, None, FILES, "claude") == [("claude", None)]
    assert chosen(router, "gpt-4", CHAT, "groq") == [("openai", None)], "the model decides where there is one"
    with pytest.raises(BadRequest) as refused:
        chosen(router, None, FILES, "nobody")
    assert "nobody" in refused.value.message and "local" in refused.value.message


@pytest.mark.parametrize(
    ("path", "provider", "below", "call"),
    [
        ("/openai/v1/chat/completions", "openai", "/v1/chat/completions", "/chat/completions"),
        ("/openai/chat/completions", "openai", "/chat/completions", "/chat/completions"),
        ("/openai/v1/anything/at%2Fall", "openai", "/v1/anything/at%2Fall", None),
        ("/openai//v1/files", "openai", "//v1/files", None),
        ("/openai", "openai", "", None),
        ("/openai/", "openai", "/", None),
        ("/%6fpen%61i/v1/files", "openai", "/v1/files", "/files"),
        ("/claude/v1/messages", "claude", "/v1/messages", "/messages"),
        ("/anthropic/v1/messages", "claude", "/v1/messages", "/messages"),
        ("/ollama/api/tags", "local", "/api/tags", None),
        ("/llm/x", "llm", "/x", None),
        # Whatever nobody knows is caught.
        ("/nobody/knows", "llm", "/nobody/knows", None),
        ("/Openai/v1", "llm", "/Openai/v1", None),
        ("/openai%2Fv1/files", "llm", "/openai%2Fv1/files", None),
        ("/", "llm", "/", None),
        ("//openai/v1", "llm", "//openai/v1", None),
    ],
)
def test_a_prefix_or_the_catch_all_says_who_answers(path: str, provider: str, below: str, call: str | None) -> None:
    router = Router(ALL, catch_all=Named("llm", type="custom"))
    resolved = router.locate("POST", path)
    assert (resolved.provider and resolved.provider.name, resolved.path) == (provider, below)
    assert (resolved.endpoint and resolved.endpoint.path) == call
    assert chosen(router, "claude-x", path) == [(provider, None)], "the model is sent as the client wrote it"


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/chat/completions", "/v1/responses", "/messages", "/v1/embeddings"]
)
def test_calls_that_we_know_are_routed_by_model(path: str) -> None:
    resolved = Router(ALL, catch_all=Named("llm")).locate("POST", path)
    assert resolved.provider is None and resolved.path == path
    assert resolved.endpoint is not None and resolved.template == resolved.endpoint.template


@pytest.mark.parametrize("below", ["/chat/completions", "/v1/chat/completions"])
def test_the_openai_interface_stands_below_a_path_of_its_own_too(below: str) -> None:
    router = Router(ALL)
    resolved = router.locate("POST", f"/openai-proxy{below}")
    assert (resolved.provider, resolved.path) == (None, below)
    assert chosen(router, "groq/x", f"/openai-proxy{below}") == [("groq", "x")]


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("/openai/responses", "/responses"),
        ("/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/anthropic/v1/messages", "/v1/messages"),
    ],
)
def test_the_roots_of_a_cloud_are_routed_by_model_where_no_provider_has_their_name(path: str, below: str) -> None:
    groq = next(each for each in ALL if each.name == "groq")
    resolved = Router([groq]).locate("POST", path)
    assert (resolved.provider, resolved.path) == (None, below) and resolved.endpoint is not None
    llm = Named("llm")
    llm.type = "other"
    caught = Router([groq], catch_all=llm).locate("POST", path)
    assert caught.endpoint is None and caught.path == path


@pytest.mark.parametrize("path", ["/nobody/knows", "/openai-proxy/nothing", "/", "", "*", "/v1", "/v1/", "/v1/nothing"])
def test_an_unknown_path_is_a_404_that_says_what_there_is(path: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Router(ALL).locate("POST", path)
    assert refused.value.status == 404
    assert "/groq/" in refused.value.message and "/docs" in refused.value.message


@pytest.mark.parametrize(
    ("method", "path", "close"),
    [
        ("POST", "/v1/chat/completion", "/v1/chat/completions"),
        ("POST", "/chat/completionss", "/v1/chat/completions"),
        ("POST", "/v1/message", "/v1/messages"),
        ("POST", "/v1/v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_a_path_that_is_nearly_right_is_a_404_with_the_right_one(method: str, path: str, close: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Router(ALL).locate(method, path)
    assert refused.value.message == f"Not found: {method} {path!r}. Did you mean POST {close}?"


@pytest.mark.parametrize(
    ("method", "path", "methods"),
    [
        ("GET", "/v1/messages", "POST"),
        ("GET", "/proxy", "POST"),
        ("GET", "/proxy/stream", "POST"),
        ("GET", "/model/claude/converse", "POST"),
        ("GET", "/openai/deployments/x/embeddings", "POST"),
        ("GET", "/openai-proxy/v1/embeddings", "POST"),
        ("PUT", "/v1/responses/resp_1", "GET, POST, DELETE, HEAD"),
        ("PUT", "/v1/models/gpt-4o", "GET, PATCH, DELETE, HEAD"),
        ("GET", "/v1/models/gemini-x:generateContent", "POST"),
    ],
)
def test_a_path_that_is_called_with_other_methods_is_a_405_that_names_them(
    method: str, path: str, methods: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        Router([GROQ, CLAUDE]).locate(method, path)
    assert (refused.value.status, refused.value.headers) == (405, (("Allow", methods),))
    assert refused.value.message.startswith(f"{method} is not allowed at {path!r}. Use ")


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"x-goog-api-key": "k"}, "gemini"),
        ({"anthropic-version": "2023-06-01"}, "claude"),
        ({"authorization": "Bearer k"}, "openai"),
    ],
)
def test_on_paths_that_several_vendors_have_the_sdk_decides(headers: dict[str, str], name: str) -> None:
    router = Router([OPENAI, CLAUDE, Named("gemini", ["gemini-*"], "gemini", type="gemini")])
    for path in (FILES, "/v1/batches/b"):
        assert router.choose(router.locate("GET", path, headers), None).name == name
    assert Router([OPENAI]).choose(Router([OPENAI]).locate("GET", FILES, headers), None).name == "openai"


def test_names_win_over_types_and_better_ones_over_others() -> None:
    odd = Named("anthropic", type="openai", priority=0)
    router = Router([CLAUDE, OPENAI, odd])
    for path, name in (("/anthropic/x", "anthropic"), ("/openai/x", "openai")):
        match = router.locate("GET", path).provider
        assert match is not None and match.name == name
    two = Router([Named("a", type="t", priority=2), Named("b", type="t")])
    match = two.locate("GET", "/t/x").provider
    assert match is not None and match.name == "b"


@given(st.text(st.sampled_from("abv1/%2F.-é?"), max_size=40))
def test_templates_come_from_the_configuration_never_from_the_client(rest: str) -> None:
    router = Router(ALL, catch_all=Named("llm", type="custom"))
    templates = {"/openai/{path}", "/{path}"}
    assert router.locate("GET", f"/openai/{rest}").template in templates
    assert router.locate("GET", f"/x-{rest}").template in templates


def test_what_clients_send_is_remembered_within_bounds() -> None:
    router = Router([GROQ])
    places = {id(router.locate("GET", f"/groq/{number}")) for number in range(5000)}
    assert places
    for number in range(5000):
        assert chosen(router, f"m{number}") == [("groq", None)]
    sizes = [len(value) for value in vars(router).values() if isinstance(value, dict)]
    assert max(sizes) <= 2048


def test_places_are_remembered_by_method_and_path() -> None:
    router = Router(ALL)
    assert router.locate("POST", CHAT) is router.locate("POST", CHAT)
    posted: ResolvedPath = router.locate("POST", "/groq/v1/chat/completions")
    assert posted.endpoint is not None
    assert router.locate("DELETE", "/groq/v1/chat/completions").endpoint is None


def test_models_that_are_known_by_name_can_be_listed() -> None:
    router = Router(ALL, [route("fast", (GROQ, "x")), route("my-*", (GROQ, None)), route("gpt-oss", (LOCAL, None))])
    assert list(router.models().items()) == [("fast", "llmproxy"), ("gpt-oss", "llmproxy")]
    assert Router([LOCAL]).models() == {"gpt-oss": "local"}
