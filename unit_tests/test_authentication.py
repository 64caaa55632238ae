"""Signing in, at the front door: the forms of both grants, one token for a sync, and what a rejection means."""

from collections.abc import Iterator
from typing import Any

import pytest

from unit_tests.builders import (
    PLATFORM,
    ConfigBuilder,
    Platform,
    Response,
    error_response,
    page_with,
    read,
    token_error,
    token_response,
)
from unit_tests.conftest import Time

USERS = "manage/v1/user"
BRANCHES = "manage/v1/orgchart"

AWKWARD_TEXTS = [
    "1e5",
    "None",
    "True",
    "1_000",
    "007",
    "0x1F",
    "[1, 2]",
    "{'a': 1}",
    "'quoted'",
    '"doubly quoted"',
    "both ' and \"",
    "a&b=c#d",
    "%41+",
    "€ünï😀",
    "{{x}}",
    "{{ config['base_url'] }}",
    "{% raw %}{# comment",
    "a\\b\\n",
    "trailing\\",
    " blanks ",
    "tab\tand\nline",
    "#/definitions/requester",
    "many words in one long secret " * 20,
]


class TestGrants:
    """Both grants send the form that Docebo documents, and nothing else."""

    def test_client_credentials(self, docebo: Platform) -> None:
        docebo.serves(USERS, {"user_id": 1})

        output = read("users", config=ConfigBuilder().with_client_credentials_grant().build())

        assert docebo.token_forms() == [
            [
                ("grant_type", "client_credentials"),
                ("client_id", "the-client"),
                ("client_secret", "the-client-secret"),
                ("scope", "api"),
            ]
        ]
        (sent,) = docebo.requests_for("oauth2/token")
        assert sent.method == "POST"
        assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert output.is_complete("users")

    def test_password(self, docebo: Platform) -> None:
        docebo.serves(USERS, {"user_id": 1})

        output = read("users", config=ConfigBuilder().with_password_grant().build())

        assert docebo.token_forms() == [
            [
                ("grant_type", "password"),
                ("client_id", "the-client"),
                ("client_secret", "the-client-secret"),
                ("scope", "api"),
                ("username", "the-user"),
                ("password", "the-password"),
            ]
        ]
        assert output.is_complete("users")


class TestSecrets:
    """What a person types reaches Docebo exactly, and is shown nowhere."""

    @pytest.mark.parametrize("first", range(0, len(AWKWARD_TEXTS), 4))
    def test_awkward_texts_arrive_as_typed(self, docebo: Platform, first: int) -> None:
        texts = (AWKWARD_TEXTS * 2)[first : first + 4]
        typed = dict(zip(("client_id", "client_secret", "username", "password"), texts, strict=True))
        docebo.serves(BRANCHES, {"id": 1})

        output = read("branches", config=ConfigBuilder().with_password_grant(**typed).build())

        (form,) = docebo.token_forms()
        assert dict(form) == {"grant_type": "password", "scope": "api", **typed}
        assert output.is_complete("branches")

    @pytest.mark.parametrize("debug", [False, True])
    def test_no_output_of_a_complete_read_holds_them(self, docebo: Platform, debug: bool) -> None:
        docebo.issues(token_response("first-token-value"), token_response("second-token-value"))
        docebo.responds(USERS, error_response(401, "expired"), page_with({"user_id": 1}).build())
        config = ConfigBuilder().with_password_grant(client_secret="sesame-one", password="sesame-two").build()

        output = read("users", config=config, debug=debug)

        assert output.is_complete("users")
        assert "Finished syncing" in output.text
        assert not _found(output.text, "sesame-one", "sesame-two", "first-token-value", "second-token-value")

    @pytest.mark.parametrize(
        "response",
        [
            token_error("invalid_client"),
            token_error("invalid_grant"),
            Response({"error": "sesame-one", "error_description": "no sesame-two"}, 400),
            Response("<html>sesame-one sesame-two</html>", 404),
            Response({"message": "sesame-one"}, 500),
        ],
        ids=["client", "user", "echo", "html", "overload"],
    )
    def test_no_output_of_a_failed_read_holds_them(self, docebo: Platform, response: Response) -> None:
        docebo.issues(response)
        config = ConfigBuilder().with_password_grant(client_secret="sesame-one", password="sesame-two").build()

        output = read("users", config=config, debug=True)

        assert output.errors()
        assert not _found(output.text, "sesame-one", "sesame-two")


class TestToken:
    """One token serves the whole sync, and is renewed when it expires or when Docebo rejects it."""

    def test_one_for_several_streams_and_their_parents(self, docebo: Platform) -> None:
        docebo.serves(USERS, {"user_id": 1})
        docebo.serves("audiences/v1/audience", {"uuid": "a"}, {"uuid": "b"})
        docebo.serves("audiences/v1/audience/a/users", {"user_id": 1})
        docebo.serves("audiences/v1/audience/b/users", {"user_id": 1})
        docebo.serves("manage/v1/orgchart", {"id": 1})
        streams = ("users", "groups", "group_members", "branches")

        output = read(*streams)

        assert all(output.is_complete(stream) for stream in streams)
        assert len(docebo.token_forms()) == 1

    @pytest.mark.parametrize("expires_in", [None, 0, -1, "soon", [3600], "3600", 10**9])
    def test_a_lifetime_that_makes_no_sense_is_an_hour(self, docebo: Platform, expires_in: Any) -> None:
        docebo.issues(token_response(expires_in=expires_in), token_error("invalid_client"))
        docebo.serves(USERS, {"user_id": 1})

        output = read("users")

        assert output.errors() == []
        assert output.is_complete("users")
        assert len(docebo.token_forms()) == 1

    def test_a_rejected_token_is_renewed_and_the_request_repeated(self, docebo: Platform) -> None:
        docebo.issues(token_response("old"), token_response("new"))
        docebo.responds(USERS, error_response(401, "expired"), page_with({"user_id": 1}).build())

        output = read("users")

        assert output.records("users") == [{"user_id": 1}]
        assert output.is_complete("users")
        assert [sent.headers["Authorization"] for sent in docebo.requests_for(USERS)] == ["Bearer old", "Bearer new"]

    def test_a_path_that_rejects_four_tokens_fails_its_stream_alone(self, docebo: Platform) -> None:
        docebo.issues(*(token_response(str(number)) for number in range(9)))
        docebo.responds(USERS, error_response(401, "Unauthorized"))
        docebo.serves(BRANCHES, {"id": 1})

        output = read("users", "branches")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "config_error"
        assert message.startswith("Stream users: Docebo rejects the access tokens that it issues (401).")
        assert output.is_incomplete("users")
        assert len(docebo.requests_for(USERS)) == len(docebo.token_forms()) == 4
        assert output.is_complete("branches")

    def test_a_refusal_to_renew_it_is_final_for_the_sync(self, docebo: Platform) -> None:
        docebo.issues(token_response(), token_error("invalid_client"))
        docebo.responds(USERS, error_response(401, "expired"))
        docebo.responds("learn/v1/certification", error_response(401, "expired"))

        output = read("users", "certifications")

        assert all(output.is_incomplete(stream) for stream in ("users", "certifications"))
        assert {message for _, message in output.errors()} == {
            "Signing in to Docebo failed. Docebo does not know this client_id with this client_secret. Copy both again "
            "from the OAuth app."
        }
        assert len(docebo.token_forms()) == 2

    def test_what_stands_in_front_of_docebo_does_not_refuse_to_renew_it(self, docebo: Platform) -> None:
        """The configuration was right a moment ago, so whatever is not Docebo's own refusal may pass."""
        docebo.issues(
            token_response("old"),
            error_response(403, "Forbidden"),
            Response("<html>Blocked</html>", 403),
            Response("", 302, {"Location": f"{PLATFORM}/status"}),
            Response("", 302, {"Location": "https://status.example.com/"}),
            Response("<html>Maintenance</html>"),
            Response({"error": "Bad request"}, 400),
            token_response("new"),
        )
        docebo.responds(BRANCHES, error_response(401, "expired"), page_with({"id": 1}).build())

        output = read("branches")

        assert output.records("branches") == [{"id": 1}]
        assert output.is_complete("branches")
        assert output.errors() == []

    def test_an_expired_token_is_not_used(self, docebo: Platform) -> None:
        docebo.issues(token_response("short", expires_in=60), token_response("long"))
        overloaded = error_response(503, "Later", headers={"Retry-After": "58"})
        docebo.responds(BRANCHES, overloaded, page_with({"id": 1}).build())

        output = read("branches")

        assert output.is_complete("branches")
        used = [sent.headers["Authorization"] for sent in docebo.requests_for(BRANCHES)]
        assert used == ["Bearer short", "Bearer long"]

    @pytest.mark.parametrize(
        "response", [error_response(429), error_response(500), Response("<html>Maintenance</html>")]
    )
    def test_a_token_endpoint_that_fails_for_a_while_is_retried(self, docebo: Platform, response: Response) -> None:
        docebo.issues(response, response, token_response())
        docebo.serves(USERS, {"user_id": 1})

        output = read("users")

        assert output.records("users") == [{"user_id": 1}]
        assert output.is_complete("users")
        assert len(docebo.token_forms()) == 3

    def test_a_token_endpoint_that_stays_overloaded_fails_the_stream_after_nine_tries(
        self, docebo: Platform, clock: Time
    ) -> None:
        docebo.issues(error_response(503, "Later"))

        output = read("branches")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "transient_error"
        assert message == (
            "Signing in to Docebo failed. acme.docebosaas.com returned status 503 and no token. Tried 9 times. Try "
            "again later; if it persists, contact Docebo support."
        )
        assert len(docebo.token_forms()) == 9
        assert clock.slept == 1 + 2 + 4 + 8 + 16 + 32 + 64 + 110
        assert output.is_incomplete("branches")


class TestRejections:
    """A sign-in that Docebo rejects is a configuration error that says what to copy, check or enable."""

    @pytest.fixture(autouse=True)
    def serves_users(self, docebo: Platform) -> Iterator[None]:
        docebo.serves(USERS, {"user_id": 1})
        yield
        assert docebo.requests_for(USERS) == []

    @pytest.mark.parametrize("status", [400, 401])
    def test_wrong_secret(self, docebo: Platform, status: int) -> None:
        docebo.issues(token_error("invalid_client", status))

        output = read("users")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "config_error"
        assert "client_id" in message
        assert "client_secret" in message
        assert output.is_incomplete("users")
        assert len(docebo.token_forms()) == 1

    @pytest.mark.parametrize("error", ["invalid_grant", "access_denied"])
    def test_wrong_password(self, docebo: Platform, error: str) -> None:
        docebo.issues(token_error(error))

        output = read("users", config=ConfigBuilder().with_password_grant().build())

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "config_error"
        assert "username" in message
        assert "password" in message
        assert output.is_incomplete("users")

    @pytest.mark.parametrize("error", ["unauthorized_client", "unsupported_grant_type"])
    def test_a_grant_that_is_not_enabled(self, docebo: Platform, error: str) -> None:
        docebo.issues(token_error(error))

        ((failure_type, message),) = read("users").errors()

        assert failure_type.value == "config_error"
        assert "client_credentials" in message
        assert error in message
        assert "OAuth app" in message

    @pytest.mark.parametrize(
        ("response", "words"),
        [
            (Response("<html>Welcome</html>"), "returned status 200 and no token"),
            (Response("<html>Not found</html>", 404), "returned status 404 and no token"),
            (Response("", 302, {"Location": f"{PLATFORM}/login"}), f"(a redirect to {PLATFORM}/login) and no token"),
            (Response("", 302, {"Location": "https://elsewhere.example.com/oauth2/token"}), "elsewhere.example.com"),
        ],
        ids=["page", "error", "redirect", "other host"],
    )
    def test_an_address_that_is_no_platform(self, docebo: Platform, response: Response, words: str) -> None:
        """It may have been a front end that restarts, so it is tried again; the secrets go nowhere else."""
        docebo.issues(response)

        output = read("users", "branches")

        assert {failure_type.value for failure_type, _ in output.errors()} == {"config_error"}
        (message,) = {message for _, message in output.errors()}
        assert message.startswith("Signing in to Docebo failed. acme.docebosaas.com ")
        assert words in message
        assert "base_url" in message
        assert len(docebo.token_forms()) == 9

    def test_every_stream_fails_with_the_same_message(self, docebo: Platform) -> None:
        docebo.issues(token_error("invalid_client"))

        output = read("users", "branches", "sessions")

        assert {message for _, message in output.errors()} == {output.errors()[0][1]}
        assert all(output.is_incomplete(stream) for stream in ("users", "branches", "sessions"))
        assert len(docebo.token_forms()) == 1


def _found(text: str, *secrets: str) -> list[str]:
    return [secret for secret in secrets if secret in text]
