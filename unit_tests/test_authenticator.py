"""The access token, directly: how long it is used, when it is renewed, and which rejection ends the sync."""

import threading
from collections.abc import Mapping
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
    MAX_LIFETIME_SECONDS,
    MAX_REJECTED,
    AccessToken,
    SharedTokenAuthenticator,
)
from source_docebo.errors import DoceboError, config_error
from unit_tests.builders import PLATFORM, ConfigBuilder, Platform, Response, error_response, token_error, token_response
from unit_tests.conftest import Time


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("source_docebo.authenticator.time", clock)
    return clock


def renewals(token: AccessToken, lifetime: float = 3600.0) -> list[str]:
    """Gets the token; the names of the tokens that were requested for that."""
    requested: list[str] = []

    def renew() -> tuple[str, float]:
        requested.append(f"token at {id(requested)}")
        return requested[-1], lifetime

    token.get(renew)
    return requested


class TestLifetime:
    @pytest.mark.parametrize(
        ("lifetime", "used"),
        [
            (1, 0.95),
            (3600, 3420),
            (MAX_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS * 0.95),
            (0, 3420),
            (0.5, 3420),
            (-60, 3420),
            (MAX_LIFETIME_SECONDS + 1, 3420),
            (float("inf"), 3420),
            (float("nan"), 3420),
        ],
    )
    def test_95_percent_of_it_is_used_and_what_makes_no_sense_is_an_hour(
        self, still: Clock, lifetime: float, used: float
    ) -> None:
        token = AccessToken()
        assert len(renewals(token, lifetime)) == 1
        still.now += used * 0.999
        assert renewals(token) == []
        still.now += used * 0.001
        assert len(renewals(token)) == 1

    def test_the_constants(self) -> None:
        assert (DEFAULT_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS, LIFETIME_USED) == (3600, 30 * 24 * 3600, 0.95)

    def test_is_valid_until_it_expires(self, still: Clock) -> None:
        token = AccessToken()
        value = token.get(lambda: ("one", 100.0))
        assert token.is_valid(value)
        assert not token.is_valid("another")
        still.now += 95
        assert not token.is_valid(value)

    def test_one_thread_renews_it_for_all(self) -> None:
        token, renewed = AccessToken(), []
        barrier = threading.Barrier(8)

        def renew() -> tuple[str, float]:
            renewed.append("one")
            return "one", 3600.0

        def get() -> None:
            barrier.wait(5)
            assert token.get(renew) == "one"

        threads = [threading.Thread(target=get) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert renewed == ["one"]

    def test_an_error_is_final(self) -> None:
        token = AccessToken()

        def fail() -> tuple[str, float]:
            raise config_error("No token.")

        for renew in (fail, lambda: ("one", 3600.0)):
            with pytest.raises(DoceboError, match="No token"):
                token.get(renew)


class TestRejection:
    def reject(self, token: AccessToken, *streams: str) -> None:
        """Gets a new token for each of the streams, and rejects it."""
        for stream in streams:
            token.reject(token.get(lambda: ("value", 3600.0)), stream, f"Rejected for {stream}.")

    def is_final(self, token: AccessToken) -> bool:
        try:
            token.get(lambda: ("value", 3600.0))
        except DoceboError:
            return True
        return False

    def test_a_rejected_token_is_renewed(self) -> None:
        token = AccessToken()
        token.get(lambda: ("one", 3600.0))
        token.reject("one", "users", "Rejected.")
        assert not token.is_valid("one")
        assert token.get(lambda: ("two", 3600.0)) == "two"

    def test_an_older_token_says_nothing_of_the_current_one(self) -> None:
        token = AccessToken()
        token.get(lambda: ("one", 3600.0))
        for _ in range(MAX_REJECTED):
            token.reject("older", "users", "Rejected.")
        assert token.is_valid("one")
        assert not self.is_final(token)

    def test_three_in_a_row_are_final_before_any_was_accepted(self) -> None:
        token = AccessToken()
        self.reject(token, "users", "users")
        assert not self.is_final(token)
        self.reject(token, "users")
        with pytest.raises(DoceboError, match=r"Rejected for users\.") as raised:
            token.get(lambda: ("value", 3600.0))
        assert raised.value.failure_type.value == "config_error"
        assert MAX_REJECTED == 3

    def test_those_of_one_stream_alone_are_not_final_once_a_token_was_accepted(self) -> None:
        token = AccessToken()
        token.accept("value", 0.0)
        self.reject(token, *["users"] * 10)
        assert not self.is_final(token)
        self.reject(token, "branches")
        assert self.is_final(token)

    def test_accepting_a_token_begins_anew(self) -> None:
        token = AccessToken()
        self.reject(token, "users", "branches")
        token.accept("value", 0.0)
        self.reject(token, "users", "branches")
        assert not self.is_final(token)
        self.reject(token, "users")
        assert self.is_final(token)

    def test_knows_whether_a_token_was_accepted_later(self) -> None:
        token = AccessToken()
        assert not token.was_accepted_after("one", 5.0)
        for sent_at in (10.0, 8.0):
            token.accept("one", sent_at)
        assert token.accepted == 2
        assert token.was_accepted_after("one", 9.9)
        assert not token.was_accepted_after("one", 10.0)
        assert not token.was_accepted_after("two", 5.0)


def authenticator(grant_type: str = "client_credentials", **extra: str) -> SharedTokenAuthenticator:
    """The component, as the manifest describes a grant."""
    config = ConfigBuilder().with_field("num_workers", 2).with_field("id", uuid4().hex).build()
    grant = DeclarativeOauth2Authenticator(
        config=config,
        parameters={},
        token_refresh_endpoint=f"{PLATFORM}/oauth2/token",
        client_id="the-client",
        client_secret="the-client-secret",
        grant_type=grant_type,
        refresh_request_body={"scope": "api", **extra},
    )
    return SharedTokenAuthenticator(config=config, parameters={}, grant=grant)


def message(docebo: Platform, grant_type: str, *responses: Response) -> tuple[str, str]:
    """The failure type and the message of a sign-in."""
    docebo.issues(*responses)
    with pytest.raises(DoceboError) as raised:
        authenticator(grant_type).get_auth_header()
    return raised.value.failure_type.value, str(raised.value)


class TestRequest:
    def test_header(self, docebo: Platform) -> None:
        docebo.issues(token_response("one"))
        signing = authenticator()
        assert (signing.auth_header, signing.token) == ("Authorization", "Bearer one")
        assert dict(signing.get_auth_header()) == {"Authorization": "Bearer one"}
        assert len(docebo.token_forms()) == 1

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
        ("expires_in", "used"), [(100, 95), ("100", 95), (None, 3420), ("soon", 3420), ([], 3420), (0, 3420)]
    )
    def test_expires_in(self, docebo: Platform, clock: Time, expires_in: Any, used: float) -> None:
        docebo.issues(token_response("one", expires_in))
        signing = authenticator()
        signing.get_auth_header()
        clock.sleep(used - 2)
        signing.get_auth_header()
        assert len(docebo.token_forms()) == 1
        clock.sleep(3)
        signing.get_auth_header()
        assert len(docebo.token_forms()) == 2

    def test_without_expires_in(self, docebo: Platform, clock: Time) -> None:
        docebo.issues(Response({"access_token": "one"}))
        signing = authenticator()
        signing.get_auth_header()
        clock.sleep(3400)
        signing.get_auth_header()
        assert len(docebo.token_forms()) == 1

    @pytest.mark.parametrize("status", [408, 425, 500, 599])
    def test_is_retried(self, docebo: Platform, status: int) -> None:
        docebo.issues(Response("<html>", status), token_response("one"))
        assert authenticator().token == "Bearer one"
        assert len(docebo.token_forms()) == 2

    def test_a_firewall_in_the_middle_of_a_sync_is_retried(self, docebo: Platform) -> None:
        docebo.issues(token_response("one"), *[Response("<html>", 403)] * 4, token_response("two"))
        signing = authenticator()
        signing.shared_token.accept(signing.token, 0.0)
        signing.shared_token.reject("Bearer one", "users", "")
        assert signing.token == "Bearer two"

    def test_an_error_of_docebo_in_the_middle_of_a_sync_is_not(self, docebo: Platform) -> None:
        docebo.issues(token_response("one"), token_error("invalid_client"))
        signing = authenticator()
        signing.shared_token.accept(signing.token, 0.0)
        signing.shared_token.reject("Bearer one", "users", "")
        with pytest.raises(DoceboError, match="client_id"):
            signing.get_auth_header()

    def test_two_pages_of_a_proxy_are_retried_and_the_third_is_not(self, docebo: Platform) -> None:
        docebo.issues(Response("<html>"), Response({"access_token": ""}), token_response("one"))
        assert authenticator().token == "Bearer one"
        docebo.issues(*[Response("<html>")] * 3, token_response("two"))
        with pytest.raises(DoceboError, match="base_url"):
            authenticator(scope="another").get_auth_header()
        assert len(docebo.token_forms()) == 6

    def test_is_given_up_after_twenty_tries(self, docebo: Platform, clock: Time) -> None:
        later = error_response(503, "Later", headers={"Retry-After": "61"})
        failure_type, text = message(docebo, "password", later)
        assert failure_type == "transient_error"
        assert text.startswith("Signing in to Docebo failed. acme.docebosaas.com returned status 503 and no token. ")
        assert "Tried 20 times." in text
        assert len(docebo.token_forms()) == 20
        assert clock.slept == 19 * 61

    def test_longest_wait_is_a_minute(self, docebo: Platform, clock: Time) -> None:
        message(docebo, "password", error_response(503, "Later"))
        assert 10 <= len(docebo.token_forms()) <= 13
        assert 230 < clock.slept <= 303

    def test_the_token_is_masked(self, docebo: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
        masked: list[str] = []
        monkeypatch.setattr("source_docebo.authenticator.mask", masked.extend)
        docebo.issues(token_response("one"))
        authenticator().get_auth_header()
        assert masked == ["one"]


class TestMessages:
    @pytest.mark.parametrize(
        ("grant_type", "error", "words"),
        [
            ("password", "invalid_client", "does not know this client_id with this client_secret"),
            ("client_credentials", "invalid_client", "does not know this client_id with this client_secret"),
            ("password", "invalid_grant", "rejects this username with this password"),
            ("password", "access_denied", "rejects this username with this password"),
            ("client_credentials", "invalid_grant", "rejects the grant client_credentials (invalid_grant)"),
            ("client_credentials", "access_denied", "rejects the grant client_credentials (access_denied)"),
            ("password", "unauthorized_client", "rejects the grant password (unauthorized_client)"),
            ("password", "A-b_c1" + "d" * 60, "rejects the grant password (b_c" + "d" * 37 + ")"),
        ],
    )
    def test_what_docebo_rejects(self, docebo: Platform, grant_type: str, error: str, words: str) -> None:
        failure_type, text = message(docebo, grant_type, token_error(error))
        assert failure_type == "config_error"
        assert text.startswith("Signing in to Docebo failed. Docebo ")
        assert words in text
        assert len(docebo.token_forms()) == 1

    @pytest.mark.parametrize("status", [301, 400, 403, 404])
    def test_another_site(self, docebo: Platform, status: int) -> None:
        failure_type, text = message(docebo, "password", Response("<html>", status))
        assert failure_type == "config_error"
        assert f"acme.docebosaas.com returned status {status} and no token: base_url seems not to be" in text

    def test_no_server(self, mocker: requests_mock.Mocker) -> None:
        mocker.post(f"{PLATFORM}/oauth2/token", exc=requests.ConnectionError("Connection refused"))
        with pytest.raises(
            DoceboError, match=r"Docebo failed\. acme\.docebosaas\.com did not respond: the connection was"
        ):
            authenticator().get_auth_header()
