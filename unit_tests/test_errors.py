"""Errors and masking, directly."""

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils import airbyte_secrets_utils
from airbyte_cdk.utils.airbyte_secrets_utils import filter_secrets, update_secrets

from source_docebo.errors import DoceboError, config_error, mask, system_error, transient_error


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secrets of other tests."""
    monkeypatch.setattr("source_docebo.errors._secrets", set())
    monkeypatch.setattr(airbyte_secrets_utils, "__SECRETS_FROM_CONFIG", [])


@pytest.mark.parametrize(
    ("create", "failure_type"),
    [
        (transient_error, FailureType.transient_error),
        (config_error, FailureType.config_error),
        (system_error, FailureType.system_error),
    ],
)
def test_an_error_has_its_message_no_stack_trace_and_the_status_code_that_caused_it(
    create: type[DoceboError], failure_type: FailureType
) -> None:
    error = create("It failed.", status_code=503)
    trace = error.as_airbyte_message().trace.error
    assert (trace.message, trace.internal_message, trace.stack_trace) == ("It failed.", "It failed.", None)
    assert trace.failure_type == failure_type
    assert error.status_code == 503
    assert create("It failed.").status_code is None


def test_an_error_masks_its_message() -> None:
    mask(['it\'s-"secret"'])
    assert "secret" not in repr(config_error('Docebo says: it\'s-"secret"'))


class TestMask:
    @pytest.mark.parametrize(
        "echoed",
        [
            'p/ä"s\\s w&rd',
            'p/ä\\"s\\\\s w&rd',
            'p\\/\\u00e4\\"s\\\\s w&rd',
            "p%2F%C3%A4%22s%5Cs%20w%26rd",
            "p/%C3%A4%22s%5Cs%20w%26rd",
            "p%2F%C3%A4%22s%5Cs+w%26rd",
        ],
    )
    def test_every_form_of_a_secret(self, echoed: str) -> None:
        mask(['p/ä"s\\s w&rd'])
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
