"""Signing in: what is sent to the token endpoint, how often, and what a error_response tells."""

from collections.abc import Iterator

import pytest

from unit_tests.builders import (
    Response,
    ConfigBuilder,
    Platform,
    page_with,
    token_response,
    token_error,
    read,
    error_response,
)

USERS = "manage/v1/user"

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
    """What a person types reaches Docebo exactly, and is told to nobody else."""

    @pytest.mark.parametrize("text", AWKWARD_TEXTS)
    def test_awkward_texts_arrive_as_typed(self, docebo: Platform, text: str) -> None:
        docebo.serves(USERS, {"user_id": 1})
        config = ConfigBuilder().with_password_grant(client_id=text, client_secret=text, username=text, password=text)

        output = read("users", config=config.build())

        (form,) = docebo.token_forms()
        assert dict(form) == {
            "grant_type": "password",
            "client_id": text,
            "client_secret": text,
            "scope": "api",
            "username": text,
            "password": text,
        }
        assert output.is_complete("users")

    @pytest.mark.parametrize("debug", [False, True])
    def test_no_output_of_a_good_read_holds_them(self, docebo: Platform, debug: bool) -> None:
        docebo.issues(token_response("first-token-value"), token_response("second-token-value"))
        docebo.responds(USERS, error_response(401, "expired"), page_with({"user_id": 1}).build())
        config = ConfigBuilder().with_password_grant(client_secret="sesame-one", password="sesame-two").build()

        output = read("users", config=config, debug=debug)

        assert output.is_complete("users")
        assert "Finished syncing" in output.text
        assert not _found(output.text, "sesame-one", "sesame-two", "first-token-value", "second-token-value")

    @pytest.mark.parametrize("debug", [False, True])
    @pytest.mark.parametrize(
        "answer",
        [
            token_error("invalid_client"),
            token_error("invalid_grant"),
            Response({"error": "sesame-one", "error_description": "no sesame-two"}, 400),
            Response("<html>sesame-one sesame-two</html>", 404),
            Response({"message": "sesame-one"}, 500),
        ],
        ids=["client", "user", "echo", "html", "overload"],
    )
    def test_no_output_of_a_failed_read_holds_them(self, docebo: Platform, answer: Response, debug: bool) -> None:
        docebo.issues(answer)
        config = ConfigBuilder().with_password_grant(client_secret="sesame-one", password="sesame-two").build()

        output = read("users", config=config, debug=debug)

        assert output.errors()
        assert not _found(output.text, "sesame-one", "sesame-two")


class TestToken:
    """One token serves the whole sync, and is renewed when its time is over or when Docebo refuses it."""

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

    def test_a_refused_token_is_renewed_and_the_request_made_again(self, docebo: Platform) -> None:
        docebo.issues(token_response("old"), token_response("new"))
        docebo.responds(USERS, error_response(401, "expired"), page_with({"user_id": 1}).build())

        output = read("users")

        assert output.records("users") == [{"user_id": 1}]
        assert output.is_complete("users")
        assert [sent.headers["Authorization"] for sent in docebo.requests_for(USERS)] == ["Bearer old", "Bearer new"]

    def test_a_token_that_is_always_refused_fails_the_stream(self, docebo: Platform) -> None:
        docebo.responds(USERS, error_response(401, "Unauthorized"))

        output = read("users")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "config_error"
        assert "401" in message
        assert "OAuth app" in message
        assert output.is_incomplete("users")

    def test_a_token_whose_time_is_over_is_not_used(self, docebo: Platform) -> None:
        docebo.issues(token_response("short", expires_in=0), token_response("long"))
        docebo.serves_pages(USERS, *(page_with({"user_id": str(page)}).page(page, of=2) for page in (1, 2)))

        output = read("users")

        assert output.is_complete("users")
        assert [sent.headers["Authorization"] for sent in docebo.requests_for(USERS)] == ["Bearer short", "Bearer long"]

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
    def test_a_token_endpoint_that_is_overloaded_is_asked_again(self, docebo: Platform, status: int) -> None:
        docebo.issues(error_response(status, "Later"), error_response(status, "Later"), token_response())
        docebo.serves(USERS, {"user_id": 1})

        output = read("users")

        assert output.records("users") == [{"user_id": 1}]
        assert output.is_complete("users")
        assert len(docebo.token_forms()) == 3

    def test_a_token_endpoint_that_always_says_how_long_to_wait_is_given_up(self, docebo: Platform) -> None:
        docebo.issues(error_response(503, "Later", headers={"Retry-After": "1"}))

        output = read("users")

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "transient_error"
        assert "Tried 20 times. Sync again later" in message
        assert len(docebo.token_forms()) == 20


class TestRefusals:
    """A error_response of the sign-in is a configuration error that says what to copy, check or enable."""

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

    def test_every_stream_fails_with_the_same_words(self, docebo: Platform) -> None:
        docebo.issues(token_error("invalid_client"))

        output = read("users", "branches", "sessions")

        assert {message for _, message in output.errors()} == {output.errors()[0][1]}
        assert all(output.is_incomplete(stream) for stream in ("users", "branches", "sessions"))
        assert len(docebo.token_forms()) == 1


def _found(text: str, *secrets: str) -> list[str]:
    return [secret for secret in secrets if secret in text]
