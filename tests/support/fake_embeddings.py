"""A fake of the vendors' services for embeddings: each form as strict as the real one, with its limits.

The vector of a text says which text it is, so that a test sees the order; tokens are its words. Begin reading at
`EmbeddingVendors`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from collections.abc import Callable
from typing import Any

from tests.support import vendors
from tests.support.connection import Received
from tests.support.provider import Call, Reply

Json = dict[str, Any]
PROJECT = "/v1beta1/projects/p/locations/europe-west4/publishers/google"
_GOOGLE = re.compile(r"(?P<root>.*)/models/(?P<model>[^/:]+):(?P<verb>\w+)")
_BEDROCK = re.compile("/model/(?P<model>[^/]+)/invoke")
_PURPOSES = ("RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION", "CLUSTERING")
COHERE_PURPOSES = ("search_query", "search_document", "classification", "clustering")


class Refusal(Exception):
    """What the vendor does not take."""


def expect(holds: bool, words: str) -> None:
    if not holds:
        raise Refusal(words)


def vector(text: object, length: int | None = None) -> list[float]:
    """Return the vector of a text, or of a list of tokens: three numbers that 32 bits hold exactly."""
    digest = hashlib.sha256(json.dumps(text).encode()).digest()
    return [digest[index % 32] / 256 for index in range(length or 3)]


def words(text: object) -> int:
    return len(text) if isinstance(text, list) else len(str(text).split())


class EmbeddingVendors:
    """The default script of an `Upstream`. `bodies` are the requests with their paths; without `counts` no service says
    how many tokens it counted."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, Json]] = []
        self.counts = True

    def forget(self) -> None:
        self.bodies.clear()
        self.counts = True

    async def __call__(self, call: Call) -> None:
        await call.give(self._reply_to(call.request))

    def _reply_to(self, request: Received) -> Reply:
        body = json.loads(request.body)
        self.bodies.append((request.path, body))
        try:
            answer = self._vendor(request.path)
            expect(answer is not None, f"no such path: {request.path}")
            assert answer is not None
            return answer(body)
        except Refusal as refusal:
            error = {"message": str(refusal), "type": "invalid_request_error", "code": 400}
            content = json.dumps({"error": error}).encode()
            return Reply(status=400, headers=(("Content-Type", "application/json"),), pieces=[content])

    def _vendor(self, path: str) -> Callable[[Json], Reply] | None:
        if path.endswith("/embeddings"):
            return self._openai
        if match := _BEDROCK.fullmatch(path):
            model = match["model"].replace("%3A", ":")
            return self._cohere(model) if "cohere" in model else self._titan(model)
        if match := _GOOGLE.fullmatch(path):
            return self._google(match["root"] == PROJECT, match["model"], match["verb"])
        return None

    def _openai(self, body: Json) -> Reply:
        expect(set(body) <= {"model", "input", "dimensions", "encoding_format", "user"}, f"unknown: {sorted(body)}")
        value = body["input"]
        single = isinstance(value, str) or (value and isinstance(value[0], int))
        inputs = [value] if single else value
        expect(bool(inputs) and all(inputs) and len(inputs) <= 2048, "input is invalid")
        vectors = [vector(each, body.get("dimensions")) for each in inputs]
        packed = body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _packed(each) if packed else each}
            for index, each in enumerate(vectors)
        ]
        tokens = sum(map(words, inputs))
        usage = {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}} if self.counts else {}
        return vendors.plain({"object": "list", "data": data[::-1], "model": body["model"], **usage})

    def _titan(self, model: str) -> Callable[[Json], Reply]:
        def answer(body: Json) -> Reply:
            known = {"inputText", "dimensions", "normalize", "embeddingTypes"} if "v2" in model else {"inputText"}
            expect(set(body) <= known and bool(body.get("inputText")), f"malformed: {sorted(body)}")
            numbers = vector(body["inputText"], body.get("dimensions"))
            reply: Json = {"embedding": numbers}
            if self.counts:
                reply["inputTextTokenCount"] = words(body["inputText"])
            return vendors.plain(reply, *self._counted(words(body["inputText"])))

        return answer

    def _counted(self, tokens: int) -> tuple[tuple[str, str], ...]:
        return (("X-Amzn-Bedrock-Input-Token-Count", str(tokens)),) if self.counts else ()

    def _cohere(self, model: str) -> Callable[[Json], Reply]:
        def answer(body: Json) -> Reply:
            known = {"texts", "input_type", "truncate", "embedding_types"}
            known |= {"output_dimension", "max_tokens"} if "v4" in model else set()
            expect(set(body) <= known, f"malformed: {sorted(body)}")
            expect(body.get("input_type") in COHERE_PURPOSES, "input_type is required")
            texts = body["texts"]
            expect(1 <= len(texts) <= 96, "at most 96 texts")
            vectors = [vector(each, body.get("output_dimension")) for each in texts]
            by_type = "embedding_types" in body
            reply = {
                "id": "e-1",
                "texts": texts,
                "embeddings": {"float": vectors} if by_type else vectors,
                "response_type": "embeddings_by_type" if by_type else "embeddings_floats",
            }
            return vendors.plain(reply, *self._counted(sum(map(words, texts))))

        return answer

    def _google(self, at_vertex: bool, model: str, verb: str) -> Callable[[Json], Reply] | None:
        if verb == "predict" and at_vertex:
            return self._predict
        if verb == "embedContent" and at_vertex:
            return self._single
        if verb == "batchEmbedContents":
            return lambda body: self._batch(body, model, at_vertex)
        return None

    def _predict(self, body: Json) -> Reply:
        expect(set(body) <= {"instances", "parameters"} and len(body["instances"]) <= 250, "malformed")
        length = body.get("parameters", {}).get("outputDimensionality")
        predictions = []
        for each in body["instances"]:
            expect(each.get("task_type", _PURPOSES[0]) in _PURPOSES, "task_type")
            counted = {"token_count": words(each["content"]), "truncated": False} if self.counts else {}
            predictions.append({"embeddings": {"values": vector(each["content"], length), "statistics": counted}})
        return vendors.plain({"predictions": predictions, "metadata": {"billableCharacterCount": 1}})

    def _single(self, body: Json) -> Reply:
        text, length = self._read(body, body.get("embedContentConfig", {}), {"content", "embedContentConfig"})
        usage = {"usageMetadata": {"promptTokenCount": words(text)}} if self.counts else {}
        return vendors.plain({"embedding": {"values": vector(text, length)}, **usage})

    def _batch(self, body: Json, model: str, at_vertex: bool) -> Reply:
        requests = body["requests"]
        expect(1 <= len(requests) <= 100, "at most 100 requests can be in one batch")
        embeddings, tokens = [], 0
        for each in requests:
            if at_vertex:
                text, length = self._read(each, each.get("embedContentConfig", {}), {"content", "embedContentConfig"})
            else:
                expect(each.get("model") == f"models/{model}", "model")
                text, length = self._read(each, each, {"model", "content", "taskType", "title", "outputDimensionality"})
            tokens += words(text)
            embeddings.append({"values": vector(text, length)})
        usage = {"usageMetadata": {"promptTokenCount": tokens}} if self.counts else {}
        return vendors.plain({"embeddings": embeddings, **usage})

    def _read(self, request: Json, settings: Json, known: set[str]) -> tuple[str, int | None]:
        expect(set(request) <= known, f"unknown: {sorted(request)}")
        expect(settings.get("taskType", _PURPOSES[0]) in _PURPOSES, "taskType")
        [part] = request["content"]["parts"]
        expect(bool(part.get("text")), "empty")
        return part["text"], settings.get("outputDimensionality")


def _packed(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
