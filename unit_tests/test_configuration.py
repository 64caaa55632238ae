"""The configuration: what people paste is accepted, anything else is rejected by name and before any request."""

import logging
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_mock
import yaml

from source_docebo.errors import DoceboError
from source_docebo.source import MANIFEST, SourceDocebo
from unit_tests.builders import PLATFORM, ConfigBuilder, Platform, read

USERS = "manage/v1/user"
BRANCHES = "manage/v1/orgchart"


def rejection(builder: ConfigBuilder, field: str) -> str:
    """The one configuration error, before any request: it names the field, and shows no secret."""
    with pytest.raises(DoceboError) as raised:
        SourceDocebo(config=builder.build())
    message = str(raised.value)
    assert raised.value.failure_type.value == "config_error"
    assert message.startswith(f"Configuration: the field {field} is ")
    assert message.count("\n") == 0
    assert "the-client-secret" not in message
    assert "the-password" not in message
    return message


class TestBaseUrl:
    """`base_url` is the address of the platform, in whatever form it is pasted."""

    @pytest.mark.parametrize(
        ("pasted", "address"),
        [
            ("https://acme.docebosaas.com", PLATFORM),
            ("  https://acme.docebosaas.com\t\n", PLATFORM),
            ("acme.docebosaas.com", PLATFORM),
            (" acme.docebosaas.com/ ", PLATFORM),
            ("https://acme.docebosaas.com/", PLATFORM),
            ("https://acme.docebosaas.com///", PLATFORM),
            ("HTTPS://acme.docebosaas.com", PLATFORM),
            ("https://Acme.DoceboSaaS.com", PLATFORM),
            ("https://learn.acme.com/academy", "https://learn.acme.com/academy"),
            ("learn.acme.com/academy/", "https://learn.acme.com/academy"),
            ("https://acme.docebosaas.com:8443/a/b//", "https://acme.docebosaas.com:8443/a/b"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://127.8.9.10/academy", "http://127.8.9.10/academy"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("localhost:8443", "https://localhost:8443"),
            ("https://acme.docebosaas.com/learn/home", PLATFORM),
            ("acme.docebosaas.com/learn/home/", PLATFORM),
            ("https://acme.docebosaas.com/learn/home;tab=1?from=mail#top", PLATFORM),
            ("https://acme.docebosaas.com/pages/1/home", PLATFORM),
            ("https://acme.docebosaas.com/login", PLATFORM),
            ("https://acme.docebosaas.com/login?redirect=/learn/home", PLATFORM),
            ("https://acme.docebosaas.com/lms/index.php?r=site/index", PLATFORM),
            ("https://acme.docebosaas.com/learn/course/12/a-course", PLATFORM),
            ("https://acme.docebosaas.com/learn/courses/12/a-course;lp=3", PLATFORM),
            ("http://127.0.0.1:8080/learn/home", "http://127.0.0.1:8080"),
            ("https://learn.acme.com/academy/learn/home?x", "https://learn.acme.com/academy"),
            ("https://learn.acme.com/learn/learn/home", "https://learn.acme.com/learn"),
            ("https://learn.acme.com/learn", "https://learn.acme.com/learn"),
            ("https://acme.docebosaas.com/admin", PLATFORM),
            ("https://acme.docebosaas.com/user_management", PLATFORM),
            ("https://acme.docebosaas.com/course/view/12", PLATFORM),
            ("https://acme.docebosaas.com/learn/my-dashboard", PLATFORM),
            ("https://acme.docebosaas.com/learn/v1/courses", PLATFORM),
            ("https://acme.docebosaas.com/api-browser/", PLATFORM),
            ("https://learn.acme.com/academy/course_management/edit/3?tab=1", "https://learn.acme.com/academy"),
            ("https://acme.docebosaas.com?tab=1", PLATFORM),
            ("https://acme.docebosaas.com/#/home", PLATFORM),
            ("https://learn.acme.com/admins", "https://learn.acme.com/admins"),
            ("https://learn.acme.com/login-area", "https://learn.acme.com/login-area"),
            ("https://login.acme.com", "https://login.acme.com"),
        ],
    )
    def test_accepted(self, tmp_path: Path, pasted: str, address: str) -> None:
        source = SourceDocebo(config=ConfigBuilder().with_base_url(pasted).build())

        base_url = source.configure(source._config, str(tmp_path))["base_url"]
        assert requests.Request("GET", f"{base_url}/{USERS}").prepare().url == f"{address}/{USERS}"

    def test_every_request_goes_to_it(self, mocker: requests_mock.Mocker) -> None:
        address = "https://learn.acme.com/academy"
        docebo = Platform(mocker, address).serves(BRANCHES, {"id": 1})

        output = read("branches", config=ConfigBuilder().with_base_url(" learn.acme.com/academy/ ").build())

        assert output.records("branches") == [{"id": 1}]
        (sent,) = docebo.requests_for(BRANCHES)
        assert sent.url.split("?")[0] == f"{address}/{BRANCHES}"
        assert len(docebo.token_forms()) == 1

    def test_one_that_is_rejected_is_an_error_of_the_read(self, docebo: Platform) -> None:
        output = read("branches", config=ConfigBuilder().with_base_url("acme").build())

        ((failure_type, message),) = output.errors()
        assert failure_type.value == "config_error"
        assert "the field base_url " in message
        assert not docebo.was_requested

    @pytest.mark.parametrize(
        "pasted",
        [
            "http://acme.docebosaas.com",
            " HTTP://acme.docebosaas.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost@example.com",
            "http://128.0.0.1",
            "http://127.999.0.1",
            "https://acme.docebosaas.com:99999",
            "ftp://acme.docebosaas.com",
            "https://",
            "https:acme.docebosaas.com",
            "https://https://acme.docebosaas.com",
            "//acme.docebosaas.com",
            "acme",
            "the platform",
            "https://acme docebosaas.com",
            "https://ada:the-password@acme.docebosaas.com",
            "someone@acme.com",
            "",
            "   ",
            None,
            5,
            ["https://acme.docebosaas.com"],
        ],
    )
    def test_rejected(self, pasted: Any) -> None:
        rejection(ConfigBuilder().with_base_url(pasted), "base_url")

    def test_the_message_shows_the_form_and_not_the_value(self) -> None:
        message = rejection(ConfigBuilder().with_base_url("https://ada:the-password@acme.docebosaas.com"), "base_url")
        assert message == (
            "Configuration: the field base_url is not valid (pattern: https://<your platform>[/subfolder])."
        )


class TestForm:
    """What Airbyte's form shows."""

    specification = SourceDocebo().spec(logging.getLogger())

    def test_leads_to_the_documentation(self) -> None:
        metadata = yaml.safe_load((MANIFEST.parent / "metadata.yaml").read_text(encoding="utf-8"))
        assert self.specification.documentationUrl == metadata["data"]["documentationUrl"]

    def test_describes_its_fields(self) -> None:
        fields = self.specification.connectionSpecification["properties"]
        titles = {name: field["title"] for name, field in fields.items()}
        assert titles == {
            "base_url": "Platform address",
            "credentials": "Authentication",
            "num_workers": "Concurrent requests",
            "calls_per_hour": "Maximum API requests per hour",
            "max_unreadable_parents": "Accepted unreadable parents",
            "start_date": "Start date",
            "lookback_window": "Lookback window",
            "reports": "Reports",
        }
        assert "empty for no limit" in fields["calls_per_hour"]["description"]
        assert fields["base_url"]["pattern_descriptor"] == "https://<your platform>[/subfolder]"

    def test_only_the_address_and_the_credentials_are_required(self) -> None:
        assert self.specification.connectionSpecification["required"] == ["base_url", "credentials"]

    def test_start_date_is_a_date_picker_and_says_what_it_leaves_out(self) -> None:
        field = self.specification.connectionSpecification["properties"]["start_date"]
        assert field["format"] == "date-time"
        assert field["pattern"] == "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
        assert "without a date of change" in field["description"]

    @pytest.mark.parametrize("name", ["start_date", "lookback_window"])
    def test_the_examples_are_accepted(self, name: str) -> None:
        field = self.specification.connectionSpecification["properties"][name]
        for example in [*field["examples"], *filter(None, [field.get("default")])]:
            SourceDocebo(config=ConfigBuilder().with_field(name, example).build())


class TestFields:
    """A field that is missing or malformed is named, with its place in the configuration."""

    @pytest.mark.parametrize(
        "field",
        [
            "base_url",
            "credentials",
            "credentials.client_id",
            "credentials.client_secret",
            "credentials.username",
            "credentials.password",
        ],
    )
    def test_missing(self, field: str) -> None:
        message = rejection(ConfigBuilder().with_password_grant().without(field), field)
        assert message == f"Configuration: the field {field} is missing."

    def test_missing_by_a_misspelling(self) -> None:
        builder = ConfigBuilder().without("base_url").with_field("baseurl", "https://acme.example.com")
        message = rejection(builder, "base_url")
        assert message == "Configuration: the field base_url is missing. Correct the name of baseurl."

    @pytest.mark.parametrize("field", ["client_id", "client_secret", "username", "password"])
    @pytest.mark.parametrize(
        ("value", "rule"),
        [("", "minLength: 1"), (None, "type: string"), (4711, "type: string"), (["the-password"], "type: string")],
    )
    def test_not_a_text(self, field: str, value: Any, rule: str) -> None:
        name = f"credentials.{field}"
        message = rejection(ConfigBuilder().with_password_grant().with_field(name, value), name)
        assert message == f"Configuration: the field {name} is not valid ({rule})."

    @pytest.mark.parametrize("auth_type", ["implicit", "", None, 1, ["password"]])
    def test_no_such_grant(self, auth_type: Any) -> None:
        name = "credentials.auth_type"
        message = rejection(ConfigBuilder().with_field(name, auth_type), name)
        assert message.endswith(" is not valid (enum: ['client_credentials', 'password']).")

    def test_no_grant(self) -> None:
        rejection(ConfigBuilder().without("credentials.auth_type"), "credentials.auth_type")

    @pytest.mark.parametrize("credentials", ["the-client-secret", None, ["the-client-secret"]])
    def test_credentials_that_are_no_object(self, credentials: Any) -> None:
        message = rejection(ConfigBuilder().with_field("credentials", credentials), "credentials")
        assert message.endswith(" is not valid (type: object).")

    @pytest.mark.parametrize(
        ("field", "number", "rule"),
        [
            ("num_workers", 1, "minimum: 2"),
            ("num_workers", 41, "maximum: 40"),
            ("num_workers", 2.5, "type: integer"),
            ("num_workers", "8", "type: integer"),
            ("num_workers", True, "type: integer"),
            ("num_workers", None, "type: integer"),
            ("calls_per_hour", 1, "minimum: 2"),  # the token and the first page
            ("calls_per_hour", 1.5, "type: integer"),
            ("calls_per_hour", None, "type: integer"),
            ("max_unreadable_parents", -1, "minimum: 0"),
        ],
    )
    def test_a_number_that_does_not_fit(self, field: str, number: Any, rule: str) -> None:
        message = rejection(ConfigBuilder().with_field(field, number), field)
        assert message == f"Configuration: the field {field} is not valid ({rule})."

    @pytest.mark.parametrize(
        ("field", "number"),
        [("num_workers", 2), ("num_workers", 40), ("num_workers", 8.0), ("calls_per_hour", 2), ("calls_per_hour", 8e2)],
    )
    def test_a_number_that_fits(self, docebo: Platform, field: str, number: float) -> None:
        docebo.serves(BRANCHES, {"id": 1})

        assert read("branches", config=ConfigBuilder().with_field(field, number).build()).is_complete("branches")

    @pytest.mark.parametrize(
        "value",
        [
            "2024-01-01",
            "2024-01-01T00:00:00+02:00",
            "2024-02-30T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "0000-00-00T00:00:00Z",
            "",
            None,
            20240101,
        ],
    )
    def test_a_start_date_that_is_no_date(self, value: Any) -> None:
        assert "docebosaas.com" not in rejection(ConfigBuilder().with_field("start_date", value), "start_date")

    def test_a_start_date_in_the_future(self) -> None:
        """Nothing would ever be read, and every sync would be complete."""
        rejection(ConfigBuilder().with_field("start_date", "2999-01-01T00:00:00Z"), "start_date")

    @pytest.mark.parametrize(
        "value", ["P", "PT", "P1", "1H", "P1H", "P1Y", "P1M", "-PT1H", "P1D2W", "P999999D", "an hour", "", None, 1]
    )
    def test_a_lookback_window_that_is_no_duration(self, value: Any) -> None:
        message = rejection(ConfigBuilder().with_field("lookback_window", value), "lookback_window")
        assert "docebosaas.com" not in message

    def test_unknown_fields_are_ignored(self, docebo: Platform) -> None:
        docebo.serves(USERS, {"user_id": 1})

        output = read("users", config=ConfigBuilder().with_field("end_date", "2024-01-01").build())

        assert output.is_complete("users")


def test_a_stream_that_does_not_exist_fails_after_the_others(docebo: Platform) -> None:
    """The CDK ignores it; the connector names it, so that no table stays empty unnoticed."""
    docebo.serves(USERS, {"user_id": 1})

    output = read("users", "webinars")

    assert output.records("users") == [{"user_id": 1}]
    assert output.is_complete("users")
    ((failure_type, message),) = output.errors()
    assert failure_type.value == "config_error"
    assert "webinars" in message
    assert "learning_plan_course_enrollments" in message
