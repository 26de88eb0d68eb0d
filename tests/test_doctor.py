from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import psutil
import pytest
import torch

from filmcolorizer_cli import __version__, doctor
from filmcolorizer_cli.doctor import Finding, examine
from filmcolorizer_cli.encoding import CODECS
from filmcolorizer_cli.ffmpeg import BINARY_VARIABLE, find_binary
from filmcolorizer_cli.files import CHECKSUMS_FILE, models_folder
from tests.machine import ordinary_user

GIGABYTE = 10**9


def findings(folder: Path = Path()) -> dict[str, Finding]:
    """Return the findings by name."""
    found = list(examine(folder))
    named = {finding.name: finding for finding in found}
    assert len(named) == len(found), "two findings of one name"
    return named


def write_program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_shipped_checksums_are_those_of_the_shipped_weights() -> None:
    lines = (models_folder() / CHECKSUMS_FILE).read_text().splitlines()
    actual = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
        for path in sorted(models_folder().glob("*.safetensors"))
    ]
    assert lines == actual, "run sha256sum *.safetensors > SHA256SUMS in models/"


def test_examine_finds_this_machine_well(tmp_path: Path) -> None:
    found = findings(tmp_path)
    assert not any(finding.is_fatal for finding in found.values())
    assert found["filmcolorizer"].found == __version__
    assert found["ffmpeg"].found.endswith(find_binary())
    assert all(f"{codec} (" in found["encoders"].found for codec in CODECS)
    assert found["torch"].found.startswith(f"{torch.__version__}, ")
    assert found["device cpu"].found.startswith("float32")
    usable = len(os.sched_getaffinity(0))
    assert found["cores"].found == f"{usable} of {os.cpu_count()}"
    assert found["disk"].found.endswith(f" GB free in {tmp_path}")
    assert "as shipped" in found["model default"].found


def test_examine_tells_of_an_ffmpeg_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BINARY_VARIABLE, "no-such-ffmpeg")
    finding = findings()["ffmpeg"]
    assert finding.is_fatal
    assert finding.hint is not None
    assert finding.hint.startswith("no-such-ffmpeg is not a program that can be run")


def test_examine_tells_of_an_ffmpeg_that_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = write_program(tmp_path / "ffmpeg", "echo 'a library is missing' >&2; exit 127")
    monkeypatch.setenv(BINARY_VARIABLE, str(broken))
    finding = findings()["ffmpeg"]
    assert finding.is_fatal
    assert finding.hint is not None
    assert "exit code 127: a library is missing" in finding.hint


def test_doctor_tells_of_a_torch_that_does_not_load_and_of_all_else(tmp_path: Path) -> None:
    """Runs in its own process, in which torch is not loaded yet."""
    (tmp_path / "torch.py").write_text("raise OSError('libtorch.so: a symbol is missing')\n")
    command = [sys.executable, "-m", "filmcolorizer_cli", "doctor", "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path[:1]))}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == (
        "filmcolorizer: no film can be colorized here; follow the hints for torch\n"
    )
    findings = json.loads(result.stdout)
    assert findings["torch"]["found"] == "cannot be loaded (libtorch.so: a symbol is missing)"
    assert findings["torch"]["is_fatal"]
    assert {"ffmpeg", "cores", "memory", "disk", "model default"} <= set(findings)


@pytest.mark.parametrize(("lacking", "is_fatal"), [("libx265", False), ("libx264", True)])
def test_examine_tells_of_missing_encoders(
    lacking: str, is_fatal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesser = write_program(tmp_path / "ffmpeg", f'"{find_binary()}" "$@" | grep -v {lacking}')
    monkeypatch.setenv(BINARY_VARIABLE, str(lesser))
    finding = findings()["encoders"]
    codec = next(name for name, codec in CODECS.items() if codec.encoder == lacking)
    assert finding.is_fatal == is_fatal
    assert lacking not in finding.found
    assert finding.hint is not None
    assert f"--codec {codec}" in finding.hint


def test_examine_tells_of_a_hardware_encoder_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a GPU: a stand-in for ffmpeg lists one more encoder and accepts everything."""
    line = " V....D h264_nvenc           NVIDIA NVENC H.264 encoder (codec h264)"
    codec = " DEV.LS h264                 H.264 (encoders: libx264 h264_nvenc)"
    script = (
        f'case "$2" in -version) echo ffmpeg version 9 x;; -encoders) echo "{line}";;'
        f' -codecs) echo "{codec}";; esac'
    )
    monkeypatch.setenv(BINARY_VARIABLE, str(write_program(tmp_path / "ffmpeg", script)))
    found = findings()
    assert found["ffmpeg"].found.startswith("9, ")
    assert found["hardware encoders"].found == "h264_nvenc"


def test_examine_tells_of_a_full_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])
    memory = namedtuple("memory", ["total", "available"])
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, 2 * GIGABYTE))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory(8 * GIGABYTE, GIGABYTE // 2))
    found = findings(tmp_path)
    assert found["disk"].found == f"2.0 GB free in {tmp_path}"
    assert found["disk"].hint == "a long film may take 15 GB; write elsewhere with -o"
    assert found["memory"].found == "0.5 of 8.0 GB free"
    assert found["memory"].hint == "close other programs; colorizing may take 1.5 GB"
    assert not found["disk"].is_fatal


def test_examine_tells_of_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    assert findings(tmp_path / "missing")["disk"].hint == "name an existing folder"
    with ordinary_user():
        hint = doctor._disk(Path("/")).hint
    assert hint is not None
    assert hint.startswith("it is not writable")


def shipped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the folder of shipped models with a copy, and return the copy."""
    copy = folder / "models"
    copy.mkdir()
    for name in ("default.safetensors", CHECKSUMS_FILE):
        shutil.copy(models_folder() / name, copy)
    monkeypatch.setattr(doctor, "models_folder", lambda: copy)
    return copy


def test_examine_tells_of_damaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = shipped(tmp_path, monkeypatch) / "default.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    finding = findings()["model default"]
    assert finding.is_fatal
    assert "damaged or changed" in finding.found


def test_examine_tells_of_missing_and_foreign_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shipped(tmp_path, monkeypatch)
    (folder / "default.safetensors").rename(folder / "other.safetensors")
    found = findings()
    assert found["model default"].found.endswith("default.safetensors: No such file or directory")
    assert "not among the checksums" in found["model other"].found
    for path in folder.iterdir():
        path.unlink()
    assert findings()["models"].is_fatal


@pytest.mark.parametrize("content", [b"\n", b"only-one-word\n", b"\xff\xfe\n"])
def test_examine_tells_of_damaged_checksums(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shipped(tmp_path, monkeypatch) / CHECKSUMS_FILE).write_bytes(content)
    finding = findings()["model default"]
    assert finding.is_fatal
    assert "not among the checksums" in finding.found
