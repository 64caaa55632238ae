"""Errors as the Airbyte user sees them: what happened, on which stream, and what to do."""

import logging

from airbyte_cdk.models import AirbyteMessage, FailureType, StreamDescriptor
from airbyte_cdk.utils import AirbyteTracedException


class DoceboError(AirbyteTracedException):
    """An anticipated error: its message is complete, so it is shown without a stack trace."""

    def __init__(self, message: str, failure_type: FailureType, status_code: int | None = None) -> None:
        super().__init__(message=message, internal_message=message, failure_type=failure_type)
        self.status_code = status_code

    def as_airbyte_message(self, stream_descriptor: StreamDescriptor | None = None) -> AirbyteMessage:
        """The protocol's error trace."""
        message = super().as_airbyte_message(stream_descriptor)
        if message.trace and message.trace.error:
            message.trace.error.stack_trace = None
        return message


def transient_error(message: str) -> DoceboError:
    """Only time can help."""
    return DoceboError(message, FailureType.transient_error)


def config_error(message: str) -> DoceboError:
    """Somebody must change the configuration of the connection or of Docebo."""
    return DoceboError(message, FailureType.config_error)


def system_error(message: str) -> DoceboError:
    """Docebo does what this connector does not expect."""
    return DoceboError(message, FailureType.system_error)


class WithoutStackTraces(logging.Filter):
    """Logs an anticipated error by its message, where the CDK would add the stack trace."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass."""
        if record.exc_info and isinstance(record.exc_info[1], AirbyteTracedException):
            record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1]}", ()
            record.exc_info = record.exc_text = None
        return True
