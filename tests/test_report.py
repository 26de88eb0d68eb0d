from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from filmcolorizer_cli.areas import Area
from filmcolorizer_cli.errors import SyncError, VideoError
from filmcolorizer_cli.maps import Segment, SyncMap
from filmcolorizer_cli.networks import build
from filmcolorizer_cli.pages import Slide
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.report import (
    CHECKS,
    GAP,
    LABEL_HEIGHT,
    PREVIEW_HEIGHT,
    draw_samples,
    read_samples,
    save_before_after,
    save_contact_sheet,
    save_image,
    save_sync_preview,
)
from filmcolorizer_cli.splits import TimeSplit, split_by_time
from filmcolorizer_cli.video import probe
from tests.films import frame_number, make_clip, make_numbered_clip, read_png, run_ffmpeg
from tests.machine import files_in
from tests.networks import TINY, vivid_network

CPU = torch.device("cpu")
STEP = 128 + 22  # pixels from one row of samples to the next: a still and its label
CELL = 171 + 4  # from one still to the next: 128 * 4 / 3, and a gap


@pytest.fixture(scope="module")
def samples(pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The sheet of an untrained network's samples."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("report") / "samples.png"
    network = build(TINY)
    samples = read_samples(pairs, split_by_time(pairs.pairs), network)
    save_image(draw_samples(samples, pairs, network, CPU), path)
    return read_png(path)


def strip(sheet: np.ndarray, row: int) -> np.ndarray:
    return sheet[row * STEP + 22 : (row + 1) * STEP]


def test_draw_samples_shows_grey_output_and_truth_of_all_parts(
    samples: np.ndarray, pairs: Pairs
) -> None:
    assert samples.shape == (9 * STEP, 6 * CELL, 3)
    # The six samples of each part's 8 pairs include the first and the last.
    for part, (first, last) in enumerate([(1, 8), (9, 16), (17, 24)]):
        for row, side in ((3 * part, "bw"), (3 * part + 2, "color")):
            for column, number in ((0, first), (5, last)):
                still = Image.open(pairs.folder / side / f"{number:06d}.png").convert("RGB")
                expected = np.asarray(still.resize((171, 128), Image.Resampling.BICUBIC))
                shown = strip(samples, row)[:, column * CELL : column * CELL + 171]
                np.testing.assert_array_equal(shown, expected)


def test_draw_samples_shows_what_the_network_makes(
    samples: np.ndarray, pairs: Pairs, tmp_path: Path
) -> None:
    for part in range(3):  # an untrained network leaves the film grey
        grey, output = (strip(samples, 3 * part + row).astype(int) for row in (0, 1))
        assert np.abs(grey - output).max() <= 1
    path = tmp_path / "samples.png"
    network = vivid_network()
    read_again = read_samples(pairs, split_by_time(pairs.pairs), network)
    save_image(draw_samples(read_again, pairs, network, CPU), path)
    sheet = read_png(path)
    for part in range(3):
        np.testing.assert_array_equal(strip(sheet, 3 * part), strip(samples, 3 * part))
        output = strip(sheet, 3 * part + 1)
        assert np.ptp(output, axis=2).mean() > 20, "no colour"


def test_read_samples_of_few_pairs_takes_each_once(pairs: Pairs) -> None:
    samples = read_samples(pairs, TimeSplit(0.5, 5.0), vivid_network())
    assert [len(luma) for luma, _, _ in samples.values()] == [2, 6, 4]


def test_save_before_after_tells_of_a_film_that_has_ended(tmp_path: Path) -> None:
    film = probe(make_numbered_clip(tmp_path / "numbered.mp4", seconds=1, frame_rate="24"))
    with pytest.raises(VideoError, match=r"has already ended at 2 s; take an earlier time"):
        save_before_after(film, film, (2.0,), tmp_path / "demo.png")


def test_save_before_after_shows_the_same_moments_of_both(tmp_path: Path) -> None:
    clip = make_numbered_clip(tmp_path / "numbered.mp4", seconds=5, frame_rate="24")
    film = probe(clip)
    path = tmp_path / "demo.png"
    save_before_after(film, film, (1.0, 3.0, 4.5), path)
    picture = read_png(path)
    assert picture.shape == (2 * 32, 3 * 128, 3)
    tiles = [
        picture[top : top + 32, left : left + 128, 1] for top in (0, 32) for left in (0, 128, 256)
    ]
    assert [frame_number(tile) for tile in tiles] == [24, 72, 108] * 2


def test_save_contact_sheet_shows_all_versions_of_all_slides(tmp_path: Path) -> None:
    """Four slides of two 576x320 versions each: three side by side, and one below."""
    greys = (60, 100, 140, 180)
    slides = [
        Slide(f"0:00:0{n}", {"grey": np.full((320, 576, 3), grey, np.uint8),
                             "red": np.full((320, 576, 3), (grey, 0, 0), np.uint8)})
        for n, grey in enumerate(greys)
    ]  # fmt: skip
    save_contact_sheet(slides, "a film", tmp_path / "sheet.png")
    sheet = read_png(tmp_path / "sheet.png")
    width, height = 2 * (288 + GAP) + GAP, 160 + LABEL_HEIGHT + GAP
    assert sheet.shape == (LABEL_HEIGHT + 2 * height + GAP, 3 * width + GAP, 3)
    for number, grey in enumerate(greys):
        down, across = divmod(number, 3)
        top, left = 2 * LABEL_HEIGHT + down * height, GAP + across * width
        assert (sheet[top : top + 160, left : left + 288] == grey).all()
        left += 288 + GAP
        assert (sheet[top : top + 160, left : left + 288] == (grey, 0, 0)).all()
    assert files_in(tmp_path) == ["sheet.png"]


@pytest.mark.parametrize(("versions", "shape"), [(1, (160, 288)), (8, (160, 288)), (2, (1, 288))])
def test_save_contact_sheet_of_one_slide_is_as_wide_as_it(
    versions: int, shape: tuple[int, int], tmp_path: Path
) -> None:
    """This holds for any number of versions, and for very flat pictures."""
    picture = np.full((shape[0], 2 * shape[1] if shape[0] > 1 else 2000, 3), 99, np.uint8)
    slide = Slide("0:00:01", {str(n): picture for n in range(versions)})
    save_contact_sheet([slide], "a film", tmp_path / "sheet.png")
    height = max(round(picture.shape[0] * 288 / picture.shape[1]), 1)
    expected = 2 * (LABEL_HEIGHT + GAP) + height, versions * (288 + GAP) + 2 * GAP, 3
    assert read_png(tmp_path / "sheet.png").shape == expected


def test_save_sync_preview_leaves_out_what_lies_behind_the_end(
    color_film: Path, tmp_path: Path
) -> None:
    """The film is shorter than the map's segment."""
    film, path = probe(color_film), tmp_path / "sync.png"
    save_sync_preview(film, film, SyncMap({}, {}, (Segment(0.0, 9.0, 0.0, 1.0, 0.9),)), path)
    plot_height = 360
    rows = (read_png(path).shape[0] - plot_height) / (PREVIEW_HEIGHT + LABEL_HEIGHT)
    assert rows == 3, "five moments of eight, in pairs"
    with pytest.raises(SyncError):
        missing = SyncMap({}, {}, (Segment(20.0, 25.0, 0.0, 1.0, 0.9),))
        save_sync_preview(film, film, missing, tmp_path / "none.png")
    assert files_in(tmp_path) == ["sync.png"]


def test_save_sync_preview_shades_what_the_coloured_film_alone_shows(
    color_film: Path, tmp_path: Path
) -> None:
    """It is twice as long; the other film shows its seconds 3 to 9."""
    twice, path = tmp_path / "twice.mp4", tmp_path / "sync.png"
    run_ffmpeg("-stream_loop", 1, "-i", color_film, "-c", "copy", twice)
    sync_map = SyncMap({}, {}, (Segment(0.0, 6.0, 3.0, 1.0, 0.9),))
    save_sync_preview(probe(color_film), probe(twice), sync_map, path)
    plot = read_png(path)[-360:].astype(int)
    shaded = (np.abs(plot - np.array((255, 229, 206))) < 4).all(axis=2)
    rows = np.flatnonzero(shaded.mean(axis=1) > 0.5)
    assert not (shaded.mean(axis=0) > 0.6).any()
    [gap] = np.flatnonzero(np.diff(rows) > 20)
    below, above, between = len(rows) - gap - 1, gap + 1, rows[gap + 1] - rows[gap]
    assert below == pytest.approx(above, abs=4)
    assert between == pytest.approx(below + above, rel=0.1)


def test_save_sync_preview_shows_the_colours_of_each_films_own_matrix(tmp_path: Path) -> None:
    """The coloured film is a flat red in BT.709; the other film is in BT.601."""
    red, grey, path = tmp_path / "red.mp4", tmp_path / "grey.mp4", tmp_path / "sync.png"
    picture = "color=0xb04040:size=64x48:rate=24:duration=3,scale=out_color_matrix={}"
    for film, matrix, more in ((red, "bt709", ""), (grey, "smpte170m", ",hue=s=0")):
        tags = ("-colorspace", matrix, "-pix_fmt", "yuv420p")
        make_clip(film, picture=picture.format(matrix) + more, seconds=3, extra=tags)
    assert (probe(grey).coding.matrix, probe(red).coding.matrix) == ("bt601", "bt709")
    sync_map = SyncMap({}, {}, (Segment(0.0, 3.0, 0.0, 1.0, 0.9),))
    save_sync_preview(probe(grey), probe(red), sync_map, path)
    width = round(PREVIEW_HEIGHT * 4 / 3)
    shown = read_png(path)[LABEL_HEIGHT : LABEL_HEIGHT + PREVIEW_HEIGHT, width + GAP :][:, :width]
    np.testing.assert_allclose(shown.reshape(-1, 3).mean(axis=0), (0xB0, 0x40, 0x40), atol=3)


def test_save_sync_preview_keeps_the_shape_of_what_both_films_show(tmp_path: Path) -> None:
    """Both show a square checkerboard: a 4:3 film between side bars, the other without bars."""
    bars, square, path = tmp_path / "bars.mp4", tmp_path / "square.mp4", tmp_path / "sync.png"
    checks = (
        "color=black:size=96x96:rate=24:duration=3"
        ",geq=lum='if(mod(floor(X/24)+floor(Y/24),2),235,16)':cb=128:cr=128"
    )
    for film, more in ((bars, ",pad=128:96:16:0"), (square, "")):
        make_clip(film, picture=checks + more, seconds=3, extra=("-pix_fmt", "yuv420p"))
    matrix = ((4 / 3, 0.0, -1 / 6), (0.0, 1.0, 0.0))
    segment = Segment(0.0, 3.0, 0.0, 1.0, 0.9, matrix, Area(0.125, 0.0, 0.875, 1.0))
    save_sync_preview(probe(bars), probe(square), SyncMap({}, {}, (segment,)), path)
    shown = read_png(path)[LABEL_HEIGHT : LABEL_HEIGHT + PREVIEW_HEIGHT, :PREVIEW_HEIGHT, 0]
    y, x = np.mgrid[:PREVIEW_HEIGHT, :PREVIEW_HEIGHT] * 4 // PREVIEW_HEIGHT
    expected = np.where((x + y) % 2, 255, 0)
    assert np.abs(shown - expected).mean() < 12


def test_save_sync_preview_shows_both_films_and_the_segments(
    color_film: Path, tmp_path: Path
) -> None:
    """The film is matched with itself: its first 2 s, and from 3.5 s on at 0.5 s earlier."""
    film = probe(color_film)
    segments = (Segment(0.0, 2.0, 0.0, 1.0, 0.9), Segment(3.5, 6.0, 3.0, 1.0, 0.9))
    path = tmp_path / "sync.png"
    save_sync_preview(film, film, SyncMap({}, {}, segments), path)
    picture = read_png(path).astype(int)
    width = round(PREVIEW_HEIGHT * 4 / 3)
    step = PREVIEW_HEIGHT + LABEL_HEIGHT
    cells = []
    for row in range(4):
        for column in range(6):
            left = column * (width + GAP)
            top = row * step + LABEL_HEIGHT
            cells.append(picture[top : top + PREVIEW_HEIGHT, left : left + width])
    for grey, color, both in zip(cells[::3], cells[1::3], cells[2::3], strict=True):
        assert np.ptp(grey, axis=2).max() == 0, "the black-and-white picture has no colour"
        assert np.ptp(color, axis=2).mean() > 15, "the coloured picture has"
        square = (slice(0, PREVIEW_HEIGHT // CHECKS), slice(0, width // CHECKS))
        assert (both[square] == grey[square]).all(), "the checkerboard begins in grey"
        beside = (square[0], slice(width // CHECKS + 1, 2 * width // CHECKS))
        assert (both[beside] == color[beside]).all(), "and goes on in colour"
    # The first three moments of eight lie in the first segment, where both films are the same.
    luma = cells[1] @ np.array((0.2126, 0.7152, 0.0722))
    assert np.abs(luma - cells[0][..., 0]).mean() < 3
    plot = picture[4 * step :]
    shaded = (np.abs(plot - np.array((255, 229, 206))) < 4).all(axis=2)
    assert shaded.any(), "what only one film shows is shaded"
    columns = np.flatnonzero(shaded.mean(axis=0) > 0.5)
    assert 0.17 < len(columns) / plot.shape[1] < 0.25, "2 to 3.5 s, a quarter of the axes"
    assert files_in(tmp_path) == ["sync.png"]
