"""Checks for what the program needs on this machine."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from filmcolorizer_cli import __version__
from filmcolorizer_cli.encoding import CODECS, HARDWARE, Encoding, check_encoder
from filmcolorizer_cli.errors import FfmpegError, OptionError
from filmcolorizer_cli.ffmpeg import encoder_names, find_binary, version
from filmcolorizer_cli.files import CHECKSUMS_FILE, models_folder
from filmcolorizer_cli.processors import count_processors

if TYPE_CHECKING:
    import torch

MIN_FREE_MEMORY_BYTES = 1.5e9  # rendering 1080p takes about this much
# Enough for a two-hour 1080p film at the default quality, which takes twice its size while its
# parts are joined.
MIN_FREE_DISK_BYTES = 15e9


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: a word or two, as a key for scripts.
        found: a description of what is present.
        hint: what to do, where something is missing.
        is_fatal: whether something is missing without which no film can be colorized.
    """

    name: str
    found: str
    hint: str | None = None
    is_fatal: bool = False


def examine(folder: Path) -> Iterator[Finding]:
    """Run all checks, one after the other, and yield their results.

    Args:
        folder: the folder that films would be written to.
    """
    yield Finding("filmcolorizer", __version__)
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}")
    yield from _ffmpeg()
    yield from _torch()
    yield _cores()
    yield _memory()
    yield _disk(folder)
    yield from _weights()


def _ffmpeg() -> Iterator[Finding]:
    """Check ffmpeg and its encoders."""
    try:
        yield Finding("ffmpeg", f"{version()}, {find_binary()}")
        names = encoder_names()
    except FfmpegError as error:
        yield Finding("ffmpeg", "none that runs", str(error), is_fatal=True)
        return
    there = {codec: CODECS[codec].encoder in names for codec in CODECS}
    missing = [codec for codec, is_there in there.items() if not is_there]
    found = ", ".join(f"{codec} ({CODECS[codec].encoder})" for codec in CODECS if there[codec])
    hint = None
    if missing:
        hint = f"no encoder for --codec {', '.join(missing)}; use the bundled ffmpeg"
    yield Finding("encoders", found or "none", hint, is_fatal=not there["h264"])
    hardware = [name for name in sorted(names) if _runs_on_card(name)]
    yield Finding("hardware encoders", ", ".join(hardware) or "none (and none is needed)")


def _runs_on_card(encoder: str) -> bool:
    """Whether this is a hardware encoder that works on this machine's graphics card."""
    codec = encoder.partition("_")[0]
    if codec not in CODECS or not encoder.endswith(HARDWARE):
        return False
    try:
        check_encoder(Encoding(codec=codec, encoder=encoder))
    except (FfmpegError, OptionError):
        return False
    return True


def _torch() -> Iterator[Finding]:
    """Check torch, and list each device with the precisions it computes in."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library does not load
        hint = "reinstall it: pip install --force-reinstall torch"
        yield Finding("torch", f"cannot be loaded ({error})", hint, is_fatal=True)
        return

    from filmcolorizer_cli.networks import pick_device

    yield Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")
    yield Finding("device cpu", _describe_precision(torch.device("cpu")))
    for number in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(number)
        size = f"{card.total_memory / 1e9:.1f} GB"
        precision = _describe_precision(torch.device("cuda", number))
        yield Finding(f"device cuda:{number}", f"{card.name}, {size}, {precision}")
    if torch.backends.mps.is_available():
        yield Finding("device mps", _describe_precision(torch.device("mps")))
    yield Finding("--device auto", pick_device("auto").type)


def _describe_precision(device: torch.device) -> str:
    from filmcolorizer_cli.networks import computes_in_bfloat16

    return "float32 and bfloat16" if computes_in_bfloat16(device) else "float32"


def _cores() -> Finding:
    return Finding("cores", f"{count_processors()} of {os.cpu_count()}")


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    hint = None
    if memory.available < MIN_FREE_MEMORY_BYTES:
        hint = f"close other programs; colorizing may take {MIN_FREE_MEMORY_BYTES / 1e9:g} GB"
    free = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    return Finding("memory", free, hint)


def _disk(folder: Path) -> Finding:
    try:
        free_bytes = shutil.disk_usage(folder).free
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        found = f"{folder} cannot be accessed ({error.strerror})"
        return Finding("disk", found, "name an existing folder")
    hint = None
    if not os.access(folder, os.W_OK):
        hint = "it is not writable; change its permissions, or write elsewhere with -o"
    elif free_bytes < MIN_FREE_DISK_BYTES:
        hint = f"a long film may take {MIN_FREE_DISK_BYTES / 1e9:g} GB; write elsewhere with -o"
    return Finding("disk", f"{free_bytes / 1e9:.1f} GB free in {folder.resolve()}", hint)


def _weights() -> Iterator[Finding]:
    """Check each shipped weights file against the shipped checksums."""
    folder = models_folder()
    try:
        told = (folder / CHECKSUMS_FILE).read_text(errors="replace")
    except OSError:
        told = ""
    expected = {name: checksum for checksum, name in re.findall(r"^(\w+) [ *](.+)$", told, re.M)}
    present = {path.name for path in folder.glob("*.safetensors")}
    for name in sorted(present | set(expected)):
        found, is_well = _compare(folder / name, expected.get(name))
        hint = None if is_well else "reinstall filmcolorizer, or give other weights with --model"
        yield Finding(f"model {Path(name).stem}", found, hint, is_fatal=not is_well)
    if not present and not expected:
        hint = "reinstall filmcolorizer, or give weights with --model"
        yield Finding("models", f"none in {folder}", hint, is_fatal=True)


def _compare(weights: Path, checksum: str | None) -> tuple[str, bool]:
    """Describe a weights file, and return whether it has the shipped checksum."""
    if checksum is None:
        return f"{weights}: not among the checksums in {CHECKSUMS_FILE}", False
    try:
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        return f"{weights}: {error.strerror}", False
    if found != checksum:
        return f"{weights}: damaged or changed (SHA-256 {found[:12]}, not {checksum[:12]})", False
    return f"{weights.stat().st_size / 1e6:.1f} MB, as shipped (SHA-256 {found[:12]})", True
