"""Errors and masking, directly."""

import logging

import pytest
from airbyte_cdk.models import FailureType, StreamDescriptor
from airbyte_cdk.utils import airbyte_secrets_utils
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets, update_secrets

from source_docebo.errors import DoceboError, RequestError, config_error, drop_stack_trace, mask, transient_error


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secrets of other tests."""
    monkeypatch.setattr("source_docebo.errors._secrets", set())
    monkeypatch.setattr(airbyte_secrets_utils, "__SECRETS_FROM_CONFIG", [])


@pytest.mark.parametrize(
    ("error", "failure_type"),
    [
        (transient_error("It failed."), FailureType.transient_error),
        (config_error("It failed."), FailureType.config_error),
        (DoceboError("It failed."), FailureType.system_error),
        (RequestError("It failed.", FailureType.transient_error), FailureType.transient_error),
    ],
)
def test_an_error_has_its_message_and_no_stack_trace(error: DoceboError, failure_type: FailureType) -> None:
    trace = error.as_airbyte_message().trace.error
    assert (trace.message, trace.internal_message, trace.stack_trace) == ("It failed.", "It failed.", None)
    assert trace.failure_type == failure_type
    assert repr(error) == "It failed."  # so that the CDK's list of the streams that failed can be read


def test_an_error_names_its_stream() -> None:
    descriptor = StreamDescriptor(name="users")
    assert config_error("It failed.").as_airbyte_message(descriptor).trace.error.stream_descriptor == descriptor


def test_the_error_of_a_request_knows_docebos_status() -> None:
    assert RequestError("It failed.", None, 403).status_code == 403
    assert RequestError("It failed.", None).status_code is None


def test_the_log_shows_an_error_by_its_message() -> None:
    anticipated, other = config_error("It failed."), ValueError("x")
    records = [
        logging.LogRecord("x", logging.ERROR, "", 1, "Stream %s", ("users",), (type(error), error, None))
        for error in (anticipated, other)
    ]
    assert all(drop_stack_trace(record) for record in records)
    assert (records[0].getMessage(), records[0].exc_info) == ("Stream users: It failed.", None)
    assert (records[1].getMessage(), records[1].exc_info[1]) == ("Stream users", other)
    bare = logging.LogRecord("x", logging.ERROR, "", 1, "Stream", (), None)
    assert drop_stack_trace(bare)
    assert bare.getMessage() == "Stream"


def test_an_error_masks_its_message() -> None:
    mask(['it\'s-"secret"'])
    assert "secret" not in repr(config_error('Docebo says: it\'s-"secret"'))


class TestMask:
    @pytest.mark.parametrize("echoed", ["p/ä s w&rd", "p%2F%C3%A4+s+w%26rd"])
    def test_a_secret_raw_and_url_encoded(self, echoed: str) -> None:
        mask(["p/ä s w&rd"])
        assert filter_secrets(f"<{echoed}>") == "<****>"

    @pytest.mark.parametrize("secrets", [["zbcd", "azbcdefg"], ["azbcdefg", "zbcd"]])
    def test_the_longer_of_two_secrets_first(self, secrets: list[str]) -> None:
        mask(secrets)
        assert filter_secrets("azbcdefg") == "****"

    def test_a_token_that_is_added_later_comes_before_a_shorter_secret(self) -> None:
        mask(["abcd"])
        mask(["abcd/efgh"])
        assert filter_secrets("abcd/efgh abcd%2Fefgh abcd") == "**** **** ****"

    def test_what_the_cdk_was_given_is_masked_in_every_form_too(self) -> None:
        """Where another source than `SourceDocebo` reads the manifest, only the CDK knows the configuration."""
        update_secrets(["abcd/efgh"])
        mask(["abcd"])
        assert filter_secrets("abcd/efgh abcd%2Fefgh abcd") == "**** **** ****"

    def test_what_was_masked_before_is_masked_again_after_the_cdk_replaced_the_list(self) -> None:
        mask(["the-first-token"])
        update_secrets([])
        mask(["the-second-token"])
        assert filter_secrets("the-first-token the-second-token") == "**** ****"

    @pytest.mark.parametrize("secret", ["", "a", "abc"])
    def test_no_secret_that_would_garble_messages(self, secret: str) -> None:
        mask([secret])
        assert filter_secrets("abc is no secret") == "abc is no secret"

    def test_four_characters(self) -> None:
        mask(["abcd"])
        assert filter_secrets("abcd is a secret") == "**** is a secret"
