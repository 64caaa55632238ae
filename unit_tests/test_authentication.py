"""Signing in, at the front door: the forms of both grants, one token for a sync, and what a rejection means."""

from collections.abc import Iterator

import pytest

from unit_tests.builders import (
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

    def test_a_rejected_token_is_renewed_and_the_request_repeated(self, docebo: Platform) -> None:
        docebo.issues(token_response("old"), token_response("new"))
        docebo.responds(USERS, error_response(401, "expired"), page_with({"user_id": 1}).build())

        output = read("users")

        assert output.records("users") == [{"user_id": 1}]
        assert output.is_complete("users")
        assert [sent.headers["Authorization"] for sent in docebo.requests_for(USERS)] == ["Bearer old", "Bearer new"]

    def test_tokens_that_are_always_rejected_fail_the_stream(self, docebo: Platform) -> None:
        docebo.responds(USERS, error_response(401, "Unauthorized"))

        output = read("users")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "config_error"
        assert "401" in message
        assert "OAuth app" in message
        assert output.is_incomplete("users")

    def test_an_expired_token_is_not_used(self, docebo: Platform) -> None:
        docebo.issues(token_response("short", expires_in=60), token_response("long"))
        overloaded = error_response(503, "Later", headers={"Retry-After": "58"})
        docebo.responds(BRANCHES, overloaded, page_with({"id": 1}).build())

        output = read("branches")

        assert output.is_complete("branches")
        used = [sent.headers["Authorization"] for sent in docebo.requests_for(BRANCHES)]
        assert used == ["Bearer short", "Bearer long"]

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
    def test_an_overloaded_token_endpoint_is_retried(self, docebo: Platform, status: int) -> None:
        docebo.issues(error_response(status, "Later"), error_response(status, "Later"), token_response())
        docebo.serves(USERS, {"user_id": 1})

        output = read("users")

        assert output.records("users") == [{"user_id": 1}]
        assert output.is_complete("users")
        assert len(docebo.token_forms()) == 3

    def test_a_token_endpoint_that_stays_overloaded_fails_the_stream_after_five_minutes(
        self, docebo: Platform, clock: Time
    ) -> None:
        docebo.issues(error_response(503, "Later", headers={"Retry-After": "1"}))

        output = read("branches")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "transient_error"
        assert f"Tried {len(docebo.token_forms())} times. Sync again later" in message
        assert 240 < clock.slept < 300
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

    @pytest.mark.parametrize("status", [400, 401])
    def test_wrong_password(self, docebo: Platform, status: int) -> None:
        docebo.issues(token_error("invalid_grant", status))

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

    def test_a_page_of_another_site(self, docebo: Platform) -> None:
        docebo.issues(Response("<html>Welcome</html>", headers={"Content-Type": "text/html"}))

        ((failure_type, message),) = read("users").errors()

        assert failure_type.value == "config_error"
        assert "base_url" in message
        assert "acme.docebosaas.com" in message

    def test_a_redirect_gets_no_secret(self, docebo: Platform) -> None:
        docebo.issues(Response("", 302, {"Location": "https://elsewhere.example.com/oauth2/token"}))

        ((failure_type, message),) = read("users").errors()

        assert failure_type.value == "config_error"
        assert "elsewhere.example.com" in message
        assert len(docebo.token_forms()) == 1

    def test_every_stream_fails_with_the_same_message(self, docebo: Platform) -> None:
        docebo.issues(token_error("invalid_client"))

        output = read("users", "branches", "sessions")

        assert {message for _, message in output.errors()} == {output.errors()[0][1]}
        assert all(output.is_incomplete(stream) for stream in ("users", "branches", "sessions"))
        assert len(docebo.token_forms()) == 1


def _found(text: str, *secrets: str) -> list[str]:
    return [secret for secret in secrets if secret in text]
