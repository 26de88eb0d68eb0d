from __future__ import annotations

from pathlib import Path

from filmcolorizer_cli.containers import CONTAINERS
from tests.films import run_ffmpeg


def test_mkv_holds_the_sound_that_it_says(tmp_path: Path) -> None:
    """Checks what this ffmpeg encodes; the others come from its Matroska and Windows tags."""
    encoders = {
        "aac", "ac3", "adpcm_ima_wav", "adpcm_ms", "adpcm_yamaha", "alac", "eac3",
        "flac", "mp2", "pcm_alaw", "pcm_f32le", "pcm_f64le", "pcm_mulaw", "pcm_s16be", "pcm_s16le",
        "pcm_s24be", "pcm_s24le", "pcm_s32be", "pcm_s32le", "pcm_s64le", "pcm_u8", "tta",
        "wavpack", "wmav1", "wmav2",
    }  # fmt: skip
    assert encoders <= CONTAINERS[".mkv"].sound_codecs
    for encoder in sorted(encoders):
        film = tmp_path / f"{encoder}.mkv"
        run_ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", "-c:a", encoder, film)
        assert len(run_ffmpeg("-i", film, "-f", "s16le", "pipe:1")) > 15_000
