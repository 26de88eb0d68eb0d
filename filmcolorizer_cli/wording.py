"""Films and results as words, as table rows, and as plain values for scripts.

Commands import this module before parsing their options, so slow imports are made inside functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filmcolorizer_cli.containers import Container
    from filmcolorizer_cli.encoding import Encoding
    from filmcolorizer_cli.film_evaluation import FilmEvaluation, FilmScore
    from filmcolorizer_cli.pair_evaluation import Evaluation, Score
    from filmcolorizer_cli.splits import Split
    from filmcolorizer_cli.training import Outcome
    from filmcolorizer_cli.video import Attachment, Film, Sound, Subtitle

FILM_COLUMNS = ("", "PSNR, dB", "over grey", "colourfulness", "flicker", "CDC")

MAX_UNREPORTED_LEAD_SECONDS = 0.3  # undecodable start of a recording that is not reported, at most


def describe_split(split: Split) -> str:
    """Describe how pairs are split."""
    from filmcolorizer_cli.splits import InterleavedSplit, Undivided

    if isinstance(split, InterleavedSplit):
        return "interleaved"
    if isinstance(split, Undivided):
        return "none: all pairs are measured together"
    return (
        f"by time: validation from {split.validation_from_seconds:g} s, test from"
        f" {split.test_from_seconds:g} s"
    )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def describe_time(seconds: float, *, digits: int = 3) -> str:
    """Format a time as hours, minutes and seconds, as commands accept it."""
    minutes, rest = divmod(round(seconds, digits), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:0{digits + 3}.{digits}f}"


def describe_outcome(outcome: Outcome) -> str:
    """Describe which weights a training kept, and their validation error."""
    errors = (
        f"validation MSE {outcome.validation_mse:.4f}, before training"
        f" {outcome.first_validation_mse:.4f}"
    )
    if outcome.trained_share == 0:
        return f"nothing beat the first weights on the validation part, so they are kept: {errors}"
    if outcome.trained_share == 1:
        return f"kept the weights of epoch {outcome.epoch}: {errors}"
    share = f"{outcome.trained_share:.0%}"
    return (
        f"kept weights {share} of the way from the first ones to those of epoch {outcome.epoch}:"
        f" {errors}"
    )


def describe_size(film: Film) -> str:
    """Describe width and height in pixels, and the pixels' shape where they are not square."""
    size = f"{film.width}x{film.height}"
    if film.sample_aspect_ratio != 1:
        shape = f"{film.sample_aspect_ratio.numerator}:{film.sample_aspect_ratio.denominator}"
        return f"{size} with pixels of {shape}"
    return size


def describe_rate(rate: Fraction) -> str:
    """Format a frame rate exactly, with a rounded value where it is not an integer."""
    return str(rate) if rate.denominator == 1 else f"{rate} ({float(rate):.3f})"


def describe_sounds(film: Film, target: Path) -> list[str]:
    """Describe what becomes of each sound track in the target file."""
    from filmcolorizer_cli.containers import CONTAINERS

    container = CONTAINERS[target.suffix.lower()]
    return [f"{_describe_track(it)} {_describe_sound(it, container)}" for it in film.sounds]


def _describe_sound(sound: Sound, container: Container) -> str:
    from filmcolorizer_cli.video import UNKNOWN_CODEC

    encoder = container.sound_encoder(sound)
    if encoder == "copy":
        return "copied"
    if sound.is_damaged and encoder is not None:
        return "re-encoded, since it is damaged"
    if encoder is not None:
        return f"to {encoder.partition('_')[0].upper()}"
    if sound.codec == UNKNOWN_CODEC:
        return "left out, since it cannot be decoded here"
    return f"left out, since AAC cannot hold its {sound.channels} channels"


def describe_more(
    film: Film,
    target: Path,
    frame_rate: Fraction | None = Fraction(24),
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
) -> list[tuple[str, str]]:
    """Describe what else a film contains, and what becomes of it in the coloured film.

    Args:
        frame_rate: the rate of the coloured film; None to keep the stored frames and their times.
        start_seconds, duration_seconds: the part that is colorized.
    """
    from filmcolorizer_cli.containers import CONTAINERS
    from filmcolorizer_cli.joining import keeps_time_code
    from filmcolorizer_cli.packets import uneven_pts

    ending = target.suffix.lower()
    lost = f"left out, since {ending[1:]} cannot hold them"
    if ending != ".mkv":
        lost += " (mkv can hold all known kinds)"
    container, facts = CONTAINERS[ending], []

    def describe_subtitle(subtitle: Subtitle) -> str:
        encoder = container.subtitle_encoder(subtitle)
        if encoder is None:
            return lost
        return "kept" if encoder == "copy" else f"to {encoder}"

    unseen = film.start_seconds - film.stored_from_seconds
    if unseen > MAX_UNREPORTED_LEAD_SECONDS and not start_seconds:
        facts.append(("begin", f"{unseen:.2f} s left out, since they cannot be decoded"))
    if film.subtitles:
        tracks = (f"{_describe_track(it)} {describe_subtitle(it)}" for it in film.subtitles)
        facts.append(("subtitles", "; ".join(tracks)))
    if film.chapters:
        is_whole = start_seconds == 0 and duration_seconds is None
        of_part = "" if is_whole else ", as far as they lie in this part"
        facts.append(("chapters", f"{film.chapters} kept{of_part}"))
    if film.attachments:
        tracks = (
            f"{_describe_attachment(it)} {'kept' if container.attaches(it) else lost}"
            for it in film.attachments
        )
        facts.append(("attachments", "; ".join(tracks)))
    if film.time_code:
        if frame_rate is None and not uneven_pts(film):
            frame_rate = film.frame_rate
        is_kept = keeps_time_code(film, frame_rate, start_seconds)
        fate = "kept" if is_kept else "left out, since it counts other frames"
        facts.append(("time code", f"{film.time_code} {fate}"))
    if film.other_picture_codecs:
        facts.append(("more pictures", f"{'; '.join(film.other_picture_codecs)} left out"))
    return facts


def describe_losses(film: Film, encoding: Encoding) -> list[tuple[str, str]]:
    """Describe what an encoding changes of a film's bit depth, range and size."""
    from filmcolorizer_cli.encoding import CODECS

    codec, facts = CODECS[encoding.codec], []
    if encoding.coding.bit_depth < film.coding.bit_depth:
        fate = (
            f"{film.coding.bit_depth} bits become the {encoding.coding.bit_depth} of {codec.name};"
            " --codec ffv1 keeps them all"
        )
        facts.append(("luma", fate))
    if encoding.coding.range != film.coding.range:
        fate = (
            f"the {film.coding.range} range becomes the {encoding.coding.range} one of"
            f" {codec.name}; any other --codec keeps it"
        )
        facts.append(("luma", fate))
    if (film.width % 2 or film.height % 2) and not codec.holds_odd_sizes:
        fate = (
            f"{film.width}x{film.height} is padded to even sides, which {codec.name} needs; --codec"
            " av1, prores or ffv1 keeps it"
        )
        facts.append(("size", fate))
    return facts


def describe_card(
    decoder: str | None, encoding: Encoding, skips_damage: bool
) -> list[tuple[str, str]]:
    """Describe which of decoding and encoding a graphics card does."""
    from filmcolorizer_cli.encoding import HARDWARE

    decodes = f"decodes with {decoder}" if decoder else "does not decode this"
    if skips_damage:
        decodes = "decodes nothing, since it might hide damage"
    is_on_card = str(encoding.encoder).endswith(HARDWARE)
    encodes = f"encodes with {encoding.encoder}" if is_on_card else "does not encode"
    return [("graphics card", f"{decodes}, {encodes}; the processor does the rest")]


def _describe_track(track: Sound | Subtitle) -> str:
    return f"{track.codec} ({track.language})" if track.language else track.codec


def _describe_attachment(attachment: Attachment) -> str:
    if attachment.codec:
        return f"cover ({attachment.codec})"
    return attachment.name or "a file without a name"


def film_evaluation_as_json(
    film: Film, result: FilmEvaluation, ways: list[str]
) -> dict[str, object]:
    """Return a result for scripts; scores of single frames are available from the library only."""
    return {
        "film": str(film.path),
        "width": result.width,
        "height": result.height,
        "frame_rate": str(result.frame_rate),
        "frames": result.frames,
        **{way: asdict(getattr(result, way)) for way in ways},
        "shots": [
            {
                "begin_seconds": shot.begin_seconds,
                "end_seconds": shot.end_seconds,
                "frames": shot.frames,
                **{way: asdict(getattr(shot, way)) for way in ways},
            }
            for shot in result.shots
        ],
    }


def pair_score_rows(
    result: Evaluation, name: str, *, with_baseline: bool
) -> list[list[tuple[str, ...]]]:
    """Return table rows, grouped by way of colouring: way, measure, and its value for each part.

    Args:
        name: the name of the model.
    """
    rows = {"naive baseline": result.baseline} if with_baseline else {}
    rows[name] = result.network
    measures: dict[str, Callable[[Score], str]] = {
        "MSE": lambda score: f"{score.mse:.4f}",
        "MSE / baseline": lambda s: "-" if s.mse_ratio is None else f"{s.mse_ratio:.2f}",
        "PSNR, dB": lambda score: f"{score.psnr:.2f}",
        "colourfulness": lambda score: f"{score.colorfulness:.1f}",
    }
    sections = [
        [
            (way, measure, *(show(score) for score in scores.values()))
            for measure, show in measures.items()
        ]
        for way, scores in rows.items()
    ]
    truth = (f"{score.true_colorfulness:.1f}" for score in result.network.values())
    return [*sections, [("truth", "colourfulness", *truth)]]


def film_score_rows(
    scores: dict[str, FilmScore], name: str, *, with_baseline: bool
) -> list[tuple[str, ...]]:
    """Return a table row with the columns `FILM_COLUMNS` for each way of colouring a film.

    Args:
        scores: the scores, keyed by `film_evaluation.WAYS`.
        name: the name of the model.
    """
    grey = scores["baseline"]
    named = {"naive baseline": grey} if with_baseline else {}
    named |= {name: scores["network"], "truth": scores["truth"]}
    rows = []
    for way, score in named.items():
        gain = None
        if score.psnr is not None and grey.psnr is not None:
            gain = score.psnr - grey.psnr
        shown = (
            (score.psnr, ".2f"),
            (gain, "+.2f"),
            (score.colorfulness, ".1f"),
            (score.flicker_ratio, ".2f"),
            (score.cdc, ".5f"),
        )
        numbers = ("-" if number is None else format(number, form) for number, form in shown)
        rows.append((way, *numbers))
    return rows
