"""Errors that are reported to the user, as exceptions whose text is one sentence."""

from __future__ import annotations


class FilmColorizerError(Exception):
    """Base class of the errors that a command prints as one sentence, with exit code 1.

    The message says what is wrong, with which value, and what to do about it.

    Attributes:
        lack_of_room: the system's message if a file could not be written for lack of room.
    """

    def __init__(self, sentence: str = "", *, lack_of_room: str | None = None) -> None:
        super().__init__(sentence)
        self.lack_of_room = lack_of_room


def reason_of(error: Exception) -> str:
    """Return an exception's message, without the error number and path of the system or libav."""
    return str(getattr(error, "strerror", None) or error)


class OptionError(FilmColorizerError):
    """An option's value does not suit the film or the machine; the exit code is 2."""


class FfmpegError(FilmColorizerError):
    """ffmpeg cannot run, was ended from outside, or cannot do the work with any film."""


class VideoError(FilmColorizerError):
    """A film cannot be read or written."""


class SyncError(FilmColorizerError):
    """Two films cannot be synchronized, or a sync map is unusable."""


class PairsError(FilmColorizerError):
    """A folder of grey/colour pairs is missing, empty or inconsistent."""


class WeightsError(FilmColorizerError):
    """A weights file is missing, damaged or made for another network."""


class TrainingError(FilmColorizerError):
    """A training run cannot start, continue or finish."""
