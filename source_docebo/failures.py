"""Failures as the person in the Airbyte UI meets them: what happened, where, and what to do."""

import logging

from airbyte_cdk.models import AirbyteMessage, FailureType, StreamDescriptor
from airbyte_cdk.utils import AirbyteTracedException


class Failure(AirbyteTracedException):
    """A failure that was foreseen: its message says all, so it is shown without a stack trace."""

    def __init__(self, message: str, failure_type: FailureType) -> None:
        super().__init__(message=message, internal_message=message, failure_type=failure_type)

    def as_airbyte_message(self, stream_descriptor: StreamDescriptor | None = None) -> AirbyteMessage:
        """The trace message of the Airbyte protocol."""
        message = super().as_airbyte_message(stream_descriptor)
        if message.trace and message.trace.error:
            message.trace.error.stack_trace = None
        return message


def transient(message: str) -> Failure:
    """Only time can help."""
    return Failure(message, FailureType.transient_error)


def to_configure(message: str) -> Failure:
    """Somebody must change the configuration of the connection or of Docebo."""
    return Failure(message, FailureType.config_error)


def unexpected(message: str) -> Failure:
    """Docebo does what nobody knew of."""
    return Failure(message, FailureType.system_error)


class WithoutStackTraces(logging.Filter):
    """Logs a foreseen failure by its message, where the CDK would add the stack trace."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass."""
        if record.exc_info and isinstance(record.exc_info[1], AirbyteTracedException):
            record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]}", ()
            record.exc_info = record.exc_text = None
        return True
