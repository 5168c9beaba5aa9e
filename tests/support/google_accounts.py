"""Google Cloud's accounts: files with credentials, and a fake of the servers that exchange them for tokens."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support import vendors
from tests.support.connection import Received
from tests.support.provider import Call, Reply

PROJECT = "acme-prod"
EMAIL = f"proxy@{PROJECT}.iam.gserviceaccount.com"


@cache
def keys() -> tuple[str, str]:
    """Return a private key and its public one (PEM)."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return (
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


def service_account(folder: Path, url: str) -> Path:
    """Write the file of a service account whose tokens come from `url`."""
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "k1",
        "private_key": keys()[0],
        "client_email": EMAIL,
        "token_uri": f"{url}/token",
    }
    return _written(folder / "service-account.json", account)


def user(folder: Path) -> Path:
    """Write what `gcloud auth application-default login` stores, with a project that pays."""
    login = {
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
        "quota_project_id": "acme-billing",
    }
    return _written(folder / "user.json", login)


def workload(folder: Path, url: str) -> Path:
    """Write the configuration of a workload elsewhere, whose own token lies in a file."""
    (folder / "subject").write_text("federated")
    pool = "//iam.googleapis.com/locations/global/workforcePools/p/providers/x"  # others are asked for their project
    account = {
        "type": "external_account",
        "audience": pool,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{url}/v1/token",
        "credential_source": {"file": str(folder / "subject")},
    }
    return _written(folder / "workload.json", account)


def _written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


class TokenServer:
    """A script of a fake upstream: tokens `ya29.1`, `ya29.2` ... of `life_s`, for each form that is posted to `/token`,
    and by the paths of a metadata server. Other paths go to `vendors`."""

    def __init__(self, life_s: int = 3600) -> None:
        self.life_s = life_s
        self.given = 0
        self.forms: list[dict[str, str]] = []

    async def __call__(self, call: Call) -> None:
        await call.give(self._reply_to(call.request))

    def _reply_to(self, request: Received) -> Reply:
        path = request.path
        flavor = ("Metadata-Flavor", "Google")
        if path.endswith("/token"):
            self.given += 1
            form = parse_qs(request.body.decode())
            self.forms.append({name: value for name, [value] in form.items()})
            token = {"access_token": f"ya29.{self.given}", "expires_in": self.life_s, "token_type": "Bearer"}
            issued = "urn:ietf:params:oauth:token-type:access_token"
            return vendors.plain(token | {"issued_token_type": issued}, flavor)
        if path == "/":
            return vendors.plain({}, flavor)
        if path.startswith("/computeMetadata/"):
            assert request.value("metadata-flavor") == "Google"
            if path.endswith("/project/project-id"):
                return Reply(headers=(("Content-Type", "application/text"), flavor), pieces=[PROJECT.encode()])
            return vendors.plain({"email": EMAIL, "scopes": ["s"], "aliases": ["default"]}, flavor)
        return _claude(request) if "/publishers/anthropic/" in path else vendors.reply_to(request)


def _claude(request: Received) -> Reply:
    body, model = json.loads(request.body), request.path.rpartition("/")[2].partition(":")[0]
    if model == "count-tokens":
        return vendors.plain({"input_tokens": vendors.IN})
    return (
        vendors.streamed(vendors.message_frames(model)) if body.get("stream") else vendors.plain(vendors.message(model))
    )
