"""Short clips by written recipes, made with the real ffmpeg, and what several tests share."""

from __future__ import annotations

import os

# Tests run side by side, a process for each core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import shutil
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import skimage.data
import torch
from rich.console import Console
from torch import nn

from filmcolorizer_cli import console, networks
from filmcolorizer_cli.color import half_size
from filmcolorizer_cli.configs import FilmConfig
from filmcolorizer_cli.extracting import ExtractOptions, extract
from filmcolorizer_cli.ffmpeg import find_binary
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.frames import Sampling
from filmcolorizer_cli.generators import Item, Result, Returning
from filmcolorizer_cli.networks import FilmNetwork
from filmcolorizer_cli.pairs import Pairs, read_pairs
from filmcolorizer_cli.pictures import read_rgb
from filmcolorizer_cli.signatures import HEIGHT, WIDTH, Frames, Signatures, read_signatures
from filmcolorizer_cli.sync import constant_offset
from filmcolorizer_cli.video import Film, probe
from filmcolorizer_cli.weights import save

# 8-bit limited-range Y', Cb, Cr of colour bars, by ITU-R BT.709-6 and SMPTE RP 219.
BT709_BARS_100 = {
    (1, 1, 1): (235, 128, 128),
    (1, 1, 0): (219, 16, 138),
    (0, 1, 1): (188, 154, 16),
    (0, 1, 0): (173, 42, 26),
    (1, 0, 1): (78, 214, 230),
    (1, 0, 0): (63, 102, 240),
    (0, 0, 1): (32, 240, 118),
    (0, 0, 0): (16, 128, 128),
}

SAMPLE_FRAMES = 144  # of the sample film, at 24 fps; its three shots change at 48 and 96
BUNNY_FRAMES = 600  # of `bunny`, at 24 fps
BUNNY_CUTS = (41, 89, 128, 196, 205, 214, 323, 340, 416, 471, 512)  # where its shots change
PAN_SIZE = 128, 96  # width and height of what `panned` shows
PAN_PIXELS_A_FRAME = 2
NUMBER_BITS = 8  # of a frame's number in the bars of a numbered clip
NUMBERED_SIZE = (128, 32)
# Frame N shows N in binary, lowest bit left, as bars of luma 220 and 30.
_NUMBERS = (
    "color=black:size={width}x{height}:rate={frame_rate}:duration={seconds},format=yuv420p,"
    "geq=lum='30+190*mod(floor(N/pow(2,floor(X*8/W))),2)':cb=128:cr=128"
)
# Silence, then from the middle on a tone.
_SOUND = "aevalsrc=0.5*sin(2765*t)*gte(t\\,{seconds}/2):sample_rate=44100:duration={seconds}"
_NOBODY = 65534
Value = TypeVar("Value")
X264 = ("-c:v", "libx264", "-preset", "ultrafast")
LOSSLESS = (*X264, "-qp", "0")
TINY = FilmConfig(size=32, decoder_widths=(16, 16, 8, 8, 8))
SUBTITLES = """1
00:00:00,500 --> 00:00:01,000
Good evening

2
00:00:01,200 --> 00:00:01,800
Good night
"""
CHAPTERS = """;FFMETADATA1
title=The Kid
artist=Chaplin
notes=from the attic
[CHAPTER]
TIMEBASE=1/1000
START=0
END=800
title=Evening
[CHAPTER]
TIMEBASE=1/1000
START=800
END=2000
title=Night
"""


def run_ffmpeg(*arguments: object, stdin: bytes = b"") -> bytes:
    """Run the program's own ffmpeg binary, by hand, and give what it writes to ``pipe:1``."""
    command = [find_binary(), "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def make_clip(
    path: Path,
    *,
    picture: str = "testsrc2=size={width}x{height}:rate={frame_rate}:duration={seconds},hue=s=0",
    seconds: float = 2.0,
    size: tuple[int, int] = (64, 48),
    frame_rate: str = "25",
    layout: str = "yuv420p",
    codec: tuple[str, ...] = X264,
    sound: str | None = None,
    extra: tuple[object, ...] = (),
) -> Path:
    """A clip of a moving grey picture and, if ``sound`` names a codec, a tone from its middle on.

    ffmpeg -f lavfi -i testsrc2=...,hue=s=0 [-f lavfi -i aevalsrc=... -c:a SOUND] -c:v libx264 PATH
    """
    width, height = size
    source = picture.format(width=width, height=height, frame_rate=frame_rate, seconds=seconds)
    inputs = ["-f", "lavfi", "-i", source]
    if sound is not None:
        inputs += ["-f", "lavfi", "-i", _SOUND.format(seconds=seconds), "-c:a", sound]
    run_ffmpeg(*inputs, *codec, "-pix_fmt", layout, *extra, path)
    return path


def make_numbered_clip(path: Path, **recipe: Any) -> Path:
    """A clip whose every frame tells its number; see `frame_number`."""
    return make_clip(path, picture=_NUMBERS, size=NUMBERED_SIZE, **recipe)


def frame_number(luma: np.ndarray) -> int:
    """The number that a numbered clip's frame shows, at any size and quality."""
    bars = np.array_split(luma, NUMBER_BITS, axis=1)
    middles = [bar[:, bar.shape[1] // 4 : -bar.shape[1] // 4].mean() for bar in bars]
    return sum(1 << bit for bit, middle in enumerate(middles) if middle > 125)


def make_raw_clip(
    path: Path,
    pictures: np.ndarray,
    *,
    size: tuple[int, int],
    layout: str,
    frame_rate: Fraction = Fraction(25),
    codec: tuple[str, ...] = LOSSLESS,
    extra: tuple[str, ...] = (),
) -> Path:
    """A lossless clip of these very samples, in the order that ``layout`` stores them in."""
    width, height = size
    raw = ("-f", "rawvideo", "-pix_fmt", layout, "-video_size", f"{width}x{height}")
    run_ffmpeg(
        *raw, "-framerate", frame_rate, *extra, "-i", "pipe:0", *codec, *extra, path,
        stdin=pictures.tobytes(),
    )  # fmt: skip
    return path


def combing(pictures: list[np.ndarray]) -> float:
    """How much rows of pictures (H, W) differ from both of their neighbours."""
    rows = np.stack(pictures).astype(int)
    return float(np.abs(rows[:, 1:-1] * 2 - rows[:, :-2] - rows[:, 2:]).mean())


def decode_planes(path: Path, layout: str, size: tuple[int, int]) -> list[np.ndarray]:
    """What an ffmpeg told nothing else decodes: Y', Cb and Cr, each (frames, height, width)."""
    width, height = size
    across, down = {"yuv420p": (2, 2), "yuv422p": (2, 1), "yuv444p": (1, 1)}[layout]
    data = run_ffmpeg(
        "-i", path, "-map", "0:v:0", "-f", "rawvideo", "-pix_fmt", layout,
        "-fps_mode", "passthrough", "pipe:1",
    )  # fmt: skip
    chroma_shape = (-(-height // down), -(-width // across))
    luma_size, chroma_size = height * width, chroma_shape[0] * chroma_shape[1]
    frames = np.frombuffer(data, np.uint8).reshape(-1, luma_size + 2 * chroma_size)
    luma, cb, cr = np.split(frames, [luma_size, luma_size + chroma_size], axis=1)
    return [luma.reshape(-1, height, width), *(c.reshape(-1, *chroma_shape) for c in (cb, cr))]


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """What tests write need not survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond this size, as a full disk or quota does; ffmpeg inherits it."""
    import resource  # which Windows lacks

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Put down root's right to write anywhere, for tests that run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def present(value: Value | None) -> Value:
    """What may be None by its annotation, and never is where a test looks."""
    assert value is not None
    return value


def finished(generator: Generator[Item, None, Result]) -> tuple[list[Item], Result]:
    """All that a generator yields, and what it returns."""
    returning = Returning(generator)
    return list(returning), returning.value


def files_in(folder: Path) -> list[str]:
    """The names of all files in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def our_children() -> set[int]:
    """The ids of this process's living children."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc to look for processes in")
    children = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == os.getpid():
            children.add(int(stat.parent.name))
    return children


@pytest.fixture
def all_lit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks take all pictures for lit ones, so that chroma that is set comes out as it is."""
    monkeypatch.setattr(networks, "LEAST_LIGHT", 1.0)


@pytest.fixture(scope="session")
def woven_film(clip_folder: Path) -> Film:
    """A fast move, whose rows are combed where the fields of two moments are one frame."""
    motion = "testsrc2=size=320x240:rate=50:duration=8,scroll=h=0.04"
    woven = f"{motion},tinterlace=interleave_top,setfield=prog"
    return probe(make_clip(clip_folder / "fields.mp4", picture=woven))


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def long_and_short(clip_folder: Path) -> tuple[Film, Film]:
    """Films of 4 s at 25 fps and of 2 s at 24 fps."""
    long = make_clip(clip_folder / "long.mp4", seconds=4)
    return probe(long), probe(make_clip(clip_folder / "brief.mp4", frame_rate="24"))


@pytest.fixture(scope="session")
def plain_clip(clip_folder: Path) -> Path:
    """2 s of testsrc2, 64x48, 25 fps, H.264, no sound."""
    return make_clip(clip_folder / "plain.mp4")


@pytest.fixture(scope="session")
def sound_clip(clip_folder: Path) -> Path:
    """2 s of testsrc2, 64x48, 25 fps, H.264, with AAC sound."""
    return make_clip(clip_folder / "sound.mp4", sound="aac")


@pytest.fixture(scope="session")
def numbered_clip(clip_folder: Path) -> Path:
    """4 s of numbered frames, 128x32, 25 fps, H.264 with B-frames, a key frame every 50, AAC."""
    codec = ("-c:v", "libx264", "-preset", "fast", "-g", "50", "-sc_threshold", "0")
    return make_numbered_clip(clip_folder / "numbered.mp4", seconds=4, codec=codec, sound="aac")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real films and photos beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the films and photos of {folder} are not here")
    return folder


def graded_film(path: Path, filters: str, *, source: Path = SAMPLE_FILM, crf: int = 20) -> Path:
    """A part of a film, or another version of it, through these ffmpeg filters; no sound.

    ffmpeg -i SOURCE -vf FILTERS -c:v libx264 -preset veryfast -crf CRF PATH
    """
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-crf", crf, "-pix_fmt", "yuv420p")
    run_ffmpeg("-i", source, "-an", "-vf", filters, *encoder, path)
    return path


def frames_only(*runs: tuple[int, int]) -> str:
    """The ffmpeg filter that keeps these runs of a film's frames at 24 fps, one after the other."""
    kept = "+".join(f"between(n,{begin},{end - 1})" for begin, end in runs)
    return f"select='{kept}',setpts=N/24/TB"


def signatures_of(path: Path) -> Signatures:
    """The small pictures of every frame of a film."""
    film = probe(path)
    return read_signatures(film, film, track=lambda frames, total, label: frames)[0]


@pytest.fixture(scope="session")
def long_film(clip_folder: Path) -> Path:
    """The sample film, then left and right swapped, then upside down: 240x180, 18 s, 24 fps."""
    thrice = "split=3[a][b][c];[b]hflip[d];[c]vflip[e];[a][d][e]concat=n=3"
    return graded_film(clip_folder / "long-film.mp4", f"scale=240:180,{thrice}", crf=16)


@pytest.fixture
def rich_clip(tmp_path: Path) -> Path:
    """Two seconds with two sounds, subtitles of text and of pictures, chapters and metadata."""
    (tmp_path / "said.srt").write_text(SUBTITLES)
    (tmp_path / "told.txt").write_text(CHAPTERS)
    plain = make_clip(tmp_path / "plain.mkv", sound="aac")
    clip = tmp_path / "rich.mkv"
    run_ffmpeg(
        "-i", plain, "-i", tmp_path / "said.srt", "-i", tmp_path / "told.txt",
        "-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "1", "-map_metadata", 2,
        "-map_chapters", 2, "-c", "copy", "-c:a:1", "flac", "-c:s", "subrip",
        "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra",
        "-metadata:s:a:1", "title=Commentary", "-metadata:s:s:0", "language=spa",
        "-disposition:a:0", 0, "-disposition:a:1", "default", clip,
    )  # fmt: skip
    return clip


@pytest.fixture(scope="session")
def bunny(shared_data: Path, clip_folder: Path) -> Path:
    """Frames 9380 to 9979 of Big Buck Bunny, twelve shots in 25 s: 320x180, 24 fps, no sound."""
    film = shared_data / "film" / "big_buck_bunny_360p.mp4"
    path = clip_folder / "bunny.mp4"
    encoder = (
        "-vf",
        "setpts=N/24/TB,scale=320:180",
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-crf",
        "16",
    )
    begin = ("-ss", f"{(9380 - 0.5) / 24:.4f}")
    run_ffmpeg(*begin, "-i", film, "-frames:v", BUNNY_FRAMES, "-an", *encoder, path)
    return path


@pytest.fixture(scope="session")
def sample_signatures() -> Signatures:
    return signatures_of(SAMPLE_FILM)


@pytest.fixture(scope="session")
def film(sample_signatures: Signatures) -> Frames:
    """(432, 768): the sample film, then left and right swapped, then upside down: 18 s."""
    pictures = sample_signatures.frames.reshape(-1, HEIGHT, WIDTH)
    thrice = np.concatenate((pictures, pictures[:, :, ::-1], pictures[:, ::-1]))
    return thrice.reshape(-1, HEIGHT * WIDTH)


@pytest.fixture(scope="session")
def bunny_signatures(bunny: Path) -> Signatures:
    return signatures_of(bunny)


@pytest.fixture(scope="session")
def dissolving_film(clip_folder: Path) -> Path:
    """Two shots of the sample film, slowed down, the one dissolving into the other from 2 to 3 s.

    ffmpeg -i SAMPLE -filter_complex ... PATH
    """
    path = clip_folder / "dissolving.mp4"
    first = "trim=end=0.75,setpts=4*PTS,fps=24"
    second = "trim=2:2.75,setpts=4*(PTS-STARTPTS),fps=24"
    mixed = "xfade=duration=1:offset=2,scale=160:120,format=yuv420p"
    graph = f"[0]{first}[a];[0]{second}[b];[a][b]{mixed}"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-filter_complex", graph, *X264, "-crf", 16, path)
    return path


@pytest.fixture(scope="session")
def picture() -> tuple[np.ndarray, np.ndarray]:
    """Luma (H, W), uint8, and made-up chroma (H, W, 2) of a still of the sample film."""
    film = probe(SAMPLE_FILM)
    still = next(iter(read_rgb(film, Sampling(320, 240, start_seconds=1.0))))
    luma = still[..., 0]
    columns = np.linspace(-1, 1, luma.shape[1])
    chroma = np.stack((0.2 * np.sin(6 * columns) * np.ones(luma.shape), luma / 1000 - 0.1), axis=2)
    return luma, chroma.astype(np.float32)


def panned(plane: np.ndarray, number: int) -> np.ndarray:
    """What a camera shows in a frame of this number that pans to the right over such a plane."""
    width, height = PAN_SIZE
    left = number * PAN_PIXELS_A_FRAME
    return np.ascontiguousarray(plane[60 : 60 + height, left : left + width])


@pytest.fixture(scope="session")
def returning_film(clip_folder: Path) -> Path:
    """The first shot of the sample film with a second of its second one amid it: 3 s, 160x120.

    ffmpeg -i SAMPLE -filter_complex ... PATH
    """
    path = clip_folder / "returning.mp4"
    cuts = [f"trim=start_frame={n}:end_frame={n + 24},setpts=PTS-STARTPTS" for n in (0, 48, 24)]
    graph = ";".join(f"[0]{cut}[{part}]" for cut, part in zip(cuts, "abc", strict=True))
    graph += ";[a][b][c]concat=n=3,scale=160:120,format=yuv420p"
    run_ffmpeg("-i", SAMPLE_FILM, "-an", "-filter_complex", graph, *X264, "-crf", 16, path)
    return path


@pytest.fixture(scope="session")
def color_film(clip_folder: Path) -> Path:
    """The sample film in colour, its darks blue and its lights orange: 96x72, 6 s, 24 fps, AAC.

    Its three shots change at 2 and 4 s.
    """
    path = clip_folder / "color.mp4"
    tint = "geq=lum='lum(X,Y)':cb='158-lum(X,Y)/3':cr='98+lum(X,Y)/3'"
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-c:a", "copy")
    filters = f"scale=96:72,format=yuv444p,{tint},format=yuv420p"
    run_ffmpeg("-i", SAMPLE_FILM, "-vf", filters, *encoder, path)
    return path


@pytest.fixture(scope="session")
def moving_film(clip_folder: Path) -> Path:
    """Two colour photographs that move: 128x96, 1 s, 24 fps, lossless; the second from 0.5 s on.

    Every frame shows what is two pixels farther right and one farther down.
    """
    pictures = [
        photograph[number : number + 96, 2 * number : 2 * number + 128]
        for photograph in photographs()
        for number in range(12)
    ]
    return make_color_clip(clip_folder / "moving.mp4", pictures)


@pytest.fixture(scope="session")
def mixed_film(clip_folder: Path) -> Path:
    """The same, but still, and the one dissolves into the other from 1 to 1.75 s; 2.75 s."""
    before, after = (photograph[:96, :128].astype(float) for photograph in photographs())
    shares = np.clip((np.arange(66) - 24 + 0.5) / 18, 0, 1)
    pictures = [(before * (1 - share) + after * share).astype(np.uint8) for share in shares]
    return make_color_clip(clip_folder / "mixed.mp4", pictures)


def photographs() -> tuple[np.ndarray, np.ndarray]:
    """Parts of two colour photographs (H, W, 3), uint8."""
    return skimage.data.astronaut()[40:], skimage.data.coffee()[150:, 100:]


def make_color_clip(path: Path, pictures: list[np.ndarray]) -> Path:
    """Pictures (96, 128, 3) as a film, 24 frames a second, lossless but for halved chroma."""
    return make_raw_clip(
        path,
        np.stack(pictures),
        size=(128, 96),
        layout="rgb24",
        frame_rate=Fraction(24),
        codec=(*LOSSLESS, "-pix_fmt", "yuv420p"),
    )


@pytest.fixture(scope="session")
def pairs(color_film: Path, clip_folder: Path) -> Pairs:
    """24 pairs of 43x32 stills of `color_film`, every quarter of a second, 8 of each shot."""
    film = probe(color_film)
    options = ExtractOptions(every=6, size=32)
    folder = clip_folder / "pairs"
    list(extract(None, film, constant_offset(film, film, 0), folder, options))
    return read_pairs(folder)


@pytest.fixture
def own_pairs(pairs: Pairs, tmp_path: Path) -> Pairs:
    """`pairs` in a folder that a test may change."""
    return read_pairs(shutil.copytree(pairs.folder, tmp_path / "pairs"))


def vivid_network() -> FilmNetwork:
    """A tiny untrained network that paints strong colours all over the picture."""
    torch.manual_seed(0)
    network = FilmNetwork(TINY)
    nn.init.normal_(network.head.weight, std=0.5)
    network.head.bias = nn.Parameter(torch.tensor([-0.2, 0.2]))
    return network.eval()


class EchoNetwork(nn.Module):
    """A network that gives lights one colour and darks another, by so much."""

    config = TINY

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def predict_chroma(self, luma: torch.Tensor) -> torch.Tensor:
        plane = self.strength * half_size(luma - 0.5)
        return torch.cat((plane, -plane), dim=1)


@pytest.fixture(scope="session")
def vivid_weights(clip_folder: Path) -> Path:
    """The weights file of `vivid_network`."""
    path = clip_folder / "vivid.safetensors"
    save(vivid_network(), path, about={"description": "strong colours"})
    return path


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What a person at a wide terminal sees on stderr."""
    screen = StringIO()
    monkeypatch.setattr(
        console, "err", Console(file=screen, force_terminal=True, width=120, color_system=None)
    )
    return screen
