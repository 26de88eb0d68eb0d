from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from filmcolorizer_cli import shots as module
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.frames import read_luma
from filmcolorizer_cli.planes import Plane
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.shots import MAX_SHOTS_BACK, Shots
from filmcolorizer_cli.sidecars import LOOK_SIZE
from filmcolorizer_cli.video import probe
from tests.films import BUNNY_CUTS, SAMPLE_FRAMES

WIDTH, HEIGHT = LOOK_SIZE


def frames_of(path: Path) -> list[Plane]:
    return list(read_luma(probe(path), Sampling(*LOOK_SIZE)))


@pytest.fixture(scope="module")
def sample() -> list[Plane]:
    """The sample film: three shots, with cuts at frames 48 and 96."""
    return frames_of(SAMPLE_FILM)


def spans(frames: list[Plane], frame_rate: float = 24.0) -> list[tuple[int, int]]:
    shots = Shots(frame_rate)
    for frame in frames:
        shots.add(frame)
    return shots.flashes


@pytest.mark.parametrize("length", [1, 2, 4])
@pytest.mark.parametrize("light", [1.0, 0.7, -1.0])
def test_flashes_finds_moments_of_other_light(
    length: int, light: float, sample: list[Plane]
) -> None:
    frames = list(sample)
    for number in range(20, 20 + length):
        lit = frames[number] + (255.0 - frames[number]) * light
        frames[number] = np.clip(lit, 16, 235).astype(np.uint8)
    shots = Shots(24.0)
    for frame in frames:
        shots.add(frame)
    assert shots.flashes == [(20, 20 + length)]
    assert shots.begins([20, 20 + length, 48, 96, SAMPLE_FRAMES]) == [48, 96]


def test_flashes_finds_one_that_dies_away(sample: list[Plane]) -> None:
    frames = list(sample)
    for number, light in ((20, 1.0), (21, 0.6), (22, 0.3)):
        lit = frames[number] + (235.0 - frames[number]) * light
        frames[number] = lit.astype(np.uint8)
    assert spans(frames) == [(20, 23)]


def test_flashes_finds_none_where_another_shot_follows(sample: list[Plane]) -> None:
    white = np.full_like(sample[0], 235)
    for length in (1, 2, 4):
        shots = Shots(24.0)
        for frame in [*sample[:48], *[white] * length, *sample[48:]]:
            shots.add(frame)
        assert shots.flashes == []
        found = [48, 96 + length] if length == 1 else [48, 48 + length, 96 + length]
        begins = [48, 48 + length, 96 + length]
        assert shots.begins(found) == shots.begins(begins) == begins


def test_flashes_takes_what_lasts_longer_for_a_shot(sample: list[Plane]) -> None:
    white = np.full_like(sample[0], 235)
    assert spans([*sample[:20], *[white] * 6, *sample[20:]]) == []
    twice = [frame for frame in [*sample[:20], *[white] * 4, *sample[20:]] for _ in (1, 2)]
    assert spans(twice, 48.0)[0] == (40, 48)


def test_flashes_tells_another_shot_that_differs_little_from_the_same(bunny: Path) -> None:
    """White or black frames right before a cut are no flash within a shot."""
    frames = frames_of(bunny)
    for code in (235, 16):
        for length in (1, 2, 4):
            shown = list(frames)
            for cut in BUNNY_CUTS:  # 323 is a jump within a shot, not a cut
                if cut == 323:
                    continue
                shown[cut - length : cut] = [np.full_like(frames[0], code)] * length
            assert spans(shown) == []


def test_flashes_of_a_dark_shot_hide_no_bright_one(sample: list[Plane]) -> None:
    white = np.full_like(sample[0], 235)
    dark = [(frame // 5 + 13).astype(np.uint8) for frame in sample[:48]]
    for length in (1, 2, 4):
        shots = Shots(24.0)
        for frame in [*dark, *[white] * length, *sample[48:]]:
            shots.add(frame)
        found = [48] if length == 1 else [48, 48 + length]
        assert shots.begins(found) == [48, 48 + length, 96 + length]


def test_flashes_takes_no_picture_of_a_slow_film_for_one(sample: list[Plane]) -> None:
    first, other = sample[0], sample[60]
    for rate in (1.0, 5.0):
        assert spans([first] * 4 + [other] + [first] * 4 + [other], rate) == []


def test_flashes_right_behind_a_cut_begin_no_shot(sample: list[Plane]) -> None:
    shots = Shots(24.0)
    for number, frame in enumerate(sample):
        shots.add(np.full_like(frame, 235) if number in (49, 50) else frame)
    assert shots.begins([48, 51, 96]) == [48, 96]


@pytest.mark.parametrize("contrast", [0.5, 0.3])
@pytest.mark.parametrize("light", [16, 100])
def test_begins_finds_cuts_of_little_contrast_by_itself(
    contrast: float, light: int, sample: list[Plane]
) -> None:
    """At night and in faded prints, codes change by less than scdet's threshold."""
    shots = Shots(24.0)
    for frame in sample:
        shots.add((light + (frame - 16.0) * contrast).astype(np.uint8))
    assert shots.begins([]) == [48, 96]


def test_begins_takes_no_flicker_of_the_exposure_for_cuts(sample: list[Plane]) -> None:
    gains = np.random.default_rng(0).uniform(0.75, 1.25, len(sample))
    shots = Shots(24.0)
    for frame, gain in zip(sample, gains, strict=True):
        shots.add((16 + (frame - 16.0) * gain).clip(16, 235).astype(np.uint8))
    assert shots.begins(range(1, len(sample))) == [48, 96]


@pytest.mark.parametrize("bars", [(0, 20), (0, 32), (24, 0)])
def test_begins_keeps_cuts_between_bars(bars: tuple[int, int], sample: list[Plane]) -> None:
    """All frames share the bars; with ``light``, the whole picture is brighter than they are."""
    height, width = HEIGHT - 2 * bars[0], WIDTH - 2 * bars[1]
    sides = [(side, side) for side in bars]
    for light in (0, 80):
        shots = Shots(24.0)
        for frame in sample:
            picture = cv2.resize(frame // 2 + light, (width, height))
            shots.add(np.pad(picture, sides, constant_values=16))
        assert shots.begins([48, 96]) == shots.begins([]) == [48, 96]


@pytest.mark.parametrize("name", ["dance-twirl", "parkour", "soapbox"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_begins_finds_none_in_fast_movement(name: str, times: int, shared_data: Path) -> None:
    """This includes low frame rates, where each picture is shown two or three times."""
    frames = frames_of(shared_data / "davis" / f"{name}.mp4")
    shots = Shots(24.0)
    for number in range(len(frames)):
        shots.add(frames[number // times * times])
    assert shots.begins([]) == []


def test_begins_parts_nothing_behind_a_cut_to_fast_movement(sample: list[Plane]) -> None:
    """The camera swings, so that each frame shows something else than the one before."""
    swung = [np.roll(sample[60], 40 * n, axis=1) for n in range(12)]
    shots = Shots(24.0)
    for frame in [*sample[:48], *swung]:
        shots.add(frame)
    assert min(np.abs(swung[n] - swung[n - 1].astype(float)).mean() for n in (1, 2)) > 25
    assert shots.begins([48]) == [48]


def test_returns_finds_what_goes_on_behind_a_start_of_the_camera(sample: list[Plane]) -> None:
    """The first frame of a shot is overexposed, so that it counts as a shot of its own."""
    frames = list(sample)
    frames[48] = (frames[48] + (235.0 - frames[48]) * 0.6).astype(np.uint8)
    shots = Shots(24.0)
    for frame in frames:
        shots.add(frame)
    assert shots.begins([48, 96]) == [48, 49, 96]
    assert shots.returns([48, 49, 96]) == {49: 48}


def test_begins_finds_cuts_to_and_from_black(sample: list[Plane]) -> None:
    black = [np.full_like(sample[0], 16)] * 12
    shots = Shots(24.0)
    for frame in [*sample[:24], *black, *sample[48:72]]:
        shots.add(frame)
    assert shots.begins([]) == shots.begins([24, 36]) == [24, 36]


def test_begins_finds_cuts_of_a_slow_film(sample: list[Plane]) -> None:
    for rate in (1.0, 3.0):
        shots = Shots(rate)
        for frame in [*sample[:48:8], *sample[48:96:8]]:
            shots.add(frame)
        assert shots.begins([]) == [6]


def test_begins_takes_no_subtitles_for_cuts(sample: list[Plane]) -> None:
    """The shot has so little contrast that the subtitles dominate the picture."""
    shots = Shots(24.0)
    for number, frame in enumerate(sample[:48]):
        shown = frame // 8 + np.uint8(120)
        if number % 24 < 12:
            shown[-16:-6, 24:-24] = 235
        shots.add(shown)
    assert shots.begins(range(12, 48, 12)) == []


def in_iris(frame: Plane, radius: float) -> Plane:
    """Return a frame that is black outside a circle in its middle."""
    rows, columns = np.indices(frame.shape) - np.array([[[HEIGHT / 2]], [[WIDTH / 2]]])
    light = np.clip((radius - np.hypot(rows, columns)) / 2 + 0.5, 0, 1)
    return np.asarray(16 + (frame - 16.0) * light, np.uint8)


@pytest.mark.parametrize("steps", [(25,), (50, 25), (65, 45, 25)])
def test_begins_takes_no_iris_for_a_cut(steps: tuple[int, ...], sample: list[Plane]) -> None:
    """The iris shuts within a few frames, and later opens again."""
    frames = list(sample)
    shut = 20 + len(steps)
    radii = [*steps, *[25] * 10, *steps[-2::-1]]
    frames[20 : 20 + len(radii)] = map(in_iris, frames[20 : 20 + len(radii)], radii)
    shots = Shots(24.0)
    for frame in frames:
        shots.add(frame)
    opened = 20 + len(radii)
    found = [*range(20, shut), *range(shut + 10, opened + 1), 48, 96]
    assert shots.begins(found) == [48, 96]


@pytest.mark.parametrize(("before", "behind"), [(999, 20), (20, 999), (40, 20), (30, 30)])
def test_begins_keeps_cuts_to_and_from_irises(
    before: int, behind: int, sample: list[Plane]
) -> None:
    shots = Shots(24.0)
    for number, frame in enumerate(sample[:96]):
        shots.add(in_iris(frame, before if number < 48 else behind))
    assert shots.begins([48]) == [48]


def test_begins_keeps_cuts_to_irises_at_night(sample: list[Plane]) -> None:
    """The inside changes by a few codes, and the outside by little more."""
    shots = Shots(24.0)
    for number, frame in enumerate(sample[:96]):
        dark = (36 + (frame - 16.0) * 0.12).astype(np.uint8)
        shots.add(in_iris(dark, 999 if number < 48 else 30))
    assert shots.begins([48]) == [48]


def test_flashes_finds_none_in_cut_film(sample: list[Plane], bunny: Path) -> None:
    assert spans(sample) == spans(frames_of(bunny)) == []


@pytest.mark.parametrize("name", ["dance-twirl", "parkour", "soapbox"])
def test_flashes_finds_none_in_fast_movement(name: str, shared_data: Path) -> None:
    assert spans(frames_of(shared_data / "davis" / f"{name}.mp4")) == []


def returns(frames: list[Plane], begins: list[int]) -> dict[int, int]:
    shots = Shots(24.0)
    for frame in frames:
        shots.add(frame)
    assert shots.begins([]) == begins
    return shots.returns(begins)


@pytest.mark.parametrize("contrast", [1.0, 0.3])
def test_returns_finds_what_a_shot_goes_on_with(contrast: float, sample: list[Plane]) -> None:
    """A shot continues after one or two others, as if these had been spliced in."""
    frames = [(16 + (frame - 16.0) * contrast).astype(np.uint8) for frame in sample]
    one, other, third = frames[:48], frames[48:96], frames[96:]
    assert returns(frames, [48, 96]) == {}
    by_turns = [*one[:24], *other[:24], *one[24:], *other[24:], *third]
    assert returns(by_turns, [24, 48, 72, 96]) == {48: 0, 72: 24}
    assert returns([*one[:24], *other, *third, *one[24:]], [24, 72, 120]) == {120: 0}


def test_returns_goes_by_the_shots_ends(sample: list[Plane]) -> None:
    """Only a shot's last frame is compared, not what it showed before."""
    one, other, third = sample[:48], sample[48:96], sample[96:]
    shots = Shots(24.0)
    for frame in [*one[:24], *other, *third, *one[24:]]:
        shots.add(frame)
    assert shots.returns([72, 120]) == {}  # no cut at 24, as for a dissolve
    assert shots.returns([24, 120]) == {120: 0}


def test_returns_looks_so_many_shots_back(sample: list[Plane]) -> None:
    one, others = sample[:8], [sample[56], sample[120]]
    for between, expected in ((MAX_SHOTS_BACK - 1, 0), (MAX_SHOTS_BACK, None)):
        frames = list(one)
        for number in range(between):
            frames += [np.roll(others[number % 2], 11 * number, axis=1)] * 8
        begins = [*range(8, len(frames) + 1, 8)]
        assert returns([*frames, *one], begins).get(begins[-1]) == expected


def test_returns_heeds_no_more_candidates_than_are_kept(
    sample: list[Plane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CANDIDATES", 2)
    one, other = sample[:48], sample[48:96]
    by_turns = [*one[:24], *other[:24], *one[24:], *other[24:]]
    assert returns(by_turns, [24, 48, 72]) == {48: 0}


def test_returns_tells_vignettes_apart(sample: list[Plane]) -> None:
    """The black around them is the same."""
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    is_shown = np.hypot(rows - HEIGHT / 2, columns - WIDTH / 2) < 0.45 * HEIGHT
    frames = [np.where(is_shown, frame, 16).astype(np.uint8) for frame in sample]
    one, other, third = frames[:48], frames[48:96], frames[96:]
    assert returns([*one[:24], *other, *third, *one[24:]], [24, 72, 120]) == {120: 0}


def test_returns_finds_none_in_black_behind_black(sample: list[Plane]) -> None:
    black = [np.full_like(sample[0], 16)] * 12
    shots = Shots(24.0)
    for frame in [*sample[:24], *black, *sample[48:72], *black, *sample[96:]]:
        shots.add(frame)
    assert shots.returns([24, 36, 60, 72]) == {}
