from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from filmcolorizer_cli import painting, propagation
from filmcolorizer_cli.configs import ClassicConfig, FilmConfig
from filmcolorizer_cli.edits import Edits
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.frames import read_luma
from filmcolorizer_cli.models import find_model
from filmcolorizer_cli.networks import Network, build, for_inference
from filmcolorizer_cli.painting import BATCH_SIZE, CHUNK_FRAMES, BatchSize
from filmcolorizer_cli.planes import Coding
from filmcolorizer_cli.propagation import Propagator
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.video import probe
from filmcolorizer_cli.weights import load
from tests.networks import TINY, EchoNetwork, vivid_network

CPU = torch.device("cpu")
NEUTRAL = 128


def random_lumas(height: int, width: int, count: int = 3) -> list[np.ndarray]:
    """Return luma planes with all 8-bit codes, including those beyond black and white."""
    generator = np.random.default_rng(0)
    return list(generator.integers(0, 256, (count, height, width), np.uint8))


def colorize_frames(
    lumas: Iterable[np.ndarray], network: Any, device: torch.device, **more: Any
) -> Iterator[Any]:
    """Paint by a network, or by anything else that has a config and predicts chroma."""
    of_frames = {k: more.pop(k) for k in ("propagator", "edits", "first_frame") if k in more}
    painter = painting.Painter(for_inference(network, device), device, **more)
    return painter.paint(lumas, **of_frames)


def colorized(lumas: list[np.ndarray], network: Any, **more: Any) -> list[Any]:
    return list(colorize_frames(lumas, network, CPU, **more))


def test_colorize_frames_takes_codes_of_more_bits_for_white() -> None:
    """Raw films may hold codes beyond their stated bit depth."""
    lumas = [np.full((48, 64), code, np.uint16) for code in (32_380, 1_023)]
    (_, beyond), (_, white) = colorized(lumas, build(TINY), coding=Coding(bit_depth=10))
    np.testing.assert_array_equal(beyond, white)


@pytest.mark.parametrize(
    ("height", "width"), [(48, 64), (47, 64), (48, 63), (47, 63), (1, 1), (300, 17)]
)
@pytest.mark.parametrize("config", [TINY, ClassicConfig(size=32)], ids=["film", "classic"])
def test_colorize_frames_keeps_luma_bit_for_bit(config: Any, height: int, width: int) -> None:
    torch.manual_seed(0)
    lumas = random_lumas(height, width)
    before = [luma.copy() for luma in lumas]
    results = colorized(lumas, build(config))
    assert len(results) == 3
    for (luma, chroma), original in zip(results, before, strict=True):
        np.testing.assert_array_equal(luma, original)
        assert chroma.shape == (2, math.ceil(height / 2), math.ceil(width / 2))
        assert (luma.dtype, chroma.dtype) == (np.uint8, np.uint8)
        assert 16 <= chroma.min() <= chroma.max() <= 240


def odd_frame(rng: np.random.Generator) -> np.ndarray:
    """Return luma codes (96, 128) of a pattern that films seldom show for long."""
    rows, columns = np.indices((96, 128))
    row, column, size = rng.integers(96), rng.integers(128), rng.integers(1, 40)
    shapes = (
        np.zeros((96, 128)),
        rng.random((96, 128)),
        abs(rows - row) < size / 4,
        abs(columns - column) < size / 4,
        (rows == row) & (columns == column),
        np.hypot(rows - row, columns - column) < size,
        columns / 127,
    )
    dark, bright = sorted(rng.integers(0, 256, 2))
    chosen = rng.integers(len(shapes))
    return np.asarray(dark + (bright - dark) * shapes[chosen], np.uint8)


@pytest.mark.slow
def test_paint_takes_whatever_frames_show() -> None:
    """In any order, with colours carried from each to the next, and fewer of them predicted."""
    rng = np.random.default_rng(0)
    lumas = [odd_frame(rng) for _ in range(400)]
    torch.manual_seed(0)
    network = build(replace(TINY, size=FilmConfig().size))
    painted = colorized(lumas, network, propagator=Propagator())
    assert len(painted) == len(lumas)
    assert all(16 <= chroma.min() <= chroma.max() <= 240 for _, chroma in painted)


def drawn_text(text: str, *, ink: int, paper: int, side_bars: bool = False) -> np.ndarray:
    """Return luma codes (360, 640) of centred text; `ink` and `paper` are from 0 to 255."""
    image = Image.new("L", (640, 360), paper)
    font = ImageFont.load_default(30)
    ImageDraw.Draw(image).multiline_text(
        (320, 180), text, fill=ink, font=font, anchor="mm", align="center"
    )
    luma = np.asarray(image).copy()
    if side_bars:
        luma[:, :80], luma[:, -80:] = 0, 0
    return as_codes(luma)


def as_codes(luma: np.ndarray) -> np.ndarray:
    """Convert luma from 0 to 255 to limited-range codes."""
    codes: np.ndarray = np.round(16 + luma * (219 / 255)).astype(np.uint8)
    return codes


TITLE = "DIRECTED BY\n\nA. N. OTHER\n\n1926"
CREDITS = "\n".join(f"Assistant {number}     Some Other Name" for number in range(9))
COLOURLESS = {
    "title": drawn_text(TITLE, ink=235, paper=0),
    "faded title": drawn_text(TITLE, ink=190, paper=40),
    "credits": drawn_text(CREDITS, ink=220, paper=0),
    "black on grey": drawn_text(TITLE, ink=20, paper=180),
    "title between bars": drawn_text(TITLE, ink=235, paper=30, side_bars=True),
    "black": np.full((360, 640), 16, np.uint8),
    "grey": np.full((360, 640), 120, np.uint8),
    "white": np.full((360, 640), 235, np.uint8),
    "ramp": as_codes(np.tile(np.linspace(0, 255, 640), (360, 1))),
    "upright ramp": as_codes(np.tile(np.linspace(255, 0, 360)[:, None], (1, 640))),
    "steps": as_codes(np.tile(np.repeat(np.linspace(0, 255, 10), 64), (360, 1))),
    "grain": np.clip(np.random.default_rng(0).normal(120, 6, (360, 640)), 16, 235).astype(np.uint8),
}


@pytest.mark.parametrize("luma", COLOURLESS.values(), ids=COLOURLESS)
def test_shipped_model_leaves_neutral_what_has_no_colours(luma: np.ndarray) -> None:
    shipped = load(find_model("default"))
    [(_, chroma)] = colorized([luma], shipped)
    assert np.abs(chroma.astype(int) - NEUTRAL).mean() < 2


@pytest.mark.parametrize("black", [16, 3, 0])
def test_colorize_frames_leaves_black_bars_exactly_neutral(black: int) -> None:
    luma = random_lumas(90, 120, 1)[0] // 2 + 60
    luma[:20], luma[-20:] = black, black
    luma[:, :16], luma[:, -16:] = black, black
    [(_, chroma)] = colorized([luma], vivid_network())
    inside = np.zeros((45, 60), bool)
    inside[10:-10, 8:-8] = True
    assert (chroma[:, ~inside] == NEUTRAL).all()
    assert np.abs(chroma[:, inside].astype(int) - NEUTRAL).mean() > 10, "no colour inside"


def test_colorize_frames_leaves_white_titles_exactly_neutral() -> None:
    luma = np.full((64, 64), 120, np.uint8)
    luma[16:32, 16:48] = 235
    luma[40:48, 16:48] = 250  # whiter than white
    [(_, chroma)] = colorized([luma], vivid_network())
    assert (chroma[:, 8:16, 8:24] == NEUTRAL).all()
    assert (chroma[:, 20:24, 8:24] == NEUTRAL).all()
    assert (chroma[:, 17:19, 8:24] != NEUTRAL).all()


def test_colorize_frames_of_an_untrained_network_leaves_the_film_grey() -> None:
    torch.manual_seed(0)
    for _, chroma in colorized(random_lumas(48, 64), build(TINY)):
        assert (chroma == NEUTRAL).all()


def saying(cb: float, cr: float) -> Network:
    """Return a network that predicts this chroma everywhere."""
    network = build(TINY)
    nn.init.zeros_(network.head.weight)
    network.head.bias = nn.Parameter(torch.tensor([cb, cr]))
    return network


@pytest.mark.usefixtures("all_lit")
def test_colorize_frames_writes_the_networks_chroma() -> None:
    """Cb 1/16 and Cr -1/8 everywhere, on a grey that has room for both in the gamut."""
    [(_, chroma)] = colorized([np.full((32, 40), 110, np.uint8)], saying(1 / 16, -1 / 8))
    # ITU-R BT.709-6 item 3.4: 224 codes for the range of 1, around 128.
    assert (chroma[0] == 128 + 224 // 16).all()
    assert (chroma[1] == 128 - 224 // 8).all()


@pytest.mark.usefixtures("all_lit")
@pytest.mark.parametrize("vividness", [0, 0.5, 1, 2])
def test_colorize_frames_multiplies_chroma_by_the_vividness(vividness: float) -> None:
    luma = np.full((90, 120), 110, np.uint8)
    [(same, chroma)] = colorized([luma], saying(1 / 16, -1 / 8), vividness=vividness)
    np.testing.assert_array_equal(same, luma)
    assert (chroma[0] == 128 + round(14 * vividness)).all()
    assert (chroma[1] == 128 - round(28 * vividness)).all()


@pytest.mark.usefixtures("all_lit")
def test_colorize_frames_goes_no_further_than_the_gamut() -> None:
    """B' = Y' + 1.8556 Cb (ITU-R BT.709-6 item 3.3) is 1 at most."""
    luma = np.full((32, 40), 60, np.uint8)
    for vividness in (2, 4):
        [(_, chroma)] = colorized([luma], saying(1 / 4, 0), vividness=vividness)
        assert (chroma[0] == round(128 + 224 * (1 - (60 - 16) / 219) / 1.8556)).all()
        assert (chroma[1] == NEUTRAL).all()


def test_colorize_frames_takes_whiter_than_white_for_white() -> None:
    """As players do: the mean of white and 217 is a grey with room for a little blue."""
    luma = np.tile(np.array([255, 217], np.uint8), (32, 20))
    [(_, chroma)] = colorized([luma], saying(1 / 4, 0))
    grey = (1 + (217 - 16) / 219) / 2
    assert (chroma[0] == round(128 + 224 * (1 - grey) / 1.8556)).all()
    assert (chroma[0] == 133).all()


def test_colorize_frames_puts_colours_on_the_edges_of_the_film() -> None:
    """The network's input has an eighth of the frame's size."""
    luma = np.full((256, 384), 16 + 219 * 3 // 10, np.uint8)
    luma[:, 202:] = 16 + 219 * 8 // 10
    network: Any = EchoNetwork(0.25)
    [(_, chroma)] = colorized([luma], network)
    for codes, sign in zip(chroma.astype(int), (1, -1), strict=True):
        # A step of 28 codes; enlarged without regard to the edge, it would be off by half of that.
        assert np.abs(codes[:, :101] - (128 - sign * 224 * 0.2 * 0.25)).max() <= 3
        assert np.abs(codes[:, 101:] - (128 + sign * 224 * 0.3 * 0.25)).max() <= 3


@pytest.mark.parametrize("count", [1, BATCH_SIZE, 2 * BATCH_SIZE + 1])
def test_colorize_frames_keeps_order_and_count(count: int) -> None:
    lumas = [np.full((16, 16), 20 + number, np.uint8) for number in range(count)]
    assert [luma[0, 0] - 20 for luma, _ in colorized(lumas, build(TINY))] == list(range(count))


def test_colorize_frames_takes_frames_as_they_are_needed() -> None:
    taken: list[int] = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            taken.append(len(taken))
            yield np.zeros((16, 16), np.uint8)

    frames = colorize_frames(endless(), build(TINY), CPU)
    next(frames)
    assert len(taken) == BATCH_SIZE


@pytest.mark.parametrize(
    ("config", "aspect_ratio", "size"),
    [
        (TINY, 16 / 9, (32, 57)),
        (TINY, 1.0, (32, 32)),
        (TINY, 0.5, (64, 32)),
        (ClassicConfig(), 16 / 9, (64, 64)),
    ],
)
def test_colorize_frames_shows_the_network_the_displayed_shape(
    config: FilmConfig | ClassicConfig, aspect_ratio: float, size: tuple[int, int]
) -> None:
    """Whatever the shape of their pixels; these frames are stored 40 wide and 30 high."""
    network = build(config).eval()
    seen: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    colorized(random_lumas(30, 40, count=1), network, sample_aspect_ratio=aspect_ratio * 30 / 40)
    assert seen == [size]


@pytest.fixture(scope="module")
def lumas() -> list[np.ndarray]:
    """Return frames of the first shot of the sample film."""
    sampling = Sampling(160, 120, duration_seconds=1.5)
    return list(read_luma(probe(SAMPLE_FILM), sampling))


def test_colorize_frames_carries_colours_and_keeps_luma_order_and_count(
    lumas: list[np.ndarray],
) -> None:
    found = list(colorize_frames(lumas, vivid_network(), CPU, propagator=Propagator()))
    assert len(found) == len(lumas)
    for luma, (kept, chroma) in zip(lumas, found, strict=True):
        np.testing.assert_array_equal(kept, luma)
        assert chroma.shape == (2, 60, 80)


def test_colorize_frames_begins_anew_at_a_cut(lumas: list[np.ndarray]) -> None:
    """The frame after a cut gets the same colours as if the film began with it."""
    cut = 7
    network = vivid_network()
    found = list(colorize_frames(lumas, network, CPU, propagator=Propagator(), edits=Edits([cut])))
    alone = next(iter(colorize_frames(lumas[cut:], network, CPU, propagator=Propagator())))
    np.testing.assert_array_equal(found[cut][1], alone[1])


def test_colorize_frames_leaves_nothing_of_what_a_dissolve_led_from(
    lumas: list[np.ndarray],
) -> None:
    """Its last frame and those after it have the colours of the incoming shot."""
    network, begin, end = vivid_network(), 5, 17
    after = [luma[::-1, ::-1].copy() for luma in lumas]
    shares = np.clip((np.arange(len(lumas)) - begin + 1) / (end - begin), 0, 1)
    mixed = [
        (one * (1 - share) + other * share).astype(np.uint8)
        for one, other, share in zip(lumas, after, shares, strict=True)
    ]
    told, not_told = (
        [p[1] for p in colorized(mixed, network, propagator=Propagator(), edits=edits)]
        for edits in (Edits(dissolves=[(begin, end)]), Edits())
    )
    alone = [p[1] for p in colorized(after[end - 1 :], network, propagator=Propagator())]
    np.testing.assert_array_equal(told[end - 1], alone[0])
    assert np.abs(told[-1].astype(int) - alone[-1]).mean() < 1
    assert np.any(not_told[end - 1] != alone[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "edits",
    [
        Edits(),
        Edits(dissolves=[(15, 30)]),
        Edits(cuts=[12, 24], returns={24: 0}),
        Edits(cuts=[12, 30], returns={30: 0}),
    ],
    ids=["steady", "dissolve", "return", "return later"],
)
def test_colorize_frames_of_a_long_shot_is_the_same_in_pieces(
    edits: Edits, lumas: list[np.ndarray]
) -> None:
    network, propagator = vivid_network(), Propagator()
    whole = colorized(lumas, network, propagator=Propagator(), edits=edits)
    begin, rest = lumas[:CHUNK_FRAMES], lumas[CHUNK_FRAMES:]
    pieces = colorized(begin, network, propagator=propagator, edits=edits)
    pieces += colorized(
        rest,
        network,
        propagator=Propagator.from_planes(propagator.planes()),
        edits=edits,
        first_frame=CHUNK_FRAMES,
    )
    for (_, one), (_, other) in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, other)


def test_colorize_frames_notices_a_dissolve_in_pieces_as_in_one(
    lumas: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dissolve that is not among the edits, and that begins before the border."""
    shares = np.clip(np.arange(-12, len(lumas) - 12) / 12, 0, 1)
    mixed = [
        (luma * (1 - share) + luma[::-1, ::-1] * share).astype(np.uint8)
        for luma, share in zip(lumas, shares, strict=True)
    ]
    network, propagator = vivid_network(), Propagator()
    whole = colorized(mixed, network, propagator=Propagator())
    begin, rest = mixed[:CHUNK_FRAMES], mixed[CHUNK_FRAMES:]
    pieces = colorized(begin, network, propagator=propagator)
    carried_on = Propagator.from_planes(propagator.planes())
    pieces += colorized(rest, network, propagator=carried_on, first_frame=CHUNK_FRAMES)
    for (_, one), (_, other) in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.setattr(propagation, "has_dissolved", lambda sights, luma: False)
    unnoticed = colorized(mixed, network, propagator=Propagator())
    assert np.any(whole[-1][1] != unnoticed[-1][1])


def test_colorize_frames_keeps_fewer_large_frames(
    lumas: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "CHUNK_BYTES", 4 * lumas[0].nbytes)
    taken: list[int] = []

    def counted() -> Iterator[np.ndarray]:
        for number, luma in enumerate(lumas):
            taken.append(number)
            yield luma

    frames = colorize_frames(counted(), vivid_network(), CPU, propagator=Propagator())
    next(frames)
    assert len(taken) == 3  # the first of 12, 6 and 3 that is at most 4


def test_colorize_frames_carries_what_classic_paints(lumas: list[np.ndarray]) -> None:
    network = build(ClassicConfig()).eval()
    found = list(colorize_frames(lumas[:5], network, CPU, propagator=Propagator()))
    assert [chroma.shape for _, chroma in found] == [(2, 60, 80)] * 5


class SmallDevice(EchoNetwork):
    """A network whose device runs out of memory above `room` frames."""

    def __init__(self, room: int, error: type[RuntimeError] = torch.OutOfMemoryError) -> None:
        super().__init__(0.2)
        self.room, self.error = room, error

    def predict_chroma(self, luma: torch.Tensor) -> torch.Tensor:
        if len(luma) > self.room:
            raise self.error("MPS backend out of memory (MPS allocated: 9.00 GB)")
        return super().predict_chroma(luma)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_colorize_frames_goes_on_with_fewer_at_once_where_memory_is_short(
    error: type[RuntimeError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "FRAMES_OF_THREAD", BATCH_SIZE)  # as on a GPU
    lumas, notes = random_lumas(30, 40, count=20), list[str]()
    results = colorized(lumas, SmallDevice(3, error), batch_size=BatchSize(note=notes.append))
    said = "the device does not have enough memory for {} frames at once; continuing with {}"
    assert notes == [said.format(8, 4), said.format(4, 2)]
    for (_, ours), (_, theirs) in zip(results, colorized(lumas, EchoNetwork(0.2)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_colorize_frames_looks_at_few_frames_at_once_on_a_processor() -> None:
    at_once: list[int] = []

    class CountingNetwork(EchoNetwork):
        def predict_chroma(self, luma: torch.Tensor) -> torch.Tensor:
            at_once.append(len(luma))
            return super().predict_chroma(luma)

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        colorized(random_lumas(30, 40, count=5), CountingNetwork(0.2))
        torch.set_num_threads(2)
        colorized(random_lumas(30, 40, count=5), CountingNetwork(0.2))
    finally:
        torch.set_num_threads(threads)
    assert at_once == [2, 2, 1, 4, 1]


def test_colorize_frames_gives_up_where_one_frame_is_too_much() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        colorized(random_lumas(30, 40), SmallDevice(0))


def test_colorize_frames_takes_no_other_error_for_a_lack_of_memory() -> None:
    class BrokenNetwork(EchoNetwork):
        def predict_chroma(self, luma: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        colorized(random_lumas(30, 40), BrokenNetwork(0.2))


class WatchedNetwork(EchoNetwork):
    """A network that counts simultaneous calls, and whose output lies on the processor."""

    def __init__(self) -> None:
        super().__init__(0.2)
        self.callers, self.most = 0, 0
        self.lock = threading.Lock()

    def predict_chroma(self, luma: torch.Tensor) -> torch.Tensor:
        with self.lock:
            self.callers += 1
            self.most = max(self.most, self.callers)
        time.sleep(0.1)
        with self.lock:
            self.callers -= 1
        return super().predict_chroma(torch.zeros(luma.shape))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_colorize_frames_calls_a_graphics_card_by_one_thread_at_a_time(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's meta device, which has no memory, stands in for the card."""
    monkeypatch.setattr(painting, "autocast", lambda device: nullcontext())
    network: Any = WatchedNetwork()
    lumas = random_lumas(30, 40, count=10)

    def render(_: int) -> None:
        list(painting.Painter(network, torch.device(device)).paint(lumas))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(render, range(3)))
    assert (network.most > 1) == (device == "cpu")


@pytest.mark.parametrize(
    ("processors", "workers", "expected"),
    [(1, 1, 1), (2, 1, 1), (16, 1, 4), (16, 4, 1), (16, 9, 1)],
)
def test_leaving_processors_shares_a_quarter_of_them_for_a_while(
    processors: int, workers: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    monkeypatch.setattr(painting, "count_processors", lambda: processors)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    threads, threads_of_opencv = torch.get_num_threads(), cv2.getNumThreads()
    with painting.leaving_processors(workers):
        assert given == [expected]
        assert cv2.getNumThreads() == 1
    assert given == [expected, threads]
    assert cv2.getNumThreads() == threads_of_opencv
