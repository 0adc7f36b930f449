"""Why a request gets no answer, whatever the protocol."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - the usual word of queues
    """Why there is no answer. `retry_after_s`: when it is worth asking again, None for never by waiting."""

    retry_after_s: int | None = None


class NoSuchModel(Refusal):
    """No model of the name that was given answers, or none was named and there is no default. `message`: without the
    field's name, as an OptionError's."""

    def __init__(self, message: str) -> None:
        super().__init__(f"model: {message}")
        self.message = message


class CannotServe(Refusal):
    """The model is there and does not answer, or there is none at all."""

    retry_after_s = 5


class QueueFull(Refusal):
    """As many wait as may."""

    retry_after_s = 1


class AnswersFull(QueueFull):
    """The answers that are made and read take as much memory as they may."""


class Draining(Refusal):
    """No more requests are taken, or this one was still being answered when time was up."""

    retry_after_s = 5


class NotReady(Refusal):
    """The model has not run yet, or has failed several times in a row."""

    retry_after_s = 5


class DeadlineExceeded(Refusal):
    """The answer took longer than it may."""

    retry_after_s = 1


class StepFailed(Refusal):
    """The engine failed while this was being answered."""


class Cancelled(Refusal):
    """`cancel` was called."""
