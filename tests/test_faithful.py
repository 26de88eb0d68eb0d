"""What `colorize` keeps of a film: ffmpeg makes a file of each kind, which the command colorizes.

Each test is a row of the table in docs/kept.md; the output is compared by probing and decoding.
"""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from filmcolorizer_cli import colorizing, segments
from filmcolorizer_cli.ffmpeg import find_binary
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.video import Film, probe
from tests.commands import succeed
from tests.films import X264, combing, run_ffmpeg, times_of
from tests.values import present

FRAME = 1 / 24  # seconds
SECONDS = 2


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render films in parts of half a second."""
    monkeypatch.setattr(colorizing, "SEGMENT_SECONDS", 0.5)
    monkeypatch.setattr(segments, "MAX_SHIFT_SHARE", 0)


def make(name: str, *options: object, filters: str = "null", sound: bool = True) -> Path:
    """Encode two seconds of the sample film, from half a second before its first cut on."""
    path = Path(name)
    more = ("-c:a", "aac") if sound else ("-an",)
    part = ("-ss", 1.5, "-t", SECONDS, "-i", SAMPLE_FILM)
    run_ffmpeg(*part, *more, "-vf", filters, *options, path)
    return path


def colorized(film: Path, weights: Path, *options: object, output: str = "out.mp4") -> Film:
    quick: tuple[object, ...] = ("--preset", "ultrafast", "--crf", 4, "--model", weights)
    if "--codec" in options:
        quick = quick[-2:]
    succeed("colorize", film, *quick, *options, "-o", output)
    return probe(Path(output))


def luma_of(path: Path, layout: str = "yuv420p", filters: str = "null") -> np.ndarray:
    """Return the luma (N, height, width) of all stored frames, upright."""
    data = run_ffmpeg(
        "-i", path, "-map", "0:v:0", "-vf", f"{filters},format={layout},extractplanes=y",
        "-f", "rawvideo", "-fps_mode", "passthrough", "pipe:1",
    )  # fmt: skip
    film = probe(path)
    codes = np.frombuffer(data, np.uint16 if "10" in layout else np.uint8)
    return codes.reshape(-1, film.height, film.width)


def assert_looks_the_same(film: Path, output: Path, *, layout: str = "yuv420p") -> None:
    """Assert equal frame counts, and equal luma apart from encoding loss."""
    before, after = (luma_of(path, layout).astype(float) for path in (film, output))
    assert len(before) == len(after)
    after = after[:, : before.shape[1], : before.shape[2]]
    off = np.abs(before - after).mean() / (4 if "10" in layout else 1)
    assert off < 1.0, off


def assert_is_in_color(path: Path) -> None:
    data = run_ffmpeg("-i", path, "-vf", "format=yuv420p,extractplanes=u", "-f", "rawvideo", "-")
    assert np.abs(np.frombuffer(data, np.uint8).astype(int) - 128).mean() > 3


def sound_after_picture(path: Path) -> float:
    """Return how much later the sound ends than the picture, in seconds."""
    with av.open(str(path)) as container:
        *_, sound = (frame for frame in container.decode(audio=0) if frame.time is not None)
    last = times_of(path)[-1] + 1 / float(probe(path).frame_rate)
    return present(sound.time) + sound.samples / sound.sample_rate - last


def test_sounds_subtitles_and_chapters(recipe: Path, vivid_weights: Path) -> None:
    Path("said.srt").write_text("1\n00:00:00,500 --> 00:00:01,000\nGood evening\n")
    Path("told.txt").write_text(
        ";FFMETADATA1\ntitle=The Kid\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=800\n"
        "title=Evening\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=800\nEND=2000\ntitle=Night\n"
    )
    plain = make("plain.mp4", *X264, filters="scale=96:72")
    run_ffmpeg(
        "-i", plain, "-i", "said.srt", "-i", "told.txt",
        "-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "0:a", "-map", 1, "-map_metadata", 2,
        "-c:v", "copy", "-c:a:0", "aac", "-c:a:1", "flac", "-c:a:2", "libmp3lame", "-c:s", "srt",
        "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra",
        "-metadata:s:a:2", "language=deu", "-metadata:s:s:0", "language=spa",
        "-disposition:a:0", 0, "-disposition:a:1", "default", "-disposition:a:2", 0, "film.mkv",
    )  # fmt: skip
    for output, second in (("out.mkv", "flac"), ("out.mp4", "aac"), ("out.mov", "aac")):
        film = colorized(Path("film.mkv"), vivid_weights, output=output)
        german = "ger" if output == "out.mov" else "deu"  # QuickTime's code
        assert [(s.codec, s.language) for s in film.sounds] == [
            ("aac", "eng"), (second, "fra"), ("mp3", german),
        ]  # fmt: skip
        [subtitle] = film.subtitles
        text = {".mkv": "subrip"}.get(Path(output).suffix, "mov_text")
        assert (subtitle.codec, subtitle.language) == (text, "spa")
        with av.open(output) as container:
            defaults = [
                bool(s.disposition & s.disposition.default) for s in container.streams.audio
            ]
            assert defaults == [False, True, False]
            titles = [chapter["metadata"]["title"] for chapter in container.chapters()]
            assert titles == ["Evening", "Night"]
            assert {k.lower(): v for k, v in container.metadata.items()}["title"] == "The Kid"
        said = run_ffmpeg("-i", output, "-map", "0:s:0", "-f", "srt", "-").decode()
        assert "00:00:00,500 --> 00:00:01,000\nGood evening" in said


@pytest.mark.slow
def test_variable_frame_times(recipe: Path, vivid_weights: Path) -> None:
    uneven = "setpts='(N/24+0.011*mod(N\\,3)+0.5*gte(N\\,20))/TB'"
    film = make("film.mp4", *X264, "-fps_mode", "vfr", "-enc_time_base", "1/90000", filters=uneven)
    output = colorized(film, vivid_weights, "--fps", "source").path
    assert times_of(output) == pytest.approx(times_of(film), abs=2e-5)
    assert np.ptp(np.diff(times_of(output))) > 0.4
    assert_looks_the_same(film, output)
    assert colorized(film, vivid_weights, output="24.mp4").frame_rate == 24


@pytest.mark.slow
def test_interlaced_ntsc(recipe: Path, vivid_weights: Path) -> None:
    woven = "fps=60000/1001,rotate=PI*t/8:c=gray,tinterlace=interleave_top,setfield=tff"
    mpeg = ("-c:v", "mpeg2video", "-q:v", 3, "-flags", "+ilme+ildct", "-c:a", "mp2")
    film = make("film.mpg", *mpeg, filters=woven)
    assert probe(film).frame_rate.limit_denominator(2000).denominator == 1001
    output = colorized(film, vivid_weights, "--fps", "source")
    assert (output.frame_rate.numerator, output.frame_rate.denominator) == (30000, 1001)
    combed = combing(luma_of(film))
    assert combing(luma_of(output.path)) < 0.7 * combed
    left = colorized(film, vivid_weights, "--fps", "source", "--deinterlace", "off",
                     output="woven.mp4")  # fmt: skip
    assert combing(luma_of(left.path)) == pytest.approx(combed, rel=0.1)

    def are_flagged(path: Path) -> set[bool]:
        with av.open(str(path)) as container:
            return {bool(frame.interlaced_frame) for frame in container.decode(video=0)}

    assert are_flagged(left.path) == {True}
    assert are_flagged(output.path) == {False}


@pytest.mark.slow
def test_telecined_film(recipe: Path, vivid_weights: Path) -> None:
    plain = make("plain.mov", "-c:v", "prores_ks")
    mpeg = ("-c:v", "mpeg2video", "-q:v", 1, "-qmin", 1, "-c:a", "mp2")
    film = make("film.mpg", *mpeg, filters="telecine=first_field=top:pattern=23")
    assert probe(film).frame_rate == 30
    output = colorized(film, vivid_weights)
    assert (output.frame_rate, output.frame_count()) == (24, 24 * SECONDS)
    assert_looks_the_same(plain, output.path)
    assert abs(sound_after_picture(output.path)) < FRAME


def test_fields_of_a_height_that_x264_keeps_whole(recipe: Path, vivid_weights: Path) -> None:
    """NTSC's 486 lines are no multiple of 4."""
    woven = "fps=60000/1001,scale=120:486,tinterlace=interleave_top,setfield=tff"
    film = make("film.mov", "-c:v", "prores_ks", "-flags", "+ilme+ildct", filters=woven)
    output = colorized(film, vivid_weights, "--fps", "source", "--deinterlace", "off")
    assert_looks_the_same(film, output.path, layout="yuv420p10le")


@pytest.mark.slow
@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize(
    ("codec", "ending"), [("h264", "mp4"), ("h264", "mkv"), ("prores", "mov"), ("ffv1", "mkv")]
)
def test_the_first_field(
    codec: str, ending: str, first: str, recipe: Path, vivid_weights: Path
) -> None:
    woven = f"fps=50,rotate=PI*t/8:c=gray,tinterlace=interleave_{first},setfield={first[0]}ff"
    film = make("film.mov", "-c:v", "prores_ks", "-flags", "+ilme+ildct", filters=woven)
    options = ("--codec", codec, "--fps", "source", "--deinterlace", "off")
    output = colorized(film, vivid_weights, *options, output=f"out.{ending}")
    told = subprocess.run([find_binary(), "-i", output.path], capture_output=True, text=True)
    assert f"{first} " in re.findall(r"Video: .*", told.stderr)[0]


def test_a_recording_that_begins_amid_a_group_of_pictures(
    recipe: Path, vivid_weights: Path
) -> None:
    codec = ("-c:v", "libx264", "-g", 24, "-sc_threshold", 0, "-c:a", "mp2")
    whole = make("whole.ts", *codec)
    packets = whole.read_bytes()
    film = Path("film.ts")
    film.write_bytes(packets[len(packets) // 188 // 4 * 188 :])
    output = colorized(film, vivid_weights, "--fps", "source", output="out.mkv")
    assert_looks_the_same(film, output.path)
    late = [probe(path).start_seconds - probe(path).sounds[0].start_seconds for path in
            (film, output.path)]  # fmt: skip
    assert late[0] > 0.3
    assert late[1] == pytest.approx(late[0], abs=0.03)


@pytest.mark.slow
def test_anamorphic(recipe: Path, vivid_weights: Path) -> None:
    mpeg = ("-r", 25, "-c:v", "mpeg2video", "-q:v", 3, "-c:a", "mp2")
    film = make("film.mpg", *mpeg, filters="scale=720:576,setsar=64/45")
    output = colorized(film, vivid_weights, "--fps", "source")
    assert (output.width, output.height, output.sample_aspect_ratio) == (
        720, 576, probe(film).sample_aspect_ratio,
    )  # fmt: skip
    assert output.aspect_ratio == pytest.approx(16 / 9, abs=0.01)
    assert_looks_the_same(film, output.path)


@pytest.mark.parametrize(
    ("codec", "ending"),
    [("hevc", "mp4"), ("av1", "mp4"), ("av1", "mkv"), ("prores", "mov"), ("ffv1", "mkv")],
)
def test_anamorphic_in_any_codec(
    codec: str, ending: str, recipe: Path, vivid_weights: Path
) -> None:
    film = make("film.mp4", *X264, "-t", 0.3, filters="scale=96:64,setsar=16/15")
    options = ("--codec", codec)
    output = colorized(film, vivid_weights, *options, output=f"out.{ending}")
    assert output.sample_aspect_ratio == probe(film).sample_aspect_ratio == Fraction(16, 15)
    if codec == "hevc":
        assert b"hvc1" in output.path.read_bytes()
        assert b"hev1" not in output.path.read_bytes()


def test_rotated(recipe: Path, vivid_weights: Path) -> None:
    make("lying.mp4", *X264, filters="scale=192:108")
    run_ffmpeg("-display_rotation", 90, "-i", "lying.mp4", "-c", "copy", "film.mp4")
    output = colorized(Path("film.mp4"), vivid_weights)
    assert (output.width, output.height, output.rotation) == (108, 192, 0)
    assert_looks_the_same(Path("film.mp4"), output.path)


@pytest.mark.parametrize("codec", ["h264", "hevc", "ffv1"])
def test_ten_bits(codec: str, recipe: Path, vivid_weights: Path) -> None:
    deep = ("-c:v", "libx265", "-x265-params", "log-level=error", "-pix_fmt", "yuv420p10le")
    tags = "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
    noisy = f"scale=160:120,format=yuv420p10le,noise=alls=6:allf=t,{tags}"
    film = make("film.mp4", *deep, filters=noisy)
    options = ("--codec", codec, "--fps", "source")
    output = colorized(film, vivid_weights, *options, output="out.mkv")
    assert output.coding == probe(film).coding
    assert (output.coding.bit_depth, output.coding.primaries, output.coding.transfer) == (10, 9, 16)
    if codec == "ffv1":
        layout = "yuv420p10le"
        np.testing.assert_array_equal(luma_of(output.path, layout), luma_of(film, layout))
    else:
        off = luma_of(output.path, "yuv420p10le").astype(float) - luma_of(film, "yuv420p10le")
        assert np.abs(off).mean() < 8


@pytest.mark.parametrize("output", ["out.mp4", "out.mkv"])
def test_lost_packets_of_sound(output: str, recipe: Path, vivid_weights: Path) -> None:
    """ffmpeg copies AAC only up to the first incomplete frame."""
    film = make("film.ts", *X264, filters="scale=96:72")
    packets = [film.read_bytes()[n : n + 188] for n in range(0, film.stat().st_size, 188)]
    numbers = [int.from_bytes(packet[1:3]) & 0x1FFF for packet in packets]
    sound = [n for n, number in enumerate(numbers) if number == 0x101]
    lost = sound[len(sound) // 2]
    film.write_bytes(b"".join(packets[:lost] + packets[lost + 1 :]))
    told = succeed("colorize", film, "--model", vivid_weights, "-o", output)
    assert "sound: aac re-encoded, since it is damaged" in told
    [track] = probe(Path(output)).sounds
    assert track.codec == "aac"
    assert sound_after_picture(Path(output)) == pytest.approx(0, abs=0.1)


def test_recording_that_is_cut_off(recipe: Path, vivid_weights: Path) -> None:
    """The sound can be copied up to the cut."""
    film = make("film.ts", *X264, "-bf", 0, filters="scale=96:72")
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 9 // 10 + 50])
    told = succeed("colorize", film, "--model", vivid_weights, "-o", "out.mp4", "--skip-damaged")
    assert "sound: aac copied" in told


@pytest.mark.parametrize("levels", ["limited", "full"])
def test_matrix_and_range(levels: str, recipe: Path, vivid_weights: Path) -> None:
    """Chroma is made for the film's matrix, so that the shown colours are the same for either."""
    shown = []
    for matrix, tag in (("bt601", "smpte170m"), ("bt709", "bt709")):
        tags = f"setparams=colorspace={tag}:range={levels}"
        filters = f"scale=160:120:out_color_matrix={matrix}:out_range={levels},{tags}"
        film = make(f"{matrix}.mkv", *X264, "-t", 0.5, filters=filters, sound=False)
        options = ("--codec", "ffv1", "--fps", "source")
        output = colorized(film, vivid_weights, *options, output=f"{matrix}-out.mkv")
        assert output.coding == probe(film).coding
        assert (output.coding.matrix, output.coding.range) == (matrix, levels)
        np.testing.assert_array_equal(luma_of(output.path), luma_of(film))
        rgb = run_ffmpeg("-i", output.path, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1")
        differences = np.diff(np.frombuffer(rgb, np.uint8).reshape(-1, 3).astype(int))
        shown.append(differences.mean(axis=0))  # G' - R' and B' - G'
    assert np.abs(shown[0]).min() > 20, "strong colours"
    assert shown[0] == pytest.approx(shown[1], rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "size"), [("h264", (854, 482)), ("av1", (853, 481)), ("ffv1", (853, 481))]
)
def test_odd_size(codec: str, size: tuple[int, int], recipe: Path, vivid_weights: Path) -> None:
    odd = "scale=854:482,format=yuv444p,crop=853:481:exact=1"
    film = make("film.mkv", *X264, "-qp", 0, "-t", 0.5, filters=odd)
    output = colorized(film, vivid_weights, "--codec", codec, output="out.mkv")
    assert (output.width, output.height) == size
    before, after = luma_of(film, "yuv444p"), luma_of(output.path)
    off = np.abs(before.astype(float) - after[:, :481, :853]).mean()
    assert off == 0 if codec == "ffv1" else off < 4
    assert_is_in_color(output.path)


@pytest.mark.slow
def test_prores(recipe: Path, vivid_weights: Path) -> None:
    film = make("film.mov", "-c:v", "prores_ks", "-profile:v", "hq", filters="scale=320:240")
    assert probe(film).pixel_format == "yuv422p10le"
    output = colorized(film, vivid_weights, "--codec", "prores", output="out.mov")
    assert (output.codec, output.pixel_format) == ("prores", "yuv422p10le")
    assert_looks_the_same(film, output.path, layout="yuv422p10le")
    assert colorized(film, vivid_weights).coding.bit_depth == 10


@pytest.mark.parametrize("layout", ["gray", "gray10le"])
def test_grey_pixels(layout: str, recipe: Path, vivid_weights: Path) -> None:
    film = make("film.mkv", "-c:v", "ffv1", "-pix_fmt", layout, filters="scale=160:120")
    output = colorized(film, vivid_weights, "--codec", "ffv1", "--fps", "source", output="out.mkv")
    assert output.coding == probe(film).coding
    planar = output.pixel_format
    np.testing.assert_array_equal(luma_of(output.path, planar), luma_of(film, layout))
    assert_is_in_color(output.path)


def test_palette(recipe: Path, vivid_weights: Path) -> None:
    film = make("film.avi", "-c:v", "rawvideo", "-pix_fmt", "pal8", "-t", 0.5, sound=False,
                filters="scale=64:48,format=gray,format=pal8")  # fmt: skip
    assert_is_in_color(colorized(film, vivid_weights).path)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_late_sound(ending: str, recipe: Path, vivid_weights: Path) -> None:
    silent = make("silent.mp4", *X264, filters="scale=160:120", sound=False)
    late = ("-itsoffset", 0.7, "-f", "lavfi", "-i", "sine=duration=1")
    run_ffmpeg("-i", silent, *late, "-c:v", "copy", "-c:a", "aac", f"film.{ending}")
    output = colorized(Path(f"film.{ending}"), vivid_weights).path
    first, last = [], []
    for path in (Path(f"film.{ending}"), output):
        with av.open(str(path)) as container:
            picture = present(next(container.decode(video=0)).time)
        with av.open(str(path)) as container:
            loud = [f for f in container.decode(audio=0) if np.abs(f.to_ndarray()).max() > 0.02]
        first.append(present(loud[0].time) - picture)
        last.append(present(loud[-1].time) - picture)
    assert first[0] == pytest.approx(0.7, abs=FRAME)
    assert first[1] == pytest.approx(first[0], abs=FRAME)
    assert last[1] == pytest.approx(last[0], abs=FRAME)


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("avi", ("-c:v", "mpeg4", "-q:v", 2, "-c:a", "mp3")),
        ("mpg", ("-c:v", "mpeg2video", "-q:v", 2, "-c:a", "mp2")),
        ("ts", (*X264, "-c:a", "mp2")),
        ("vob", ("-c:v", "mpeg2video", "-q:v", 2, "-c:a", "ac3")),
        ("wmv", ("-c:v", "wmv2", "-q:v", 2, "-c:a", "wmav2")),
        ("webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8, "-crf", 20,
                  "-b:v", 0, "-c:a", "libopus")),
        ("flv", ("-c:v", "flv", "-q:v", 2, "-c:a", "mp3")),
    ],
)  # fmt: skip
def test_containers(
    ending: str, options: tuple[object, ...], recipe: Path, vivid_weights: Path
) -> None:
    rate = () if ending in ("avi", "ts", "webm", "wmv", "flv") else ("-r", 25)
    film = make(f"film.{ending}", *rate, *options, filters="scale=192:144")
    output = colorized(film, vivid_weights, "--fps", "source")
    assert_looks_the_same(film, output.path)
    assert len(output.sounds) == 1
    is_copied = output.sounds[0].codec == probe(film).sounds[0].codec
    off = FRAME if is_copied else FRAME + 1024 / 44100  # AAC pads its last frame with silence
    assert sound_after_picture(output.path) == pytest.approx(sound_after_picture(film), abs=off)


@pytest.mark.parametrize("ending", ["h264", "hevc"])
def test_bare_streams(ending: str, recipe: Path, vivid_weights: Path, short_parts: None) -> None:
    """Bare streams do not allow seeking."""
    film = make(f"film.{ending}", "-r", 25, filters="scale=96:72", sound=False)
    assert_looks_the_same(film, colorized(film, vivid_weights, "--fps", "source").path)


@pytest.mark.slow
def test_frames_that_are_held_long(recipe: Path, vivid_weights: Path, short_parts: None) -> None:
    """Each part of the film begins with the picture that is shown at its start."""
    held = "select='lt(n,12)+gte(n,44)',scale=64:48"
    film = make("film.mkv", *X264, "-qp", 0, "-fps_mode", "vfr", filters=held)
    lossless = ("--codec", "ffv1", "--start")
    whole = luma_of(film, filters="fps=24:start_time=0")
    for start in (0, 1):
        output = colorized(film, vivid_weights, *lossless, start, output=f"out{start}.mkv")
        np.testing.assert_array_equal(luma_of(output.path), whole[24 * start :])
    own = colorized(film, vivid_weights, *lossless, 1, "--fps", "source", output="own.mkv")
    times = [time for time in times_of(film) if time > 1]
    assert times_of(own.path) == pytest.approx([0, *(time - 1 for time in times)], abs=2e-3)
    expected = [whole[24], *luma_of(film)[-len(times) :]]
    np.testing.assert_array_equal(luma_of(own.path), expected)


@pytest.mark.slow
def test_slides(recipe: Path, vivid_weights: Path, short_parts: None) -> None:
    """One picture every 4 s; seeking must not skip the one being shown."""
    slow = "scale=64:48,fps=2,setpts=4*N/TB,fps=1/4"
    film = make("film.mkv", *X264, "-qp", 0, filters=slow, sound=False)
    assert probe(film).frame_rate == Fraction(1, 4)
    for rate in (24, "source"):
        whole = luma_of(film, filters=f"fps={rate}:start_time=0" if rate == 24 else "null")
        options = ("--codec", "ffv1", "--fps", rate, "--overwrite")
        output = colorized(film, vivid_weights, *options, output="out.mkv")
        np.testing.assert_array_equal(luma_of(output.path), whole)


@pytest.mark.parametrize(
    ("options", "ending"),
    [
        ((), "mp4"),
        (("--preset", "medium"), "mp4"),
        (("--codec", "hevc", "--preset", "medium"), "mp4"),
        (("--codec", "hevc", "--preset", "medium"), "mkv"),
        (("--codec", "ffv1"), "mkv"),
    ],
)
def test_last_frame_is_held_as_long(
    options: tuple[str, ...], ending: str, recipe: Path, vivid_weights: Path
) -> None:
    """Also if it is not stored last, or the codec stores no frame rate."""
    uneven = "settb=1/90000,select='lt(n,12)+eq(n,20)',scale=64:48"
    film = make("film.mp4", *X264, "-fps_mode", "vfr", "-enc_time_base", "1/90000", filters=uneven)
    output = colorized(film, vivid_weights, "--fps", "source", *options, output=f"output.{ending}")
    assert output.duration_seconds == pytest.approx(probe(film).duration_seconds, abs=0.002)


def test_y4m(recipe: Path, vivid_weights: Path) -> None:
    film = make("film.y4m", "-pix_fmt", "yuv420p", filters="scale=96:72", sound=False)
    assert_looks_the_same(film, colorized(film, vivid_weights).path)


@pytest.mark.slow
def test_tiny_and_large(recipe: Path, vivid_weights: Path) -> None:
    for size in ((64, 64), (3840, 2160)):
        scale = f"scale={size[0]}:{size[1]}"
        film = make("film.mp4", *X264, "-t", 0.2, "-y", filters=scale)
        output = colorized(film, vivid_weights, "--overwrite")
        assert (output.width, output.height) == size
        assert_looks_the_same(film, output.path)


@pytest.mark.parametrize("what", ["size", "format"])
def test_pictures_that_change_midway(
    what: str, recipe: Path, vivid_weights: Path, short_parts: None
) -> None:
    """A scan of another size or format keeps its place, and so do those after it."""
    Path("scans").mkdir()
    make("scans/%03d.png", "-frames:v", 20, filters="scale=64:48,format=gray", sound=False)
    change = {"size": "scale=66:50", "format": "format=rgba"}[what]
    run_ffmpeg("-i", "scans/009.png", "-vf", change, "changed.png")
    expected = np.stack([np.asarray(Image.open(f"scans/{n:03d}.png")) for n in range(1, 21)])
    Path("changed.png").replace("scans/009.png")
    for rate in (24, "source"):
        options = ("--codec", "ffv1", "--fps", rate, "--overwrite")
        output = colorized(Path("scans/%03d.png"), vivid_weights, *options, output="out.mkv")
        found = luma_of(output.path).astype(float)
        assert len(found) == 20
        assert np.abs(found - expected).mean() < 3
        np.testing.assert_array_equal(np.delete(found, 8, 0), np.delete(expected, 8, 0))
