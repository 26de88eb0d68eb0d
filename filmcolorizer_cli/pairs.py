"""The folder of (grey, colour) pairs: its contents, and which of them were changed by hand."""

from __future__ import annotations

import io
import json
import math
import re
import struct
import warnings
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from torch import Tensor

from filmcolorizer_cli.color import MATRICES, WORKING_MATRIX, rgb_to_ycbcr, with_luma
from filmcolorizer_cli.configs import input_size
from filmcolorizer_cli.errors import PairsError, reason_of
from filmcolorizer_cli.planes import Plane
from filmcolorizer_cli.splits import Part, Split

SQUARE_SIZE = 64  # pixels; stills of this size are squares, as in 2020
SHAPE_TOLERANCE = 0.03  # log ratio by which a hand-painted still's aspect ratio may be off
# The correlation from which on two stills show the same thing; the standard deviation in codes up
# to which a grey still is too flat to judge; and the width and height at which both are measured.
MIN_CORRELATION, MIN_CONTRAST, SMALL = 0.6, 4.0, (32, 24)
OPAQUE = 255  # alpha where the colour is known
MAX_TRANSLUCENT = 0.04  # share of a still that may be translucent, at the edges of erased areas
# Luma differences up to so many codes are rounding. Where more than this share of a still's
# unclipped pixels differs by more, the coloured film is another copy; otherwise the differing
# pixels are painted by hand.
ROUNDING_CODES, DIFFERING_SHARE = 2.0, 0.1
SIDES = ("bw", "color")  # folders of stills
# Extensions of pictures that may have been saved beside the still that they should replace.
PICTURE_ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_FORMAT = "filmcolorizer-pairs/1"
PngImagePlugin.MAX_TEXT_CHUNK = 1 << 26  # bytes; paint programs embed screen profiles


@dataclass(frozen=True)
class Pair:
    """One moment of a film, in grey and in colour.

    Attributes:
        name: the name of both files, without ``.png``.
        bw_seconds, color_seconds: the moment, counted from the first frame of each film.
        shot: a number that all pairs of one shot share.
    """

    name: str
    bw_seconds: float
    color_seconds: float
    shot: int


@dataclass(frozen=True)
class Pairs:
    """A folder of pairs.

    Attributes:
        aspect_ratio: the display aspect ratio of the black-and-white picture without its bars; the
            stills may be squeezed into squares.
        width, height: the size of the stills.
        every: frames of the 24 fps timeline from one still to the next.
        film: the identity of the black-and-white film (see `video.film_identity`).
        matrix: the Y'CbCr matrix of its luma, a key of ``color.MATRICES``.
        is_faded: whether it has lost its blacks.
    """

    folder: Path
    aspect_ratio: float
    width: int
    height: int
    every: int
    pairs: tuple[Pair, ...]
    film: dict[str, Any]
    matrix: str = WORKING_MATRIX
    is_faded: bool = False

    @property
    def undistorted_size(self) -> tuple[int, int]:
        """Width and height of the stills in square pixels, with squares stretched to shape."""
        size = self.width, self.height
        is_square = size == (SQUARE_SIZE, SQUARE_SIZE)
        if not is_square:
            return size
        height, width = input_size(SQUARE_SIZE, self.aspect_ratio)
        return width, height

    def part(self, part: Part, split: Split) -> list[Pair]:
        """Return the pairs of one part.

        Raises:
            PairsError: there are none.
        """
        chosen = [pair for pair in self.pairs if split.holds(part, pair)]
        if not chosen:
            raise PairsError(
                f"the {part} part of the pairs in {self.folder} is empty; extract pairs of the"
                " whole film, or give another --split"
            )
        return chosen

    def read(self, pair: Pair) -> tuple[Plane, Plane, Plane]:
        """Read a pair's stills.

        Colours are unknown where the colour still is not opaque, for example where the coloured
        film is cropped; the returned colour still is grey there.

        Returns:
            The grey still (H, W), the colour still (H, W, 3) in R'G'B', and a mask (H, W) that is
            255 where colours are known and 0 elsewhere; all uint8.

        Raises:
            PairsError: a still cannot be read or has the wrong shape, or no colour is known.
        """
        grey = _read_still(self.folder / "bw" / f"{pair.name}.png", "L")
        color = _read_still(self.folder / "color" / f"{pair.name}.png", "RGBA")
        if grey.size != (self.width, self.height):
            raise PairsError(
                f"the grey still of pair {pair.name} in {self.folder} is {grey.width}x"
                f"{grey.height}, not {self.width}x{self.height}; put the extracted one back or"
                " delete the pair"
            )
        if color.size != grey.size:
            stretch = (color.width / color.height) / (grey.width / grey.height)
            if abs(math.log(stretch)) > SHAPE_TOLERANCE:
                raise PairsError(
                    f"the stills of pair {pair.name} in {self.folder} have different shapes, grey"
                    f" {grey.width}x{grey.height} and colour {color.width}x{color.height};"
                    " crop the colour one or delete the pair"
                )
            # Sharper filters would mix transparent pixels into opaque ones.
            color = color.resize(grey.size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        luma, rgba = np.asarray(grey), np.asarray(color)
        known = rgba[..., 3] == OPAQUE
        if not known.any():
            raise PairsError(
                f"the colour still of pair {pair.name} in {self.folder} is transparent all over;"
                " merge all its layers at full opacity, or delete the pair"
            )
        rgb = np.where(known[..., None], rgba[..., :3], luma[..., None])
        return luma, rgb, known * np.uint8(OPAQUE)


def still_size(size: int, aspect_ratio: float) -> tuple[int, int]:
    """Return stills' width and height: 64 gives squares, as in 2020; else it is the short side."""
    if size == SQUARE_SIZE:
        return size, size
    height, width = input_size(size, aspect_ratio)
    return width, height


def read_pairs(folder: Path) -> Pairs:
    """Read the index of a folder of pairs, without pairs whose two stills were deleted.

    Raises:
        PairsError: the folder is missing, empty or inconsistent.
    """
    index_file = folder / "pairs.json"
    try:
        index = json.loads(index_file.read_text())
        if index["format"] != _FORMAT:
            raise ValueError(f"its format is {index['format']!r}, not {_FORMAT!r}")
        listed = [
            Pair(*(entry[key] for key in ("name", "bw_seconds", "color_seconds", "shot")))
            for entry in index["pairs"]
        ]
        for pair in listed:
            if not (isinstance(pair.name, str) and isinstance(pair.shot, int)):
                raise TypeError(f"a pair called {pair.name}, of shot {pair.shot}")
            if not all(map(math.isfinite, (pair.bw_seconds, pair.color_seconds))):
                raise ValueError(f"the times of pair {pair.name} are not numbers")
        shape = float(index["aspect_ratio"]), int(index["width"]), int(index["height"])
        if not (0 < shape[0] < math.inf and min(shape[1:]) > 0):
            raise ValueError(f"stills of {shape[1]}x{shape[2]} with an aspect ratio of {shape[0]}")
        every, film = int(index["every"]), dict(index["bw"])
        if every < 1:
            raise ValueError(f"a still of every {every} frames")
        matrix = index.get("matrix", WORKING_MATRIX)  # absent in older folders
        if matrix not in MATRICES:
            raise ValueError(f"its matrix is {matrix!r}, not one of {', '.join(MATRICES)}")
        is_faded = bool(index.get("is_faded", False))
    except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PairsError(
            f"{folder} is not a folder of pairs ({index_file.name}: {reason_of(error)}); make one"
            " with `filmcolorizer extract`"
        ) from None
    names = {pair.name for pair in listed}
    for path in _files_of(folder / "color"):
        is_picture = path.suffix.lower() in PICTURE_ENDINGS and path.suffix != ".png"
        if is_picture and path.stem in names:
            raise PairsError(f"{path} is ignored; save it as {path.stem}.png, or move it away")
    present = {side: {still.stem for still in _stills_of(folder / side)} for side in SIDES}
    for side, other in (("bw", "color"), ("color", "bw")):
        lone = sorted(present[side] - present[other])
        if lone:
            raise PairsError(
                f"{folder / side / lone[0]}.png has no counterpart in {folder / other} ({len(lone)}"
                " such); put it back, or delete this one"
            )
    unlisted = sorted(present["bw"] - names)
    if unlisted:
        raise PairsError(
            f"{folder / 'bw' / unlisted[0]}.png is not listed in {index_file};"
            " stills can be replaced or deleted, not added"
        )
    pairs = tuple(pair for pair in listed if pair.name in present["bw"])
    if not pairs:
        raise PairsError(f"{folder} holds no pairs; make some with `filmcolorizer extract`")
    return Pairs(folder, *shape, every, pairs, film, matrix, is_faded)


def write_index(pairs: Pairs, color: dict[str, Any]) -> None:
    """Write the index that `read_pairs` reads, with checksums to detect changed stills.

    Args:
        color: the identity of the coloured film (see `video.film_identity`).
    """
    content = {
        "format": _FORMAT,
        "bw": pairs.film,
        "color": color,
        "matrix": pairs.matrix,
        "is_faded": pairs.is_faded,
        "aspect_ratio": pairs.aspect_ratio,
        "width": pairs.width,
        "height": pairs.height,
        "every": pairs.every,
        "pairs": [asdict(pair) for pair in pairs.pairs],
        "checksums": {_name_of(still): _checksum(still) for still in _stills_in(pairs.folder)},
    }
    (pairs.folder / "pairs.json").write_text(json.dumps(content, indent=1) + "\n")


def true_colors(luma: Tensor, rgb: Tensor, known: Tensor, matrix: str) -> Tensor:
    """Return the stills' colours on the film's luma, the best that colorizing can achieve.

    Copies and hand-painted areas may be darker or brighter than the film. Stills whose colours come
    from the film itself stay as they are: colours at an end of their range were clipped by the
    gamut, so their luma proves no difference.

    Args:
        luma: (B, 1, H, W) in [0, 1].
        rgb: (B, 3, H, W) in [0, 1].
        known: (B, 1, H, W) in [0, 1], above 0 where colours are known.
        matrix: a key of ``color.MATRICES``.

    Returns:
        (B, 3, H, W).
    """
    differs = (rgb_to_ycbcr(rgb, matrix)[:, :1] - luma).abs() * 255 > ROUNDING_CODES
    is_inside = ((rgb > 0) & (rgb < 1)).all(dim=1, keepdim=True)
    is_grey = (rgb == rgb[:, :1]).all(dim=1, keepdim=True)
    telling = (known > 0) & (is_inside | is_grey)
    share = (differs & telling).sum(dim=(1, 2, 3)) / telling.sum(dim=(1, 2, 3)).clamp_min(1)
    is_copy = (share > DIFFERING_SHARE)[:, None, None, None]
    is_other = (is_copy & (known > 0)) | (differs & telling)
    return torch.where(is_other, with_luma(rgb, luma, matrix), rgb)


def changed_stills(folder: Path) -> list[Path]:
    """Return the stills that differ from what `extract` wrote, such as painted ones; by name.

    Where the index has no checksums, return all stills.
    """
    written = _written_checksums(folder)
    return [s for s in _stills_in(folder) if written.get(_name_of(s)) != _checksum(s)]


def _written_checksums(folder: Path) -> dict[str, int]:
    """Return the checksums that `extract` wrote, by name; older indexes have none."""
    try:
        return dict(json.loads((folder / "pairs.json").read_text())["checksums"])
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        return {}


def doubtful_stills(pairs: Pairs) -> list[tuple[Path, str]]:
    """Return files changed by hand that look like mistakes, each with the reason.

    Examples are a colour still saved under another still's name, mirrored, in grey, or as a layer
    of paint on black; a painted grey still; a painting whose name only resembles a still's. Colour
    stills with transparent areas need not resemble their grey still. Misnamed files come last.

    Raises:
        PairsError: a still cannot be read.
    """
    changed, is_sure = set(changed_stills(pairs.folder)), bool(_written_checksums(pairs.folder))
    doubts = []
    for pair in pairs.pairs:
        still, other = (pairs.folder / side / f"{pair.name}.png" for side in ("color", "bw"))
        if not {still, other} & changed:
            continue
        grey, rgb, known = pairs.read(pair)
        if other in changed and _has_colors(other):
            doubt = "has colours, which are ignored: it should be grey; paint the one in color"
            doubts.append((other, f"{doubt}, and put this one back"))
        if still not in changed:
            continue
        alpha = np.asarray(_read_still(still, "RGBA"))[..., 3]
        if known.all() and not _show_the_same(grey, rgb):
            doubt = "does not show what its grey still does; correct it, or delete the pair"
        elif is_sure and (np.ptp(rgb, axis=2) <= ROUNDING_CODES).all():
            doubt = "has no colours; save it with them, unless it is really grey"
        elif is_sure and ((alpha > 0) & (alpha < OPAQUE)).mean() > MAX_TRANSLUCENT:
            doubt = "is partly half transparent, and not learnt there; paint at full opacity"
        elif _is_of_unknown_colors(still):
            doubt = "has an unusable colour profile, and is taken for sRGB; save it as sRGB"
        else:
            continue
        doubts.append((still, doubt))
    return doubts + _misnamed(pairs)


def _misnamed(pairs: Pairs) -> list[tuple[Path, str]]:
    """Return pictures beside the colour stills whose names contain a still's, and what to do."""
    names, doubts = {pair.name for pair in pairs.pairs}, []
    for path in _files_of(pairs.folder / "color"):
        if path.suffix.lower() not in PICTURE_ENDINGS or path.stem in names:
            continue
        for name in re.findall(r"\d+", path.stem):
            if name in names:
                doubt = f"is ignored; if it is the painted {name}.png, save it as that"
                doubts.append((path, doubt))
                break
    return doubts


def count_by_hand(pairs: Pairs, chosen: list[Pair]) -> int:
    """Return how many of these pairs have a colour still that differs from what `extract` wrote.

    Where the index has no checksums, return 0.
    """
    if not _written_checksums(pairs.folder):
        return 0
    changed = set(changed_stills(pairs.folder))
    return sum(pairs.folder / "color" / f"{pair.name}.png" in changed for pair in chosen)


def _is_of_unknown_colors(still: Path) -> bool:
    with Image.open(still) as image:
        return _in_srgb(image) is None


def _has_colors(still: Path) -> bool:
    """Whether a grey still's file contains colours."""
    with Image.open(still) as image:
        rgb = np.asarray(image.convert("RGB"))
    return bool((np.ptp(rgb, axis=2) > ROUNDING_CODES).any())


def _show_the_same(grey: Plane, rgb: Plane) -> bool:
    """Whether a grey (H, W) and a colour still (H, W, 3) show the same, or the grey one is flat."""
    small = [cv2.resize(s, SMALL, interpolation=cv2.INTER_AREA) for s in (grey, rgb.mean(2))]
    if small[0].std() <= MIN_CONTRAST:
        return True
    own, other = (plane - plane.mean() for plane in small)
    return float((own * other).mean()) >= MIN_CORRELATION * own.std() * other.std() + 1e-6


def _stills_in(folder: Path) -> list[Path]:
    """Return all stills that can be found in a folder of pairs, sorted by path."""
    found = (still for side in SIDES for still in (folder / side).glob("*.png"))
    return sorted(still for still in found if not still.name.startswith("."))


def _stills_of(folder: Path) -> list[Path]:
    """Return the stills of one side, by name."""
    return [path for path in _files_of(folder) if path.suffix == ".png"]


def _files_of(folder: Path) -> list[Path]:
    """Return the contents of the folder of one side, without hidden files; by name.

    Raises:
        PairsError: the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise PairsError(
            f"the stills in {folder} cannot be read ({error.strerror}); put them back, or change"
            " their permissions"
        ) from None


def _name_of(still: Path) -> str:
    return f"{still.parent.name}/{still.name}"


def _checksum(still: Path) -> int:
    try:
        return zlib.crc32(still.read_bytes())
    except OSError as error:
        raise PairsError(
            f"{still} cannot be read ({reason_of(error)}); replace it or delete the pair"
        ) from None


def _read_still(path: Path, mode: str) -> Image.Image:
    """Read a still as viewers show it: upright, and a colour still converted to sRGB."""
    try:
        with Image.open(path) as image:
            if mode == "L" and np.asarray(image.convert("RGBA"))[..., 3].min() < OPAQUE:
                raise OSError("it has transparent parts")
            if image.mode.startswith(("I", "F")):  # Pillow would clip these at 255
                raise OSError("it has more than 8 bits; save it with 8")
            shown = _upright(image)
            if mode != "L":
                shown = _in_srgb(shown) or shown
            return shown.convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PairsError(
            f"{path} cannot be read as a picture ({error}); replace it or delete the pair"
        ) from None


def _upright(image: Image.Image) -> Image.Image:
    """Return a picture rotated by its EXIF tags, or unchanged where these are damaged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ImageOps.exif_transpose(image)
        except (SyntaxError, TypeError, ValueError, struct.error):
            return image


def _in_srgb(image: Image.Image) -> Image.Image | None:
    """Convert a picture to sRGB by its embedded profile; without one, sRGB is assumed.

    Paint programs that work in Adobe RGB, or in a screen's colour space, embed a profile. Return
    None where it is damaged, or made for another kind of picture.
    """
    profile = image.info.get("icc_profile")
    if not profile or image.mode in ("1", "L", "LA"):
        return image
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA")
    kind = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, own, srgb, outputMode=kind)
    except (OSError, ImageCms.PyCMSError):
        return None
    return converted
