"""`filmcolorizer compare`, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from filmcolorizer_cli.video import probe
from tests.commands import copy_here, fail, numbered_pictures, succeed
from tests.machine import files_in


@pytest.mark.slow
def test_compare_writes_a_film_and_a_sheet(sound_clip: Path, color_film: Path) -> None:
    film, other = copy_here(sound_clip, "bw.mp4"), copy_here(color_film, "color.mp4")
    assert succeed("compare", film, other, "--stills", 5) == (
        "wrote bw-compare.mp4: 48 frames, 2.00 s at 24 frames a second, 132x48\n"
        "wrote bw-compare.png: 5 of them on one sheet\n"
    )
    assert files_in(Path()) == ["bw-compare.mp4", "bw-compare.png", "bw.mp4", "color.mp4"]
    assert [sound.codec for sound in probe(Path("bw-compare.mp4")).sounds] == ["aac"]
    assert fail("compare", film, other) == (
        "bw-compare.mp4 exists already; name another file with -o, or give --overwrite"
    )
    part = ("--start", "0.5", "--other-start", "0", "--duration", "0.5", "--layout", "split")
    told = json.loads(
        succeed("compare", film, other, *part, "--labels", "a", "b", "-o", "c.mkv", "--json")
    )
    shown = probe(Path("c.mkv"))
    assert told == {
        "output": "c.mkv",
        "sheet": "c.png",
        "frames": 12,
        "duration_seconds": pytest.approx(0.5, abs=0.01),
        "frame_rate": "24",
        "width": shown.width,
        "height": shown.height,
        "sample_aspect_ratio": "1",
    }


def test_compare_refuses_what_it_cannot_do(plain_clip: Path, sound_clip: Path) -> None:
    film, other = copy_here(plain_clip), copy_here(sound_clip)
    assert fail("compare", film, other, "-o", "c.avi", code=2) == (
        "c.avi does not end in .mp4, .mov or .mkv; name a file that does with -o"
    )
    assert fail("compare", film, other, "-o", other, "--overwrite") == (
        "sound.mp4 is the source itself; name another file with -o"
    )
    assert fail("compare", film, other, "--other-start", "2", code=2) == (
        "sound.mp4 ends at 2.00 s, before the start at 2 s; give a smaller --other-start"
    )
    assert fail("compare", film, other, "--start", "1.99", code=2) == (
        "plain.mp4 and sound.mp4 gave no pictures to compare; give an earlier --start"
    )


def test_compare_takes_numbered_pictures_at_their_rate(plain_clip: Path) -> None:
    pictures = numbered_pictures("scans", 6)
    succeed("compare", pictures, plain_clip, "--input-fps", 3, "-o", "c.mp4")
    assert probe(Path("c.mp4")).duration_seconds == pytest.approx(2.0, abs=0.05)
