"""Keys of clients' tokens, made once a run, and tokens that they sign."""

from __future__ import annotations

import base64
import json
import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

RSA: PrivateKey = rsa.generate_private_key(65537, 2048)
SMALL_RSA: PrivateKey = rsa.generate_private_key(65537, 1024)
P256: PrivateKey = ec.generate_private_key(ec.SECP256R1())
ED25519: PrivateKey = ed25519.Ed25519PrivateKey.generate()
SECRET = "a-secret-of-the-team-with-32-bytes"
ISSUER = "https://login.example.com/"
AUDIENCE = "llmproxy"


def algorithm(key: PrivateKey | str) -> str:
    """Return the algorithm that `key` is for."""
    if isinstance(key, str):
        return "HS256"
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    return "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "EdDSA"


def token(key: PrivateKey | str = RSA, kid: str | None = None, alg: str | None = None, **claims: Any) -> str:
    """Return a token that is valid for an hour; `claims` replace its own, None leaves one out."""
    now_s = int(time.time())
    payload = {"sub": "ada", "iss": ISSUER, "aud": AUDIENCE, "iat": now_s, "exp": now_s + 3600, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(payload, key, algorithm=alg or algorithm(key), headers={"kid": kid} if kid else None)


def unsigned(header: object, claims: object, signature: bytes = b"") -> str:
    """Return a token by hand."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@cache
def pem(key: PrivateKey) -> bytes:
    """Return the public key as a file has it."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key: PrivateKey, kid: str) -> dict[str, Any]:
    """Return the public key as it is published."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        members = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        members = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        members = jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True)
    return {**members, "kid": kid, "use": "sig"}


def jwks(*keys: object) -> bytes:
    """Return a published set of keys."""
    return json.dumps({"keys": keys}).encode()
