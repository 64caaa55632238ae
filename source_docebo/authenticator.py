"""The access token: the requests of both grants for one, what a rejection means, and when it is renewed."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass
from threading import Lock
from typing import Any

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.auth.declarative_authenticator import DeclarativeAuthenticator
from airbyte_cdk.sources.declarative.auth.oauth import DeclarativeOauth2Authenticator
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction
from airbyte_cdk.sources.types import Config
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets

from source_docebo.client import HEADERS, Attempt, Client
from source_docebo.errors import DoceboError, config_error, mask
from source_docebo.rate_limit import backoff_seconds
from source_docebo.responses import host, is_from_docebo, json_object

MAX_TRIES = 20
MAX_RESPONSES_WITHOUT_TOKEN = 3  # with status 200, such as a proxy's page
DEFAULT_LIFETIME_SECONDS = 3600.0  # of a token whose expires_in makes no sense
MAX_LIFETIME_SECONDS = 30 * 86400.0
LIFETIME_USED = 0.95  # renewing a little early is cheaper than the rejected requests of all workers
MAX_REJECTED = 3  # new tokens in a row


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
        return self.shared_token.get(self._request_token)

    def _request_token(self) -> tuple[str, float]:
        """The value of the header with a new token, and its lifetime in seconds."""
        endpoint, form = self.grant.get_token_refresh_endpoint(), self.grant.build_refresh_request_body()
        without_token = 0

        def judge(response: requests.Response, _: bool) -> ErrorResolution:
            nonlocal without_token
            status, body = response.status_code, json_object(response)
            if status == 200 and body.get("access_token"):
                return ErrorResolution(ResponseAction.SUCCESS)
            without_token += status == 200
            # Where a token was issued before, base_url is right: this is a firewall, and passes.
            foreign = self.shared_token.accepted > 0 and not is_from_docebo(response)
            if status in (408, 425) or status >= 500 or 0 < without_token < MAX_RESPONSES_WITHOUT_TOKEN or foreign:
                message = f"{host(response.url)} returned status {status} and no token."
                return ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, message)
            return ErrorResolution(ResponseAction.FAIL, FailureType.config_error, self._rejection(response, body))

        response = self._client.request(
            lambda: Attempt(requests.Request("POST", endpoint, data=form, headers=HEADERS)),
            judge,
            lambda problem: f"Signing in to Docebo failed. {problem}",
            MAX_TRIES,
            backoff=lambda tries: backoff_seconds(tries - 1, 60.0),
        )
        body = json_object(response)
        mask([str(body["access_token"])])
        header = f"Bearer {body['access_token']}"
        try:
            return header, float(body.get("expires_in", DEFAULT_LIFETIME_SECONDS))
        except (TypeError, ValueError):
            return header, DEFAULT_LIFETIME_SECONDS

    def _rejection(self, response: requests.Response, body: Mapping[str, Any]) -> str:
        error, grant = filter_secrets(str(body.get("error", ""))), self.grant.get_grant_type()
        if error == "invalid_client":
            return "Docebo does not know this client_id with this client_secret. Copy both again from the OAuth app."
        if error in ("invalid_grant", "access_denied") and grant == "password":
            return "Docebo rejects this username with this password. Check both by signing in to the platform."
        if error:
            return (
                f"Docebo rejects the grant {grant} ({re.sub('[^a-z_]', '', error)[:40]}). Enable that grant type in "
                "the OAuth app (Settings, API and SSO), or choose the other one in the connection."
            )
        return (
            f"{host(response.url)} returned status {response.status_code} and no token: base_url seems not to be the "
            "address of a Docebo platform. Copy it from the browser's address bar."
        )


class AccessToken:
    """The access token of the sync, renewed by one thread while the others wait for it."""

    def __init__(self) -> None:
        self._renewing = Lock()
        self._value: str | None = None
        self._expires_at = 0.0
        self._rejecting: list[str] = []  # a stream for each token that was rejected since one was accepted
        self.accepted = 0  # requests in this sync
        self._last_accepted = "", 0.0  # a token, and when the last request was sent with which it was accepted
        self._error: DoceboError | None = None

    def get(self, renew: Callable[[], tuple[str, float]]) -> str:
        """
        The valid token. `renew` requests a new one from Docebo: the token, and its lifetime in seconds. If it raises,
        that error is final for the sync, since every stream needs the same token.
        """
        with self._renewing:
            if self._error is not None:
                raise self._error
            if self._value is None or not self.is_valid(self._value):
                try:
                    value, lifetime = renew()
                except DoceboError as error:
                    self._error = error
                    raise
                lifetime = lifetime if 1 <= lifetime <= MAX_LIFETIME_SECONDS else DEFAULT_LIFETIME_SECONDS
                self._value, self._expires_at = value, time.monotonic() + lifetime * LIFETIME_USED
            return self._value

    def is_valid(self, value: str) -> bool:
        """Whether a token is the current one, neither expired nor rejected."""
        return value == self._value and time.monotonic() < self._expires_at

    def reject(self, value: str, stream: str, message: str) -> None:
        """
        Drops a token that Docebo rejected (401). If three new ones are rejected in a row, for more than one stream or
        before any was accepted, another would be of no use: the message is then final for the sync.
        """
        if value == self._value:
            self._value = None
            self._rejecting.append(stream)
            one_stream = self.accepted and len(set(self._rejecting)) == 1
            if len(self._rejecting) >= MAX_REJECTED and not one_stream:
                self._error = config_error(message)

    def accept(self, value: str, sent_at: float) -> None:
        """Docebo accepted the token with a request that was sent at this time, by the monotonic clock."""
        self.accepted += 1
        self._rejecting.clear()
        self._last_accepted = value, max(sent_at, self._last_accepted[1])

    def was_accepted_after(self, value: str, moment: float) -> bool:
        """Whether Docebo accepted the token with a request that was sent after a moment."""
        return self._last_accepted[0] == value and self._last_accepted[1] > moment
