"""`filmcolorizer colorize`, end to end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from filmcolorizer_cli import colorizing, painting, propagation, warps
from filmcolorizer_cli.ffmpeg import BINARY_VARIABLE, find_binary
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.video import Film, probe
from tests.commands import (
    WAIT_SECONDS,
    copy_here,
    fail,
    finish,
    misuse,
    numbered_pictures,
    processes_naming,
    run,
    start,
    succeed,
    wait_for,
)
from tests.films import LOSSLESS, X264, decode_planes, make_clip, run_ffmpeg
from tests.machine import file_size_limit, files_in


def test_colorize_writes_beside_the_film(color_film: Path, vivid_weights: Path) -> None:
    Path("films").mkdir()
    film = copy_here(color_film, "films/old film.avi.mp4")
    result = run("colorize", film, "--model", vivid_weights, "--preset", "ultrafast")
    assert result.exit_code == 0
    assert result.stdout == (
        "wrote films/old film.avi-color.mp4: 144 frames, 6.00 s at 24 frames a second, 96x72;"
        " sound: aac copied\n"
    )
    where = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.backends.mps.is_available():
        where = "mps"
    assert result.stderr == (
        f"colorizing films/old film.avi.mp4 with the model {vivid_weights} on {where}\n"
    )
    target = probe(Path("films/old film.avi-color.mp4"))
    assert (target.frame_rate, target.duration_seconds) == (24, 6.0)
    assert [sound.codec for sound in target.sounds] == ["aac"]


def quick(film: Path, model: Path, *more: object) -> Film:
    """Colorize a film's first half second to ``out.mp4``, and return the probed result."""
    fast = ("--preset", "ultrafast", "--duration", "0.5", "--overwrite", "--device", "cpu")
    said = succeed("colorize", film, "-o", "out.mp4", "--model", model, *fast, "--json", *more)
    target = probe(Path("out.mp4"))
    told = json.loads(said)
    assert (told["output"], told["model"]) == ("out.mp4", str(model))
    assert (told["width"], told["height"]) == (target.width, target.height)
    assert (told["frames"], told["frame_rate"]) == (target.frame_count(), str(target.frame_rate))
    return target


@pytest.mark.parametrize(
    ("fps", "rate"), [("source", Fraction(25)), ("24000/1001", Fraction(24000, 1001))]
)
def test_colorize_takes_a_frame_rate(
    fps: str, rate: Fraction, plain_clip: Path, vivid_weights: Path
) -> None:
    target = quick(plain_clip, vivid_weights, "--fps", fps)
    assert target.frame_rate == rate
    assert target.frame_count() == round(rate / 2)


@pytest.mark.parametrize("fps", ["abc", "0", "-24", "241", "24/0", "nan", "inf", "", "24/1/1"])
def test_colorize_refuses_what_is_no_frame_rate(fps: str, plain_clip: Path) -> None:
    said = misuse("colorize", plain_clip, f"--fps={fps}")
    assert (
        f"Invalid value for --fps: {fps!r} is not a frame rate from 1 to 240; write a number such"
        " as 24, a fraction such as 24000/1001, or source" in said
    )


@pytest.mark.parametrize(
    ("start", "frame"), [("1", 24), ("1.5", 36), ("0:01", 24), ("00:00:02", 48), ("0:4.25", 102)]
)
def test_colorize_takes_a_start(
    start: str, frame: int, color_film: Path, vivid_weights: Path
) -> None:
    quick(color_film, vivid_weights, "--start", start, "--crf", 0)
    written = decode_planes(Path("out.mp4"), "yuv420p", (96, 72))[0]
    source = decode_planes(color_film, "yuv420p", (96, 72))[0]
    np.testing.assert_array_equal(written, source[frame : frame + 12])


@pytest.mark.parametrize("option", ["--start", "--duration"])
@pytest.mark.parametrize(
    "value",
    ["soon", "-1", "1:x", "1:-2", "1:60", "1:60:00", "1:2:3:4", "nan", "inf", "1::2", ""],
)
def test_colorize_refuses_what_is_no_time(option: str, value: str, plain_clip: Path) -> None:
    said = misuse("colorize", plain_clip, f"{option}={value}")
    assert f"Invalid value for '{option}': {value!r} is not a time; write seconds, or" in said


def test_colorize_refuses_to_start_behind_the_end(plain_clip: Path, vivid_weights: Path) -> None:
    arguments = ("colorize", plain_clip, "-o", "o.mp4", "--model", vivid_weights)
    assert fail(*arguments, "--start", "1:02", code=2) == (
        f"{plain_clip} ends at 2.00 s, before the start at 62 s; give a smaller --start"
    )
    for command in (arguments, ("preview", *arguments[1:2], "--model", vivid_weights)):
        assert fail(*command, "--start", "1.99", code=2) == (
            f"no frame of {plain_clip} begins at 1.99 s or later; give a smaller --start"
        )
        succeed(*command, "--start", "1.97", "--device", "cpu")  # the last frame begins at 1.96


@pytest.mark.slow
def test_colorize_tells_where_the_pictures_of_a_half_copied_film_end(
    numbered_clip: Path, vivid_weights: Path
) -> None:
    film = Path("film.mkv")
    run_ffmpeg("-i", numbered_clip, "-c", "copy", "-cluster_time_limit", "500", film)
    quick = ("--model", vivid_weights, "--preset", "ultrafast", "--device", "cpu")
    whole = run("colorize", film, "-o", "whole.mp4", *quick)
    assert whole.exit_code == 0 and "the pictures end" not in whole.stderr
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    half = run("colorize", film, "-o", "half.mp4", *quick)
    [told] = re.findall("the pictures end at (.*) s, the file at 4.0 s; ", half.stderr)
    assert float(told) == pytest.approx(probe(Path("half.mp4")).duration_seconds, abs=0.1)
    part = run("colorize", film, "-o", "part.mp4", "--duration", "0.5", *quick)
    assert part.exit_code == 0 and "the pictures end" not in part.stderr


def test_colorize_crf_and_preset_reach_the_encoder(color_film: Path, vivid_weights: Path) -> None:
    sizes = {}
    for crf in (10, 40):
        quick(color_film, vivid_weights, "--crf", crf)
        sizes[crf] = Path("out.mp4").stat().st_size
    assert sizes[10] > 2 * sizes[40]
    quick(color_film, vivid_weights, "--preset", "veryfast")
    assert b"me=hex subme=2" in Path("out.mp4").read_bytes()  # x264 writes its settings there


def test_colorize_with_hwaccel_keeps_the_luma_with_and_without_a_card(
    color_film: Path, vivid_weights: Path
) -> None:
    shared = ("colorize", color_film, "--model", vivid_weights, "--fps", "source")
    result = run(*shared, "--codec", "ffv1", "--hwaccel", "auto", "-o", "out.mkv")
    assert result.exit_code == 0
    decodes = r"(does not decode this|decodes with \w+)"
    encodes = r"(does not encode|encodes with ffv1_\w+)"
    assert re.search(f"^graphics card: {decodes}, {encodes}; ", result.stderr, re.MULTILINE)
    careful = ("--hwaccel", "auto", "--skip-damaged", "--duration", 0.1, "-o", "o.mp4")
    told = run(*shared, *careful).stderr
    assert "graphics card: decodes nothing, since it might hide damage, " in told
    luma, source = (
        decode_planes(path, "yuv420p", (96, 72))[0] for path in (Path("out.mkv"), color_film)
    )
    np.testing.assert_array_equal(luma, source)


@pytest.mark.slow
def test_colorize_takes_a_vividness(color_film: Path, vivid_weights: Path) -> None:
    planes = {}
    for vividness in (None, 0, 1, 1.5, 4):
        option = () if vividness is None else ("--vividness", vividness)
        quick(color_film, vivid_weights, "--crf", 0, *option)
        planes[vividness] = decode_planes(Path("out.mp4"), "yuv420p", (96, 72))
    strengths = {v: np.abs(np.stack(p[1:]).astype(int) - 128).mean() for v, p in planes.items()}
    source = decode_planes(color_film, "yuv420p", (96, 72))[0][:12]
    for luma, _, _ in planes.values():
        np.testing.assert_array_equal(luma, source)
    assert strengths[0] == 0
    assert strengths[None] == strengths[1] > 5
    assert strengths[1] * 1.1 < strengths[1.5] <= strengths[1] * 1.55
    assert strengths[4] >= strengths[1.5]  # equal where 1.5 reaches the limit


@pytest.mark.parametrize("vividness", ["-0.1", "4.1", "-1", "nan", "inf", "much", ""])
def test_colorize_refuses_a_vividness_out_of_range(vividness: str, plain_clip: Path) -> None:
    said = misuse("colorize", plain_clip, f"--vividness={vividness}")
    assert "Invalid value for '--vividness': " in said


@pytest.mark.parametrize(("chosen", "expected"), [((), 4), (("--workers", 3), 3)])
def test_colorize_renders_as_much_at_once_as_the_processors_do(
    chosen: tuple[object, ...],
    expected: int,
    plain_clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    rendering = colorizing.colorize

    def watched(*arguments: Any, **more: Any) -> Any:
        asked.append(more["workers"])
        return rendering(*arguments, **more)

    monkeypatch.setattr(colorizing, "colorize", watched)
    monkeypatch.setattr(colorizing, "count_processors", lambda: 16)
    succeed("colorize", plain_clip, "-o", "o.mp4", *chosen)
    assert asked == [expected]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_colorize_refuses_a_device_that_is_not_there(plain_clip: Path) -> None:
    assert fail("colorize", plain_clip, "-o", "o.mp4", "--device", "cuda", code=2) == (
        f"there is no device 'cuda' here that torch {torch.__version__} can use; use --device auto"
        " or --device cpu"
    )


@pytest.mark.slow
def test_colorize_takes_the_weights_in_the_folder(plain_clip: Path, vivid_weights: Path) -> None:
    copy_here(vivid_weights, "film.safetensors")
    short = ("--duration", "0.2", "--device", "cpu")
    result = run("colorize", plain_clip, "-o", "own.mp4", *short)
    assert result.stderr == f"colorizing {plain_clip} with the model film.safetensors on cpu\n"
    result = run("colorize", plain_clip, "-o", "given.mp4", "--model", vivid_weights, *short)
    assert result.exit_code == 0
    planes = [decode_planes(Path(name), "yuv420p", (64, 48)) for name in ("own.mp4", "given.mp4")]
    np.testing.assert_array_equal(planes[0][1], planes[1][1])
    result = run("colorize", plain_clip, "-o", "shipped.mp4", "--model", "default", *short)
    assert result.stderr == f"colorizing {plain_clip} with the model default on cpu\n"
    shipped = decode_planes(Path("shipped.mp4"), "yuv420p", (64, 48))
    assert (planes[0][1] != shipped[1]).any()


def test_colorize_takes_the_shipped_model_by_default(plain_clip: Path) -> None:
    arguments = ("colorize", plain_clip, "-o", "o.mp4", "--duration", "0.2", "--json")
    assert json.loads(succeed(*arguments)) == {
        "output": "o.mp4",
        "frames": 5,
        "duration_seconds": pytest.approx(5 / 24),
        "frame_rate": "24",
        "width": 64,
        "height": 48,
        "sample_aspect_ratio": "1",
        "sounds": [],
        "model": "default",
        "notes": [f"colorizing {plain_clip} with the model default on cpu"],
    }


def test_colorize_takes_the_ffmpeg_it_is_told(plain_clip: Path, vivid_weights: Path) -> None:
    wrapper = Path("my-ffmpeg").absolute()
    wrapper.write_text(f'#!/bin/sh\ntouch used\nexec "{find_binary()}" "$@"\n')
    wrapper.chmod(0o755)
    quick(plain_clip, vivid_weights, "--ffmpeg", wrapper)
    assert Path("used").exists()


def test_colorize_tells_when_the_named_ffmpeg_is_none(
    plain_clip: Path, vivid_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("colorize", plain_clip, "-o", "o.mp4", "--model", vivid_weights)
    said = (
        "nonexist is not a program that can be run; name an ffmpeg with --ffmpeg or"
        " FILMCOLORIZER_FFMPEG, or leave both out to use the bundled one"
    )
    assert fail(*arguments, "--ffmpeg", "nonexist") == said
    monkeypatch.setenv(BINARY_VARIABLE, "nonexist")
    assert fail(*arguments) == said


def test_colorize_refuses_to_overwrite_unless_told(plain_clip: Path, vivid_weights: Path) -> None:
    film = copy_here(plain_clip, "film.mp4")
    target = Path("film-color.mp4")
    target.write_text("older")
    assert fail("colorize", film, "--model", vivid_weights) == (
        "film-color.mp4 exists already; name another file with -o, or give --overwrite"
    )
    assert target.read_text() == "older"
    succeed("colorize", film, "--model", vivid_weights, "--overwrite")
    assert probe(target).frame_count() == 48


def test_colorize_tells_of_an_ffmpeg_without_the_encoder_before_any_work() -> None:
    """Some distributions leave encoders out of ffmpeg for licence reasons."""
    lacking = Path("lacking")
    encoder = "*libsvtav1*) echo 'Unknown encoder libsvtav1' >&2; exit 1"
    lacking.write_text(
        f'#!/bin/sh\ncase "$*" in {encoder};; *) exec "{find_binary()}" "$@";; esac\n'
    )
    lacking.chmod(0o755)
    message = fail("colorize", SAMPLE_FILM, "--codec", "av1", "--ffmpeg", lacking.resolve(), code=2)
    assert message == (
        "the encoder libsvtav1 cannot be used here (ffmpeg: Unknown encoder libsvtav1); choose"
        " another --codec, or name an ffmpeg that has it with --ffmpeg"
    )


def test_colorize_refuses_less_than_a_frame(plain_clip: Path) -> None:
    said = fail("colorize", plain_clip, "-o", "o.mp4", "--duration", "0", code=2)
    assert said == "a duration of 0 s is shorter than a frame; give a longer --duration"


def test_colorize_takes_a_film_that_does_not_tell_its_length(
    plain_clip: Path, vivid_weights: Path
) -> None:
    run_ffmpeg("-i", plain_clip, "-an", "-c:v", "copy", "bare.h264")
    result = run("colorize", "bare.h264", "--model", vivid_weights, "--preset", "ultrafast")
    assert result.exit_code == 0, result.stderr
    expected = round(probe(plain_clip).duration_seconds * 24)
    assert abs(probe(Path("bare-color.mp4")).frame_count() - expected) <= 1


@pytest.mark.parametrize("target", ["o", "o.avi", "mp4", "o.mp4.txt", ".mp4"])
def test_colorize_refuses_a_target_that_is_no_film(target: str, plain_clip: Path) -> None:
    assert fail("colorize", plain_clip, "-o", target, code=2) == (
        f"{target} does not end in .mp4, .mov or .mkv; name a file that does with -o"
    )


@pytest.fixture
def film_with_subtitles() -> Path:
    """One second with a chapter and text subtitles."""
    Path("said.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nHello\n")
    Path("told.txt").write_text(";FFMETADATA1\n[CHAPTER]\nSTART=0\nEND=900000000\ntitle=One\n")
    film = Path("film.mkv")
    run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc=size=64x48:duration=1,hue=s=0",
        "-i", "said.srt", "-i", "told.txt",
        "-map", "0", "-map", "1", "-c:s", "subrip", "-metadata:s:s:0", "language=eng", film,
    )  # fmt: skip
    return film


@pytest.mark.slow
def test_colorize_tells_first_what_goes_along(
    film_with_subtitles: Path, vivid_weights: Path
) -> None:
    arguments = ("colorize", film_with_subtitles, "--model", vivid_weights, "--overwrite")
    program = start(*arguments, "--device", "cpu")
    _, said = program.communicate(timeout=WAIT_SECONDS)
    kept = "subtitles: subrip (eng) to mov_text\nchapters: 1 kept\n"
    assert said == f"colorizing film.mkv with the model {vivid_weights} on cpu\n{kept}"
    [subtitle] = probe(Path("film-color.mp4")).subtitles
    assert (subtitle.codec, subtitle.language) == ("mov_text", "eng")
    told = succeed("info", film_with_subtitles)
    assert "subtitles    subrip (eng) to mov_text" in told
    assert "chapters     1 kept" in told


@pytest.mark.slow
def test_colorize_takes_numbered_pictures(vivid_weights: Path) -> None:
    pictures = numbered_pictures("frames")
    quick = ("--model", vivid_weights, "--crf", "0", "--preset", "ultrafast", "--vividness", "0")
    told = succeed("colorize", pictures, "--input-fps", 18, "--fps", "source", *quick)
    assert told == (
        "wrote frames-color.mp4: 9 frames, 0.50 s at 18 frames a second, 64x48;"
        " sound: the source has none\n"
    )
    [luma, _, _] = decode_planes(Path("frames-color.mp4"), "yuv420p", (64, 48))
    assert probe(Path("frames-color.mp4")).coding.range == "full"  # like grey pictures
    assert luma.mean(axis=(1, 2)) == pytest.approx([20 * (n + 1) for n in range(9)])
    film = quick_from(pictures, vivid_weights, "--input-fps", "24000/1001", "--fps", "source")
    assert film.frame_rate == Fraction(24000, 1001)
    told = succeed("info", pictures, "--input-fps", 18)
    assert "length       0.50 s, about 9 frames" in told
    assert "writes frames-color.mp4: 12 frames at 24 frames" in told
    os.chdir("frames")
    there = json.loads(succeed("info", "%05d.png", "--json"))["colorize"]["target"]
    assert there == str(Path("../frames-color.mp4").resolve())


def quick_from(pictures: Path, model: Path, *more: object) -> Film:
    succeed("colorize", pictures, "-o", "o.mp4", "--model", model, *more)
    return probe(Path("o.mp4"))


def test_colorize_refuses_an_input_rate_of_a_film(plain_clip: Path) -> None:
    sentence = (
        f"--input-fps is for numbered pictures such as frames/%05d.png, which {plain_clip} is not;"
        " leave it out"
    )
    for command in ("colorize", "info"):
        assert fail(command, plain_clip, "--input-fps", 18, code=2) == sentence
    pictures = numbered_pictures("frames", 2)
    for rate in ("source", "0", "x", "241"):
        said = misuse("colorize", pictures, "--input-fps", rate)
        assert f"{rate!r} is not a frame rate from 1 to 240; write a number such as 18" in said


def test_colorize_names_a_picture_that_is_missing() -> None:
    pictures = numbered_pictures("frames")
    Path("frames/00014.png").unlink()
    assert fail("colorize", pictures) == (
        "frames/00014.png is missing from the pictures of frames/%05d.png; put it back, or number"
        " them without gaps"
    )


@pytest.mark.slow
def test_colorize_tells_first_what_becomes_of_attachments(vivid_weights: Path) -> None:
    Path("type.ttf").write_bytes(bytes(100))
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=size=60x80", "-frames:v", 1, "cover.png")
    types = ("-metadata:s:t:0", "mimetype=font/ttf", "-metadata:s:t:1", "mimetype=image/png")
    more = ("-map", "0", "-map", "0", "-timecode", "01:00:00:00")
    attached = ("-attach", "type.ttf", "-attach", "cover.png", *types)
    film = make_clip(Path("film.mkv"), seconds=0.5, extra=(*attached, *more))
    named = ("colorize", film, "--model", vivid_weights)
    told = run(*named, "-o", "o.mp4").stderr
    assert run(*named, "-o", "o2.mp4", "--json").stderr == told, "scripts are told as well"
    lost = "left out, since mp4 cannot hold them (mkv can hold all known kinds)"
    assert told.splitlines()[1:] == [
        f"attachments: type.ttf {lost}; cover (png) kept",
        "time code: 01:00:00:00 left out, since it counts other frames",
        "more pictures: h264 left out",
    ]
    assert [a.codec for a in probe(Path("o.mp4")).attachments] == ["png"]
    assert "attachments    type.ttf left out, since mp4 cannot" in succeed("info", film)
    whole = ("--fps", "source", "-o", "o.mkv")
    told = run("colorize", film, "--model", vivid_weights, *whole).stderr
    assert told.splitlines()[1:3] == [
        "attachments: type.ttf kept; cover (png) kept",
        "time code: 01:00:00:00 kept",
    ]
    written = probe(Path("o.mkv"))
    assert {a.name for a in written.attachments} == {"cover.png", "type.ttf"}
    assert written.time_code == "01:00:00:00"


@pytest.mark.slow
@pytest.mark.parametrize(("when", "parts_done"), [("keeping", 2), ("rendering", 4), ("joining", 8)])
def test_colorize_on_a_full_disk_tells_how_much_it_needs_and_goes_on(
    when: str, parts_done: int, vivid_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills while colours are kept for the next segment, or in rendering or joining."""
    monkeypatch.setattr(colorizing, "SEGMENT_SECONDS", 0.5)
    for module in (colorizing, painting):
        monkeypatch.setattr(module, "CHUNK_FRAMES", 12)
    if when != "keeping":  # keeps files of colours smaller than a segment of noise
        monkeypatch.setattr(propagation, "MAX_REMEMBERED", 2)
        monkeypatch.setattr(warps, "MAX_PAST_FRAMES", 0)
    # 2 s of a still picture, then 2 s of noise, which takes more room.
    film = Path("film.mp4")
    still, noisy = "testsrc2=size=128x96:rate=24:duration=2,loop=-1:1,trim=end=2", "nullsrc"
    run_ffmpeg(
        "-f", "lavfi", "-i", f"{still},format=gray[a];"
        f"{noisy}=size=128x96:rate=24:duration=2,geq=lum='random(1)*255',format=gray[b];"
        "[a][b]concat,format=yuv420p",
        *LOSSLESS, film,
    )  # fmt: skip
    quality = ("--crf", "2", "--preset", "ultrafast")
    quick = ("colorize", film, "--model", vivid_weights, *quality, "--device", "cpu")
    succeed(*quick, "-o", "whole.mp4")
    whole = Path("whole.mp4").stat().st_size
    # The colours of three key frames and two past key frames take 200 kB; a fifth of the film is
    # more than a still segment, and less than one of noise.
    limit_bytes = {"keeping": 210_000, "rendering": whole // 5, "joining": whole // 2}
    with file_size_limit(limit_bytes[when]):
        result = run(*quick, "-o", "o.mp4")
    assert (result.exit_code, result.stdout) == (1, "")
    sentence = result.stderr.splitlines()[-1]
    parts = sorted(Path("o.mp4.parts").glob("*.mp4"))
    assert len(parts) == parts_done
    frames = 12 * len(parts)
    taken = sum(path.stat().st_size for path in parts) / 1e6
    assert sentence == (
        f"filmcolorizer: there is no room left for o.mp4 (File too large): {frames} of about 96"
        f" frames take {taken:.1f} MB, so all of them need about {taken * 96 / frames:.1f} MB, plus"
        " twice that while they are joined; make room and run the same command again to continue,"
        " or choose another place with -o"
    )
    assert files_in(Path()) == ["film.mp4", "o.mp4.parts", "whole.mp4"]
    assert not [name for name in files_in(Path("o.mp4.parts")) if name.endswith(".part")]
    result = run(*quick, "-o", "o.mp4")
    assert f"resuming after the {frames} frames" in result.stderr
    ours, theirs = (
        decode_planes(Path(name), "yuv420p", (128, 96)) for name in ("o.mp4", "whole.mp4")
    )
    for plane, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(plane, other)
    assert files_in(Path()) == ["film.mp4", "o.mp4", "whole.mp4"]


ODD_NAMES = [
    b"two words",
    b'it\'s "q"',
    b"-v",
    b"100%d %05d",
    b"new\nline",
    "\u00e4 \u6f2b [bold]".encode(),
    b"no utf-8 \xff\xfe",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "encoding"),
    [(name, "ascii") for name in ODD_NAMES]
    + [(name, "utf-8") for name in ODD_NAMES if not name.isascii()],
)
def test_colorize_takes_any_name(
    name: bytes, encoding: str, plain_clip: Path, vivid_weights: Path
) -> None:
    film, target = (Path(os.fsdecode(name + ending)) for ending in (b".mp4", b" in colour.mkv"))
    shutil.copy(plain_clip, film)
    arguments = ("--model", vivid_weights, "--duration", "0.2", "-o", target, "--", film)
    done = subprocess.run(
        [sys.executable, "-m", "filmcolorizer_cli", "colorize", *map(str, arguments)],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = str(target).encode(encoding, "backslashreplace")
    assert done.stdout.startswith(b"wrote " + shown + b": 5 frames, 0.21 s")
    assert files_in(Path()) == sorted([str(film), str(target)])
    assert probe(target).frame_count() == 5
    told = run("info", "--json", "--", film)
    assert json.loads(told.stdout)["path"] == str(film)


def test_colorize_writes_to_another_file_system(plain_clip: Path, vivid_weights: Path) -> None:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == Path().stat().st_dev:
        pytest.skip("there is no other file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        target = Path(folder) / "o.mkv"
        succeed("colorize", plain_clip, "--model", vivid_weights, "--duration", "0.2", "-o", target)
        assert files_in(Path(folder)) == ["o.mkv"]
        assert probe(target).frame_count() == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [
        (signal.SIGINT, 130, "filmcolorizer: stopped; no unfinished file was left behind\n"),
        (signal.SIGTERM, 143, "filmcolorizer: stopped; no unfinished file was left behind\n"),
    ],
)
def test_colorize_stopped_early_by_a_signal_leaves_nothing(
    number: signal.Signals, code: int, sentence: str, vivid_weights: Path
) -> None:
    film = Path("long.mp4")
    run_ffmpeg("-stream_loop", 9, "-i", SAMPLE_FILM, "-c", "copy", film)
    program = start("colorize", film, "--model", vivid_weights, "--device", "cpu")
    here = str(Path.cwd())
    ffmpegs = lambda: [line for line in processes_naming(here) if "ffmpeg" in line]  # noqa: E731
    wait_for(lambda: len(ffmpegs()) == 2, program)
    returncode, said = finish(program, number)
    assert said == f"colorizing long.mp4 with the model {vivid_weights} on cpu\n{sentence}"
    assert returncode == code
    assert files_in(Path()) == ["long.mp4"]
    assert processes_naming(here) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_colorize_stopped_later_goes_on_from_there(
    number: signal.Signals, vivid_weights: Path
) -> None:
    film, parts = Path("long.mp4"), Path("long-color.mp4.parts")
    run_ffmpeg("-stream_loop", 3, "-i", SAMPLE_FILM, "-c", "copy", film)
    arguments = ("colorize", film, "--model", vivid_weights, "--preset", "ultrafast")
    program = start(*arguments)
    manifest = parts / "manifest.json"
    done = re.compile('"frames": [1-9]')
    wait_for(lambda: manifest.exists() and done.search(manifest.read_text()) is not None, program)
    _, said = finish(program, number)
    kept = "what has been rendered is kept: continue with the same command\n"
    assert (kept in said) == (number != signal.SIGKILL)
    assert files_in(Path()) == ["long-color.mp4.parts", "long.mp4"]
    kept_frames = sum(
        s["frames"] or 0 for s in json.loads((parts / "manifest.json").read_text())["segments"]
    )
    note = f"resuming after the {kept_frames} frames of an interrupted rendering\n"
    finished = start(*arguments)
    _, said = finished.communicate(timeout=100)
    assert finished.returncode == 0
    assert note in said
    assert files_in(Path()) == ["long-color.mp4", "long.mp4"]
    planes = decode_planes(Path("long-color.mp4"), "yuv420p", (480, 360))
    assert len(planes[0]) == probe(film).frame_count()
    if number == signal.SIGKILL:
        succeed(*arguments, "-o", "whole.mp4")
        for found, expected in zip(
            planes, decode_planes(Path("whole.mp4"), "yuv420p", (480, 360)), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_colorize_of_a_large_film_stops_at_once(
    number: signal.Signals, vivid_weights: Path
) -> None:
    """Stopping takes less time than starting, even on a busy machine; on an idle one, under 2 s."""
    film, parts = Path("large.mp4"), Path("large-color.mp4.parts")
    enlarged = ("-vf", "scale=1280:720,noise=alls=20:allf=t", "-an", *X264)
    run_ffmpeg("-i", SAMPLE_FILM, *enlarged, film)
    started = time.monotonic()
    program = start("colorize", film, "--model", vivid_weights, "--preset", "veryslow")
    here = str(Path.cwd())
    begun = lambda: any(path.stat().st_size > 1e5 for path in parts.glob(".000001*"))  # noqa: E731
    wait_for(begun, program)
    began = time.monotonic()
    finish(program, number)
    assert time.monotonic() - began < began - started
    assert processes_naming(here) == []
    assert files_in(Path()) == ["large.mp4"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "size"), [("yuv420p", (96, 72)), ("yuv420p10le", (96, 72)), ("gray", (53, 41))]
)
def test_colorize_to_ffv1_keeps_luma_bit_for_bit(
    layout: str, size: tuple[int, int], vivid_weights: Path, tmp_path: Path
) -> None:
    """The test compares ffmpeg's own checksums of every frame's luma."""
    source, target = tmp_path / "film.mkv", tmp_path / "out.mkv"
    scale = f"scale={size[0]}:{size[1]},noise=alls=8:allf=t,format={layout}"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-t", 2, "-vf", scale, "-c:v", "ffv1", source)
    options = ["--codec", "ffv1", "--fps", "source", "--model", vivid_weights]
    result = run("colorize", source, *options, "-o", target)
    assert result.exit_code == 0, result.stderr
    planar = "gray10le" if "10" in layout else "gray"
    sums = [
        run_ffmpeg("-i", path, "-vf", f"format={kept},extractplanes=y", "-pix_fmt", planar,
                   "-f", "framemd5", "pipe:1").splitlines()[-48:]
        for path, kept in ((source, layout), (target, layout.replace("gray", "yuv420p")))
    ]  # fmt: skip
    assert [line.split()[-1] for line in sums[0]] == [line.split()[-1] for line in sums[1]]
    assert (probe(target).width, probe(target).height) == size


@pytest.mark.parametrize(
    ("codec", "ending", "words"),
    [
        ("ffv1", ".mp4", "cannot hold FFV1; give it the ending .mkv with -o"),
        ("prores", ".mp4", "cannot hold ProRes; give it the ending .mov or .mkv with -o"),
        ("av1", ".mov", "cannot hold AV1; give it the ending .mp4 or .mkv with -o"),
    ],
)
def test_colorize_refuses_a_codec_that_the_file_does_not_hold(
    codec: str, ending: str, words: str, plain_clip: Path, tmp_path: Path
) -> None:
    target = tmp_path / f"out{ending}"
    result = run("colorize", plain_clip, "--codec", codec, "-o", target)
    assert result.exit_code == 2
    assert words in result.stderr


def test_colorize_tells_of_bits_that_get_lost(vivid_weights: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "film.mkv", tmp_path / "out.mp4"
    deep = ("-vf", "format=gray12le", "-c:v", "ffv1")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-t", 0.5, *deep, source)
    result = run("colorize", source, "--model", vivid_weights, "-o", target)
    assert result.exit_code == 0, result.stderr
    assert "luma: 12 bits become the 10 of H.264;" in result.stderr
    assert probe(target).pixel_format == "yuv420p10le"


def test_colorize_tells_of_uneven_times(vivid_weights: Path) -> None:
    filters = ("-vf", "select=mod(n\\,10),scale=96:72", "-fps_mode", "vfr", "-t", 1)
    run_ffmpeg("-i", SAMPLE_FILM, "-an", *filters, "-c:v", "libx264", "film.mkv")
    options = ("--fps", "source", "--model", vivid_weights, "-o", "o.mp4")
    said = succeed("colorize", "film.mkv", *options)
    assert re.search(r"^wrote o\.mp4: 21 frames, \d\.\d\d s each at its own time, 96x72;", said)
