"""Gets access tokens from Docebo, and says what is wrong where it refuses one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.declarative.auth.oauth import DeclarativeOauth2Authenticator
from airbyte_cdk.sources.streams.http.error_handlers.response_models import ErrorResolution, ResponseAction

from source_docebo.client import HEADERS, Client, backoff_seconds
from source_docebo.responses import host, json_object, redirect_problem

MAX_TRIES = 20
MAX_BACKOFF_SECONDS = 60.0
_MAX_RESPONSES_WITHOUT_TOKEN = 2  # with status 200: a proxy's page may pass


@dataclass
class SharedTokenAuthenticator(DeclarativeOauth2Authenticator):
    """
    One access token for the whole sync. The built-in OAuthAuthenticator asks for one per stream and per parent, sets no
    timeout, and blames a refresh token that Docebo's grants do not have.

    Source: https://help.docebo.com/hc/en-us/articles/360020082180 (grants), docs/BEHAVIOR.md (responses).
    """

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._client = Client.of(self.config)

    def get_access_token(self) -> str:
        """The valid access token."""
        return self._client.token.get(self._request_token)

    def reject(self, token: str) -> bool:
        """Drops a token that Docebo rejected; False if it rejects every new one, so that another is no use."""
        return self._client.token.reject(token)

    def _request_token(self) -> tuple[str, float]:
        """A new token, and its lifetime in seconds."""
        endpoint, form = self.get_token_refresh_endpoint(), self.build_refresh_request_body()
        without_token = 0

        def judge(response: requests.Response) -> ErrorResolution:
            nonlocal without_token
            status, body = response.status_code, json_object(response)
            if status == 200 and body.get("access_token"):
                return ErrorResolution(ResponseAction.SUCCESS)
            without_token += status == 200
            if status == 408 or status >= 500 or (status == 200 and without_token <= _MAX_RESPONSES_WITHOUT_TOKEN):
                message = f"{host(response.url)} answered with status {status} and no token."
                return ErrorResolution(ResponseAction.RETRY, FailureType.transient_error, message)
            return ErrorResolution(ResponseAction.FAIL, FailureType.config_error, self._refusal(response, body))

        response, _ = self._client.request(
            lambda: requests.Request("POST", endpoint, data=form, headers=HEADERS),
            judge,
            backoff=lambda tries: backoff_seconds(tries - 1, MAX_BACKOFF_SECONDS),
            max_tries=MAX_TRIES,
            describe=lambda problem: f"Signing in to Docebo failed. {problem}",
        )
        body = json_object(response)
        try:
            return str(body["access_token"]), max(0.0, float(body.get("expires_in", 3600)))
        except (TypeError, ValueError):
            return str(body["access_token"]), 3600.0

    def _refusal(self, response: requests.Response, body: Mapping[str, Any]) -> str:
        error, status, grant = str(body.get("error", "")), response.status_code, self.get_grant_type()
        if error == "invalid_client":
            return "Docebo does not know this client_id with this client_secret. Copy both again from the OAuth app."
        if error in ("invalid_grant", "access_denied") and grant == "password":
            return "Docebo refuses this username with this password. Check both by signing in to the platform."
        if error:
            return (
                f"Docebo refuses the grant {grant} ({re.sub('[^a-z_]', '', error)[:40]}). Enable that grant type in "
                "the OAuth app (Settings, API and SSO), or choose the other one in the connection."
            )
        if 300 <= status < 400:
            return redirect_problem(response.headers.get("Location"))
        return (
            f"{host(response.url)} answered with status {status} and no token: base_url seems not to be the "
            "address of a Docebo platform. Copy it from the browser's address bar."
        )
