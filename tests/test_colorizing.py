from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from filmcolorizer_cli import colorizing, painting, segments
from filmcolorizer_cli.colorizing import colorize, usual_workers
from filmcolorizer_cli.encoding import Encoding
from filmcolorizer_cli.errors import FfmpegError, FilmColorizerError, OptionError, VideoError
from filmcolorizer_cli.ffmpeg import BINARY_VARIABLE, find_binary
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.models import find_model
from filmcolorizer_cli.networks import Network, build
from filmcolorizer_cli.planes import PLAIN
from filmcolorizer_cli.rendering import ColorizeOptions
from filmcolorizer_cli.shots import Shots
from filmcolorizer_cli.video import Film, probe
from filmcolorizer_cli.weights import load
from tests.damage import spoil_frames
from tests.films import (
    X264,
    combing,
    decode_planes,
    frame_number,
    graded_film,
    make_numbered_clip,
    make_raw_clip,
    run_ffmpeg,
    times_of,
)
from tests.machine import files_in, our_children
from tests.networks import TINY, vivid_network

CPU = torch.device("cpu")
NEUTRAL = 128
QUICK = Encoding(preset="ultrafast")


@pytest.mark.parametrize("size", [(64, 48), (65, 48), (64, 47), (33, 21)])
def test_colorize_writes_any_size(size: tuple[int, int], tmp_path: Path) -> None:
    pictures = np.full((12, 3, size[1], size[0]), 120, np.uint8)
    clip = tmp_path / "clip.mkv"
    make_raw_clip(clip, pictures, size=size, layout="yuv444p", frame_rate=Fraction(24))
    assert (probe(clip).width, probe(clip).height) == size
    target = tmp_path / "color.mp4"
    assert list(run_colorize(probe(clip), target)) == list(range(1, 13))
    film = probe(target)
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert (film.width, film.height) == even
    assert (film.frame_rate, film.frame_count()) == (24, 12)


def run_colorize(
    film: Film,
    target: Path,
    network: Network | None = None,
    note: Callable[[str], object] = print,
    workers: int = 1,
    overwrite: bool = False,
    **options: Any,
) -> Generator[int, None, None]:
    chosen = ColorizeOptions(**{"encoding": QUICK, "recolor": True, **options})
    how: dict[str, Any] = {"workers": workers, "overwrite": overwrite, "note": note}
    return colorize(film, target, network or vivid_network(), chosen, CPU, **how)


def test_colorize_to_24_fps_goes_by_time(numbered_clip: Path, tmp_path: Path) -> None:
    source, target = probe(numbered_clip), tmp_path / "color.mp4"
    assert (source.frame_rate, source.frame_count()) == (25, 100)
    assert list(run_colorize(source, target)) == list(range(1, 97))
    luma, cb, cr = decode_planes(target, "yuv420p", (128, 32))
    assert len(luma) == 96
    for index, picture in enumerate(luma):
        assert abs(frame_number(picture) - index * 25 / 24) <= 0.5
    assert np.abs(np.stack((cb, cr)).astype(int) - NEUTRAL).mean() > 5, "no colour"
    film = probe(target)
    assert (film.frame_rate, film.duration_seconds) == (24, 4.0)
    assert (film.coding, film.is_matrix_tagged) == (PLAIN, True)


def test_colorize_takes_a_part(numbered_clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "color.mp4"
    part: dict[str, Any] = {"start_seconds": 1.0, "duration_seconds": 1.6}
    encoding = Encoding(frame_rate=Fraction(25), preset="ultrafast")
    list(run_colorize(probe(numbered_clip), target, encoding=encoding, **part))
    luma, _, _ = decode_planes(target, "yuv420p", (128, 32))
    assert [frame_number(picture) for picture in luma] == list(range(25, 65))
    # The film's tone begins at 2 s, one second into the part.
    sound = np.frombuffer(run_ffmpeg("-i", target, "-f", "s16le", "-ac", 1, "pipe:1"), np.int16)
    assert len(sound) / 44100 == pytest.approx(1.6, abs=0.05)
    before, after = sound[: int(0.95 * 44100)], sound[int(1.05 * 44100) :]
    assert np.abs(before).mean() < 20 < 2000 < np.abs(after[: 44100 // 2]).mean()


@pytest.mark.parametrize(("seconds", "frames"), [(1.5, 38), (1.46, 36), (1.54, 38)])
def test_colorize_takes_as_many_frames_wherever_segments_begin(
    seconds: float,
    frames: int,
    numbered_clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The part ends half-way between two frames; its last segment begins at an odd frame."""
    shorten_segments(monkeypatch)
    for module in (colorizing, painting):
        monkeypatch.setattr(module, "CHUNK_FRAMES", 25)
    encoding = replace(QUICK, frame_rate=Fraction(25))
    target = tmp_path / "out.mp4"
    rendered = run_colorize(
        probe(numbered_clip), target, encoding=encoding, duration_seconds=seconds
    )
    assert len(list(rendered)) == frames


@pytest.mark.slow
def test_colorize_more_vividly_changes_chroma_alone(color_film: Path, tmp_path: Path) -> None:
    encoding = Encoding(crf=0, preset="ultrafast")  # lossless, to compare exact values
    planes = {}
    for vividness in (None, 0.0, 1.0, 1.5):
        target = tmp_path / "color.mp4"
        more: dict[str, Any] = {} if vividness is None else {"vividness": vividness}
        list(
            run_colorize(probe(color_film), target, encoding=encoding, duration_seconds=0.5, **more)
        )
        planes[vividness] = decode_planes(target, "yuv420p", (96, 72))
    for luma, _, _ in planes.values():
        np.testing.assert_array_equal(luma, planes[1.0][0])
    chroma = {v: np.stack(p[1:]).astype(int) - NEUTRAL for v, p in planes.items()}
    assert (chroma[0.0] == 0).all()
    np.testing.assert_array_equal(chroma[None], chroma[1.0])
    assert np.abs(chroma[1.0]).mean() > 5
    assert (np.abs(chroma[1.5]) >= np.abs(chroma[1.0]) - 1).all()
    assert np.abs(chroma[1.5]).mean() > 1.1 * np.abs(chroma[1.0]).mean()


def sound_packets(path: Path) -> bytes:
    """Return the MD5 hash of all sound packets, as stored."""
    return run_ffmpeg("-i", path, "-map", "0:a:0", "-c", "copy", "-f", "md5", "pipe:1")


@pytest.fixture(scope="module")
def colorized_sample(clip_folder: Path) -> Path:
    """The first two seconds of the sample film, colorized with the default settings."""
    target = clip_folder / "sample-color.mp4"
    options = ColorizeOptions(duration_seconds=2.0)
    list(colorize(probe(SAMPLE_FILM), target, vivid_network(), options, CPU))
    return target


def test_colorize_copies_the_sound_in_step(color_film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    source = probe(color_film)
    list(run_colorize(source, target))
    film = probe(target)
    assert [sound.codec for sound in film.sounds] == ["aac"]
    assert sound_packets(target) == sound_packets(color_film)
    assert film.sounds[0].start_seconds == source.sounds[0].start_seconds
    assert film.start_seconds == source.start_seconds
    assert abs(film.duration_seconds - source.duration_seconds) <= 1 / 24


def luma_psnr(luma: np.ndarray, truth: np.ndarray) -> float:
    error = np.mean((luma.astype(float) - truth) ** 2)
    return float(10 * np.log10(255**2 / error))


def test_colorize_loses_no_more_luma_than_a_plain_encode(
    colorized_sample: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.mp4"
    settings = ("-c:v", "libx264", "-crf", 18, "-preset", "medium")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-t", 2, *settings, plain)
    size = (480, 360)
    truth = decode_planes(SAMPLE_FILM, "yuv420p", size)[0][:48]
    by_us, cb, _ = decode_planes(colorized_sample, "yuv420p", size)
    by_x264 = decode_planes(plain, "yuv420p", size)[0]
    assert len(by_us) == len(by_x264) == len(truth) == 48
    assert 30 < luma_psnr(by_x264, truth) < 60
    assert abs(luma_psnr(by_us, truth) - luma_psnr(by_x264, truth)) < 0.2
    assert np.abs(cb.astype(int) - NEUTRAL).mean() > 5, "no colour"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chaplin", "a-bomb_blast_effects_part"])
def test_colorize_real_old_films(name: str, shared_data: Path, tmp_path: Path) -> None:
    source = probe(shared_data / "old" / f"{name}.mp4")
    target = tmp_path / "color.mp4"
    encoding = Encoding(frame_rate=source.frame_rate)
    list(run_colorize(source, target, encoding=encoding))
    film = probe(target)
    assert (film.width, film.height) == (source.width, source.height)
    assert abs(film.duration_seconds - source.duration_seconds) <= 1 / source.frame_rate
    size = (source.width, source.height)
    plain = tmp_path / "plain.mp4"
    run_ffmpeg(
        "-i", source.path, "-an", "-c:v", "libx264", "-crf", 18, "-preset", "medium", plain
    )  # fmt: skip
    truth = decode_planes(source.path, "yuv420p", size)[0]
    by_us, cb, cr = decode_planes(target, "yuv420p", size)
    by_x264 = decode_planes(plain, "yuv420p", size)[0]
    assert abs(luma_psnr(by_us, truth) - luma_psnr(by_x264, truth)) < 0.2
    chroma = np.abs(np.stack((cb, cr)).astype(int) - NEUTRAL)
    assert chroma.mean() > 5
    if name == "chaplin":  # its bars, into which the encoder may spill a little
        assert chroma[..., :20].max() <= 1
        assert chroma[..., -20:].max() <= 1


def test_colorize_refuses_to_start_behind_the_end(plain_clip: Path, tmp_path: Path) -> None:
    for start in (2.0, 100.0):
        with pytest.raises(OptionError) as caught:
            list(run_colorize(probe(plain_clip), tmp_path / "color.mp4", start_seconds=start))
        assert str(caught.value) == (
            f"{plain_clip} ends at 2.00 s, before the start at {start:g} s; give a smaller --start"
        )
    assert files_in(tmp_path) == []


def test_colorize_that_is_stopped_early_leaves_nothing(plain_clip: Path, tmp_path: Path) -> None:
    frames = run_colorize(probe(plain_clip), tmp_path / "color.mp4")
    assert [next(frames), next(frames)] == [1, 2]
    parts = tmp_path / "color.mp4.parts"
    give_up = time.monotonic() + 30
    while len(files_in(parts)) < 2:  # until ffmpeg has begun to write
        assert time.monotonic() < give_up
        time.sleep(0.01)
    frames.close()
    assert files_in(tmp_path) == []


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of half a second: the numbered clip of four seconds has eight, of 12 frames each."""
    shorten_segments(monkeypatch)
    let_shots_stand_alone(monkeypatch)


def shorten_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colorizing, "SEGMENT_SECONDS", 0.5)
    monkeypatch.setattr(segments, "MAX_SHIFT_SHARE", 0)  # regardless of where shots begin
    for module in (colorizing, painting):
        monkeypatch.setattr(module, "CHUNK_FRAMES", 12)
    # With many processors, other worker counts change a few values by one code.
    monkeypatch.setattr(painting, "count_processors", lambda: 2)


def let_shots_stand_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep shots independent: pictures of bars look alike, so workers would wait for each other.

    Bars that go dark count as no iris either.
    """
    monkeypatch.setattr(Shots, "returns", lambda shots, begins: {})
    monkeypatch.setattr("filmcolorizer_cli.shots._is_iris", lambda before, after: False)


def decoded(path: Path) -> list[bytes]:
    """Return all frames as bytes, including chroma."""
    film = probe(path)
    planes = decode_planes(path, "yuv420p", (film.width, film.height))
    return [b"".join(plane.tobytes() for plane in frame) for frame in zip(*planes, strict=True)]


@pytest.fixture
def whole(short_segments: None, frames_of_the_whole: list[bytes]) -> list[bytes]:
    """The decoded frames of an uninterrupted rendering of the numbered clip."""
    return frames_of_the_whole


@pytest.fixture(scope="module")
def frames_of_the_whole(
    numbered_clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[bytes]:
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        shorten_segments(patch)
        let_shots_stand_alone(patch)
        frames = list(run_colorize(probe(numbered_clip), folder / "whole.mp4"))
    assert frames == list(range(1, 97))
    assert files_in(folder) == ["whole.mp4"]
    assert len(decoded(folder / "whole.mp4")) == 96
    return decoded(folder / "whole.mp4")


@pytest.mark.slow
def test_colorize_in_segments_shows_the_frames_of_one_piece(
    numbered_clip: Path, short_segments: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With lossless x264, segment borders leave no trace."""
    lossless = Encoding(crf=0, preset="ultrafast")
    list(run_colorize(probe(numbered_clip), tmp_path / "segments.mp4", encoding=lossless))
    monkeypatch.setattr(colorizing, "SEGMENT_SECONDS", 100)
    list(run_colorize(probe(numbered_clip), tmp_path / "piece.mp4", encoding=lossless))
    assert decoded(tmp_path / "segments.mp4") == decoded(tmp_path / "piece.mp4")
    ours, theirs = (probe(tmp_path / name) for name in ("segments.mp4", "piece.mp4"))
    assert replace(ours, path=theirs.path) == theirs


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [12, 13, 50, 96])
def test_colorize_goes_on_after_the_segments_that_are_done(
    stop_after: int, numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    target, notes = tmp_path / "color.mp4", list[str]()
    frames = run_colorize(probe(numbered_clip), target)
    for _ in range(stop_after):
        next(frames)
    frames.close()
    assert not target.exists()
    done = (stop_after - 1) // 12 * 12  # a segment is done once the next frame is asked for
    if not done:
        assert files_in(tmp_path) == []
        return
    assert files_in(tmp_path) == ["color.mp4.parts"]
    frames = run_colorize(probe(numbered_clip), target, note=notes.append)
    assert list(frames) == [done, *range(done + 1, 97)]
    assert notes == [f"resuming after the {done} frames of an interrupted rendering"]
    assert decoded(target) == whole
    assert files_in(tmp_path) == ["color.mp4"]


def interrupt(clip: Path, target: Path) -> Path:
    """Stop a rendering within its fifth segment, and return the folder of parts."""
    frames = run_colorize(probe(clip), target)
    for _ in range(50):
        next(frames)
    frames.close()
    return target.with_name(f"{target.name}.parts")


@pytest.mark.slow
def test_colorize_keeps_what_a_long_look_found_before_the_first_segment_is_done(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a film of hours, the survey takes many minutes; a short survey leaves nothing."""
    target, notes = tmp_path / "color.mp4", list[str]()
    for seconds, left in ((60.0, []), (0.0, ["color.mp4.parts"])):
        monkeypatch.setattr(colorizing, "MIN_KEPT_SURVEY_SECONDS", seconds)
        frames = run_colorize(probe(numbered_clip), target)
        next(frames)
        frames.close()
        assert files_in(tmp_path) == left
    monkeypatch.setattr(colorizing, "survey", None)
    list(run_colorize(probe(numbered_clip), target, note=notes.append))
    assert notes == ["reusing what an interrupted rendering found in the film"]
    assert decoded(target) == whole
    assert files_in(tmp_path) == ["color.mp4"]


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["lost", "cut short", "emptied"])
def test_colorize_makes_a_damaged_segment_anew(
    damage: str, numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    target = tmp_path / "color.mp4"
    segment = interrupt(numbered_clip, target) / "000002.mp4"
    if damage == "lost":
        segment.unlink()
    else:
        data = segment.read_bytes()
        segment.write_bytes(data[: len(data) // 2] if damage == "cut short" else b"")
    first, *_ = run_colorize(probe(numbered_clip), target)
    assert first == 24  # the one before is rendered again too, for the colours carried on from it
    assert decoded(target) == whole


@pytest.mark.slow
def test_colorize_through_a_link_keeps_the_link(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "color.mp4"
    link.symlink_to(tmp_path / "disk" / "film.mp4")
    list(run_colorize(probe(numbered_clip), link))
    assert link.is_symlink()
    assert decoded(tmp_path / "disk" / "film.mp4") == whole
    assert files_in(tmp_path / "disk") == ["film.mp4"]


@pytest.mark.slow
def test_colorize_with_other_options_starts_anew_only_where_it_may(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    target, notes = tmp_path / "color.mp4", list[str]()
    interrupt(numbered_clip, target)
    film, reason = probe(numbered_clip), "used vividness 1.0, not 0.0"
    with pytest.raises(
        FilmColorizerError, match=f"{reason}; continue with that, or give --overwrite"
    ):
        next(run_colorize(film, target, vividness=0.0))
    options: dict[str, Any] = {"overwrite": True, "note": notes.append}
    list(run_colorize(film, target, vividness=0.0, **options))
    start = "starting over: the interrupted rendering "
    assert notes == [f"{start}{reason}"]
    assert decoded(target) != whole
    interrupt(numbered_clip, target)
    list(run_colorize(film, target, network=build(TINY), **options))
    assert notes[1].startswith(f"{start}used --model whose weights have the checksum ")
    interrupt(numbered_clip, target)
    list(run_colorize(film, target, temporal=False, **options))
    assert notes[2] == f"{start}used --no-temporal no, not yes"


@pytest.mark.slow
def test_colorize_of_a_changed_source_starts_anew(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    source, target, notes = tmp_path / "film.mp4", tmp_path / "color.mp4", list[str]()
    shutil.copy(numbered_clip, source)
    interrupt(source, target)
    with source.open("r+b") as file:  # in the picture's last packet or its index
        file.seek(-100, os.SEEK_END)
        file.write(b"another")
    list(run_colorize(probe(source), target, overwrite=True, note=notes.append))
    [told] = notes
    assert told.startswith("starting over: the interrupted rendering used source's checksum ")


@pytest.mark.slow
def test_colorize_goes_on_with_a_source_that_was_copied(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    """The copy has another path and modification time."""
    source, copy, target = (tmp_path / f"{name}.mp4" for name in ("film", "copy", "color"))
    shutil.copy(numbered_clip, source)
    interrupt(source, target)
    source.rename(copy)
    os.utime(copy, (1, 1))
    first, *_ = run_colorize(probe(copy), target)
    assert first == 48
    assert decoded(target) == whole


@pytest.mark.slow
def test_colorize_writes_over_nothing_that_came_meanwhile(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    """This includes the source, through a link; what is rendered is kept."""
    source, target = tmp_path / "film.mp4", tmp_path / "color.mp4"
    shutil.copy(numbered_clip, source)
    frames = run_colorize(probe(source), target)
    next(frames)
    target.symlink_to(source)
    with pytest.raises(FilmColorizerError, match="was meanwhile written by another program"):
        list(frames)
    assert source.read_bytes() == numbered_clip.read_bytes()
    target.unlink()
    frames = run_colorize(probe(source), target, overwrite=True)
    next(frames)
    target.write_text("may go")
    list(frames)
    assert decoded(target) == whole
    target.unlink()
    list(run_colorize(probe(source), target))
    assert decoded(target) == whole


def test_colorize_notices_a_source_that_changes_while_it_is_looked_through(
    numbered_clip: Path, tmp_path: Path
) -> None:
    source = tmp_path / "film.mp4"
    shutil.copy(numbered_clip, source)

    def track(frames: Iterable[Any], total: int, label: str) -> Iterable[Any]:
        source.write_bytes(source.read_bytes()[:5000])
        return frames

    film, options = probe(source), ColorizeOptions(QUICK, recolor=True)
    with pytest.raises(VideoError, match="was changed while it was being read"):
        list(colorize(film, tmp_path / "c.mp4", vivid_network(), options, CPU, track=track))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["gone", "another", "written to", "gone before it is opened"])
def test_colorize_notices_a_source_that_changes_while_it_is_read(
    what: str, numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    source, target, aside = tmp_path / "film.mp4", tmp_path / "color.mp4", tmp_path / "aside.mp4"
    shutil.copy2(numbered_clip, source)
    before = our_children()
    frames = run_colorize(probe(source), target)
    for _ in range(24 if what == "gone before it is opened" else 30):
        next(frames)
    source.rename(aside)  # what has been opened can still be read
    if what == "another":
        shutil.copy(SAMPLE_FILM, source)
    elif what == "written to":
        shutil.copy2(aside, source)
        with source.open("ab") as file:
            file.write(b"more")
    with pytest.raises(VideoError) as caught:
        list(frames)
    reason = (
        "was changed while it was being read; put the previous file back and run the same command"
        " again to continue, or give --overwrite to start over with this one"
    )
    if what.startswith("gone"):
        reason = (
            "cannot be read any more (No such file or directory); put it back, and run the same"
            " command again to continue"
        )
    assert str(caught.value) == f"{source} {reason}"
    assert not target.exists()
    assert our_children() == before
    aside.rename(source)
    first, *_ = run_colorize(probe(source), target)
    assert first == (12 if what == "gone before it is opened" else 24)
    assert decoded(target) == whole


@pytest.mark.slow
def test_colorize_leaves_alone_what_another_is_rendering(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    target = tmp_path / "color.mp4"
    frames = run_colorize(probe(numbered_clip), target)
    for _ in range(30):
        next(frames)
    for vividness in (1.0, 0.5):
        with pytest.raises(FilmColorizerError) as caught:
            list(run_colorize(probe(numbered_clip), target, vividness=vividness))
        assert str(caught.value) == (
            f"another filmcolorizer is rendering in {target}.parts; wait for it or stop it, or"
            " choose another place with -o"
        )
    assert list(frames) == list(range(31, 97))
    assert decoded(target) == whole
    assert files_in(tmp_path) == ["color.mp4"]


@pytest.mark.parametrize("content", [None, "{", '{"format": "other/1"}'])
def test_colorize_touches_no_folder_that_is_not_its_own(
    content: str | None, plain_clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "color.mp4.parts"
    folder.mkdir()
    (folder / "holiday.jpg").write_text("mine")
    if content is not None:
        (folder / "manifest.json").write_text(content)
    with pytest.raises(FilmColorizerError) as caught:
        list(run_colorize(probe(plain_clip), tmp_path / "color.mp4"))
    assert str(caught.value) == (
        f"{folder} is needed for the parts of the film but holds something else; move it"
        " away, or choose another place with -o"
    )
    assert (folder / "holiday.jpg").read_text() == "mine"


def test_colorize_that_is_stopped_leaves_the_older_file(plain_clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "color.mp4"
    target.write_text("older")
    frames = run_colorize(probe(plain_clip), target)
    next(frames)
    frames.close()
    assert files_in(tmp_path) == ["color.mp4"]
    assert target.read_text() == "older"


def test_colorize_of_a_broken_film_leaves_nothing(tmp_path: Path) -> None:
    data = SAMPLE_FILM.read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data[: len(data) // 3])
    with pytest.raises(VideoError, match="is damaged or cut short and could not be read"):
        list(run_colorize(probe(broken), tmp_path / "color.mp4"))
    assert files_in(tmp_path) == ["broken.mp4"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 5])
def test_colorize_by_several_workers_is_the_same(
    workers: int, numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    target = tmp_path / "color.mp4"
    frames = list(run_colorize(probe(numbered_clip), target, workers=workers))
    assert frames == list(range(1, 97))
    assert decoded(target) == whole
    assert files_in(tmp_path) == ["color.mp4"]


@pytest.mark.slow
def test_colorize_by_several_workers_goes_on(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    target, notes, before = tmp_path / "color.mp4", list[str](), our_children()
    frames = run_colorize(probe(numbered_clip), target, workers=3)
    for _ in range(60):
        next(frames)
    frames.close()
    assert our_children() == before
    first, *others = run_colorize(probe(numbered_clip), target, workers=2, note=notes.append)
    assert 24 <= first <= 60
    assert first % 12 == 0
    assert others[-1] == 96
    assert decoded(target) == whole


@pytest.mark.slow
def test_colorize_by_several_workers_keeps_what_is_done_when_it_is_stopped(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    target = tmp_path / "color.mp4"
    frames = run_colorize(probe(numbered_clip), target, workers=3)
    next(frames)  # meanwhile the workers continue
    ends = time.monotonic() + 60
    while len([*(tmp_path / "color.mp4.parts").glob("00000?.mp4")]) < 3:
        assert time.monotonic() < ends
        time.sleep(0.05)
    frames.close()
    first, *_ = run_colorize(probe(numbered_clip), target)
    assert first >= 36
    assert decoded(target) == whole


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_colorize_goes_on_with_an_earlier_shot_across_segments(
    workers: int, returning_film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a rendering that is interrupted between the two."""
    shorten_segments(monkeypatch)
    film, target = probe(returning_film), tmp_path / "color.mp4"
    lossless = Encoding(crf=0, preset="ultrafast")
    frames = run_colorize(film, target, workers=workers, encoding=lossless)
    for _ in range(40):
        next(frames)
    frames.close()
    *_, last = run_colorize(film, target, workers=workers, encoding=lossless)
    assert last == 72
    monkeypatch.setattr(colorizing, "SEGMENT_SECONDS", 100)
    list(run_colorize(film, tmp_path / "piece.mp4", encoding=lossless))
    assert decoded(target) == decoded(tmp_path / "piece.mp4")
    let_shots_stand_alone(monkeypatch)
    list(run_colorize(film, tmp_path / "alone.mp4", encoding=lossless))
    pieces, alone = decoded(target), decoded(tmp_path / "alone.mp4")
    assert [one == other for one, other in zip(pieces, alone, strict=True)].count(False) == 24


def test_colorize_goes_on_with_an_earlier_shot_behind_one_in_colour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample film's first shot, interrupted by two seconds of its second one in colour."""
    cuts = ((0, 24), (48, 96), (24, 48))
    graph = "".join(
        f"[0]trim=start_frame={begin}:end_frame={end},setpts=PTS-STARTPTS[c{begin}];"
        for begin, end in cuts
    )
    graph += f"[c0][c48][c24]concat=n=3,scale=96:72,format=yuv420p,{REAL_COLOR}"
    graph += ":enable='between(n,24,71)'"
    film, targets = tmp_path / "film.mp4", [tmp_path / "color.mp4", tmp_path / "alone.mp4"]
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-filter_complex", graph, *X264, "-qp", 0, film)
    encoding = replace(LOSSLESS_H264, coding=probe(film).coding)
    list(run_colorize(probe(film), targets[0], recolor=False, encoding=encoding))
    let_shots_stand_alone(monkeypatch)
    list(run_colorize(probe(film), targets[1], recolor=False, encoding=encoding))
    going_on, alone = map(decoded, targets)
    assert going_on[:72] == alone[:72]
    assert all(one != other for one, other in zip(going_on[72:], alone[72:], strict=True))


@pytest.mark.slow
def test_colorize_joins_no_segments_of_other_encoders(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after installing another ffmpeg; half of the joined film could not be decoded."""
    other = tmp_path / "ffmpeg"
    other.write_text(f"#!/bin/bash\nexec '{find_binary()}' \"${{@/#ultrafast/slow}}\"\n")
    other.chmod(0o755)
    target = tmp_path / "color.mp4"
    frames = run_colorize(probe(numbered_clip), target)
    for _ in range(40):
        next(frames)
    frames.close()
    with monkeypatch.context() as patch:
        patch.setenv(BINARY_VARIABLE, str(other))
        with pytest.raises(FilmColorizerError, match="another build of libx264") as caught:
            list(run_colorize(probe(numbered_clip), target))
    assert f"{target}.parts holds parts from another build of" in str(caught.value)
    list(run_colorize(probe(numbered_clip), target))
    assert decoded(target) == whole


def test_colorize_by_several_workers_tells_what_went_wrong(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = our_children()
    frames = run_colorize(probe(numbered_clip), tmp_path / "color.mp4", workers=2)
    for _ in range(30):
        next(frames)
    monkeypatch.setenv(BINARY_VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(FfmpegError, match="gone is not a program that can be run"):
        list(frames)
    assert our_children() == before


@pytest.mark.parametrize(
    ("processors", "size", "encoding", "expected"),
    [
        (1, (640, 360), {}, 1),
        (2, (640, 360), {}, 1),
        (7, (640, 360), {}, 1),
        (8, (640, 360), {}, 2),
        (16, (1920, 1080), {}, 4),
        (64, (1920, 1080), {}, 4),
        (64, (1280, 720), {}, 9),
        (64, (3840, 2160), {}, 1),
        (64, (7680, 4320), {}, 1),
        (16, (640, 360), {"encoder": "libx264"}, 4),
        (16, (640, 360), {"encoder": "h264_nvenc"}, 1),
        (16, (640, 360), {"codec": "hevc"}, 1),
    ],
)
def test_usual_workers_keep_the_processors_busy_and_the_memory_free(
    processors: int,
    size: tuple[int, int],
    encoding: dict[str, Any],
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(colorizing, "count_processors", lambda: processors)
    film = replace(probe(SAMPLE_FILM), width=size[0], height=size[1])
    assert usual_workers(film, Encoding(**encoding)) == expected


@pytest.fixture(scope="module")
def uneven_clip(numbered_clip: Path, clip_folder: Path) -> Path:
    """The numbered clip, with sound, at frame times that fit no constant rate."""
    path = clip_folder / "uneven.mp4"
    times = "setpts='(N/25+0.013*mod(N\\,3)+0.4*gte(N\\,50))/TB'"
    run_ffmpeg(
        "-i", numbered_clip, "-vf", f"settb=1/90000,{times}", "-fps_mode", "passthrough",
        *X264, "-qp", 0, "-enc_time_base", "1/90000", "-c:a", "copy", path,
    )  # fmt: skip
    return path


def shown_numbers(path: Path) -> list[int]:
    film = probe(path)
    luma, *_ = decode_planes(path, "yuv420p", (film.width, film.height))
    return [frame_number(picture) for picture in luma]


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_colorize_keeps_uneven_times(
    ending: str, uneven_clip: Path, short_segments: None, tmp_path: Path
) -> None:
    target = tmp_path / f"color{ending}"
    expected = [n / 25 + 0.013 * (n % 3) + 0.4 * (n >= 50) for n in range(100)]
    assert times_of(uneven_clip) == pytest.approx(expected, abs=2e-5)
    frames = run_colorize(probe(uneven_clip), target, keeps_times=True)
    assert list(frames) == list(range(1, 101))
    off = 2e-5 if ending == ".mp4" else 0.0006  # Matroska counts in milliseconds
    assert times_of(target) == pytest.approx(expected, abs=off)
    assert shown_numbers(target) == list(range(100))
    assert len(probe(target).sounds) == 1


def test_colorize_keeps_uneven_times_of_a_part(
    uneven_clip: Path, short_segments: None, tmp_path: Path
) -> None:
    target = tmp_path / "color.mp4"
    options: dict[str, Any] = {"start_seconds": 1.0, "duration_seconds": 2.0}
    list(run_colorize(probe(uneven_clip), target, keeps_times=True, workers=2, **options))
    assert shown_numbers(target) == list(range(25, 65))
    times = times_of(uneven_clip)
    assert times_of(target) == pytest.approx([0, *(t - 1 for t in times[26:65])], abs=2e-5)


def test_colorize_keeps_a_frame_that_is_shown_for_a_moment(
    numbered_clip: Path, tmp_path: Path
) -> None:
    """The film's first frame lasts only a third of a frame period."""
    clip, target = tmp_path / "film.mp4", tmp_path / "color.mp4"
    times = "settb=1/90000,setpts='(N/25-0.027*gte(N\\,1))/TB'"
    run_ffmpeg(
        "-i", numbered_clip, "-an", "-vf", times, "-fps_mode", "passthrough",
        *X264, "-qp", 0, "-enc_time_base", "1/90000", clip,
    )  # fmt: skip
    list(run_colorize(probe(clip), target, keeps_times=True))
    assert shown_numbers(target) == list(range(100))


def test_colorize_of_a_steady_film_keeps_its_exact_rate(tmp_path: Path) -> None:
    """Matroska rounds the source's times."""
    clip = make_numbered_clip(tmp_path / "film.mkv", frame_rate="24000/1001", seconds=2)
    encoding = Encoding(frame_rate=probe(clip).frame_rate, preset="ultrafast")
    list(run_colorize(probe(clip), tmp_path / "out.mp4", encoding=encoding, keeps_times=True))
    film = probe(tmp_path / "out.mp4")
    assert film.frame_rate == Fraction(24000, 1001)
    assert times_of(film.path) == pytest.approx([n * 1001 / 24000 for n in range(48)], abs=1e-6)


# Colours that are no function of luma, unlike any tint of a black-and-white film.
REAL_COLOR = "geq=lum='lum(X,Y)':cb='128+40*sin(X/9)':cr='128+40*cos(Y/7)'"
LOSSLESS_H264 = Encoding(preset="ultrafast", crf=0)


@pytest.fixture(scope="module")
def partly_colored(clip_folder: Path) -> Path:
    """The sample film, 96x72, lossless, with its second shot, frames 48 to 95, in colour."""
    path = clip_folder / "partly.mp4"
    filters = f"scale=96:72,format=yuv420p,{REAL_COLOR}:enable='between(n,48,95)'"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", filters, *X264, "-qp", 0, path)
    return path


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(25)])
def test_colorize_leaves_shots_alone_that_are_in_colour(
    rate: Fraction, partly_colored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(colorizing, "SEGMENT_SECONDS", 1.3)
    film, target, notes = probe(partly_colored), tmp_path / "color.mp4", list[str]()
    encoding = replace(LOSSLESS_H264, frame_rate=rate, coding=film.coding)
    list(run_colorize(film, target, recolor=False, encoding=encoding, note=notes.append))
    assert notes == [
        "2.0 of 6.0 s are already in colour and stay as they are (2.0 to 4.0 s); give --recolor to"
        " colorize them too, for example if only a logo, subtitles or stains are coloured"
    ]
    before = decode_planes(partly_colored, "yuv420p", (96, 72))
    after = decode_planes(target, "yuv420p", (96, 72))
    stored = {plane.tobytes(): number for number, plane in enumerate(before[0])}
    shown = [stored[luma.tobytes()] for luma in after[0]]
    assert sorted(set(shown)) == list(range(144))
    keeps = [
        np.array_equal(cb, before[1][number]) and np.array_equal(cr, before[2][number])
        for number, cb, cr in zip(shown, *after[1:], strict=True)
    ]
    assert keeps == [48 <= number < 96 for number in shown]


def test_colorize_colorizes_them_when_asked(partly_colored: Path, tmp_path: Path) -> None:
    film, target, notes = probe(partly_colored), tmp_path / "color.mp4", list[str]()
    encoding = replace(LOSSLESS_H264, coding=film.coding)
    list(run_colorize(film, target, recolor=True, encoding=encoding, note=notes.append))
    assert notes == []
    before, after = (decode_planes(path, "yuv420p", (96, 72)) for path in (partly_colored, target))
    assert not any(np.array_equal(a, b) for a, b in zip(before[1], after[1], strict=True))


def test_colorize_refuses_a_film_that_is_in_colour(partly_colored: Path, tmp_path: Path) -> None:
    shot: dict[str, Any] = {"start_seconds": 2.0, "duration_seconds": 2.0}
    with pytest.raises(OptionError, match="is already in colour; give --recolor to colorize it"):
        list(run_colorize(probe(partly_colored), tmp_path / "color.mp4", recolor=False, **shot))
    assert files_in(tmp_path) == []


@pytest.mark.usefixtures("all_lit")
def test_colorize_leaves_nothing_of_what_a_dissolve_led_from(
    dissolving_film: Path, tmp_path: Path
) -> None:
    """After it, from 3 s on, the colours are those predicted for each frame on its own."""
    film, end = probe(dissolving_film), 3 * 24
    chroma = {}
    for temporal in (True, False):
        target = tmp_path / f"{temporal}.mp4"
        encoding = replace(LOSSLESS_H264, coding=film.coding)
        list(run_colorize(film, target, encoding=encoding, temporal=temporal))
        _, *planes = decode_planes(target, "yuv420p", (160, 120))
        chroma[temporal] = np.stack(planes, axis=1).astype(int)
    difference = np.abs(chroma[True] - chroma[False]).mean(axis=(1, 2, 3))
    assert difference[end + 2 : end + 8].mean() < 0.1
    assert difference[end - 24 : end].mean() > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 2, 4])
def test_colorize_goes_on_behind_a_flash_with_the_colours_before_it(
    length: int, tmp_path: Path
) -> None:
    shipped = load(find_model("default"))
    strengths = []
    for name, frames in (("plain", "0"), ("flash", f"between(n,20,{19 + length})")):
        filters = f"drawbox=w=iw:h=ih:color=white:t=fill:enable='{frames}'"
        source, target = (tmp_path / f"{name}-{kind}.mp4" for kind in ("grey", "color"))
        list(run_colorize(probe(graded_film(source, filters)), target, shipped))
        _, *chroma = decode_planes(target, "yuv420p", (480, 360))
        behind = np.stack(chroma)[:, 20 + length : 48].astype(int)
        strengths.append(np.abs(behind - 128).mean())
    plain, flash = strengths
    assert flash > 0.85 * plain > 2


def test_colorize_keeps_bars_neutral_and_from_the_network(tmp_path: Path) -> None:
    clip, target, notes = tmp_path / "film.mp4", tmp_path / "color.mp4", list[str]()
    filters = "scale=160:90,pad=160:120:0:14"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", filters, *X264, "-crf", 16, clip)
    network, seen = vivid_network(), set[tuple[int, ...]]()
    network.register_forward_pre_hook(lambda _, inputs: seen.add(tuple(inputs[0].shape[-2:])))
    film = probe(clip)
    encoding = replace(LOSSLESS_H264, coding=film.coding)
    list(run_colorize(film, target, network, note=notes.append, encoding=encoding))
    assert notes == ["bars stay black: the picture fills 160x90 of 160x120"]
    assert seen == {TINY.working_size(160 / 90)}
    assert seen != {TINY.working_size(160 / 120)}
    for plane in decode_planes(target, "yuv420p", (160, 120))[1:]:
        assert (plane[:, :7] == NEUTRAL).all()
        assert (plane[:, 52:] == NEUTRAL).all()
        assert np.abs(plane[:, 7:52].astype(int) - NEUTRAL).mean() > 5, "no colour"


@pytest.fixture(scope="module")
def interlaced_clip(clip_folder: Path) -> Path:
    """Sideways motion at 50 fps, woven into 25 fps of two fields each."""
    path = clip_folder / "interlaced.mp4"
    motion = "scale=720:540,fps=50,crop=320:240:x='60+100*mod(t\\,2)':y=100"
    filters = f"{motion},tinterlace=interleave_top,setfield=prog"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-t", 4, "-vf", filters, *X264, "-qp", 0, path)
    return path


@pytest.mark.slow
def test_colorize_makes_whole_pictures_of_fields(interlaced_clip: Path, tmp_path: Path) -> None:
    """A frame of two moments has combed edges, which a frame of one moment lacks."""
    film, notes = probe(interlaced_clip), list[str]()
    encoding = replace(LOSSLESS_H264, frame_rate=Fraction(25), coding=film.coding)
    combed = {}
    for way in ("auto", "off"):
        target = tmp_path / f"{way}.mp4"
        list(run_colorize(film, target, note=notes.append, encoding=encoding, deinterlace=way))
        combed[way] = combing(decode_planes(target, "yuv420p", (320, 240))[0])
    assert notes == [
        "interlaced, top field first: whole pictures are made from the fields; give --deinterlace"
        " off to keep the fields"
    ]
    source = decode_planes(interlaced_clip, "yuv420p", (320, 240))[0]
    np.testing.assert_array_equal(
        decode_planes(tmp_path / "off.mp4", "yuv420p", (320, 240))[0], source
    )
    assert combed["auto"] < 0.6 * combed["off"]


@pytest.fixture(scope="module")
def sound_film(clip_folder: Path) -> Path:
    """10 s of numbered frames with a tone from the middle on, a key frame every second."""
    codec = (*X264[:3], "veryfast", "-g", "25", "-sc_threshold", "0", "-bf", "2")
    return make_numbered_clip(clip_folder / "ten.mp4", seconds=10, codec=codec, sound="aac")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_colorize_skips_what_is_damaged(
    workers: int, sound_film: Path, short_segments: None, tmp_path: Path
) -> None:
    """The picture freezes until the next key frame; everything else stays in place."""
    film = probe(spoil_frames(sound_film, tmp_path / "bad.mp4", 80, 83))
    target, notes = tmp_path / "color.mp4", list[str]()
    encoding = replace(QUICK, frame_rate=Fraction(25))
    with pytest.raises(VideoError, match=r"could not be read beyond 3\.\d s .* --skip-damaged"):
        list(run_colorize(film, target, encoding=encoding))
    options: dict[str, Any] = {"encoding": encoding, "skips_damage": True, "workers": workers}
    list(run_colorize(film, target, note=notes.append, **options))
    assert len(notes) == 1
    told = re.fullmatch(
        r"damaged: (\d\.\d\d) to 4\.00 s cannot be shown, so the frame before stays", notes[0]
    )
    assert told
    first = round(float(told[1]) * 25)
    assert 76 <= first <= 80
    expected = [*range(first), *[first - 1] * (100 - first), *range(100, 250)]
    assert shown_numbers(target) == expected
    before = {**options, "duration_seconds": 2.0, "overwrite": True}
    list(run_colorize(film, tmp_path / "before.mp4", note=notes.append, **before))
    assert len(notes) == 1
    sounds = []
    for path in (sound_film, target):
        with av.open(str(path)) as container:
            sounds.append([(p.pts, bytes(p)) for p in container.demux(audio=0) if p.size])
    assert sounds[0] == sounds[1]


def test_colorize_counts_on_behind_damage_of_frames_at_times_of_their_own(
    partly_colored: Path, tmp_path: Path
) -> None:
    """The shot in colour, frames 48 to 95, is kept although frames before it are lost."""
    uneven, bad, target = (tmp_path / name for name in ("film.mp4", "bad.mp4", "color.mp4"))
    times = "settb=1/90000,setpts='(N/24+0.005*mod(N\\,3))/TB'"
    options = ("-qp", 0, "-g", 12, "-bf", 0, "-sc_threshold", 0, "-enc_time_base", "1/90000")
    run_ffmpeg(
        "-i", partly_colored, "-vf", times, "-fps_mode", "passthrough", *X264, *options, uneven
    )  # fmt: skip
    film = probe(spoil_frames(uneven, bad, 24, 27, frame_rate=24))
    encoding = replace(LOSSLESS_H264, coding=film.coding)
    how: dict[str, Any] = {"recolor": False, "keeps_times": True, "skips_damage": True}
    list(run_colorize(film, target, encoding=encoding, **how))
    before, after = (decode_planes(path, "yuv420p", (96, 72)) for path in (uneven, target))
    stored = {plane.tobytes(): number for number, plane in enumerate(before[0])}
    shown = [stored[luma.tobytes()] for luma in after[0]]
    assert shown == [*range(24), *range(36, 144)]
    keeps = [
        np.array_equal(cb, before[1][number]) for number, cb in zip(shown, after[1], strict=True)
    ]
    assert keeps == [48 <= number < 96 for number in shown]


def test_colorize_skips_what_is_cut_off(sound_film: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.mkv"
    run_ffmpeg("-i", sound_film, "-c", "copy", whole)
    data = whole.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) * 6 // 10])
    target, notes = tmp_path / "color.mp4", list[str]()
    encoding = replace(QUICK, frame_rate=Fraction(25))
    options: dict[str, Any] = {"encoding": encoding, "skips_damage": True, "note": notes.append}
    list(run_colorize(probe(cut), target, **options))
    [told] = notes
    sentence = (
        r"damaged: \d\.\d\d to 10\.00 s cannot be shown, so the picture freezes or ends there"
    )
    assert re.fullmatch(sentence, told)
    numbers = shown_numbers(target)
    assert numbers == list(range(len(numbers)))
    assert 100 < len(numbers) < 200


def test_colorize_refuses_a_source_among_the_parts_of_its_target(
    numbered_clip: Path, whole: list[bytes], tmp_path: Path
) -> None:
    target = tmp_path / "color.mp4"
    part = interrupt(numbered_clip, target) / "000001.mp4"
    with pytest.raises(OptionError, match="is inside the folder of parts of"):
        list(run_colorize(probe(part), target))
    assert part.exists()
