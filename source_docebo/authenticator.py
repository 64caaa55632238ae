"""The access token: the requests of both grants for one, what a rejection means, and when it is renewed."""

import math
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import InitVar, dataclass
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import requests
from airbyte_cdk.sources.declarative.auth.declarative_authenticator import DeclarativeAuthenticator
from airbyte_cdk.sources.declarative.auth.oauth import DeclarativeOauth2Authenticator
from airbyte_cdk.sources.types import Config
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_docebo.client import HEADERS, Client, RetryError
from source_docebo.errors import DoceboError, RequestError, config_error, mask
from source_docebo.responses import host, json_object

DEFAULT_LIFETIME_SECONDS = 3600.0  # of a token without a valid expires_in
LIFETIME_USED = 0.95  # renewing a little early is cheaper than the rejected requests of all workers
_REFUSAL = re.compile("(invalid|unauthorized|unsupported)_[a-z_]+|access_denied")  # by RFC 6749


@dataclass
class SharedTokenAuthenticator(DeclarativeAuthenticator):
    """
    One access token for the whole sync, by a grant that a built-in OAuthAuthenticator describes. That itself requests
    one for each stream and parent, sets no timeout, and blames a refresh token that Docebo's grants do not have.

    Source: https://help.docebo.com/hc/en-us/articles/360020082180 (grants), docs/BEHAVIOR.md (responses).
    """

    config: Config
    parameters: InitVar[Mapping[str, Any]]
    grant: DeclarativeOauth2Authenticator

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        self._client = Client.of(self.config)
        self.message_repository = self.grant.message_repository
        self.shared_token = self._client.common("access token", AccessToken)

    @property
    def auth_header(self) -> str:
        """The name of the header."""
        return "Authorization"

    @property
    def token(self) -> str:
        """The value of the header. Raises DoceboError if Docebo issues no token."""
        return self.current_token()[0]

    def current_token(self) -> tuple[str, float]:
        """The value of the header, and when it expires, by the monotonic clock. Raises DoceboError likewise."""
        return self.shared_token.get(self._request_token)

    def _request_token(self) -> tuple[str, float]:
        """The value of the header with a new token, and its lifetime in seconds."""
        form = self.grant.build_refresh_request_body()
        request = requests.Request("POST", self.grant.get_token_refresh_endpoint(), data=form, headers=HEADERS)
        try:
            return self._client.request("", lambda: (request, math.inf), self._read, _describe)
        except RequestError as error:  # without a token, no other request can be served
            raise DoceboError(str(error), error.failure_type) from None

    def _read(self, response: requests.Response) -> tuple[str, float]:
        status, body = response.status_code, json_object(response)
        if status == 200 and (token := str(body.get("access_token") or "")):
            mask([token])
            lifetime = 0.0
            with suppress(TypeError, ValueError):
                lifetime = float(body.get("expires_in") or 0)
            return f"Bearer {token}", lifetime if lifetime >= 1 else DEFAULT_LIFETIME_SECONDS
        error = str(body.get("error", ""))
        if status < 500 and _REFUSAL.fullmatch(error):
            raise config_error(_describe(self._refusal(error)))
        target = f" (a redirect to {response.headers['Location'][:200]})" if response.is_redirect else ""
        problem = f"{host(response.url)} returned status {status}{target} and no token"
        if status >= 500 or self._client.accepted:
            raise RetryError(f"{problem}.")
        advice = "base_url seems not to be the address of a Docebo platform. Copy it from the browser's address bar."
        if path := urlsplit(response.url).path.removesuffix("/oauth2/token"):
            advice = f"Leave {path} out of base_url, unless it is the subfolder of your platform."
        raise RetryError(f"{problem}: {advice}")

    def _refusal(self, error: str) -> str:
        """What Docebo's refusal means, and what to do."""
        grant = self.grant.get_grant_type()
        if error == "invalid_client":
            return "Docebo does not know this client_id with this client_secret. Copy both again from the OAuth app."
        if error in ("invalid_grant", "access_denied") and grant == "password":
            return "Docebo rejects this username with this password. Check both by signing in to the platform."
        return (
            f"Docebo rejects the grant {grant} ({filter_secrets(error)[:40]}). Enable that grant type in the OAuth app "
            "(Settings, API and SSO), or choose the other one in the connection."
        )


class AccessToken:
    """The access token of the sync, renewed by one thread while the others wait for it."""

    def __init__(self) -> None:
        self._renewing = Lock()
        self._value = ""
        self._expires_at = 0.0
        self._error: DoceboError | None = None

    def get(self, renew: Callable[[], tuple[str, float]]) -> tuple[str, float]:
        """
        The valid token, and when it expires. `renew` requests a new one from Docebo: the token, and its lifetime in
        seconds. If it raises, that error is final for the sync, since every stream needs the same token.
        """
        with self._renewing:
            if self._error is not None:
                raise self._error
            if time.monotonic() >= self._expires_at:
                try:
                    self._value, lifetime = renew()
                except DoceboError as error:
                    self._error = error
                    raise
                self._expires_at = time.monotonic() + lifetime * LIFETIME_USED
            return self._value, self._expires_at

    def reject(self, value: str) -> None:
        """Docebo rejected this token (401): it is renewed, unless another worker has done so already."""
        if value == self._value:
            self._expires_at = 0.0


def _describe(problem: str) -> str:
    return f"Signing in to Docebo failed. {problem}"
