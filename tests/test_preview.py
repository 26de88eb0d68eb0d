from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from filmcolorizer_cli.errors import OptionError, VideoError
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.preview import GREY, STILL_HEIGHT, STILL_WIDTH, Moment, preview
from filmcolorizer_cli.rendering import ColorizeOptions, no_picture
from filmcolorizer_cli.video import probe
from tests.damage import spoil_bytes
from tests.films import (
    LOSSLESS,
    X264,
    combing,
    frame_number,
    graded_film,
    make_clip,
    make_numbered_clip,
    run_ffmpeg,
)
from tests.networks import TINY

CPU = torch.device("cpu")
CHROMA = (-0.05, 0.1)  # Cb and Cr that `PlainNetwork` predicts
COLORED = "testsrc2=size={width}x{height}:rate=24:duration={seconds}"


class PlainNetwork(nn.Module):
    """A network that predicts one colour everywhere."""

    config = TINY

    def predict_chroma(self, luma: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = luma.shape
        return torch.tensor(CHROMA).view(1, 2, 1, 1).expand(batch, 2, height // 2, width // 2)


def moments(
    path: Path, frames: int, note: Callable[[str], object] = print, **options: Any
) -> list[Moment]:
    networks: Any = {"plain": PlainNetwork()}
    film, chosen = probe(path), ColorizeOptions(**options)
    return list(preview(film, networks, chosen, CPU, frames=frames, note=note))


@pytest.fixture(scope="module")
def counted(clip_folder: Path) -> Path:
    """Make 10 s of numbered frames at 24 fps, with a key frame every two seconds."""
    codec = ("-c:v", "libx264", "-preset", "fast", "-g", "48", "-sc_threshold", "0")
    path = clip_folder / "counted.mp4"
    return make_numbered_clip(path, seconds=10, frame_rate="24", codec=codec)


def test_preview_shows_the_frames_of_the_times_that_it_tells(counted: Path) -> None:
    taken = moments(counted, 8)
    assert len(taken) == 8
    for number, moment in enumerate(taken):
        assert number * 10 / 8 <= moment.seconds < (number + 1) * 10 / 8, "a frame of each share"
        shown = frame_number(moment.pictures[GREY][..., 1])
        assert shown == pytest.approx(moment.seconds * 24, abs=0.6)
        assert not moment.is_colored


def test_preview_of_a_part(counted: Path) -> None:
    times = [moment.seconds for moment in moments(counted, 4, start_seconds=6, duration_seconds=2)]
    assert all(6 + n / 2 <= seconds < 6.5 + n / 2 for n, seconds in enumerate(times))
    assert len(times) == 4


def test_preview_shows_no_more_frames_than_there_are(counted: Path) -> None:
    assert len(moments(counted, 50, start_seconds=9.5)) == 12


def test_preview_colors_as_the_network_says(tmp_path: Path) -> None:
    """By ITU-R BT.709-6, item 3.2 solved for R'G'B', on a ramp with room in the gamut."""
    ramp = "color=gray:size=160x96:rate=24:duration=1,geq=lum='80+X/2':cb=128:cr=128"
    tags = ("-colorspace", "bt709", "-color_range", "tv")
    clip = make_clip(tmp_path / "ramp.mkv", picture=ramp, seconds=1, codec=LOSSLESS, extra=tags)
    [moment] = moments(clip, 1)
    grey, colored = (moment.pictures[name].astype(float) / 255 for name in (GREY, "plain"))
    luma = (80 + np.arange(160) // 2 - 16) / 219
    np.testing.assert_allclose(grey, np.broadcast_to(luma[:, None], grey.shape), atol=0.012)
    cb, cr = CHROMA
    red, blue = 1.5748 * cr, 1.8556 * cb
    green = -(0.2126 * red + 0.0722 * blue) / 0.7152
    difference = colored - luma[:, None]
    np.testing.assert_allclose(difference - (red, green, blue), 0, atol=0.02)
    pale = moments(clip, 1, vividness=0.5)[0].pictures["plain"] / 255 - luma[:, None]
    np.testing.assert_allclose(pale - (red / 2, green / 2, blue / 2), 0, atol=0.02)


@pytest.mark.parametrize(
    ("matrix", "color_range", "layout"),
    [
        ("smpte170m", "tv", "yuv420p"),
        ("bt709", "pc", "yuv420p"),
        ("bt709", "tv", "yuv420p10le"),
    ],
)
def test_preview_colors_films_of_any_coding(
    matrix: str, color_range: str, layout: str, tmp_path: Path
) -> None:
    """The colours are those of BT.709 on the luma of the film."""
    gray = "color=gray:size=160x96:rate=24:duration=1,format=yuv420p"
    ramp = f"{gray},geq=lum='80+X/2':cb=128:cr=128,format=yuv420p"
    picture = f"{ramp},format={layout},setparams=range={color_range}:colorspace={matrix}"
    clip = make_clip(
        tmp_path / "ramp.mkv", picture=picture, seconds=1, codec=LOSSLESS, layout=layout
    )
    coding = probe(clip).coding
    assert coding.matrix == ("bt709" if matrix == "bt709" else "bt601")
    assert coding.range == ("full" if color_range == "pc" else "limited")
    [moment] = moments(clip, 1)
    codes = 80 + np.arange(160) // 2
    luma = codes / 255 if color_range == "pc" else (codes - 16) / 219
    cb, cr = CHROMA
    red, blue = 1.5748 * cr, 1.8556 * cb
    shift = np.array([red, -(0.2126 * red + 0.0722 * blue) / 0.7152, blue])
    if matrix != "bt709":
        shift -= shift @ (0.299, 0.587, 0.114)
    for name, expected in ((GREY, np.zeros(3)), ("plain", shift)):
        difference = moment.pictures[name] / 255 - luma[:, None]
        np.testing.assert_allclose(difference - expected, 0, atol=0.02)
        assert difference.mean(axis=(0, 1)) == pytest.approx(expected, abs=0.005)


def test_preview_shows_the_network_the_picture_in_its_shape(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "wide.mkv", size=(96, 72), extra=("-vf", "setsar=2"))
    seen: list[tuple[int, ...]] = []

    class ShapeNetwork(PlainNetwork):
        def predict_chroma(self, luma: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(luma.shape[-2:]))
            return super().predict_chroma(luma)

    networks: Any = {"plain": ShapeNetwork()}
    list(preview(probe(clip), networks, ColorizeOptions(), CPU, frames=2))
    assert set(seen) == {TINY.working_size(8 / 3)}


def test_preview_of_a_part_with_sound_alone(tmp_path: Path) -> None:
    """The container states the duration of the sound, not that of the picture."""
    film = tmp_path / "film.flv"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=24:duration=2")
    sound = ("-f", "lavfi", "-i", "sine=duration=6", "-c:a", "aac")
    run_ffmpeg(*picture, *sound, *X264, film)
    with pytest.raises(OptionError) as caught:
        moments(film, 3, start_seconds=4.0)
    assert str(caught.value) == str(no_picture(probe(film), 4.0))


def test_preview_looks_for_a_frame_that_is_not_blank(tmp_path: Path) -> None:
    dark = "testsrc2=size=64x48:rate=24:duration=3,hue=s=0:b='if(lt(t,2.4),-10,0)'"
    [moment] = moments(make_clip(tmp_path / "dark.mp4", picture=dark, seconds=3), 1)
    assert moment.seconds >= 2.4
    assert np.ptp(moment.pictures[GREY]) > 100


def test_preview_shows_another_shot_rather_than_the_same_again(tmp_path: Path) -> None:
    """A still shot of 5 s, with another shot from 3 to 4 s in it."""
    still = "mandelbrot=size=64x48:rate=24:maxiter=50,trim=end_frame=1,loop=-1:1,trim=end=5,hue=s=0"
    hidden = f"{still},negate=enable='between(t,3,4)'"
    taken = moments(make_clip(tmp_path / "hidden.mp4", picture=hidden, seconds=5), 2)
    assert 3 <= taken[1].seconds < 4


def test_preview_of_a_blank_film(tmp_path: Path) -> None:
    black = "color=black:size=64x48:rate=24:duration=2"
    assert len(moments(make_clip(tmp_path / "black.mp4", picture=black), 3)) == 3


@pytest.mark.slow
def test_preview_leaves_what_is_in_color_already(tmp_path: Path) -> None:
    """The sample film, and then bars and rings in all colours."""
    colored = make_clip(tmp_path / "colored.mp4", picture=COLORED, size=(96, 72), seconds=6)
    both = tmp_path / "both.mp4"
    graph = "[0:v]scale=96:72,format=yuv420p[a];[1:v]format=yuv420p[b];[a][b]concat=n=2"
    inputs = ("-i", SAMPLE_FILM, "-i", colored, "-filter_complex", graph, "-an")
    run_ffmpeg(*inputs, "-c:v", "libx264", "-crf", "12", both)
    taken = moments(both, 6)
    assert [moment.is_colored for moment in taken] == [False] * 3 + [True] * 3
    own = taken[5].pictures["plain"].astype(int)
    assert (np.ptp(own, axis=2) > 150).any(), "a colour that the network does not make"
    assert not any(moment.is_colored for moment in moments(both, 6, recolor=True))
    for start in (0.0, 5.0):  # the last moment has hardly more than one frame left
        with pytest.raises(OptionError, match="is already in colour; give --recolor"):
            moments(colored, 6, start_seconds=start)


def test_preview_keeps_bars_black(tmp_path: Path) -> None:
    barred = graded_film(tmp_path / "barred.mp4", "scale=240:180,pad=320:180:40:0")
    for moment in moments(barred, 3):
        colored = moment.pictures["plain"].astype(int)
        bars = np.hstack((colored[:, :36], colored[:, -36:]))
        assert np.ptp(bars, axis=2).max() <= 2
        assert np.ptp(colored[:, 44:-44], axis=2).mean() > 10


@pytest.mark.slow
def test_preview_makes_whole_pictures_of_fields(tmp_path: Path) -> None:
    """A fast motion, whose rows are combed where a frame holds the fields of two moments."""
    motion = "testsrc2=size=320x240:rate=50:duration=8,hue=s=0,scroll=h=0.04"
    clip = make_clip(
        tmp_path / "fields.mp4", picture=f"{motion},tinterlace=interleave_top,setfield=prog"
    )

    whole, combed = (
        [moment.pictures[GREY][..., 1] for moment in moments(clip, 3, deinterlace=way)]
        for way in ("auto", "off")
    )
    assert combing(whole) < 0.6 * combing(combed)


def test_preview_shows_films_in_their_shape(tmp_path: Path) -> None:
    wide = make_clip(tmp_path / "wide.mkv", size=(720, 576), extra=("-vf", "setsar=64/45"))
    [moment] = moments(wide, 1)
    shapes = {picture.shape for picture in moment.pictures.values()}
    assert shapes == {(360, STILL_WIDTH, 3)}
    tall = make_clip(tmp_path / "tall.mp4", size=(600, 1200))
    assert moments(tall, 1)[0].pictures[GREY].shape == (STILL_HEIGHT, 240, 3)


def test_preview_beyond_the_end(counted: Path) -> None:
    with pytest.raises(OptionError, match=r"ends at 10\.00 s, before the start at 11 s"):
        moments(counted, 1, start_seconds=11)


@pytest.fixture
def film_bytes(tmp_path: Path) -> bytearray:
    """Return the bytes of an mp4 of 18 s with a key frame every half second."""
    path, how = tmp_path / "whole.mp4", ("-g", "12", "-crf", "18", "-movflags", "+faststart")
    run_ffmpeg("-stream_loop", 2, "-i", SAMPLE_FILM, "-an", *X264, *how, path)
    return bytearray(path.read_bytes())


@pytest.mark.slow
def test_preview_shows_other_frames_where_a_film_is_damaged(
    film_bytes: bytearray, tmp_path: Path
) -> None:
    film, notes, third = tmp_path / "film.mp4", list[str](), len(film_bytes) // 3
    spoil_bytes(film_bytes, third, 2 * third)
    film.write_bytes(film_bytes)
    taken = moments(film, 9, notes.append)
    assert 6 <= len(taken) < 9
    assert not [moment.seconds for moment in taken if 8 < moment.seconds < 10]
    (note,) = notes
    assert note.startswith(f"damaged places were left out: {film} is damaged or cut short")


def test_preview_tells_of_a_part_that_is_damaged_everywhere(
    film_bytes: bytearray, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    spoil_bytes(film_bytes, len(film_bytes) // 6, len(film_bytes))
    film.write_bytes(film_bytes)
    with pytest.raises(VideoError, match="is damaged or cut short"):
        moments(film, 4, start_seconds=4.0)


def test_preview_of_a_short_part_that_is_damaged_in_its_midst(
    film_bytes: bytearray, tmp_path: Path
) -> None:
    """So short a part is surveyed as one sample, which fails here."""
    film, notes, third = tmp_path / "film.mp4", list[str](), len(film_bytes) // 3
    spoil_bytes(film_bytes, third, 2 * third)
    film.write_bytes(film_bytes)
    taken = moments(film, 5, notes.append, start_seconds=4.0, duration_seconds=5.0)
    assert taken
    assert all(4.0 <= moment.seconds < 7.0 for moment in taken)
    assert len(notes) == 1
