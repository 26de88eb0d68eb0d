"""What can go wrong by a user's doing, as exceptions whose text is one sentence for that user."""

from __future__ import annotations


class FilmColorizerError(Exception):
    """Base of all errors that a command prints as one sentence, ending with exit code 1.

    The message says what is wrong, with which value, and what to do about it.

    Attributes:
        lack_of_room: the system's words for it, where a file could not be written for that reason.
    """

    def __init__(self, sentence: str = "", *, lack_of_room: str | None = None) -> None:
        super().__init__(sentence)
        self.lack_of_room = lack_of_room


def reason_of(error: Exception) -> str:
    """An exception in words, without the number and path that the system's and libav's have."""
    return str(getattr(error, "strerror", None) or error)


class OptionError(FilmColorizerError):
    """An option's value does not suit the film or machine at hand; ends with exit code 2."""


class FfmpegError(FilmColorizerError):
    """ffmpeg cannot be run, was ended from outside, or cannot do its work whatever film it gets."""


class VideoError(FilmColorizerError):
    """A film cannot be read or written."""


class SyncError(FilmColorizerError):
    """Two films cannot be lined up, or a sync map is unusable."""


class PairsError(FilmColorizerError):
    """A folder of grey/colour pairs is missing, empty or inconsistent."""


class WeightsError(FilmColorizerError):
    """A weights file is missing, damaged or made for another network."""


class TrainingError(FilmColorizerError):
    """A training run cannot start, go on or finish."""
