"""`filmcolorizer doctor`, end to end."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.commands import run, succeed
from tests.machine import files_in


def test_doctor_looks_at_everything() -> None:
    said = succeed("doctor")
    names = [line.split("  ")[0] for line in said.splitlines() if not line.startswith(" ")]
    assert names[:4] == ["filmcolorizer", "python", "ffmpeg", "encoders"]
    assert max(map(len, said.splitlines())) <= 80
    told = json.loads(succeed("doctor", "--json"))
    assert list(told) == names
    assert told["memory"].keys() == {"name", "found", "hint", "is_fatal"}
    assert files_in(Path()) == []


def test_doctor_fails_where_no_film_can_be_colorized() -> None:
    for form in ((), ("--json",)):
        result = run("doctor", "--ffmpeg", "no-such-ffmpeg", *form)
        assert result.exit_code == 1
        assert "no-such-ffmpeg is not a program" in re.sub(r"\s+", " ", result.stdout)
        assert result.stderr == (
            "filmcolorizer: no film can be colorized here; follow the hints for ffmpeg\n"
        )
