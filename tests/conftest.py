"""Fixtures shared by tests (films, pairs, weights), and settings of the test run."""

from __future__ import annotations

import os

# Tests run in parallel, one process per core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from filmcolorizer_cli import console, networks
from filmcolorizer_cli.extracting import ExtractOptions, extract
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.pairs import Pairs, read_pairs
from filmcolorizer_cli.pictures import read_rgb
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.signatures import HEIGHT, WIDTH, Frames, Signatures
from filmcolorizer_cli.sync import constant_offset
from filmcolorizer_cli.video import Film, probe
from filmcolorizer_cli.weights import save
from tests.films import (
    BUNNY_FRAMES,
    CHAPTERS,
    SUBTITLES,
    X264,
    graded_film,
    make_clip,
    make_color_clip,
    make_numbered_clip,
    photographs,
    run_ffmpeg,
    signatures_of,
)
from tests.networks import vivid_network


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Skip fsync: files of tests need not survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def all_lit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep networks from brightening dim pictures, so that preset chroma comes out unchanged."""
    monkeypatch.setattr(networks, "MIN_BRIGHTNESS", 1.0)


@pytest.fixture(scope="session")
def woven_film(clip_folder: Path) -> Film:
    """A fast pan whose frames weave fields of two moments, so that their rows show combing."""
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
def numbered(clip_folder: Path) -> Film:
    """6 s of numbered frames, 128x32, 24 fps, H.264, no sound."""
    return probe(make_numbered_clip(clip_folder / "numbered-24.mp4", seconds=6, frame_rate="24"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real films and photos beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the films and photos of {folder} are not here")
    return folder


@pytest.fixture(scope="session")
def long_film(clip_folder: Path) -> Path:
    """The sample film, then mirrored, then upside down: 240x180, 18 s, 24 fps."""
    thrice = "split=3[a][b][c];[b]hflip[d];[c]vflip[e];[a][d][e]concat=n=3"
    return graded_film(clip_folder / "long-film.mp4", f"scale=240:180,{thrice}", crf=16)


@pytest.fixture
def rich_clip(tmp_path: Path) -> Path:
    """Two seconds with two sounds, text subtitles, chapters and metadata."""
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
    """(432, 768): the sample film, then mirrored, then upside down: 18 s."""
    pictures = sample_signatures.frames.reshape(-1, HEIGHT, WIDTH)
    thrice = np.concatenate((pictures, pictures[:, :, ::-1], pictures[:, ::-1]))
    return thrice.reshape(-1, HEIGHT * WIDTH)


@pytest.fixture(scope="session")
def bunny_signatures(bunny: Path) -> Signatures:
    return signatures_of(bunny)


@pytest.fixture(scope="session")
def dissolving_film(clip_folder: Path) -> Path:
    """Two shots of the sample film, slowed down; one dissolves into the other from 2 to 3 s.

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


@pytest.fixture(scope="session")
def returning_film(clip_folder: Path) -> Path:
    """The sample film's first shot, interrupted by 1 s of its second shot: 3 s, 160x120.

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
    """The sample film in colour, shadows blue, highlights orange: 96x72, 6 s, 24 fps, AAC.

    Cuts between its three shots are at 2 and 4 s.
    """
    path = clip_folder / "color.mp4"
    tint = "geq=lum='lum(X,Y)':cb='158-lum(X,Y)/3':cr='98+lum(X,Y)/3'"
    encoder = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-c:a", "copy")
    filters = f"scale=96:72,format=yuv444p,{tint},format=yuv420p"
    run_ffmpeg("-i", SAMPLE_FILM, "-vf", filters, *encoder, path)
    return path


@pytest.fixture(scope="session")
def moving_film(clip_folder: Path) -> Path:
    """Pans over two colour photographs: 128x96, 1 s, 24 fps, lossless; the second from 0.5 s on.

    Each frame moves the view two pixels to the right and one down.
    """
    pictures = [
        photograph[number : number + 96, 2 * number : 2 * number + 128]
        for photograph in photographs()
        for number in range(12)
    ]
    return make_color_clip(clip_folder / "moving.mp4", pictures)


@pytest.fixture(scope="session")
def mixed_film(clip_folder: Path) -> Path:
    """Two still photographs; the first dissolves into the second from 1 to 1.75 s; 2.75 s."""
    before, after = (photograph[:96, :128].astype(float) for photograph in photographs())
    shares = np.clip((np.arange(66) - 24 + 0.5) / 18, 0, 1)
    pictures = [(before * (1 - share) + after * share).astype(np.uint8) for share in shares]
    return make_color_clip(clip_folder / "mixed.mp4", pictures)


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


@pytest.fixture(scope="session")
def vivid_weights(clip_folder: Path) -> Path:
    """The weights file of `vivid_network`."""
    path = clip_folder / "vivid.safetensors"
    save(vivid_network(), path, about={"description": "strong colours"})
    return path


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """Stderr as shown on a wide terminal."""
    screen = StringIO()
    monkeypatch.setattr(
        console, "err", Console(file=screen, force_terminal=True, width=120, color_system=None)
    )
    return screen
