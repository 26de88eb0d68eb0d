"""`filmcolorizer info`, end to end."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.commands import copy_here, succeed
from tests.films import make_clip
from tests.machine import files_in


def test_info_tells_what_a_film_is(color_film: Path) -> None:
    film = copy_here(color_film, "old film.mp4")
    said = re.sub(r" *\n {2,}", " ", succeed("info", film))  # joins wrapped lines
    facts = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in said.splitlines())
    assert facts == {
        "film": "old film.mp4 (mov,mp4,m4a,3gp,3g2,mj2)",
        "picture": "96x72, h264",
        "frame rate": "24 frames a second",
        "length": "6.00 s, about 144 frames",
        "colour tags": "BT.709, limited range, yuv420p",
        "sound": "aac copied",
        "colorize": "writes old film-color.mp4: 144 frames at 24 frames a second, H.264 in mp4,"
        " with the model default",
    }
    assert files_in(Path()) == ["old film.mp4"]


def test_info_tells_of_unusual_films() -> None:
    make_clip(
        Path("odd.mkv"),
        frame_rate="24000/1001",
        sound="flac",
        extra=("-vf", "setsar=4/3", "-metadata:s:a:0", "language=fre"),
    )
    said = succeed("info", "odd.mkv")
    assert "64x48 with pixels of 4:3" in said
    assert "24000/1001 (23.976) frames a second" in said
    assert "BT.601 (guessed), limited range" in said
    assert "flac (fre) to AAC" in said


def test_info_as_json(plain_clip: Path) -> None:
    facts = json.loads(succeed("info", plain_clip, "--json"))
    assert {key: facts[key] for key in ("path", "width", "height", "frame_rate")} == {
        "path": str(plain_clip),
        "width": 64,
        "height": 48,
        "frame_rate": "25",
    }
    assert facts["coding"]["matrix"] == "bt601"
    assert facts["duration_seconds"] == 2.0
    assert facts["sounds"] == []
    assert facts["colorize"] == {
        "target": str(plain_clip.with_name("plain-color.mp4")),
        "frames": 48,
        "frame_rate": "24",
        "model": "default",
    }
