from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from filmcolorizer_cli.errors import OptionError, VideoError
from filmcolorizer_cli.lettering import load_font, shortened
from filmcolorizer_cli.splitscreen import GAP, LINE, CompareOptions, Still, compare, frame_count
from filmcolorizer_cli.video import probe
from tests.films import (
    LOSSLESS,
    decode_planes,
    frame_number,
    make_clip,
    make_numbered_clip,
    run_ffmpeg,
)
from tests.machine import files_in
from tests.values import finished

LABELS = ("before", "after")
PLAIN = "color=0x{color}:size={{width}}x{{height}}:rate={{frame_rate}}:duration={{seconds}}"
TAGS = ("-colorspace", "bt709", "-color_range", "tv")


def run(
    first: Path, second: Path, target: Path, **options: Any
) -> tuple[int, list[Still], list[np.ndarray]]:
    """Compare two films; return the number of frames, the stills and the written film's planes."""
    chosen = CompareOptions(LABELS, **options)
    counts, (frames, stills) = finished(compare(probe(first), probe(second), target, chosen))
    assert counts == list(range(1, frames + 1))
    assert frames == frame_count(probe(first), probe(second), chosen)
    film = probe(target)
    return frames, stills, decode_planes(target, "yuv420p", (film.width, film.height))


def make_plain_clip(path: Path, color: str, **recipe: Any) -> Path:
    """Make 2 s of one colour, R'G'B' in hexadecimal, encoded by BT.709."""
    tagged = {"codec": LOSSLESS, "extra": ("-vf", "scale=out_color_matrix=bt709", *TAGS)}
    return make_clip(path, picture=PLAIN.format(color=color), **{**tagged, **recipe})


@pytest.fixture(scope="module")
def counted(clip_folder: Path) -> Path:
    """4 s of numbered frames at 25 fps."""
    return make_numbered_clip(clip_folder / "counted-25.mp4", seconds=4)


def test_compare_side_by_side_shows_the_same_frames(counted: Path, tmp_path: Path) -> None:
    frames, stills, (luma, cb, _) = run(counted, counted, tmp_path / "c.mp4", stills=4)
    assert frames == len(luma) == 100
    assert luma.shape[1:] == (32, 128 + GAP + 128)
    # Below the labels.
    numbers = [(frame_number(p[24:, :128]), frame_number(p[24:, 128 + GAP :])) for p in luma]
    assert numbers == [(n, n) for n in range(100)]
    assert (luma[:, 24:, 130:131] < 40).all(), "a gap"
    assert np.abs(cb.astype(int) - 128).max() <= 2
    assert [round(still.seconds * 25) for still in stills] == [12, 37, 62, 87]
    for still in stills:
        number = round(still.seconds * 25)
        assert [frame_number(p[..., 1]) for p in still.pictures] == [number] * 2
    assert probe(tmp_path / "c.mp4").frame_rate == 25
    assert files_in(tmp_path) == ["c.mp4"]


def test_compare_begins_where_it_is_told(counted: Path, tmp_path: Path) -> None:
    options = {"start_seconds": 1.0, "other_start_seconds": 2.0, "duration_seconds": 0.4}
    frames, stills, (luma, _, _) = run(counted, counted, tmp_path / "c.mp4", stills=1, **options)
    assert frames == 10
    numbers = [(frame_number(p[24:, :128]), frame_number(p[24:, 128 + GAP :])) for p in luma]
    assert numbers == [(25 + n, 50 + n) for n in range(10)]
    assert stills[0].seconds == pytest.approx(1.2)


def test_compare_brings_both_to_one_rate(counted: Path, tmp_path: Path) -> None:
    """The film has 25 frames a second and its coloured version 24; both are shown at 24."""
    other = make_numbered_clip(tmp_path / "counted-24.mp4", seconds=4, frame_rate="24")
    frames, _, (luma, _, _) = run(counted, other, tmp_path / "c.mp4")
    assert (frames, probe(tmp_path / "c.mp4").frame_rate) == (96, 24)
    for number in range(96):
        first, second = luma[number, 24:, :128], luma[number, 24:, 128 + GAP :]
        assert abs(frame_number(first) - number * 25 / 24) <= 0.55
        assert frame_number(second) == number


def test_compare_split_shows_a_half_of_each(tmp_path: Path) -> None:
    """Expected codes of red and blue by ITU-R BT.709-6, as of 100% bars."""
    red = make_plain_clip(tmp_path / "red.mkv", "ff0000", size=(320, 240))
    blue = make_plain_clip(tmp_path / "blue.mkv", "0000ff", size=(320, 240))
    _, _, planes = run(red, blue, tmp_path / "c.mp4", layout="split")
    luma, cb, cr = (plane[0].astype(int) for plane in planes)
    assert luma.shape == (240, 320)
    for part, code in ((luma[40:, :158], 63), (luma[40:, 162:], 32)):
        assert np.abs(part - code).max() <= 2
    for part, code in ((cb[20:, :79], 102), (cr[20:, :79], 240), (cb[20:, 81:], 240)):
        assert np.abs(part - code).max() <= 2
    assert (luma[40:, 160 - LINE // 2 : 160 + LINE // 2] > 225).all()
    # Letters on a darker box, at the left of the first film and at the right of the second.
    for label in (luma[:24, :80], luma[:24, -80:]):
        assert label.max() > 150
        assert label.min() < 45
    assert np.abs(luma[:24, 90:150] - 63).max() <= 2


def test_compare_fits_another_shape_into_that_of_the_first(tmp_path: Path) -> None:
    """A wide film beside a square one, whose pixels are twice as wide as high."""
    square = make_plain_clip(
        tmp_path / "square.mkv", "ffffff", size=(100, 200),
        extra=("-vf", "scale=out_color_matrix=bt709,setsar=2", *TAGS),
    )  # fmt: skip
    wide = make_plain_clip(tmp_path / "wide.mkv", "ffffff", size=(320, 160))
    _, _, (luma, cb, _) = run(square, wide, tmp_path / "c.mp4")
    assert luma.shape[1:] == (200, 200 + GAP + 200)
    assert (luma[0, 30:, :200] > 230).all()
    other = luma[0][:, 200 + GAP :]
    assert (other[52:148] > 230).all()
    assert (other[152:] < 20).all()
    assert np.abs(cb.astype(int) - 128).max() <= 2


def test_compare_ends_with_the_shorter(counted: Path, plain_clip: Path, tmp_path: Path) -> None:
    assert run(counted, plain_clip, tmp_path / "c.mp4")[0] == 50


def loudness(film: Path) -> np.ndarray:
    """Return the RMS level of each twentieth of a second."""
    sound = ("-map", "0:a:0", "-ac", "1", "-ar", "8000", "-f", "s16le", "pipe:1")
    samples = np.frombuffer(run_ffmpeg("-i", film, *sound), np.int16).astype(float)
    return np.sqrt(np.square(samples[: len(samples) // 400 * 400].reshape(-1, 400)).mean(axis=1))


@pytest.mark.parametrize("is_first", [True, False])
def test_compare_has_the_sound_of_the_first_that_has_any(
    is_first: bool, sound_clip: Path, plain_clip: Path, tmp_path: Path
) -> None:
    """The sound is a second of silence, then a tone; its first half second is left out."""
    films = (sound_clip, plain_clip) if is_first else (plain_clip, sound_clip)
    run(*films, tmp_path / "c.mp4", start_seconds=0.5, other_start_seconds=0.5)
    loud = loudness(tmp_path / "c.mp4") > 1000
    assert np.flatnonzero(loud)[0] == pytest.approx(10, abs=1)
    assert len(loud) == pytest.approx(30, abs=2)
    assert loud[12:28].all()


def test_compare_leaves_nothing_where_it_fails(counted: Path, tmp_path: Path) -> None:
    target = tmp_path / "c.mp4"
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(counted.read_bytes())
    film = probe(broken)
    broken.write_bytes(counted.read_bytes()[:3000])
    with pytest.raises(VideoError):
        list(compare(film, film, target, CompareOptions(LABELS)))
    assert files_in(tmp_path) == ["broken.mp4"]
    begun = compare(probe(counted), probe(counted), target, CompareOptions(LABELS))
    next(begun)
    begun.close()
    assert files_in(tmp_path) == ["broken.mp4"]


def test_compare_of_more_frames_a_second_than_are_written(counted: Path) -> None:
    fast = replace(probe(counted), frame_rate=Fraction(120))
    assert frame_count(fast, fast, CompareOptions(LABELS)) == 96


def test_compare_beyond_the_end(counted: Path, tmp_path: Path) -> None:
    film = probe(counted)
    options = CompareOptions(LABELS, start_seconds=4.0)
    with pytest.raises(OptionError, match="before the start at 4 s; give a smaller --start"):
        list(compare(film, film, tmp_path / "c.mp4", options))
    assert files_in(tmp_path) == []


def test_compare_labels_are_shortened_in_their_middle(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "Броненосец.mp4", size=(320, 180), seconds=0.2)
    names = ("The General (1926) 1080p BluRay x264.mp4", "The General (1926) 1080p-color.mp4")
    list(compare(probe(film), probe(film), tmp_path / "c.mp4", CompareOptions(names)))
    font = load_font(13)
    assert shortened("Броненосец", font, 1000) == "Броненосец"
    assert len({font.getmask(letter).getbbox() for letter in "БрЮ"}) == 3, "letters, not boxes"
    short = shortened(names[0], font, 150)
    assert font.getlength(short) <= 150 < font.getlength(names[0])
    assert re.fullmatch(r"The Gen.*….*x264\.mp4", short)
    assert shortened("abc", font, 1) == "…"
    assert shortened("two\nlines", font, 1000) == "two\ufffdlines"


def test_load_font_looks_for_letters_among_the_fonts_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    (broken := tmp_path / "broken.ttf").write_text("no font")
    found = [str(fonts / "cmr10.ttf"), str(fonts / "STIXGeneral.ttf"), str(broken)]
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: found)
    only_stix = "\u2315"  # DejaVu and cmr10 lack this character
    assert load_font(13, "Броненосец 1925.mp4").getname()[0] == "DejaVu Sans"
    assert load_font(13, only_stix).getname()[0] == "STIXGeneral"
    assert load_font(13, f"{only_stix} \u0531").getname()[0] == "DejaVu Sans", "no font has both"


def test_compare_keeps_stills_no_larger_than_sheets_need(tmp_path: Path) -> None:
    film = probe(make_clip(tmp_path / "wide.mp4", size=(1920, 800), seconds=0.2))
    comparing = compare(film, film, tmp_path / "c.mp4", CompareOptions(LABELS, "split"))
    _, (_, stills) = finished(comparing)
    assert {picture.shape for still in stills for picture in still.pictures} == {(267, 640, 3)}


@pytest.mark.parametrize("size", [(2, 2), (2, 64), (16, 2)])
@pytest.mark.parametrize("layout", ["side", "split"])
def test_compare_of_pictures_without_room_for_labels(
    layout: str, size: tuple[int, int], tmp_path: Path
) -> None:
    film = make_plain_clip(tmp_path / "small.mp4", "808080", size=size, seconds=0.2)
    frames, _, (luma, _, _) = run(film, film, tmp_path / "c.mp4", layout=layout)
    width = size[0] if layout == "split" else 2 * size[0] + GAP
    assert luma.shape == (frames, size[1], width)


def test_compare_takes_the_sound_that_can_be_heard(tmp_path: Path) -> None:
    first = make_clip(tmp_path / "first.mkv", seconds=0.4, sound="flac")
    first.write_bytes(first.read_bytes().replace(b"A_FLAC", b"A_XLAC"))
    second = make_clip(tmp_path / "second.mkv", seconds=0.4, sound="aac")
    list(compare(probe(first), probe(second), tmp_path / "c.mkv", CompareOptions(("a\nb", "c"))))
    assert [sound.codec for sound in probe(tmp_path / "c.mkv").sounds] == ["aac"]


def test_compare_of_a_part_without_a_frame(counted: Path, tmp_path: Path) -> None:
    film, options = probe(counted), CompareOptions(LABELS, duration_seconds=0.0)
    with pytest.raises(OptionError, match="a duration of 0 s is shorter than a frame; give a"):
        list(compare(film, film, tmp_path / "c.mp4", options))


def test_compare_keeps_a_still_where_the_pictures_end_early(counted: Path, tmp_path: Path) -> None:
    film = replace(probe(counted), duration_seconds=60.0)  # as if its sound were longer
    comparing = compare(film, film, tmp_path / "c.mp4", CompareOptions(LABELS, stills=1))
    _, (_, stills) = finished(comparing)
    assert [frame_number(still.pictures[0][..., 1]) for still in stills] == [99]
