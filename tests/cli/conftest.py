"""An empty working folder for each test of a command, and films that several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from filmcolorizer_cli.ffmpeg import BINARY_VARIABLE
from tests.commands import started
from tests.films import graded_film


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """End what a failed test left running, which would take CPU time from later tests."""
    yield
    while started:
        program = started.pop()
        assert program.stderr is not None
        program.stderr.close()
        program.kill()
        program.wait()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, and undo a command's choice of ffmpeg afterwards."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    # Setting the variable first makes monkeypatch restore it at the end, even if it was unset.
    named = os.environ.get(BINARY_VARIABLE)
    monkeypatch.setenv(BINARY_VARIABLE, "")
    if named is None:
        monkeypatch.delenv(BINARY_VARIABLE)
    else:
        monkeypatch.setenv(BINARY_VARIABLE, named)
    return folder


@pytest.fixture(scope="session")
def versions(clip_folder: Path, color_film: Path) -> tuple[Path, Path]:
    """The sample film up to 5 s, and its colour version from 1 s on: 24 frames apart."""
    bw = graded_film(clip_folder / "bw.mp4", "trim=end_frame=120,scale=96:72,eq=gamma=1.2")
    late = "trim=start_frame=24,setpts=PTS-STARTPTS"
    return bw, graded_film(clip_folder / "color-late.mp4", late, source=color_film)
