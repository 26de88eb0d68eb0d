"""Behaviour that several commands share."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
import typer.main
from PIL import Image
from safetensors.torch import save_file

from filmcolorizer_cli import (
    cli,
    colorizing,
    film_evaluation,
    networks,
    pair_evaluation,
    recipes,
    report,
    sync,
    training,
    weights,
)
from filmcolorizer_cli.configs import ClassicConfig
from filmcolorizer_cli.extracting import ExtractOptions
from filmcolorizer_cli.ffmpeg import find_binary
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.networks import build
from filmcolorizer_cli.pairs import Pairs
from filmcolorizer_cli.video import film_identity, probe
from tests.commands import copy_here, fail, misuse, run, succeed
from tests.films import X264, run_ffmpeg
from tests.machine import file_size_limit, ordinary_user
from tests.networks import vivid_network

# Imported early: after a test gives up root's rights, these files may be unreadable.
LOADED = (colorizing, film_evaluation, pair_evaluation, networks, report, sync, training, weights)


def test_help_tells_the_defaults_that_there_are() -> None:
    program: Any = typer.main.get_command(cli.app)
    shown = {
        parameter.name: parameter.show_default for parameter in program.commands["train"].params
    }
    film, by_heart, classic = (
        recipes.default_options(arch, 1000, is_pretrained=True, shows_all=shows_all)
        for arch, shows_all in (("film", False), ("film", True), ("classic", False))
    )
    assert shown["epochs"] == (
        f"enough for {recipes.FILM_PICTURES:,} pictures, {recipes.SCRATCH_PICTURES:,} with --init"
        f" none, {recipes.WHOLE_FILM_PICTURES:,} with --split interleaved,"
        f" {recipes.PAINTED_PICTURES:,} with --split none; {classic.epochs} for classic"
    )
    assert shown["learning_rate"] == (
        f"{film.learning_rate:g} for film, {by_heart.learning_rate:g} with --split interleaved or"
        f" none, {classic.learning_rate:.4f} for classic"
    )
    assert shown["batch_size"] == str(film.batch_size) == str(classic.batch_size)
    [size] = [p for p in program.commands["extract"].params if p.name == "size"]
    assert size.default == ExtractOptions().size


def test_options_reach_what_they_are_for(moving_film: Path, vivid_weights: Path) -> None:
    """The effects of these options are tested elsewhere, without the command line."""
    film = ("--model", vivid_weights, "--device", "cpu")
    scores = [
        json.loads(succeed("eval", moving_film, *film, *more, "--json"))["films"][0]["network"]
        for more in ((), ("--no-temporal",))
    ]
    assert scores[0]["flicker"] < scores[1]["flicker"]
    quick = ("colorize", moving_film, *film, "--preset", "ultrafast", "-o", "out.mp4")
    assert "mpeg2video" in fail(*quick, "--encoder", "mpeg2video", code=2)
    notes = [run(*quick, *more, "--overwrite").stderr for more in ((), ("--recolor",))]
    assert ["are already in colour" in note for note in notes] == [True, False]
    carried = Path("out.mp4").read_bytes()
    succeed(*quick, "--recolor", "--no-temporal", "--overwrite")
    assert Path("out.mp4").read_bytes() != carried


@pytest.mark.parametrize("command", [["colorize"], ["preview"], ["extract"], ["sync"]])
def test_a_program_that_is_no_ffmpeg_is_refused_before_it_sees_the_film(
    command: list[str], plain_clip: Path
) -> None:
    """Otherwise its failure would be reported as a damaged or empty film."""
    other = Path("other-program").absolute()
    other.write_text("#!/bin/sh\necho cat 9.4\n")
    other.chmod(0o755)
    films = [plain_clip] * (2 if command == ["sync"] else 1)
    assert fail(*command, *films, "--ffmpeg", other) == (
        f"cannot run {other} (it is not ffmpeg: asked for its version, it says 'cat 9.4'); name an"
        " ffmpeg with --ffmpeg"
    )


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize(
    ("version", "is_refused"),
    [
        ("4.4.2-0ubuntu0.22.04.1", True),
        ("n5.0.1", True),
        ("5.1.6-0+deb12u1", False),
        ("N-118000-g1a2b3c", False),
        ("2024-02-01-git-1a2b3c-full_build", False),
        ("N-47683-g0e8eb07980\nlibavformat     58. 24.101 / 58. 24.101", True),
        ("N-109000-g0e8eb07980\nlibavformat     61.  7.100 / 61.  7.100", False),
    ],
)
def test_an_ffmpeg_that_is_too_old_is_refused_before_it_sees_the_film(
    version: str,
    is_refused: bool,
    is_named: bool,
    plain_clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not know our options, so its failure would be reported as a damaged film."""
    old = Path("old-ffmpeg").absolute()
    version, _, libraries = version.partition("\n")
    told = f"ffmpeg version {version} Copyright (c) 2000-2024\n{libraries}"
    real = f'exec "{find_binary()}" "$@"'
    old.write_text(f'#!/bin/sh\ncase "$*" in *-version) echo "{told}";; *) {real};; esac\n')
    old.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(old))  # as where imageio-ffmpeg has no wheel
    named = ("--ffmpeg", old) if is_named else ()
    said = run("extract", plain_clip, *named).stderr
    sentence = (
        f"cannot run {old} (it is ffmpeg {version}, but 5.1 or newer is needed); name an"
        " ffmpeg with --ffmpeg"
    )
    assert sentence in said if is_refused else "shows no colours in these stills" in said


def link(film: Path, kind: str) -> Path:
    if kind == "itself":
        return film
    if kind == "another spelling":
        return Path("..") / Path.cwd().name / film
    target = Path("link.mp4")
    if kind == "symlink":
        target.symlink_to(film)
    else:
        target.hardlink_to(film)
    return target


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("kind", ["itself", "another spelling", "symlink", "hardlink"])
def test_commands_never_write_over_their_source(
    kind: str, overwrite: list[str], plain_clip: Path, vivid_weights: Path
) -> None:
    film = copy_here(plain_clip, "film.mp4")
    target = link(film, kind)
    sentence = f"{target} is the source itself; name another file with -o"
    colorize = ("colorize", film, "-o", target, "--model", vivid_weights)
    assert fail(*colorize, *overwrite) == sentence
    for films in ((film, plain_clip), (plain_clip, film)):
        assert fail("sync", *films, "-o", target, "--offset", "0", *overwrite) == sentence
    assert film.read_bytes() == plain_clip.read_bytes()


def no_video(name: str, plain_clip: Path) -> Path:
    """Return a path that cannot be colorized, made to suit its name."""
    path = Path(name)
    if name == "text.mp4":
        path.write_text("once upon a time there was a film")
    elif name == "empty.mp4":
        path.touch()
    elif name == "folder.mp4":
        path.mkdir()
    elif name == "sound.m4a":
        run_ffmpeg("-f", "lavfi", "-i", "sine=duration=1", path)
    elif name == "cover.mp3":
        Image.new("RGB", (64, 64)).save("cover.png")
        run_ffmpeg(
            "-f", "lavfi", "-i", "sine=duration=1", "-i", "cover.png", "-map", 0, "-map", 1,
            "-c:v", "png", "-disposition:v", "attached_pic", path,
        )  # fmt: skip
    elif name == "head.mp4":
        path.write_bytes(plain_clip.read_bytes()[:200])
    return path


NO_VIDEOS = {
    "text.mp4": "text.mp4 cannot be read as a video (Invalid data found when processing input);"
    " give a film file such as an mp4 or mkv",
    "empty.mp4": "empty.mp4 cannot be read as a video (Invalid data found when processing input);"
    " give a film file such as an mp4 or mkv",
    "head.mp4": "head.mp4 cannot be read as a video (its index, moov, usually at the end, is"
    " missing); give the complete file",
    "folder.mp4": "folder.mp4 is a folder; give a film file, or numbered pictures such as"
    " frames/%05d.png",
    "missing.mp4": "missing.mp4 does not exist; give a film file",
    "https://example.org/a.mp4": (
        "https:/example.org/a.mp4 is an address, not a file; download the film first, and give that"
    ),
    "sound.m4a": "sound.m4a has no pictures, only sound or data; give a file with a film in it",
    "cover.mp3": "cover.mp3 has no pictures, only sound or data; give a file with a film in it",
}


@pytest.mark.parametrize("name", NO_VIDEOS)
def test_commands_refuse_what_is_no_video(name: str, plain_clip: Path) -> None:
    path = no_video(name, plain_clip)
    for arguments in (
        ("info", path),
        ("colorize", path),
        ("sync", path, plain_clip),
        ("sync", plain_clip, path, "--offset", 0),
        ("extract", path),
        ("extract", plain_clip, path),
    ):
        assert fail(*arguments) == NO_VIDEOS[name]


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] not enough memory: you tried to"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (cv2.error("(-4:Insufficient memory) Failed to allocate 99 bytes"), True),
        (MemoryError(), True),
        (RuntimeError("more than one element refers to a single memory location"), False),
    ],
)
def test_commands_tell_of_a_lack_of_memory_and_of_nothing_else(
    error: Exception, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises() -> None:
        raise error

    monkeypatch.setattr("filmcolorizer_cli.models.shipped_models", raises)
    if is_told:
        assert fail("models").startswith("there is not enough memory for this; close other")
    else:
        with pytest.raises(RuntimeError, match="single memory location"):
            run("models")


def test_what_is_no_command_is_no_lack_of_memory() -> None:
    assert "No such command" in misuse("out of memory")


@pytest.mark.slow
def test_commands_tell_of_a_film_that_is_cut_short(vivid_weights: Path) -> None:
    data = SAMPLE_FILM.read_bytes()
    Path("cut.mp4").write_bytes(data[: len(data) // 3])
    start = "cut.mp4 is damaged or cut short and could not be read beyond "
    take_a_part = (
        "); repair it, or use another part of it with --start and --duration if the command has"
        " them; `filmcolorizer colorize --skip-damaged` skips what is damaged"
    )
    tell = "); repair it, or give the offset of the films with `filmcolorizer sync --offset FRAMES`"
    for arguments, end in (
        (("colorize", "cut.mp4", "--model", vivid_weights), take_a_part),
        (("sync", "cut.mp4", SAMPLE_FILM), tell),
        (("extract", "cut.mp4"), take_a_part),
        (("extract", "cut.mp4", SAMPLE_FILM), tell),
    ):
        said = fail(*arguments)
        assert said.startswith(start)
        assert said.endswith(end)


@pytest.mark.parametrize("command", ["train", "eval"])
def test_commands_refuse_a_bad_folder_of_pairs(command: str, own_pairs: Pairs) -> None:
    Path("empty").mkdir()
    for folder in ("empty", "pairs", "missing"):
        arguments = [command] if folder == "pairs" else [command, folder]
        assert fail(*arguments) == (
            f"{folder} is not a folder of pairs (pairs.json: No such file or directory); make one"
            " with `filmcolorizer extract`"
        )
    damaged = own_pairs.folder
    (damaged / "bw" / "000003.png").unlink()
    assert fail(command, damaged) == (
        f"{damaged}/color/000003.png has no counterpart in {damaged}/bw (1 such); put it back, or"
        " delete this one"
    )
    for still in damaged.glob("*/*.png"):
        still.unlink()
    assert fail(command, damaged) == (
        f"{damaged} holds no pairs; make some with `filmcolorizer extract`"
    )


@pytest.mark.parametrize("command", ["train", "eval"])
def test_commands_refuse_stills_that_do_not_match(command: str, own_pairs: Pairs) -> None:
    Image.new("RGB", (32, 43)).save(own_pairs.folder / "color" / "000003.png")
    assert fail(command, own_pairs.folder) == (
        f"the stills of pair 000003 in {own_pairs.folder} have different shapes, grey 43x32 and"
        " colour 32x43; crop the colour one or delete the pair"
    )


@pytest.fixture
def bad_weights(vivid_weights: Path, own_folder: Path) -> dict[str, str]:
    """Files without usable weights, and the start of the message about each."""
    data = vivid_weights.read_bytes()
    Path("half.safetensors").write_bytes(data[: len(data) // 2])
    Path("text.safetensors").write_text("not weights")
    save_file({"a": torch.zeros(2)}, "other.safetensors")
    metadata, _ = weights.read_tensors(vivid_weights)
    classic = build(ClassicConfig()).state_dict()
    save_file(classic, "classic.safetensors", metadata)
    return {
        "half.safetensors": "cannot read the weights in half.safetensors (",
        "text.safetensors": "cannot read the weights in text.safetensors (",
        "other.safetensors": "other.safetensors holds no network that filmcolorizer knows",
        "classic.safetensors": "the weights in classic.safetensors do not fit the network",
        "missing.safetensors": "there is no model 'missing.safetensors': give a .safetensors file",
    }


def test_commands_refuse_bad_weights(
    bad_weights: dict[str, str], plain_clip: Path, pairs: Pairs
) -> None:
    for name, start in bad_weights.items():
        assert fail("colorize", plain_clip, "-o", "o.mp4", "--model", name).startswith(start)
        assert fail("eval", pairs.folder, "--model", name).startswith(start)
        assert fail("train", pairs.folder, "--init", name).startswith(start)


def test_commands_refuse_bad_weights_in_the_folder(
    bad_weights: dict[str, str], plain_clip: Path, pairs: Pairs
) -> None:
    copy_here(Path("half.safetensors"), "film.safetensors")
    for arguments in (
        ("colorize", plain_clip, "-o", "o.mp4"),
        ("eval", pairs.folder),
    ):
        said = fail(*arguments)
        assert said.startswith("cannot read the weights in film.safetensors (")
    told = " ".join(succeed("info", plain_clip).split())
    assert "colorize not possible with these weights: cannot read the weights in" in told
    assert json.loads(succeed("info", plain_clip, "--json"))["colorize"]["model"] is None


def test_commands_refuse_a_bad_map(versions: tuple[Path, Path]) -> None:
    for name in ("srt", "filmcolorizer-sync/1"):
        Path("map.json").write_text(json.dumps({"format": name}))
        assert fail("extract", *versions, "--sync", "map.json") == (
            f"map.json is not a sync map (its format is '{name}', not 'filmcolorizer-sync/2'); make"
            " one with `filmcolorizer sync BW COLOR`"
        )


def writers(plain_clip: Path, pairs: Pairs, model: Path, folder: str) -> Iterator[tuple[Any, ...]]:
    """Yield the arguments of each command that writes, with targets in this folder."""
    yield ("colorize", plain_clip, "--model", model, "-o", f"{folder}/o.mp4")
    yield ("sync", plain_clip, plain_clip, "-o", f"{folder}/o.json")
    yield ("extract", plain_clip, "-o", f"{folder}/o")
    yield ("train", pairs.folder, "--arch", "classic", "-o", f"{folder}/o.safetensors")


def test_commands_refuse_a_missing_target_folder(
    plain_clip: Path, pairs: Pairs, vivid_weights: Path
) -> None:
    for arguments in writers(plain_clip, pairs, vivid_weights, "missing"):
        assert fail(*arguments) == (
            "the folder missing does not exist; create it, or choose another place with -o"
        )


def test_commands_refuse_a_folder_as_target(
    plain_clip: Path, pairs: Pairs, vivid_weights: Path
) -> None:
    for target, arguments in (
        ("o.mp4", ("colorize", plain_clip, "--model", vivid_weights)),
        ("o.json", ("sync", plain_clip, plain_clip)),
        ("o.safetensors", ("train", pairs.folder, "--arch", "classic")),
    ):
        Path(target).mkdir()
        sentence = f"{target} is a folder; name a file with -o"
        assert fail(*arguments, "-o", target) == sentence
        assert fail(*arguments, "-o", target, "--overwrite") == sentence


def test_commands_refuse_a_target_folder_that_may_not_be_written(pairs: Pairs) -> None:
    sentence = (
        "the folder / is not writable; change its permissions, or choose another place with -o"
    )
    for arguments in (
        ("colorize", SAMPLE_FILM, "-o", "/o.mp4"),
        ("sync", SAMPLE_FILM, SAMPLE_FILM, "-o", "/o.json", "--offset", "0"),
        ("extract", SAMPLE_FILM, "-o", "/o"),
    ):
        with ordinary_user():
            result = run(*arguments)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"filmcolorizer: {sentence}\n"


@pytest.mark.slow
def test_commands_tell_when_the_target_is_full(
    color_film: Path, pairs: Pairs, vivid_weights: Path
) -> None:
    device = ("--device", "cpu")
    for limit_bytes, arguments in (
        (20_000, ("colorize", color_film, "--model", vivid_weights, "-o", "o.mp4", *device)),
        (100, ("sync", color_film, color_film, "--offset", "0")),
        (20_000, ("extract", color_film)),
        (100_000, ("train", pairs.folder, "--arch", "classic", "--size", 32, *device)),
        (100_000, ("demo", *device)),
    ):
        with file_size_limit(limit_bytes):
            said = fail(*arguments)
        assert re.search(r"File too large|\(os error 27\)", said), said
        assert said.endswith("make room there, or choose another place")


def test_commands_refuse_joined_recordings(vivid_weights: Path) -> None:
    """Nothing in them can be found by its time; see `packets.check_clock`."""
    joined = Path("joined.ts")
    for number in range(2):
        later = ("-output_ts_offset", 1 + 500 * number)
        run_ffmpeg("-i", SAMPLE_FILM, "-an", "-vf", "scale=96:72", *X264, *later, "part.ts")
        with joined.open("ab") as file:
            file.write(Path("part.ts").read_bytes())
    for command in (
        ("sync", joined, "part.ts"),
        ("sync", joined, "part.ts", "--offset", 0),
        ("extract", joined),
        ("preview", joined, "--model", vivid_weights),
        ("eval", joined, "--model", vivid_weights),
        ("eval", joined, "--model", vivid_weights, "--start", 1),
        ("colorize", joined, "--model", vivid_weights),
    ):
        assert fail(*command).startswith(f"{joined} is joined from recordings whose clocks differ")


def test_names_do_not_command_the_terminal(plain_clip: Path) -> None:
    film = Path("\x1b[31mred\r\x9b.mp4")  # \x9b is \x1b[ as a single character
    shutil.copy(plain_clip, film)
    said = fail("extract", film, code=2)
    assert said.startswith("\ufffd[31mred\ufffd\ufffd.mp4 shows no colours in these stills")
    assert "\ufffd[31mred\ufffd\ufffd.mp4" in succeed("info", film)


@pytest.mark.slow
def test_films_that_may_not_be_read_are_no_wrong_options(
    plain_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film is opened even if Typer's check takes it for unreadable; `probe` reports failures."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK and access(path, mode))
    succeed("info", plain_clip)
    succeed("sync", plain_clip, plain_clip, "--offset", 0)
    said = fail("extract", plain_clip, plain_clip, "--sync", "sync.json", code=2)
    assert "shows no colours in these stills" in said
    succeed("compare", plain_clip, plain_clip, "-o", "both.mp4")


@pytest.mark.slow
def test_weights_in_the_folder_that_know_another_film_are_told_of() -> None:
    film = Path("film.mp4")
    shutil.copy(SAMPLE_FILM, film)
    known = {"path": "other.mp4", "frame_rate": "25", "duration_seconds": 9.64}
    note = (
        "film.safetensors in this folder was trained on other.mp4, not on film.mp4; --model default"
        " selects the shipped model"
    )
    for is_another in (True, False):
        learnt = known if is_another else film_identity(probe(film)) | {"path": "moved.mp4"}
        weights.save(vivid_network(), Path("film.safetensors"), about={"film": learnt})
        part = ("--duration", 0.5, "--overwrite")
        for command in (("info",), ("colorize", *part), ("preview", "--frames", 1, *part)):
            told = " ".join(run(command[0], film, *command[1:]).stderr.split())
            assert (note in told) == is_another
    named = ("--model", "film.safetensors", "--duration", 0.5, "--overwrite")
    assert "was trained on" not in run("colorize", film, *named).stderr


@pytest.mark.parametrize(
    "error",
    ["ImportError('no libcudart')", "type('', (OSError,), {'winerror': 126})('no libcudart')"],
)
def test_a_library_that_cannot_be_loaded_is_named(
    error: str, color_film: Path, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text(f"raise {error}")
    command = [sys.executable, "-m", "filmcolorizer_cli", "colorize", str(color_film)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    result = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert result.stderr == (
        "filmcolorizer: a library cannot be loaded (no libcudart); reinstall filmcolorizer and its"
        " dependencies as in the README\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_is_printed_to_a_full_disk_tells_of_its_room(color_film: Path) -> None:
    command = [sys.executable, "-m", "filmcolorizer_cli", "info", str(color_film)]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert result.stderr == "filmcolorizer: No space left on device; free some disk space\n"


def test_too_long_a_name_is_told_of_as_such(color_film: Path) -> None:
    long = copy_here(color_film, "n" * 245 + ".mkv")
    for command in ("colorize", "preview"):
        assert fail(command, long).endswith("File name too long; choose a shorter name")
