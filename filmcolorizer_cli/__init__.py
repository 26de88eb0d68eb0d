"""FilmColorizer: give old black-and-white films their colours."""

__version__ = "0.1.0"
