"""Embeddings between the forms of vendors: texts in, vectors out, in one small neutral form.

Each form has an `EmbeddingCodec` beside its dialect; `catalog.embedding_codec` finds them by name. Begin reading at
`EmbeddingRequest` and `EmbeddingCodec`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from llmproxy.dialects.encode_context import Losses
from llmproxy.dialects.members import wrong
from llmproxy.errors import BadRequest, Untranslatable

MOST_INPUTS = 2048
"""How many inputs a request may have: OpenAI's limit, the largest of all."""

Purpose: TypeAlias = Literal[
    "query", "document", "similarity", "classification", "clustering", "answering", "verification", "code_query"
]
EmbeddingInput: TypeAlias = str | list[int]
"""A text, or its tokens as numbers, as the tokenizer of OpenAI's models counts them."""


@dataclass(slots=True, kw_only=True)
class EmbeddingRequest:
    """Hold what a client wants embedded, and how.

    `place` is the JSON path of an input, with `{}` for its number. `dimensions` is the length of the vectors, `purpose`
    what they are for, `truncate` says whether longer texts are cut. `paths` has the JSON path of each of these as the
    client has them, and `other` are the paths of members that only the client's own form has. `packed` says that the
    client wants its vectors in base64, `by_type` that it wants them below the name of their type.
    """

    inputs: Sequence[EmbeddingInput]
    place: str
    dimensions: int | None = None
    purpose: Purpose | None = None
    truncate: bool | None = None
    title: str | None = None
    user: str | None = None
    packed: bool = False
    by_type: bool = False
    paths: dict[str, str] = field(default_factory=dict)
    other: Sequence[str] = ()

    def check(self, *, takes_tokens: bool) -> None:
        """Raise BadRequest for inputs that no service takes, Untranslatable for tokens where these are not taken."""
        first = self.place.format(0)
        if not self.inputs:
            wrong(first.partition("[")[0], "is empty; send at least one text")
        if len(self.inputs) > MOST_INPUTS:
            wrong(first.partition("[")[0], f"has {len(self.inputs)} inputs; the most are {MOST_INPUTS} a request")
        for index, each in enumerate(self.inputs):
            if not each:
                wrong(self.place.format(index), "is empty; send at least one character")
            if not takes_tokens and not isinstance(each, str):
                path = self.place.format(index)
                message = f"{path}: this model's provider takes texts, not tokens. Send the text"
                raise Untranslatable(message, param=path)

    def drop_unless(self, kept: Sequence[str], losses: Losses) -> None:
        """List what the client set of dimensions, purpose and the like, but for the names in `kept`."""
        for name, path in self.paths.items():
            if name not in kept and getattr(self, name) is not None:
                losses.drop(path)
        for path in self.other:
            losses.drop(path)


@dataclass(slots=True, kw_only=True)
class EmbeddingReply:
    """The vectors, in the order of the inputs. `tokens` is None where the provider did not count them."""

    vectors: list[list[float]]
    tokens: int | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddingCodec:
    """One form of embeddings.

    `call` is the path of its call in the dialect `dialect`, below `form` where a cloud has the body in a form of its
    own (None: all forms have the same). `decode_request` reads the decoded JSON object of a client and raises
    BadRequest; `encode_request` writes one for the provider's model; `decode_reply` raises ValueError or LookupError
    for what is no reply; `encode_reply` writes one for the client that sent the request, for the model of that name.
    `most_inputs` is how many a provider takes in one request. The number of tokens may stand in the header
    `tokens_header` of answers.
    """

    name: str
    call: str
    dialect: str
    form: str | None = None
    decode_request: Callable[[dict[str, Any]], EmbeddingRequest]
    encode_request: Callable[[EmbeddingRequest, str, Losses], dict[str, Any]]
    decode_reply: Callable[[Any], EmbeddingReply]
    encode_reply: Callable[[EmbeddingReply, EmbeddingRequest, str], dict[str, Any]]
    most_inputs: int
    takes_tokens: bool = False
    tokens_header: str = ""
    key_header: str = "Authorization"
    key_scheme: str = "Bearer "


FindEmbeddingCodec: TypeAlias = Callable[[Mapping[str, Any]], EmbeddingCodec | None]
"""Returns the form in which a client's body, a decoded JSON object, asks for embeddings; None for another call."""


def vector(value: object) -> list[float]:
    """Return a list of numbers. Raises ValueError for anything else."""
    if not isinstance(value, list) or not all(type(each) in (int, float) for each in value):
        raise ValueError("the answer has no vector of numbers")
    return value


def whole_number(value: object) -> int | None:
    """Return a count of tokens; None where there is none."""
    return int(value) if type(value) in (int, float) and value >= 0 else None  # type: ignore[call-overload, operator]


def purpose_of(word: str | None, words: Mapping[str, Purpose], path: str) -> Purpose | None:
    """Return the purpose that `word` means in a client's form. Raises BadRequest for one that nobody knows."""
    if word is None:
        return None
    known = words.get(word.lower())
    if known is None:
        raise BadRequest(
            f"{path} must be one of {', '.join(words)}, not {word[:50]!r}", code="invalid_value", param=path
        )
    return known
