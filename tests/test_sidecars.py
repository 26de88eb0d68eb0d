from __future__ import annotations

from pathlib import Path

from filmcolorizer_cli.sidecars import read_pts


def test_read_pts_of_an_older_ffmpeg_is_exact_after_hours(tmp_path: Path) -> None:
    """ffmpeg 6.1, for example, writes seconds with six significant digits."""
    cuts_file = tmp_path / "cuts.txt"
    cuts_file.write_text(
        "frame:7    pts:296296  pts_time:12345.7\nlavfi.scd.time=12345.7\n"
        "frame:8    pts:296299  pts_time:12345.8\nlavfi.scd.time=12345.8\n"
    )
    assert read_pts(cuts_file) == [296296, 296299]
