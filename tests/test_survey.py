"""Surveys of short real clips, into which filters plant what is to be found."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from filmcolorizer_cli.areas import PixelArea
from filmcolorizer_cli.cadence import ONE_TO_ONE, Cadence
from filmcolorizer_cli.edits import Edits
from filmcolorizer_cli.errors import VideoError
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.frames import read_luma
from filmcolorizer_cli.packets import find_damage
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.survey import Survey, cadence_of, glance, is_in_color, survey
from filmcolorizer_cli.timeline import Timeline
from filmcolorizer_cli.video import FieldOrder, probe
from tests.damage import spoil_packets
from tests.films import (
    BUNNY_CUTS,
    BUNNY_FRAMES,
    LOSSLESS,
    SAMPLE_FRAMES,
    X264,
    frames_only,
    graded_film,
    make_clip,
    make_color_clip,
    photographs,
    run_ffmpeg,
)
from tests.machine import file_size_limit, files_in, our_children
from tests.values import finished

LETTERBOXED = "scale=640:272,pad=640:360:0:44"
LETTERBOX = PixelArea(0, 44, 640, 272)
NOISY = "noise=c{plane}s={strength}:c{plane}f=t+u"
SEPIA = "colorchannelmixer=.393:.769:.189:0:.349:.686:.168:0:.272:.534:.131"
# Frames as if at 50 a second, each of which makes one field.
FIELDS = "setpts=N/50/TB,scale=720:576"
CHROMA_NOISE = f"{NOISY.format(plane=1, strength=40)},{NOISY.format(plane=2, strength=40)}"
FULL_CHROMA = "scale=320:-2,format=yuv444p"


def surveyed(
    path: Path, *, start_seconds: float = 0.0, duration_seconds: float | None = None
) -> Survey:
    return survey(
        probe(path),
        start_seconds=start_seconds,
        duration_seconds=duration_seconds,
        track=lambda frames, total, label: frames,
    )


def cadence_at_first_look(path: Path) -> Cadence:
    """Return the cadence that a survey's first pass finds, without the second pass."""
    return survey(probe(path), reading_cadence=lambda found: Cadence()).cadence


def clipped(path: Path, filters: str, *options: object, crf: int = 20) -> Path:
    """Make 3 s of the sample, with a cut at 1 s, through these filters.

    ffmpeg -ss 1 -t 3 -i SAMPLE -vf FILTERS -c:v libx264 -preset ultrafast OPTIONS PATH
    """
    part = ("-ss", 1, "-t", 3, "-i", SAMPLE_FILM, "-an", "-vf", filters)
    run_ffmpeg(*part, *X264, "-crf", crf, "-pix_fmt", "yuv420p", *options, path)
    return path


def joined(path: Path, *parts: Path) -> Path:
    """Join films one after the other, at 320x180 and 24 fps."""
    inputs = [argument for part in parts for argument in ("-i", part)]
    scaled = "".join(
        f"[{n}]scale=320:180,setsar=1,fps=24,format=yuv420p[v{n}];" for n in range(len(parts))
    )
    labels = "".join(f"[v{n}]" for n in range(len(parts)))
    graph = f"{scaled}{labels}concat=n={len(parts)}"
    run_ffmpeg(*inputs, "-an", "-filter_complex", graph, *X264, "-crf", "16", path)
    return path


# Shots


def test_survey_finds_the_cuts_of_the_sample() -> None:
    found = surveyed(SAMPLE_FILM)
    assert found.seconds == SAMPLE_FRAMES / 24
    assert found.cuts == pytest.approx((2.0, 4.0), abs=1e-3)


def test_survey_tells_where_there_is_no_room_for_what_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error does not blame the film."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with file_size_limit(1000), pytest.raises(VideoError) as caught:
        surveyed(SAMPLE_FILM)
    assert str(caught.value) == (
        f"cannot write notes on {SAMPLE_FILM} in {tmp_path} (File too large); make room there"
    )
    assert files_in(tmp_path) == []


def test_survey_finds_the_cuts_of_a_real_film(bunny: Path) -> None:
    found = surveyed(bunny)
    assert found.seconds == BUNNY_FRAMES / 24
    # Frame 323 jumps closer during a movement, which scdet does not take for a cut.
    hard_cuts = [cut for cut in BUNNY_CUTS if cut != 323]
    assert found.cuts == pytest.approx([cut / 24 for cut in hard_cuts], abs=1e-3)


def test_survey_finds_a_dissolve(dissolving_film: Path) -> None:
    found = surveyed(dissolving_film)
    ((begin, end),) = found.dissolves
    assert found.cuts == ()
    assert 1.65 < begin <= 2.2
    assert 3 <= end < 3.35
    assert Survey.from_plain(asdict(found)) == found


def test_survey_finds_no_dissolve_in_cut_film(bunny: Path) -> None:
    assert surveyed(SAMPLE_FILM).dissolves == ()
    assert surveyed(bunny).dissolves == ()


def test_survey_finds_a_shot_that_goes_on_with_an_earlier_one(returning_film: Path) -> None:
    found = surveyed(returning_film)
    assert (found.cuts, found.returns) == ((1.0, 2.0), ((2.0, 0.0),))
    assert Survey.from_plain(json.loads(json.dumps(asdict(found)))) == found
    edits = found.edits(Timeline.steady(Fraction(25), 75))
    assert edits == Edits([25, 50], [], {50: 0})
    assert [edits.is_carried_into(cut) for cut in edits.cuts] == [True, True]


def test_survey_of_films_whose_shots_are_others_finds_no_returns(bunny: Path) -> None:
    assert surveyed(SAMPLE_FILM).returns == ()
    assert surveyed(bunny).returns == ()  # it returns to faces, but framed differently


def test_survey_counts_from_the_start_of_a_part() -> None:
    found = surveyed(SAMPLE_FILM, start_seconds=1.5, duration_seconds=3.0)
    assert found.seconds == 3.0
    assert found.cuts == pytest.approx((0.5, 2.5), abs=1e-3)


@pytest.mark.parametrize("start_ms", [0, 310, 330, 345, 375])
def test_survey_finds_a_cut_between_frames_that_keep_their_times(
    start_ms: int, tmp_path: Path
) -> None:
    """The part may begin between frames: after 0, 7.43, 7.91, 8.27 and 8.99 of them."""
    in_ms = "settb=1/1000,setpts=N*1001/24"
    film = probe(clipped(tmp_path / "film.mkv", in_ms, "-enc_time_base", "1/1000"))
    found = survey(film, start_seconds=start_ms / 1000)
    pts = [n * 1001 // 24 - start_ms for n in range(72)]
    shown = [time for time in pts if time + 1001 / 48 > 0]
    times = Timeline(film.frame_rate, Fraction(1, 1000), [0, *shown[1:]])
    assert found.edits(times).cuts == [len(shown) - 48]


def test_survey_of_a_part_looks_at_nothing_else(tmp_path: Path) -> None:
    """Bars and fields that follow the part do not matter either."""
    clip = clipped(tmp_path / "clip.mp4", f"{LETTERBOXED},negate=enable='gt(t,2)'")
    assert surveyed(clip, duration_seconds=1.75).area == LETTERBOX
    assert surveyed(clip).area == PixelArea(0, 0, 640, 360)


@pytest.mark.parametrize("frames", ["eq(n,70)", "between(n,70,72)", "between(n,4,6)"])
def test_survey_takes_a_flash_for_part_of_its_shot(frames: str, tmp_path: Path) -> None:
    flash = f"drawbox=w=iw:h=ih:color=white:t=fill:enable='{frames}'"
    cuts = surveyed(graded_film(tmp_path / "flash.mp4", flash)).cuts
    assert cuts == pytest.approx((2.0, 4.0), abs=1e-3)


@pytest.mark.parametrize("length", [1, 2, 8])
def test_survey_parts_what_comes_behind_a_moment_of_something_else(
    length: int, tmp_path: Path
) -> None:
    """Otherwise its colours would be those of the moment: white, or another scene's."""
    frames = f"between(n,{48 - length},47)"
    flash = f"drawbox=w=iw:h=ih:color=white:t=fill:enable='{frames}'"
    cuts = surveyed(graded_film(tmp_path / "flash.mp4", flash)).cuts
    assert cuts == pytest.approx(((48 - length) / 24, 2.0, 4.0), abs=1e-3)


def test_survey_finds_a_cut_right_before_the_end_of_a_part() -> None:
    """No colours may cross it, however few frames are left."""
    assert surveyed(SAMPLE_FILM, duration_seconds=2.125).cuts == pytest.approx((2.0,), abs=1e-3)


def test_survey_takes_a_flash_at_the_end_for_a_shot(tmp_path: Path) -> None:
    flash = "drawbox=w=iw:h=ih:color=white:t=fill:enable='gt(n,137)'"
    found = surveyed(graded_film(tmp_path / "flash.mp4", flash))
    assert found.cuts == pytest.approx((2.0, 4.0, 138 / 24), abs=1e-3)


def test_survey_takes_a_shot_too_short_to_tell_for_what_the_one_before_is(bunny: Path) -> None:
    seconds = (BUNNY_CUTS[0] + 3) / 24
    found = surveyed(bunny, duration_seconds=seconds)
    assert found.cuts == pytest.approx((BUNNY_CUTS[0] / 24,), abs=1e-3)
    assert found.colored == ((0.0, found.seconds),)


def test_survey_tracks_all_its_frames() -> None:
    seen: list[object] = []

    def track(frames: Iterable[Any], total: int, label: str) -> Iterator[Any]:
        seen.extend([total, label])
        for frame in frames:
            seen.append(frame.shape)
            yield frame

    survey(probe(SAMPLE_FILM), track=track)
    assert seen == [SAMPLE_FRAMES, "frames looked at"] + [(96, 128, 3)] * SAMPLE_FRAMES


def test_survey_of_a_damaged_film_names_it(tmp_path: Path) -> None:
    data = bytearray(SAMPLE_FILM.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    clip = tmp_path / "damaged.mp4"
    clip.write_bytes(data)
    before = our_children()
    with pytest.raises(VideoError, match=r"damaged\.mp4 is damaged or cut short"):
        surveyed(clip)
    assert our_children() == before


# Colour


@pytest.mark.parametrize(
    "filters",
    [
        "null",
        SEPIA,
        "colorchannelmixer=.3:.6:.1:0:.2:.5:.1:0:.3:.7:.3",  # blue, with clipped highlights
        "geq=lum='lum(X,Y)':cb=150:cr=112",  # uniform chroma
        "format=gbrp,colorbalance=rs=.3:bh=.3:gm=.1",
        # blue shadows and orange highlights, as in a print that was both tinted and toned
        f"{FULL_CHROMA},geq=lum='lum(X,Y)':cb='158-lum(X,Y)/3':cr='98+lum(X,Y)/3'",
        CHROMA_NOISE,
        f"{SEPIA},{CHROMA_NOISE}",
        # crosstalk of luma detail into chroma, which makes rainbows in composite video
        f"{FULL_CHROMA},geq=lum='lum(X,Y)'"
        ":cb='128+(lum(X,Y)-lum(X+2,Y))*sin(X*1.8+Y*1.57+N*1.57)/2'"
        ":cr='128+(lum(X,Y)-lum(X+2,Y))*cos(X*1.8+Y*1.57+N*1.57)/2'",
        "drawbox=w=iw:h=ih:color=black:t=fill:enable='lt(t,1)'",
        "drawbox=x=100:y=150:w=280:h=20:color=white:t=fill",
    ],
)
def test_survey_takes_no_tint_for_colour(filters: str, tmp_path: Path) -> None:
    assert surveyed(clipped(tmp_path / "tinted.mp4", filters)).colored == ()


@pytest.mark.parametrize("quality", [("-c:v", "mpeg4", "-b:v", "250k"), ("-crf", 40)])
def test_survey_takes_no_dirt_for_colour(quality: tuple[object, ...], tmp_path: Path) -> None:
    """At low bit rates, what is left of chroma noise persists for a while."""
    clip = clipped(tmp_path / "dirty.mp4", f"scale=320:-2,{CHROMA_NOISE}", *quality)
    assert surveyed(clip).colored == ()


def test_survey_takes_no_blocks_of_a_strong_tint_for_colour(tmp_path: Path) -> None:
    """Strong compression makes such blocks."""
    clip = clipped(tmp_path / "sepia.mp4", f"scale=320:-2,{SEPIA},eq=saturation=2", crf=45)
    assert surveyed(clip).colored == ()


@pytest.mark.parametrize("layout", ["gray", "gray10le"])
def test_survey_takes_no_grey_layout_for_colour(layout: str, tmp_path: Path) -> None:
    clip = clipped(tmp_path / "grey.mkv", "scale=320:-2", "-c:v", "ffv1", "-pix_fmt", layout)
    assert surveyed(clip).colored == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chaplin", "a-bomb_blast_effects_part"])
@pytest.mark.parametrize("filters", [SEPIA, CHROMA_NOISE])
def test_survey_takes_no_old_film_for_colour(
    name: str, filters: str, shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "old" / f"{name}.mp4"
    filters = f"trim=end=3,scale=320:-2,{filters}"
    clip = graded_film(tmp_path / "old.mp4", filters, source=source, crf=26)
    assert surveyed(source).colored == surveyed(clip).colored == ()


@pytest.mark.parametrize("name", ["blackswan", "car-shadow", "parkour"])
def test_survey_finds_live_action_in_colour(name: str, shared_data: Path) -> None:
    found = surveyed(shared_data / "davis" / f"{name}.mp4")
    assert found.colored == ((0.0, found.seconds),)


@pytest.mark.slow
@pytest.mark.parametrize("filters", ["null", "eq=saturation=0.35"])
def test_survey_joins_neighbouring_shots_in_colour(
    filters: str, bunny: Path, tmp_path: Path
) -> None:
    """This includes shots of a faded film."""
    clip = graded_film(tmp_path / "bunny.mp4", filters, source=bunny)
    assert surveyed(clip).colored == ((0.0, BUNNY_FRAMES / 24),)


@pytest.mark.slow
def test_survey_tells_shots_in_colour_from_others(bunny: Path, tmp_path: Path) -> None:
    runs = frames_only((89, 128), (196, 214))
    color = graded_film(tmp_path / "color.mp4", runs, source=bunny)
    tinted = graded_film(tmp_path / "tinted.mp4", SEPIA)
    found = surveyed(joined(tmp_path / "mixed.mp4", tinted, color, SAMPLE_FILM, color))
    begins = 0, 48, 96, 144, 183, 192, 201, 249, 297, 345, 384, 393
    assert found.cuts == pytest.approx([begin / 24 for begin in begins[1:]], abs=1e-3)
    spans = [(144 / 24, 201 / 24), (345 / 24, 402 / 24)]
    assert np.array(found.colored) == pytest.approx(np.array(spans), abs=1e-3)


# Bars


@pytest.mark.parametrize("start", [3.0, 3.5, 4.5])
def test_survey_of_a_part_sees_its_own_bars(start: float, tmp_path: Path) -> None:
    """Frames before the part, which have no bars, do not matter."""
    film = tmp_path / "film.mp4"
    bars = "drawbox=h=80:color=black:t=fill:enable='gte(t,3)'"
    below = "drawbox=y=280:h=80:color=black:t=fill:enable='gte(t,3)'"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", f"{bars},{below}", *X264, film)
    assert survey(probe(film), start_seconds=start).area == PixelArea(0, 80, 480, 200)
    assert survey(probe(film)).area == PixelArea(0, 0, 480, 360)


def test_survey_of_a_part_sees_a_slide_that_is_held_into_it(tmp_path: Path) -> None:
    """A slide without bars is shown from 0 s on, and one with bars from 10 s on."""
    film = tmp_path / "slides.mp4"
    bars = "drawbox=h=80:color=black:t=fill:enable='gte(n,1)'"
    below = "drawbox=y=280:h=80:color=black:t=fill:enable='gte(n,1)'"
    slides = f"select='eq(n,0)+eq(n,72)',{bars},{below},settb=1/1000,setpts=N*10000"
    how = ("-fps_mode", "passthrough", "-enc_time_base", "1/1000")
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", slides, *how, *X264, film)
    found = survey(probe(film), start_seconds=5.0, duration_seconds=10.0)
    assert found.area == PixelArea(0, 0, 480, 360)


@pytest.mark.parametrize(
    ("filters", "area"),
    [
        ("null", PixelArea(0, 0, 480, 360)),
        (LETTERBOXED, LETTERBOX),
        ("scale=480:360,pad=640:360:80:0", PixelArea(80, 0, 480, 360)),
        ("scale=400:224,pad=640:360:120:68", PixelArea(120, 68, 400, 224)),
        ("scale=628:352,pad=640:360:8:4", PixelArea(8, 4, 628, 352)),
        ("scale=636:360,pad=640:360:2:0", PixelArea(2, 0, 636, 360)),
        (f"{LETTERBOXED},lutyuv=y='32+(val-16)*203/219'", LETTERBOX),
        (f"{LETTERBOXED},{NOISY.format(plane=0, strength=15)}", LETTERBOX),
        # night, except for one of the shots
        (f"lutyuv=y='16+(val-16)/16':enable='gt(t,1)',{LETTERBOXED}", LETTERBOX),
        (f"scale=640:272,lutyuv=y='16+(val-16)/4',{LETTERBOXED}", LETTERBOX),
        ("lutyuv=y=16:u=128:v=128", PixelArea(0, 0, 480, 360)),
        ("lutyuv=y='16+(val-16)/8'", PixelArea(0, 0, 480, 360)),
        ("vignette=PI/2.2", PixelArea(0, 0, 480, 360)),
        # a dark sky
        ("geq=lum='if(lt(Y,100),16,lum(X,Y))':cb=128:cr=128", PixelArea(0, 0, 480, 360)),
        # a title
        (
            "drawbox=w=iw:h=ih:color=black:t=fill,drawbox=x=80:y=140:w=320:h=30:color=white:t=fill,"
            "drawbox=x=80:y=190:w=320:h=30:color=white:t=fill",
            PixelArea(0, 0, 480, 360),
        ),
        # subtitles
        (
            f"{LETTERBOXED},drawbox=x=200:y=330:w=240:h=16:color=white:t=fill:enable='lt(t,1)'",
            PixelArea(0, 0, 640, 360),
        ),
    ],
)
def test_survey_finds_the_picture_inside_bars(
    filters: str, area: PixelArea, tmp_path: Path
) -> None:
    assert surveyed(clipped(tmp_path / "bars.mp4", filters)).area == area


@pytest.mark.parametrize(("seconds", "width"), [(0.5, 640), (0.05, 480)])
def test_survey_sees_picture_in_bars_between_its_runs(
    seconds: float, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In long films, runs are half a minute apart. A splice of a frame or two does not count."""
    monkeypatch.setattr("filmcolorizer_cli.survey._run_distance", lambda seconds: 100.0)
    wide = f"between(t,2,{1.99 + seconds})"
    narrow = "split[a],scale=480:360,pad=640:360:80:0[b]"
    shown = f"{narrow};[a]scale=640:360[c];[b][c]overlay=enable='{wide}'"
    found = surveyed(clipped(tmp_path / "wide.mp4", shown))
    assert (found.area.width, found.area.height) == (width, 360)


def test_survey_finds_the_bars_of_a_real_film(shared_data: Path) -> None:
    """Judged by eye, the picture spans columns 72 to 567."""
    area = surveyed(shared_data / "old" / "chaplin.mp4").area
    assert (area.top, area.height) == (0, 360)
    assert 68 <= area.left <= 72
    assert 568 <= area.left + area.width <= 572


@pytest.mark.parametrize("seconds", [0, 120, 360, 450])
def test_survey_finds_no_bars_in_parts_of_a_real_film(seconds: int, shared_data: Path) -> None:
    film = shared_data / "film" / "big_buck_bunny_360p.mp4"
    found = surveyed(film, start_seconds=seconds, duration_seconds=5)
    assert found.area == PixelArea(0, 0, 640, 360)


@pytest.mark.parametrize(
    ("layout", "arguments"),
    [
        ("yuv420p", ("-color_range", "pc")),
        ("yuv420p10le", ()),
        ("gray", ()),
        ("gbrp", ()),
    ],
)
def test_survey_finds_bars_in_any_layout(
    layout: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    filters = f"{LETTERBOXED},scale=out_range={'full' if arguments else 'limited'}"
    codec = ("-c:v", "ffv1", "-pix_fmt", layout)
    clip = clipped(tmp_path / "clip.mkv", filters, *codec, *arguments)
    assert surveyed(clip).area == LETTERBOX


def test_survey_keeps_the_odd_edges_of_a_frame(tmp_path: Path) -> None:
    layout = ("-pix_fmt", "yuv444p")
    full = clipped(tmp_path / "full.mp4", "scale=853:481", *layout)
    assert surveyed(full).area == PixelArea(0, 0, 853, 481)
    letterboxed = "scale=853:361,format=yuv444p,pad=853:481:0:59"
    bars = clipped(tmp_path / "bars.mp4", letterboxed, *layout)
    assert surveyed(bars).area == PixelArea(0, 58, 853, 362)


def test_survey_is_upright(tmp_path: Path) -> None:
    bars = clipped(tmp_path / "bars.mp4", LETTERBOXED)
    turned = tmp_path / "turned.mp4"
    run_ffmpeg("-display_rotation", 90, "-i", bars, "-c", "copy", turned)
    assert surveyed(turned).area == PixelArea(44, 0, 272, 640)


@pytest.mark.parametrize(
    ("name", "filters", "options"),
    [
        ("clip.ts", "null", ()),
        ("clip.mpg", "null", ("-c:v", "mpeg2video", "-q:v", 3)),
        ("late.mkv", "null", ("-output_ts_offset", 3)),
        ("vfr.mp4", "select='not(mod(n,3))+lt(mod(n,10),3)'", ("-fps_mode", "vfr")),
        ("anamorphic.mp4", "setsar=64/45", ()),
    ],
)
def test_survey_reads_films_of_all_kinds(
    name: str, filters: str, options: tuple[object, ...], tmp_path: Path
) -> None:
    clip = clipped(tmp_path / name, f"{filters},{LETTERBOXED}", *options)
    part = surveyed(clip, start_seconds=0.25)
    assert part.area == LETTERBOX
    assert part.cadence.field_order == "progressive"
    assert part.cuts == pytest.approx((0.75,), abs=0.1)


# Fields


@pytest.mark.parametrize(
    ("filters", "arguments", "order"),
    [
        (f"{FIELDS},tinterlace=interleave_top", ("-x264opts", "interlaced=1:tff=1"), "top"),
        (f"{FIELDS},tinterlace=interleave_top", (), "top"),
        (f"{FIELDS},tinterlace=interleave_top", ("-x264opts", "interlaced=1:bff=1"), "top"),
        (f"{FIELDS},tinterlace=interleave_bottom", ("-x264opts", "interlaced=1:bff=1"), "bottom"),
        (f"{FIELDS},tinterlace=interleave_bottom", (), "bottom"),
        (
            f"{FIELDS},tinterlace=interleave_top,{NOISY.format(plane=0, strength=20)}",
            ("-crf", 28),
            "top",
        ),
        ("scale=720:480,telecine=first_field=top:pattern=32", (), "top"),
        ("scale=720:480,telecine=first_field=bottom:pattern=32", (), "bottom"),
        ("scale=720:576", ("-x264opts", "interlaced=1:tff=1"), "progressive"),
        ("scale=720:576,loop=-1:1:10,trim=end=2", ("-x264opts", "interlaced=1"), "progressive"),
        (f"scale=720:576,{NOISY.format(plane=0, strength=40)}", (), "progressive"),
        # alternate lines differ in brightness, as from a worn video head
        ("scale=480:360,geq=lum='lum(X,Y)+6*mod(Y,2)*sin(N)':cb=128:cr=128", (), "progressive"),
        ("scale=160:120", (), "progressive"),
        ("fps=50", (), "progressive"),  # frames are repeated
    ],
)
def test_survey_measures_the_field_order(
    filters: str, arguments: tuple[object, ...], order: FieldOrder, tmp_path: Path
) -> None:
    clip = clipped(tmp_path / "clip.mp4", filters, *arguments)
    assert cadence_at_first_look(clip).field_order == order


TELECINE = "scale=720:480,telecine=first_field={first}:pattern={pattern}"
NTSC = "setpts=N/30/TB,fps=30"
DIRTY = NOISY.format(plane=0, strength=16)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("filters", "cadence"),
    [
        (TELECINE.format(first="top", pattern=23), Cadence("top", True, True)),
        (TELECINE.format(first="bottom", pattern=32), Cadence("bottom", True, True)),
        (TELECINE.format(first="top", pattern=2332), Cadence("top", True, True)),
        (f"{TELECINE.format(first='bottom', pattern=33)},{NTSC}", Cadence("bottom", True, True)),
        (f"{TELECINE.format(first='top', pattern=334)},{NTSC}", Cadence("top", True, True)),
        (f"{TELECINE.format(first='top', pattern=344)},{NTSC}", Cadence("top", True, True)),
        (f"{TELECINE.format(first='top', pattern=23)},{DIRTY}", Cadence("top", True, True)),
        # silent film at 18 fps, with repeats to make 24, then made NTSC video
        (
            f"setpts=N/18/TB,fps=24,{TELECINE.format(first='top', pattern=23)}",
            Cadence("top", True, True),
        ),
        (  # drawn on twos
            f"setpts=N/12/TB,fps=24,{TELECINE.format(first='top', pattern=23)}",
            Cadence("top", True, True),
        ),
        ("setpts=N/25/TB,fps=25,scale=720:576,phase=mode=t", Cadence("bottom", True)),
        ("setpts=N/25/TB,fps=25,scale=720:576,phase=mode=b", Cadence("top", True)),
        ("setpts=N/60/TB,fps=60,scale=720:480,tinterlace=interleave_top", Cadence("top")),
        ("fps=30", Cadence(repeats=True)),
        (f"fps=30,{DIRTY}", Cadence(repeats=True)),
        ("setpts=N/20/TB,fps=25", Cadence(repeats=True)),
        ("setpts=N/16/TB,fps=25", Cadence(repeats=True)),
        ("setpts=N/30/TB,fps=30", Cadence()),
        ("setpts=N/12.5/TB,fps=25", Cadence()),  # each picture twice: nothing to choose
        ("setpts=N/25/TB,fps=25", Cadence()),
        ("null", Cadence()),
    ],
)
@pytest.mark.parametrize("name", ["parkour", "camel"])
def test_survey_finds_the_cadence_of_live_action(
    name: str, filters: str, cadence: Cadence, shared_data: Path, tmp_path: Path
) -> None:
    film = shared_data / "davis" / f"{name}.mp4"
    clip = graded_film(tmp_path / "clip.mp4", filters, source=film)
    assert cadence_at_first_look(clip) == cadence


def test_survey_finds_one_repeat_a_second(bunny: Path, tmp_path: Path) -> None:
    clip = graded_film(tmp_path / "clip.mp4", "fps=25", source=bunny)
    assert cadence_at_first_look(clip) == Cadence(repeats=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "cadence"),
    [
        ("yuv422p", Cadence("top", True, True)),
        ("yuv422p10le", Cadence("top", False, True)),  # ffmpeg would weave only its left half
        ("gray", Cadence("top", False, True)),
    ],
)
def test_survey_matches_fields_of_pixels_that_can_be_woven(
    layout: str, cadence: Cadence, shared_data: Path, tmp_path: Path
) -> None:
    clip, woven = (
        tmp_path / "clip.mkv",
        f"{TELECINE.format(first='top', pattern=23)},format={layout}",
    )
    film = shared_data / "davis" / "parkour.mp4"
    run_ffmpeg("-i", film, "-an", "-vf", woven, "-c:v", "ffv1", clip)
    assert cadence_at_first_look(clip) == cadence


def test_survey_of_a_still_title_is_progressive(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "still.mp4", picture="smptebars=size=720x576:rate=25:duration=3")
    assert cadence_at_first_look(clip).field_order == "progressive"


def test_survey_finds_cuts_between_the_fields_of_a_frame(shared_data: Path, tmp_path: Path) -> None:
    """Frame 20 has a field of each shot; as a whole picture it shows the first shot."""
    clip = tmp_path / "fields.mkv"
    fields = "fps=60000/1001,trim=start_frame=1,setpts=PTS-STARTPTS"
    filters = f"hue=s=0,scale=720:480,{fields},interlace=scan=tff"
    film = shared_data / "film" / "big_buck_bunny_360p.mp4"
    run_ffmpeg("-ss", 60, "-t", 2, "-i", film, "-an", "-vf", filters, *X264, "-qp", 12, clip)
    rate = Fraction(30000, 1001)
    found = survey(probe(clip), frame_rate=rate)
    assert found.cadence.field_order == "top"
    assert [round(cut * rate) for cut in found.cuts] == [21]
    woven = survey(probe(clip), frame_rate=rate, reading_cadence=lambda found: ONE_TO_ONE)
    assert [round(cut * rate) for cut in woven.cuts] != [21]


# A glance


def test_glance_finds_what_is_picture_anywhere(tmp_path: Path) -> None:
    """The bars are above and below in the first half, and at the sides in the second."""
    bars = (
        "scale=240:180,drawbox=h=30:{0},drawbox=y=150:h=30:{0},"
        "drawbox=w=40:{1},drawbox=x=190:w=50:{1}"
    ).format("color=black:t=fill:enable='lt(t,9)'", "color=black:t=fill:enable='gte(t,9)'")
    path = tmp_path / "film.mp4"
    run_ffmpeg("-stream_loop", 2, "-i", SAMPLE_FILM, "-an", "-vf", bars, *X264, path)
    film = probe(path)
    assert glance(film, 0.0, 18.0)[0] == PixelArea(0, 0, 240, 180)
    assert glance(film, 0.0, 8.0)[0] == glance(film, 1.0, 2.0)[0] == PixelArea(0, 30, 240, 120)
    assert glance(film, 10.0, 8.0)[0] == PixelArea(40, 0, 150, 180)


def test_glance_takes_one_look_of_many_for_chance(tmp_path: Path) -> None:
    """Of 12 s only 3 to 4 s, one look of six, has fields; a look at these alone finds them."""
    path = tmp_path / "film.mp4"
    motion = "testsrc2=size=320x240:rate=50:duration=12,hue=s=0,scroll=h=0.04,split[a][b]"
    woven = "[a]tinterlace=interleave_top,setfield=prog[c];[b]fps=25[d]"
    picture = f"{motion};{woven};[d][c]overlay=enable='between(t,2.99,4)'"
    film = probe(make_clip(path, picture=picture))
    assert glance(film, 0.0, 12.0)[1] == ONE_TO_ONE
    assert glance(film, 3.0, 1.0)[1].field_order == "top"


def test_glance_looks_where_a_film_can_be_read(tmp_path: Path) -> None:
    path, options = tmp_path / "film.mp4", ("-g", 12, "-crf", 18, "-movflags", "+faststart")
    bars = "drawbox=h=60:color=black:t=fill,drawbox=y=300:h=60:color=black:t=fill"
    looped = ("-stream_loop", 2, "-i", SAMPLE_FILM, "-an", "-vf", bars)
    run_ffmpeg(*looped, *X264, *options, path)
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = np.random.default_rng(0).bytes(third)
    path.write_bytes(data)
    assert glance(probe(path), 0.0, 18.0)[0] == PixelArea(0, 60, 480, 240)
    with pytest.raises(VideoError, match="is damaged or cut short"):
        glance(probe(path), 8.0, 2.0)
    assert cadence_of(probe(path), 8.0, 2.0) == ONE_TO_ONE


def test_is_in_color_finds_colours_wherever_it_looks(tmp_path: Path) -> None:
    """One film has colour in its last sixth only; tinted and unreadable films have none."""
    grey, late = tmp_path / "grey.mp4", tmp_path / "late.mp4"
    picture = "testsrc2=size=96x72:rate=24:duration=6,hue=s={}"
    make_clip(late, picture=picture.format("'gte(t,5)'"))
    make_clip(grey, picture=f"{picture.format(0)},{SEPIA}")
    assert is_in_color(probe(late))
    assert not is_in_color(probe(grey))
    film, data = probe(late), late.read_bytes()
    late.write_bytes(data[: len(data) // 8] + bytes(len(data) * 7 // 8))
    assert not is_in_color(film)


def test_survey_finds_cuts_between_the_fields_of_video(tmp_path: Path) -> None:
    """Each field shows its own moment; the first field of frame 12 is of the first shot."""
    fields, film = tmp_path / "fields.mp4", tmp_path / "film.mp4"
    shown = [photographs()[number < 25][:96, :128] for number in range(72)]
    make_color_clip(fields, [np.roll(shot, 3 * n, axis=1) for n, shot in enumerate(shown)])
    weave = "tinterlace=interleave_top,setfield=prog"
    run_ffmpeg("-r", 50, "-i", fields, "-vf", weave, *LOSSLESS, "-pix_fmt", "yuv420p", film)
    found = survey(probe(film), frame_rate=Fraction(25))
    assert found.cadence == Cadence("top")
    assert [round(cut * 25) for cut in found.cuts] == [13]
    woven = survey(probe(film), frame_rate=Fraction(25), reading_cadence=lambda found: ONE_TO_ONE)
    assert [round(cut * 25) for cut in woven.cuts] != [13]


def test_survey_of_damaged_video_looks_at_its_fields(tmp_path: Path) -> None:
    """A second pass reads the fields, and leaves out damage as the first one does."""
    path = tmp_path / "film.mkv"
    fields = "testsrc2=size=320x240:rate=50:duration=4,hue=s=0,scroll=h=0.04"
    weave = f"{fields},tinterlace=interleave_top,setfield=prog"
    codec = ("-c:v", "ffv1", "-level", 3, "-g", 1)
    run_ffmpeg("-f", "lavfi", "-i", weave, *codec, path)
    spoil_packets(path, {40})
    film = probe(path)
    with pytest.raises(VideoError, match="is damaged or cut short"):
        survey(film, frame_rate=Fraction(25))
    found = survey(film, frame_rate=Fraction(25), damage=finished(find_damage(film))[1])
    assert (found.seconds, found.cadence.field_order) == (4.0, "top")


@pytest.mark.parametrize(
    ("filters", "cadence"),
    [
        ("fps=30:start_time=0", Cadence(repeats=True)),
        ("fps=25:start_time=0", Cadence(repeats=True)),
        ("scale=320:240,telecine=first_field=top:pattern=23", Cadence("top", True, True)),
        ("null", Cadence("top")),
    ],
)
def test_survey_looks_at_the_pictures_that_will_be_read(
    filters: str, cadence: Cadence, tmp_path: Path
) -> None:
    """Length and cuts are those of these pictures; the cadence returned is the measured one."""
    path = tmp_path / "film.mp4"
    late = f"trim=start_frame=1,setpts=PTS-STARTPTS,scale=160:120,{filters}"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", late, *X264, "-qp", 12, path)
    measured = list[Cadence]()

    def reading_cadence(found: Cadence) -> Cadence:
        measured.append(found)
        return cadence

    found = survey(probe(path), reading_cadence=reading_cadence)
    pictures = list(read_luma(probe(path), Sampling(64, 48, cadence=cadence)))
    assert found.seconds == len(pictures) / 24
    assert [round(cut * 24) for cut in found.cuts] == [47, 95]
    assert measured == [found.cadence]
