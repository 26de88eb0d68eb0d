"""The folder of (grey, colour) pairs: what it holds, and what of that was changed by hand."""

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

from filmcolorizer_cli.color import MATRICES, WORKING_MATRIX, on_luma, rgb_to_ycbcr
from filmcolorizer_cli.configs import size_to_look_at
from filmcolorizer_cli.errors import PairsError, reason_of
from filmcolorizer_cli.planes import Plane
from filmcolorizer_cli.splits import Part, Split

SQUARE_SIZE = 64  # pixels; stills of this size are squares, as in 2020
SHAPE_TOLERANCE = 0.03  # by which a hand-painted still's aspect ratio may be off
# Of stills that show the same, by hand or not: how alike they are, at this size, where there is
# anything to see.
MIN_SIMILARITY, MIN_CONTRAST, SMALL = 0.6, 4.0, (32, 24)
OPAQUE = 255  # alpha of a colour that is known
MAX_TRANSLUCENT = 0.04  # of a still, that edges of what is erased may be
# Codes of luma by which stills differ for rounding alone, and the share of a still, of what the
# gamut has not clipped, that differs by more where the coloured film is another one. What of less
# differs is painted by hand.
ROUNDING_CODES, DIFFERING_SHARE = 2.0, 0.1
SIDES = ("bw", "color")  # folders of stills
# Endings of pictures that a person may have saved beside the still that they are meant to replace.
OTHER_ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_FORMAT = "filmcolorizer-pairs/1"
PngImagePlugin.MAX_TEXT_CHUNK = 1 << 26  # bytes; paint programs embed the profile of a screen


@dataclass(frozen=True)
class Pair:
    """One moment of a film, in grey and in colour.

    Attributes:
        name: of both files, without ``.png``.
        bw_seconds, color_seconds: the moment, from the first frame of each film.
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
        aspect_ratio: width over height, as displayed, of the black-and-white picture without its
            bars; the stills may be squeezed into squares.
        width, height: of the stills.
        every: of how many frames of the 24 fps timeline a still was taken.
        film: what identifies the black-and-white film (see `video.film_identity`).
        matrix: by which its luma is that of colours, a key of ``color.MATRICES``.
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
        """Width and height of the stills with square pixels: squares are drawn out again."""
        size = self.width, self.height
        is_square = size == (SQUARE_SIZE, SQUARE_SIZE)
        if not is_square:
            return size
        height, width = size_to_look_at(SQUARE_SIZE, self.aspect_ratio)
        return width, height

    def part(self, part: Part, split: Split) -> list[Pair]:
        """The pairs of one part.

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
        """A pair's grey still (H, W), its colour still (H, W, 3), R'G'B', and where that is known.

        Where the colour still is transparent, such as where the coloured film is cropped, colours
        are unknown; it is grey there.

        Returns:
            Three planes of uint8; the last (H, W) is 255 where colours are known, and else 0.

        Raises:
            PairsError: a still cannot be read, has another shape than the others, or no colours.
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
            # Sharper filters would mix some of what is transparent into what is opaque.
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
    """Width and height of stills: 64 gives squares, as in 2020; otherwise it is the short side."""
    if size == SQUARE_SIZE:
        return size, size
    height, width = size_to_look_at(size, aspect_ratio)
    return width, height


def read_pairs(folder: Path) -> Pairs:
    """Read what a folder of pairs holds; pairs whose two stills were deleted are left out.

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
                raise ValueError(f"the times of pair {pair.name} are no numbers")
        shape = float(index["aspect_ratio"]), int(index["width"]), int(index["height"])
        if not (0 < shape[0] < math.inf and min(shape[1:]) > 0):
            raise ValueError(f"stills of {shape[1]}x{shape[2]} with an aspect ratio of {shape[0]}")
        every, film = int(index["every"]), dict(index["bw"])
        if every < 1:
            raise ValueError(f"a still of every {every} frames")
        matrix = index.get("matrix", WORKING_MATRIX)  # older folders do not tell it
        if matrix not in MATRICES:
            raise ValueError(f"its matrix is {matrix!r}, not one of {', '.join(MATRICES)}")
        is_faded = bool(index.get("is_faded", False))
    except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PairsError(
            f"{folder} is no folder of pairs ({index_file.name}: {reason_of(error)});"
            " make one with `filmcolorizer extract`"
        ) from None
    names = {pair.name for pair in listed}
    for path in _files_of(folder / "color"):
        is_picture = path.suffix.lower() in OTHER_ENDINGS and path.suffix != ".png"
        if is_picture and path.stem in names:
            raise PairsError(
                f"{path} is not looked at; save it as {path.stem}.png, or move it away"
            )
    present = {side: {still.stem for still in _stills_of(folder / side)} for side in SIDES}
    for side, other in (("bw", "color"), ("color", "bw")):
        lone = sorted(present[side] - present[other])
        if lone:
            raise PairsError(
                f"{folder / side / lone[0]}.png has no counterpart in {folder / other}"
                f" ({len(lone)} such); put that back, or delete this one"
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
    """Write beside the stills what `read_pairs` reads, and what tells whether they are changed.

    Args:
        color: what identifies the coloured film, as ``film`` does the black-and-white one.
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
    """The colours of stills on the luma of the film, which is what colorizing can make of it.

    A copy, and what is painted, may be darker or brighter than the film. The film as its own truth
    stays as it is: of it, colours at an end of their range were clipped by the gamut, and tell
    nothing of their luma.

    Args:
        luma: (B, 1, H, W).
        rgb: (B, 3, H, W).
        known: (B, 1, H, W); all in [0, 1].
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
    return torch.where(is_other, on_luma(rgb, luma, matrix), rgb)


def changed_stills(folder: Path) -> list[Path]:
    """The stills that are not as `extract` wrote them, such as painted ones; by name.

    Without what it noted of them, that is all.
    """
    written = _written_checksums(folder)
    return [s for s in _stills_in(folder) if written.get(_name_of(s)) != _checksum(s)]


def _written_checksums(folder: Path) -> dict[str, int]:
    """Of the stills as `extract` wrote them, by name; former versions did not note them."""
    try:
        return dict(json.loads((folder / "pairs.json").read_text())["checksums"])
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        return {}


def doubtful_stills(pairs: Pairs) -> list[tuple[Path, str]]:
    """Stills put there by hand that are not what they should be, and in what; by name.

    Such as one that was saved under another's name, mirrored, in grey, or as a layer of paint on
    black; a grey one that was painted over; a painting under a name that is nearly a still's.
    Strokes on what is transparent need not show anything.

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
            doubt = "has colours, which are not looked at: it is to be grey; paint the one in color"
            doubts.append((other, f"{doubt}, and put this one back"))
        if still not in changed:
            continue
        alpha = np.asarray(_read_still(still, "RGBA"))[..., 3]
        if known.all() and not _show_the_same(grey, rgb):
            doubt = "does not show what its grey still does; mend it, or delete the pair"
        elif is_sure and (np.ptp(rgb, axis=2) <= ROUNDING_CODES).all():
            doubt = "has no colours; save it with them, unless it is grey in truth"
        elif is_sure and ((alpha > 0) & (alpha < OPAQUE)).mean() > MAX_TRANSLUCENT:
            doubt = "is half transparent in part, and not learnt there; paint at full opacity"
        elif _is_of_unknown_colors(still):
            doubt = "has a colour profile that cannot be used, and is taken for sRGB; save it so"
        else:
            continue
        doubts.append((still, doubt))
    return doubts + _misnamed(pairs)


def _misnamed(pairs: Pairs) -> list[tuple[Path, str]]:
    """Pictures beside the colour stills in whose names there is that of one, and what to do."""
    names, doubts = {pair.name for pair in pairs.pairs}, []
    for path in _files_of(pairs.folder / "color"):
        if path.suffix.lower() not in OTHER_ENDINGS or path.stem in names:
            continue
        for name in re.findall(r"\d+", path.stem):
            if name in names:
                doubt = f"is not looked at; if it is the painted {name}.png, save it as that"
                doubts.append((path, doubt))
                break
    return doubts


def count_by_hand(pairs: Pairs, chosen: list[Pair]) -> int:
    """How many of these have a colour still that is not as `extract` wrote it.

    Where that noted nothing of them, none.
    """
    if not _written_checksums(pairs.folder):
        return 0
    changed = set(changed_stills(pairs.folder))
    return sum(pairs.folder / "color" / f"{pair.name}.png" in changed for pair in chosen)


def _is_of_unknown_colors(still: Path) -> bool:
    with Image.open(still) as image:
        return _in_srgb(image) is None


def _has_colors(still: Path) -> bool:
    """Whether a grey still is stored with other codes than grey ones."""
    with Image.open(still) as image:
        rgb = np.asarray(image.convert("RGB"))
    return bool((np.ptp(rgb, axis=2) > ROUNDING_CODES).any())


def _show_the_same(grey: Plane, rgb: Plane) -> bool:
    """Whether there is the same in a grey still (H, W) and a colour one (H, W, 3), if anything."""
    small = [cv2.resize(s, SMALL, interpolation=cv2.INTER_AREA) for s in (grey, rgb.mean(2))]
    if small[0].std() <= MIN_CONTRAST:
        return True
    own, other = (plane - plane.mean() for plane in small)
    return float((own * other).mean()) >= MIN_SIMILARITY * own.std() * other.std() + 1e-6


def _stills_in(folder: Path) -> list[Path]:
    """All stills of a folder of pairs, as far as they can be found."""
    found = (still for side in SIDES for still in (folder / side).glob("*.png"))
    return sorted(still for still in found if not still.name.startswith("."))


def _stills_of(folder: Path) -> list[Path]:
    """The stills of one side, by name."""
    return [path for path in _files_of(folder) if path.suffix == ".png"]


def _files_of(folder: Path) -> list[Path]:
    """What lies in the folder of one side, but for what systems and programs hide there; by name.

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
    """A still as any program shows it: upright, and a colour one by the colours of sRGB."""
    try:
        with Image.open(path) as image:
            if mode == "L" and np.asarray(image.convert("RGBA"))[..., 3].min() < OPAQUE:
                raise OSError("it has transparent parts")
            if image.mode.startswith(("I", "F")):  # which Pillow would cut off at 255
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
    """A picture turned as its EXIF tags tell; as it is where these are damaged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ImageOps.exif_transpose(image)
        except (SyntaxError, TypeError, ValueError, struct.error):
            return image


def _in_srgb(image: Image.Image) -> Image.Image | None:
    """A picture by the colours of sRGB, which those without a profile are taken for.

    Paint programs that work in Adobe RGB, or in the colours of a screen, embed one. None where that
    is damaged, or made for other pictures.
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
