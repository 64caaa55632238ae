"""Errors as the Airbyte user sees them, and the secrets that no message may show."""

import logging
from collections.abc import Iterable
from functools import partial
from urllib.parse import quote_plus

from airbyte_cdk.models import AirbyteMessage, FailureType, StreamDescriptor
from airbyte_cdk.utils import AirbyteTracedException, airbyte_secrets_utils

logger = logging.getLogger("airbyte.source_docebo")
MIN_SECRET_CHARACTERS = 4  # a shorter one would be found in half of all words
_secrets: set[str] = set()


class DoceboError(AirbyteTracedException):
    """
    An anticipated error: its message is complete, so it is shown without a stack trace. Without a failure type it is a
    system error: Docebo does what this connector does not expect.
    """

    def __init__(self, message: str, failure_type: FailureType | None = None) -> None:
        masked = airbyte_secrets_utils.filter_secrets(message)  # here, since a traceback shows it in another form
        super().__init__(message=masked, internal_message=masked, failure_type=failure_type or FailureType.system_error)

    def __repr__(self) -> str:
        """The message alone: the CDK lists the streams that failed by their representation, in Airbyte's UI."""
        return str(self)

    def as_airbyte_message(self, stream_descriptor: StreamDescriptor | None = None) -> AirbyteMessage:
        """The protocol's error trace."""
        message = super().as_airbyte_message(stream_descriptor)
        if message.trace and message.trace.error:
            message.trace.error.stack_trace = None
        return message


class RequestError(DoceboError):
    """
    One request failed for good; others may be served. `status_code` is that of Docebo's refusal; None if there was no
    usable response.
    """

    def __init__(self, message: str, failure_type: FailureType | None, status_code: int | None = None) -> None:
        super().__init__(message, failure_type)
        self.status_code = status_code


class UnreadableParentsError(DoceboError):
    """A stream was read but for the children of some parents."""


# A later sync may succeed.
transient_error = partial(DoceboError, failure_type=FailureType.transient_error)
# Somebody must change the configuration of the connection or of Docebo.
config_error = partial(DoceboError, failure_type=FailureType.config_error)


def drop_stack_trace(record: logging.LogRecord) -> bool:
    """A logging filter: shows an anticipated error by its message, where the CDK would add the stack trace."""
    if record.exc_info and isinstance(record.exc_info[1], AirbyteTracedException):
        record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]}", ()
        record.exc_info = record.exc_text = None
    return True


def mask(secrets: Iterable[str] = ()) -> None:
    """
    Has the CDK mask these values and all earlier ones, raw and URL-encoded. The longest comes first, since it may
    contain another. Secrets below four characters are not masked.
    """
    others = {str(secret) for secret in airbyte_secrets_utils.__SECRETS_FROM_CONFIG} - _secrets
    for secret in others.union(secrets):
        if len(secret) >= MIN_SECRET_CHARACTERS:
            _secrets.update((secret, quote_plus(secret)))
    airbyte_secrets_utils.update_secrets(sorted(_secrets, key=len, reverse=True))
