"""Cadences of synthetic runs of frames, and of runs without any."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from filmcolorizer_cli.cadence import Cadence, Run, find_cadence
from filmcolorizer_cli.planes import Plane
from filmcolorizer_cli.video import FIELDS, FieldOrder

NO_FIELDS = np.empty((0, 24, 2, 32), np.uint8)
HELD = ["undetermined"] * 10  # idet's result where noise hides the field order


@pytest.mark.parametrize(
    ("words", "order"),
    [
        ([], "progressive"),
        (["progressive"] * 10, "progressive"),
        (["tff"] * 10, "top"),
        (["bff"] * 10, "bottom"),
        (["progressive"] * 7 + ["tff"] * 3, "top"),
        (["undetermined"] * 10, "progressive"),
        (["tff"] * 5 + ["bff"] * 5, "progressive"),
        (["tff", *["progressive"] * 8, "tff"], "progressive"),  # at the ends of a run
    ],
)
def test_find_field_order_needs_a_clear_majority(words: list[str], order: FieldOrder) -> None:
    assert find_cadence([run_of(words, NO_FIELDS)] * 8) == Cadence(order)


@pytest.mark.parametrize(
    ("tff", "bff", "progressive", "order"),
    [
        (1, 0, 7, "progressive"),
        (1, 0, 0, "progressive"),
        (4, 0, 20, "progressive"),
        (12, 2, 18, "progressive"),  # two seconds of scrolling credits
        (8, 0, 0, "top"),
        (3, 0, 0, "top"),  # fields of a fifth of a second in which little moves
        (0, 10, 15, "bottom"),  # film in NTSC video
        (15, 2, 15, "top"),
    ],
)
def test_find_field_order_of_a_short_part_needs_some_frames(
    tff: int, bff: int, progressive: int, order: FieldOrder
) -> None:
    words = ["tff"] * tff + ["bff"] * bff + ["progressive"] * progressive
    words += ["undetermined"] * (-len(words) % 8)
    runs = [["progressive", *words[n : n + 8], "progressive"] for n in range(0, len(words), 8)]
    assert find_cadence([run_of(run, NO_FIELDS) for run in runs]) == Cadence(order)


def run_of(words: list[str], fields: Plane) -> Run:
    """Return a run of frames at 30 fps."""
    return Run([n / 30 for n in range(len(words))], words, fields)


def fields_of(times: NDArray[np.float64], noise: float = 0.0) -> Plane:
    """Return small fields (N, 24, 2, 32) of a moving pattern at top and bottom times (N, 2)."""
    rows, columns = np.arange(24.0)[:, None], np.arange(32.0)
    rng = np.random.default_rng(int(times[0, 0]))
    frames = np.empty((len(times), 24, 2, 32))
    for parity in range(2):
        for frame, time in enumerate(times[:, parity]):
            wave = np.sin((columns + time) / 3) + np.cos((rows + parity / 2 - time / 2) / 4)
            frames[frame, :, parity] = 110 + 40 * wave
    return (frames + rng.normal(0, noise, frames.shape)).round().clip(0, 255).astype(np.uint8)


def runs_of(pictures: NDArray[np.int64], noise: float = 0.0) -> list[Run]:
    """Return runs of ten frames whose top and bottom fields show these pictures (N, 2)."""
    starts = range(0, len(pictures) - 10, 13)
    times = pictures.astype(np.float64)
    return [run_of(HELD, fields_of(times[n : n + 10], noise)) for n in starts]


def pulled_down(first: FieldOrder) -> NDArray[np.int64]:
    """Return the pictures (N, 2) of each frame's top and bottom fields after 2:3 pulldown."""
    fields = np.repeat(np.arange(80), np.resize((2, 3), 80)).reshape(-1, 2)
    return fields if first == "top" else fields[:, ::-1]


def frames(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return frames (N, 2) whose fields both show the same picture."""
    return np.stack((numbers, numbers), axis=1)


@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize("first", ["top", "bottom"])
def test_find_cadence_sees_pulldown_in_the_fields_alone(first: FieldOrder, noise: float) -> None:
    assert find_cadence(runs_of(pulled_down(first), noise)) == Cadence(first, True, True)


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_find_cadence_sees_fields_that_are_a_frame_late(first: FieldOrder) -> None:
    last, following = np.arange(99), np.arange(1, 100)
    fields = np.stack((last, following), axis=1)  # top field first
    runs = runs_of(fields if first == "top" else fields[:, ::-1])
    found = find_cadence([run_of([FIELDS[first]] * 10, run.fields) for run in runs])
    assert found == Cadence(first, fields_match=True)


@pytest.mark.parametrize("cycle", [3, 4, 5, 6])
def test_find_cadence_sees_frames_that_repeat(cycle: int) -> None:
    numbers = np.arange(100)
    assert find_cadence(runs_of(frames(numbers - numbers // cycle))) == Cadence(repeats=True)


def test_find_cadence_sees_one_repeat_a_second_in_a_longer_film() -> None:
    numbers = np.arange(1000)
    assert find_cadence(runs_of(frames(numbers - numbers // 25))) == Cadence(repeats=True)


@pytest.mark.parametrize(
    "numbers",
    [np.arange(100), np.arange(100) // 2, np.zeros(100, np.int64), np.arange(200)[::2]],
    ids=["one each", "two each", "still", "fast"],
)
def test_find_cadence_of_what_does_not_repeat_in_cycles(numbers: NDArray[np.int64]) -> None:
    assert find_cadence(runs_of(frames(numbers), 2.0)) == Cadence()


@pytest.mark.parametrize("rounding", [1e-6, 1e-3])
def test_find_cadence_sees_frames_that_are_shown_for_two_and_three_fields(rounding: float) -> None:
    fields = np.cumsum([0, *[2, 3] * 6])
    seconds = (fields * 1001 / 60000 / rounding).round() * rounding
    runs = [Run(seconds[n : n + 4].tolist(), HELD[:4], NO_FIELDS) for n in range(0, 8, 4)]
    assert find_cadence(runs * 3) == Cadence(is_soft_pulldown=True)
    even = [Run([n / 24 for n in range(10)], HELD, NO_FIELDS)]
    assert find_cadence(even) == Cadence()


def test_find_cadence_of_nothing() -> None:
    assert find_cadence([]) == Cadence()


@pytest.mark.parametrize("way", [1, -1])
def test_find_cadence_of_credits_that_roll_by_a_line_a_frame_is_whole(way: int) -> None:
    """One field of a frame equals the other field of the next, although both frames are whole."""
    rolling = np.random.default_rng(2).integers(16, 235, (24 * 2 + 160, 32), np.uint8)
    tops = np.arange(100) if way > 0 else np.arange(100)[::-1]
    frames = np.stack([rolling[top : top + 48] for top in tops]).reshape(-1, 24, 2, 32)
    runs = [run_of(["progressive"] * 10, frames[n : n + 10]) for n in range(0, 90, 13)]
    assert find_cadence(runs) == Cadence()


def test_find_cadence_of_motion_that_eases_repeats_nothing() -> None:
    pace = np.resize([8, 8, 6, 4, 2, 1, 1, 2, 4, 6], 400)
    times = np.cumsum(pace)[:, None] / 8 + np.zeros(2)
    runs = [run_of(HELD, fields_of(times[n : n + 10])) for n in range(0, 390, 13)]
    assert find_cadence(runs) == Cadence()


def test_find_cadence_of_one_run_is_in_doubt() -> None:
    assert find_cadence(runs_of(pulled_down("top"))[:1]) == Cadence()


def test_find_cadence_of_interlaced_video_has_no_film_in_it() -> None:
    fields = np.arange(200).reshape(-1, 2)
    found = find_cadence([run_of(["tff"] * 10, run.fields) for run in runs_of(fields)])
    assert found == Cadence("top")


@pytest.mark.parametrize(
    ("cadence", "frame_rate", "wanted", "cycle"),
    [
        (Cadence("top", True, True), Fraction(30000, 1001), 24, 5),
        (Cadence("top", True, True), Fraction(30000, 1001), 25, 6),
        (Cadence("top", True, True), Fraction(30000, 1001), Fraction(30000, 1001), 0),
        (Cadence("top", True), Fraction(25), 24, 0),
        (Cadence(repeats=True), Fraction(30), 24, 5),
        (Cadence(repeats=True), Fraction(29), 24, 6),
        (Cadence(repeats=True), Fraction(25), 24, 25),
        (Cadence(repeats=True), Fraction(25), 16, 3),
        (Cadence(repeats=True), Fraction(49, 2), 24, 0),  # one of 49 is more than ffmpeg can
        (Cadence(repeats=True), Fraction(30), 10, 2),
        (Cadence(repeats=True), Fraction(24), 24, 0),
        (Cadence(), Fraction(30), 24, 0),
    ],
)
def test_cycle_leaves_about_as_many_frames_as_are_wanted(
    cadence: Cadence, frame_rate: Fraction, wanted: Fraction, cycle: int
) -> None:
    assert cadence.cycle(frame_rate, Fraction(wanted)) == cycle


@pytest.mark.parametrize(
    ("frame_rate", "pictures"), [(30, 24), (25, 24), (29, Fraction(145, 6)), (24, 24)]
)
def test_picture_rate_is_what_repeats_leave(frame_rate: int, pictures: Fraction) -> None:
    assert Cadence(repeats=True).picture_rate(Fraction(frame_rate)) == pictures
    assert Cadence().picture_rate(Fraction(frame_rate)) == frame_rate


def test_without_frame_repeats_leaves_out_what_whole_frames_repeat() -> None:
    for whole in (Cadence(repeats=True), Cadence(is_soft_pulldown=True), Cadence()):
        assert whole.without_frame_repeats == Cadence()
    for woven in (Cadence("top"), Cadence("bottom", fields_match=True), Cadence("top", True, True)):
        assert woven.without_frame_repeats == woven


@pytest.mark.parametrize("count", [1, 4, 7])
def test_find_cadence_of_runs_too_short_for_a_cycle_is_in_doubt(count: int) -> None:
    runs = runs_of(pulled_down("top"))
    short = [Run(run.seconds[:count], run.field_orders[:count], run.fields[:count]) for run in runs]
    assert find_cadence(short) == Cadence()


def test_find_cadence_of_motion_that_rests_repeats_nothing() -> None:
    """The motion rests for two of eleven frames, as in puppet animation."""
    pace = np.resize([8, 8, 8, 8, 8, 0, 0, 8, 8, 8, 8], 440)
    times = np.cumsum(pace)[:, None] / 8 + np.zeros(2)
    runs = [run_of(HELD, fields_of(times[n : n + 10])) for n in range(0, 430, 13)]
    assert find_cadence(runs) == Cadence()


@pytest.mark.parametrize("tff", [2, 3])
def test_find_field_order_of_a_long_film_heeds_no_few_frames(tff: int) -> None:
    words = ["tff"] * tff + ["undetermined"] * (200 - tff)
    runs = [["progressive", *words[n : n + 8], "progressive"] for n in range(0, 200, 8)]
    assert find_cadence([run_of(run, NO_FIELDS) for run in runs]) == Cadence()


@pytest.mark.parametrize("step", [4, 6])
def test_find_cadence_of_interlaced_video_whose_frames_repeat_is_no_film(step: int) -> None:
    fields, numbers = np.arange(400).reshape(-1, 2), np.arange(200)
    runs = runs_of(fields[numbers - numbers // step])
    assert find_cadence([run_of(["tff"] * 10, run.fields) for run in runs]) == Cadence("top")
