"""Tokens of Microsoft Entra, from the places where Azure's own libraries look for them.

In this order: a command; of the environment a token (AZURE_OPENAI_AD_TOKEN), a client secret (AZURE_CLIENT_SECRET), a
workload's federated token (AZURE_FEDERATED_TOKEN_FILE), and the managed identity of App Service (IDENTITY_ENDPOINT) or
of a virtual machine. Sources: learn.microsoft.com/entra/identity-platform (v2-oauth2-client-creds-grant-flow) and
.../managed-identities-azure-resources/how-to-use-vm-token. Begin reading at `Entra.fetch`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import aiohttp

from llmproxy.errors import UpstreamError
from llmproxy.providers.daemon_thread import in_daemon_thread
from llmproxy.providers.refreshed_token import Token
from llmproxy.system_errors import explain_fault

_AUTHORITY = "https://login.microsoftonline.com"
_IDENTITY_ADDRESS = "http://169.254.169.254"
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LIMIT_S = 10.0
_LONGEST_ANSWER = 1024 * 1024
_COMMAND_LIMIT_S = 30.0
_DEFAULT_LIFE_S = 600.0


class Entra:
    """Gets tokens for `scope`. `command` prints one; without it the environment says where they come from."""

    def __init__(
        self,
        *,
        scope: str,
        command: list[str] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._scope = scope
        self._command = command
        self._environment = environment

    async def fetch(self) -> Token:
        """Return a token. Raises UpstreamError that names the source, and why it gave none."""
        if self._command is not None:
            return await in_daemon_thread(partial(_run, self._command))
        if token := self._environment.get("AZURE_OPENAI_AD_TOKEN"):
            return Token(text=token, ends_s=None)
        tenant, client = self._environment.get("AZURE_TENANT_ID"), self._environment.get("AZURE_CLIENT_ID")
        if tenant and client and (secret := self._environment.get("AZURE_CLIENT_SECRET")):
            return await self._grant(tenant, client, {"client_secret": secret})
        if tenant and client and (file := self._environment.get("AZURE_FEDERATED_TOKEN_FILE")):
            return await self._grant(tenant, client, await asyncio.to_thread(_assertion, file))
        return await self._managed_identity(client)

    async def _grant(self, tenant: str, client: str, proof: Mapping[str, str]) -> Token:
        """Ask the tenant for a token of an application that proves itself by `proof`."""
        authority = self._environment.get("AZURE_AUTHORITY_HOST") or _AUTHORITY
        if "://" not in authority:
            authority = f"https://{authority}"
        url = f"{authority.rstrip('/')}/{tenant}/oauth2/v2.0/token"
        form = {"grant_type": "client_credentials", "client_id": client, "scope": self._scope, **proof}
        proved = "AZURE_CLIENT_SECRET" if "client_secret" in proof else "AZURE_FEDERATED_TOKEN_FILE"
        where = f"{authority} with {proved}"
        return _token(await _ask("POST", url, where, data=form), where)

    async def _managed_identity(self, client: str | None) -> Token:
        query = {"resource": self._scope.removesuffix("/.default")} | ({"client_id": client} if client else {})
        endpoint, secret = (self._environment.get(f"IDENTITY_{name}") for name in ("ENDPOINT", "HEADER"))
        if endpoint and secret:
            version, headers, url = "2019-08-01", {"X-IDENTITY-HEADER": secret}, endpoint
        else:
            address = self._environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or _IDENTITY_ADDRESS
            version, headers, url = "2018-02-01", {"Metadata": "true"}, f"{address}/metadata/identity/oauth2/token"
        where = (
            "the managed identity, since AZURE_TENANT_ID, AZURE_CLIENT_ID and a secret or token file are not all set"
        )
        query["api-version"] = version
        return _token(await _ask("GET", url, where, params=query, headers=headers), where)


def _run(command: list[str]) -> Token:
    """Return the token that a command prints. Blocks."""
    where = f"token_command {command[0]!r}"
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_LIMIT_S)
    except OSError as error:
        raise _no_token(where, explain_fault(error)) from error
    except subprocess.TimeoutExpired as error:
        raise _no_token(where, f"did not end within {_COMMAND_LIMIT_S:g} s") from error
    text = done.stdout.decode(errors="replace").strip()
    if done.returncode or not text:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["printed nothing"]
        raise _no_token(where, f"exit code {done.returncode}: {reason[-1][:200]}")
    if text.startswith("{"):
        return _token(_object(text, where), where)
    return Token(text=text, ends_s=time.time() + _DEFAULT_LIFE_S)


def _assertion(file: str) -> Mapping[str, str]:
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise _no_token("AZURE_FEDERATED_TOKEN_FILE", explain_fault(error)) from error
    return {"client_assertion_type": _JWT_BEARER, "client_assertion": token}


async def _ask(method: str, url: str, where: str, **arguments: Any) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=_LIMIT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.request(method, url, allow_redirects=False, **arguments) as answer,
        ):
            text, status = await _text(answer), answer.status
    except TimeoutError as error:
        raise _no_token(where, f"no answer within {_LIMIT_S:g} s") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise _no_token(where, explain_fault(error)) from error
    if status != 200:
        raise _no_token(where, f"status {status}: {_reason(text)}".rstrip(": "))
    return _object(text, where)


async def _text(answer: aiohttp.ClientResponse) -> str:
    """Return the beginning of a body, which is all of one with a token."""
    body = bytearray()
    async for data in answer.content.iter_any():
        body += data
        if len(body) > _LONGEST_ANSWER:
            break
    return body.decode(errors="replace")


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _no_token(where, "its answer is not JSON") from error
    return value if isinstance(value, dict) else {}


def _reason(text: str) -> str:
    try:
        value = json.loads(text)
        reason = str(value.get("error_description") or value.get("error"))
    except (ValueError, AttributeError):
        reason = text
    return (reason.strip().splitlines() or [""])[0][:200]


def _token(answer: dict[str, Any], where: str) -> Token:
    """Return the token of an answer: `access_token` of OAuth, or `accessToken` of the command line of Azure."""
    text = answer.get("access_token") or answer.get("accessToken")
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        raise _no_token(where, "its answer contains no access token")
    return Token(text=text, ends_s=_end(answer))


def _end(answer: dict[str, Any]) -> float:
    """Return when a token ends: in seconds from now, at an epoch, or at a local time."""
    for name, base in (("expires_in", time.time()), ("expires_on", 0.0)):
        try:
            end_s = base + float(answer[name])
        except (KeyError, TypeError, ValueError):
            continue
        if isfinite(end_s):
            return end_s
    try:
        return datetime.fromisoformat(str(answer["expiresOn"])).timestamp()
    except (KeyError, ValueError, OverflowError):
        return time.time() + _DEFAULT_LIFE_S


def _no_token(where: str, reason: str) -> UpstreamError:
    return UpstreamError(f"No token of Microsoft Entra from {where}: {reason}", code="no_credential")
