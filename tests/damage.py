"""Damage films the way bad sectors do."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from tests.values import present


def spoil_packets(film: Path, numbers: set[int], share: float = 1.0) -> None:
    """Overwrite packets, numbered in stored order, as bad sectors do.

    Args:
        share: the share of each packet, at its end, that is overwritten.
    """
    data = bytearray(film.read_bytes())
    with av.open(str(film)) as container:
        stored = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    for number in numbers:
        assert data.count(stored[number]) == 1
        end = data.find(stored[number]) + len(stored[number])
        size = round(share * len(stored[number]))
        data[end - size : end] = b"\xee" * size
    film.write_bytes(data)


def spoil_frames(film: Path, target: Path, begin: int, end: int, frame_rate: int = 25) -> Path:
    """Copy a film, overwriting the packets of frames in [begin, end) as a bad sector does."""
    data = bytearray(film.read_bytes())
    with av.open(str(film)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    for packet in packets:
        position, seconds = present(packet.pos), present(packet.pts) * packet.time_base
        if begin <= seconds * frame_rate < end:
            data[position : position + packet.size] = b"\xee" * packet.size
    target.write_bytes(data)
    return target


def spoil_bytes(film: bytearray, begin: int, end: int) -> None:
    film[begin:end] = np.random.default_rng(0).bytes(end - begin)
