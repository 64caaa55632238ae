"""The access token, directly: how long it is used, when it is renewed, and which refusal ends the sync."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import pytest
import requests
import requests_mock
from airbyte_cdk.sources.declarative.auth.oauth import DeclarativeOauth2Authenticator

from source_docebo.authenticator import (
    DEFAULT_LIFETIME_SECONDS,
    LIFETIME_USED,
    AccessToken,
    SharedTokenAuthenticator,
)
from source_docebo.errors import DoceboError, config_error
from unit_tests.builders import PLATFORM, ConfigBuilder, Platform, Response, error_response, token_error, token_response
from unit_tests.conftest import Time


def renewals(token: AccessToken, lifetime: float = 3600.0) -> int:
    """Gets the token; how many were requested for that."""
    requested: list[str] = []

    def renew() -> tuple[str, float]:
        requested.append("value")
        return "value", lifetime

    assert token.get(renew)[0] == "value"
    return len(requested)


class TestLifetime:
    @pytest.mark.parametrize("lifetime", [1, 3600])
    def test_95_percent_of_it_is_used(self, clock: Time, lifetime: float) -> None:
        token, used = AccessToken(), lifetime * LIFETIME_USED
        assert renewals(token, lifetime) == 1
        clock.sleep(used * 0.999)
        assert renewals(token) == 0
        clock.sleep(used * 0.002)
        assert renewals(token) == 1

    def test_says_when_it_expires(self, clock: Time) -> None:
        expires_at = clock.monotonic() + 3420
        token = AccessToken()
        assert token.get(lambda: ("value", 3600.0)) == ("value", expires_at)
        clock.sleep(3420)
        assert token.get(lambda: ("next", 100.0)) == ("next", expires_at + 95)

    def test_the_constants(self) -> None:
        assert (DEFAULT_LIFETIME_SECONDS, LIFETIME_USED) == (3600, 0.95)


class TestRenewal:
    def test_one_thread_renews_it_while_the_others_wait(self) -> None:
        token, renewed, together = AccessToken(), [], threading.Barrier(8, timeout=10)

        def renew() -> tuple[str, float]:
            renewed.append("value")
            return "value", 3600.0

        def get(_: int) -> str:
            together.wait()
            return token.get(renew)[0]

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(get, range(8))) == {"value"}
        assert renewed == ["value"]

    def test_a_rejected_token_is_renewed(self) -> None:
        token = AccessToken()
        renewals(token)
        token.reject("value")
        assert renewals(token) == 1
        assert renewals(token) == 0

    def test_an_older_token_says_nothing_of_the_current_one(self) -> None:
        token = AccessToken()
        renewals(token)
        token.reject("older")
        assert renewals(token) == 0

    def test_an_error_is_final(self) -> None:
        token = AccessToken()

        def fail() -> tuple[str, float]:
            raise config_error("No token.")

        for renew in (fail, lambda: ("value", 3600.0)):
            with pytest.raises(DoceboError, match=r"^No token\.$"):
                token.get(renew)


def authenticator(
    grant_type: str = "client_credentials", calls_per_hour: int = 0, platform: str = PLATFORM, **extra: str
) -> SharedTokenAuthenticator:
    """The component, as the manifest describes a grant."""
    config = {**ConfigBuilder().build(), "num_workers": 2, "id": uuid4().hex, "calls_per_hour": calls_per_hour}
    grant = DeclarativeOauth2Authenticator(
        config=config,
        parameters={},
        token_refresh_endpoint=f"{platform}/oauth2/token",
        client_id="the-client",
        client_secret="the-client-secret",
        grant_type=grant_type,
        refresh_request_body={"scope": "api", **extra},
    )
    return SharedTokenAuthenticator(config=config, parameters={}, grant=grant)


def message(docebo: Platform, grant_type: str, response: Response, accepted: bool = False) -> tuple[str, str]:
    """The failure type and the message of a sign-in; a request of this sync was accepted before, or none was."""
    docebo.issues(response)
    signing = authenticator(grant_type)
    signing._client.accepted = accepted
    with pytest.raises(DoceboError) as raised:
        signing.get_auth_header()
    return raised.value.failure_type.value, str(raised.value)


class TestRequest:
    def test_header(self, docebo: Platform) -> None:
        docebo.issues(token_response("one"))
        signing = authenticator()
        assert (signing.auth_header, signing.token) == ("Authorization", "Bearer one")
        assert dict(signing.get_auth_header()) == {"Authorization": "Bearer one"}
        assert len(docebo.token_forms()) == 1
        assert signing.message_repository is signing.grant.message_repository

    @pytest.mark.parametrize(
        ("grant_type", "extra"),
        [("client_credentials", {}), ("password", {"username": "ada", "password": "p&=+ ü"})],
    )
    def test_form(self, docebo: Platform, grant_type: str, extra: Mapping[str, str]) -> None:
        authenticator(grant_type, **extra).get_auth_header()
        (sent,) = docebo.requests_for("oauth2/token")
        assert {name: value for name, (value,) in parse_qs(sent.text).items()} == {
            "grant_type": grant_type,
            "client_id": "the-client",
            "client_secret": "the-client-secret",
            "scope": "api",
            **extra,
        }
        assert sent.headers["Accept"] == "application/json"

    @pytest.mark.parametrize(
        ("expires_in", "used"),
        [(100, 95), ("100", 95), (1, 0.95), (0.9, 3420), (None, 3420), (0, 3420), ("soon", 3420), ([1], 3420)],
    )
    def test_expires_in(self, docebo: Platform, clock: Time, expires_in: Any, used: float) -> None:
        docebo.issues(token_response("one", expires_in))
        assert authenticator().current_token() == ("Bearer one", clock.monotonic() + used)

    def test_without_expires_in(self, docebo: Platform, clock: Time) -> None:
        docebo.issues(Response({"access_token": "one"}))
        assert authenticator().current_token() == ("Bearer one", clock.monotonic() + 3420)

    def test_counts_under_no_stream(self, docebo: Platform) -> None:
        signing = authenticator()
        assert signing.token
        assert signing._client.requests_sent == {"": 1}

    def test_is_one_for_the_sync(self, docebo: Platform) -> None:
        first = authenticator()
        second = SharedTokenAuthenticator(config=first.config, parameters={}, grant=first.grant)
        assert first.token == second.token
        assert len(docebo.token_forms()) == 1

    def test_waits_for_its_turn_however_long(self, docebo: Platform, clock: Time) -> None:
        signing = authenticator(calls_per_hour=1)
        signing.shared_token.reject(signing.token)
        assert signing.token
        assert clock.slept == 3605

    def test_the_token_is_masked(self, docebo: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
        masked: list[str] = []
        monkeypatch.setattr("source_docebo.authenticator.mask", masked.extend)
        docebo.issues(token_response("one"))
        authenticator().get_auth_header()
        assert masked == ["one"]


class TestFaults:
    @pytest.mark.parametrize(
        "fault",
        [
            Response("<html>"),
            Response({"access_token": ""}),
            Response({"access_token": "one"}, 201),
            Response("<html>", 302, {"Location": "https://status.example/"}),
            Response("<html>", 403),
            Response({"error": "Forbidden"}, 403),
            Response({"error": "blocked_"}, 400),
            token_error("server_error", 500),
            token_error("temporarily_unavailable"),
            token_error("blocked_client"),
            Response("<html>", 500),
        ],
    )
    @pytest.mark.parametrize("accepted", [True, False])
    def test_what_is_no_refusal_of_docebo_is_retried(self, docebo: Platform, fault: Response, accepted: bool) -> None:
        docebo.issues(fault, token_response("two"))
        signing = authenticator()
        signing._client.accepted = accepted
        assert signing.token == "Bearer two"
        assert len(docebo.token_forms()) == 2

    @pytest.mark.parametrize("accepted", [True, False])
    def test_nine_times(self, docebo: Platform, clock: Time, accepted: bool) -> None:
        later = error_response(500, "Later", headers={"Retry-After": "1200"})
        failure_type, text = message(docebo, "password", later, accepted=accepted)
        assert failure_type == "transient_error"
        assert text.startswith(
            "Signing in to Docebo failed. acme.docebosaas.com returned status 500 and no token. Tried 9 times."
        )
        assert len(docebo.token_forms()) == 9
        assert clock.slept == 8 * 1200

    @pytest.mark.parametrize("status", [200, 400, 404, 499])
    def test_a_host_that_was_never_docebo(self, docebo: Platform, status: int) -> None:
        failure_type, text = message(docebo, "password", Response("<html>", status))
        assert failure_type == "config_error"
        assert text.startswith(
            f"Signing in to Docebo failed. acme.docebosaas.com returned status {status} and no token: base_url seems "
            "not to be the address of a Docebo platform. Copy it from the browser's address bar. Tried 9 times."
        )

    def test_a_path_that_may_be_no_subfolder(self, docebo: Platform, mocker: requests_mock.Mocker) -> None:
        mocker.post(f"{PLATFORM}/learn/oauth2/token", status_code=404)
        signing = authenticator(platform=f"{PLATFORM}/learn")
        with pytest.raises(DoceboError) as raised:
            signing.get_auth_header()
        assert ": Leave /learn out of base_url, unless it is the subfolder of your platform. Tried" in str(raised.value)

    def test_a_host_that_was_docebo_before(self, docebo: Platform) -> None:
        failure_type, text = message(docebo, "password", Response("<html>", 403), accepted=True)
        assert failure_type == "transient_error"
        assert "acme.docebosaas.com returned status 403 and no token. Tried" in text

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            (
                "/login" + "x" * 300,
                f"returned status 302 (a redirect to /login{'x' * 194}) and no token: base_url seems",
            ),
            (
                "https://status.example/",
                "returned status 302 (a redirect to https://status.example/) and no token: base_url",
            ),
        ],
    )
    def test_a_redirect_is_named(self, docebo: Platform, target: str, words: str) -> None:
        assert words in message(docebo, "password", Response("", 302, {"Location": target}))[1]

    def test_no_server(self, mocker: requests_mock.Mocker) -> None:
        mocker.post(f"{PLATFORM}/oauth2/token", exc=requests.ConnectionError("Connection refused"))
        with pytest.raises(
            DoceboError,
            match=r"^Signing in to Docebo failed\. acme\.docebosaas\.com did not respond: the connection was",
        ):
            authenticator().get_auth_header()


class TestRefusals:
    @pytest.mark.parametrize(
        ("grant_type", "error", "words"),
        [
            ("password", "invalid_client", "does not know this client_id with this client_secret. Copy both again"),
            ("client_credentials", "invalid_client", "does not know this client_id with this client_secret"),
            ("password", "invalid_grant", "rejects this username with this password. Check both"),
            ("password", "access_denied", "rejects this username with this password"),
            ("client_credentials", "invalid_grant", "rejects the grant client_credentials (invalid_grant). Enable"),
            ("client_credentials", "access_denied", "rejects the grant client_credentials (access_denied)"),
            ("password", "unauthorized_client", "rejects the grant password (unauthorized_client)"),
            ("password", "unsupported_grant_type", "rejects the grant password (unsupported_grant_type)"),
            (
                "password",
                "invalid_" + "d" * 60,
                "rejects the grant password (invalid_" + "d" * 32 + "). Enable that grant type in the OAuth app "
                "(Settings, API and SSO), or choose the other one in the connection.",
            ),
        ],
    )
    @pytest.mark.parametrize("accepted", [True, False])
    def test_are_final(self, docebo: Platform, grant_type: str, error: str, words: str, accepted: bool) -> None:
        failure_type, text = message(docebo, grant_type, token_error(error), accepted=accepted)
        assert failure_type == "config_error"
        assert text.startswith("Signing in to Docebo failed. Docebo ")
        assert words in text
        assert text.endswith(".")
        assert len(docebo.token_forms()) == 1

    @pytest.mark.parametrize("status", [200, 401, 499])
    def test_with_any_status(self, docebo: Platform, status: int) -> None:
        assert message(docebo, "password", token_error("invalid_client", status))[0] == "config_error"
