"""The credentials of AWS, from wherever its tools find them.

botocore looks: in the environment, in profiles (keys, single sign-on, roles to assume, commands), a web identity, and
at the metadata of containers and machines. It blocks, so that all of this happens in a thread; it is imported there,
once there is something to sign. Begin reading at `AwsCredentials.fetch`.
"""

from __future__ import annotations

import logging
import os
import time
from datetime import datetime
from typing import Any

from llmproxy.errors import UpstreamError
from llmproxy.providers.daemon_thread import in_daemon_thread
from llmproxy.providers.sigv4 import Keys

_ROLE_SESSION = "llmproxy"
_LIMIT_S = 10.0
_REMEDY = (
    "Set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `profile` or `api_key` of the "
    "provider"
)


class AwsCredentials:
    """Finds the credentials that sign requests to `region`.

    `keys` are used as they are; else `profile` names one of those in AWS's configuration, None for the usual one.
    `role_arn` is a role that is assumed with what was found, `external_id` what its owner asks for.
    """

    def __init__(
        self,
        *,
        region: str,
        keys: Keys | None = None,
        profile: str | None = None,
        role_arn: str | None = None,
        external_id: str | None = None,
    ) -> None:
        self._region = region
        self._keys = keys
        self._profile = profile
        self._role_arn = role_arn
        self._external_id = external_id
        self._found: Any = None

    async def fetch(self) -> Keys:
        """Return valid keys. Raises UpstreamError that names the sources, where none has any."""
        if self._keys is not None and self._role_arn is None:
            return self._keys
        return await in_daemon_thread(self._find)

    def forget(self) -> None:
        """Look again at the next call: AWS refused what was found."""
        self._found = None

    def _find(self) -> Keys:
        """Return keys that are still valid for some minutes. Blocks."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        _quieten()
        expected = BotoCoreError, ClientError, ResponseParserError, OSError, ValueError, RuntimeError
        unreadable = LookupError, TypeError, AttributeError
        try:
            if self._found is None:
                self._found = self._search()
            frozen = self._found.get_frozen_credentials()
        except (*expected, *unreadable) as error:
            self._found = None
            raise _no_credentials(self._explain(error)) from None  # some quote answers that hold keys
        # botocore has the end of credentials, but does not say it.
        ends: datetime | None = getattr(self._found, "_expiry_time", None)
        return Keys(
            text=frozen.access_key,
            secret=frozen.secret_key,
            session=frozen.token or None,
            ends_s=None if ends is None else ends.timestamp(),
        )

    def _search(self) -> Any:
        """Return what gives keys, of botocore. Raises UpstreamError that names the sources, where none has any."""
        from botocore.config import Config
        from botocore.session import Session

        session = Session(profile=self._profile)
        session.set_config_variable("region", self._region)
        limits = Config(connect_timeout=_LIMIT_S / 2, read_timeout=_LIMIT_S, retries={"total_max_attempts": 2})
        session.set_default_client_config(limits)  # STS would be waited for five times a minute
        found = self._through_role(session, self._first(session))
        if found is None:
            sources = ", ".join(each.METHOD for each in session.get_component("credential_provider").providers)
            raise _no_credentials(f"none found. Tried: {sources}. {_REMEDY}")
        return found

    def _explain(self, error: Exception) -> str:
        """Return what to say about an error of botocore, and what to do next where that is known."""
        from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound, SSOError, TokenRetrievalError

        if isinstance(error, (SSOError, TokenRetrievalError)):
            profile = f" --profile {self._profile}" if self._profile else ""
            return f"{_words(error)}. Run `aws sso login{profile}`"
        if isinstance(error, ProfileNotFound):
            return f"{_words(error)}. {_REMEDY}"
        if isinstance(error, (BotoCoreError, ClientError, OSError, ValueError)):
            return _words(error)
        if isinstance(error, RuntimeError):  # new keys have ended already
            return f"{_words(error)}. Check the clock of this machine"
        return "what answered for them cannot be read"

    def _first(self, session: Any) -> Any:
        from botocore.credentials import Credentials

        if self._keys is None:
            return session.get_credentials()
        return Credentials(self._keys.text, self._keys.secret, self._keys.session)

    def _through_role(self, session: Any, source: Any) -> Any:
        """Return credentials of the role that is to be assumed, refreshed by botocore; `source` where there is none."""
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

        if self._role_arn is None or source is None:
            return source
        more = {"RoleSessionName": f"{_ROLE_SESSION}-{int(time.time())}"}
        if self._external_id is not None:
            more["ExternalId"] = self._external_id
        fetcher = AssumeRoleCredentialFetcher(
            client_creator=session.create_client, source_credentials=source, role_arn=self._role_arn, extra_args=more
        )
        return DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)


def _quieten() -> None:
    """Keep botocore from logging the answers of STS, which hold secrets, and tracebacks of what we say ourselves."""
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("botocore.credentials").setLevel(logging.CRITICAL)


def _words(error: Exception) -> str:
    return str(error).rstrip(". ")


def _no_credentials(reason: str) -> UpstreamError:
    return UpstreamError(f"No credentials for AWS: {reason}", code="no_credential")


def configured_region(profile: str | None) -> str | None:
    """Return the region in AWS's configuration files. Blocks for a moment: botocore is imported and reads them. Raises
    ValueError for a profile that is not there, and for files that cannot be read."""
    from botocore.exceptions import BotoCoreError, ProfileNotFound
    from botocore.session import Session

    try:
        region = Session(profile=profile).get_config_variable("region")
    except ProfileNotFound as error:
        named = profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
        remedy = f"run `aws configure --profile {named}`, or name another one in `profile` or AWS_PROFILE"
        raise ValueError(f"the profile {named!r} is in none of AWS's configuration files; {remedy}") from error
    except (BotoCoreError, OSError, ValueError) as error:
        raise ValueError(f"AWS's configuration cannot be read: {error}") from error
    return region if isinstance(region, str) else None
