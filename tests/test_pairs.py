from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms

from filmcolorizer_cli.color import rgb_to_ycbcr
from filmcolorizer_cli.errors import PairsError
from filmcolorizer_cli.extracting import ExtractOptions, extract
from filmcolorizer_cli.pairs import (
    Pair,
    Pairs,
    changed_stills,
    count_by_hand,
    doubtful_stills,
    read_pairs,
    still_size,
    true_colors,
)
from filmcolorizer_cli.splits import PARTS, InterleavedSplit, TimeSplit, Undivided, split_by_time
from filmcolorizer_cli.sync import constant_offset
from filmcolorizer_cli.video import probe
from tests.films import make_color_clip

ORANGE = (204, 102, 51)  # in the web palette, which Pillow's mode P uses


@pytest.mark.parametrize(
    ("size", "aspect_ratio", "expected"),
    [
        (64, 16 / 9, (64, 64)),
        (64, 0.5, (64, 64)),
        (256, 16 / 9, (455, 256)),
        (256, 4 / 3, (341, 256)),
        (256, 1.0, (256, 256)),
        (256, 0.5, (256, 512)),
        (63, 2.0, (126, 63)),
        (16, 256.0, (256, 16)),  # networks get no longer ones
        (16, 1 / 256, (16, 256)),
    ],
)
def test_still_size_squares_64_and_else_keeps_the_shape(
    size: int, aspect_ratio: float, expected: tuple[int, int]
) -> None:
    assert still_size(size, aspect_ratio) == expected


PAIR = {"name": "000001", "bw_seconds": 0.0, "color_seconds": 0.0, "shot": 1}


def refusal(folder: Path) -> str:
    with pytest.raises(PairsError) as caught:
        read_pairs(folder)
    return str(caught.value)


@pytest.mark.parametrize("side", ["bw", "color"])
@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_read_refuses_stills_of_more_than_8_bits(side: str, mode: str, own_pairs: Pairs) -> None:
    """Pillow would make all but their darkest pixels white."""
    path = own_pairs.folder / side / "000002.png"
    kinds = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
    still = Image.fromarray(np.full((32, 43), 40_000).astype(kinds[mode]))
    assert still.mode == mode
    still.save(path, "TIFF")
    with pytest.raises(PairsError, match="it has more than 8 bits; save it with 8"):
        own_pairs.read(own_pairs.pairs[1])


def test_read_pairs_leaves_out_a_deleted_pair(own_pairs: Pairs) -> None:
    for side in ("bw", "color"):
        (own_pairs.folder / side / "000003.png").unlink()
    left = read_pairs(own_pairs.folder)
    assert left.pairs == own_pairs.pairs[:2] + own_pairs.pairs[3:]


@pytest.mark.parametrize(("side", "other"), [("bw", "color"), ("color", "bw")])
def test_read_pairs_refuses_half_a_pair(side: str, other: str, own_pairs: Pairs) -> None:
    folder = own_pairs.folder
    for name in ("000004", "000007"):
        (folder / other / f"{name}.png").unlink()
    assert refusal(folder) == (
        f"{folder}/{side}/000004.png has no counterpart in {folder}/{other} (2 such); put it back,"
        " or delete this one"
    )


def test_read_pairs_refuses_an_additional_pair(own_pairs: Pairs) -> None:
    folder = own_pairs.folder
    for side in ("bw", "color"):
        Image.new("RGB", (43, 32)).save(folder / side / "000099.png")
    assert refusal(folder) == (
        f"{folder}/bw/000099.png is not listed in {folder}/pairs.json;"
        " stills can be replaced or deleted, not added"
    )


def test_read_pairs_refuses_a_folder_whose_pairs_are_all_deleted(own_pairs: Pairs) -> None:
    for still in own_pairs.folder.glob("*/*.png"):
        still.unlink()
    assert refusal(own_pairs.folder) == (
        f"{own_pairs.folder} holds no pairs; make some with `filmcolorizer extract`"
    )


def test_read_pairs_refuses_what_is_no_folder_of_pairs(plain_clip: Path, tmp_path: Path) -> None:
    end = "; make one with `filmcolorizer extract`"
    for folder, reason in (
        (tmp_path, "No such file or directory"),
        (tmp_path / "missing", "No such file or directory"),
        (plain_clip, "Not a directory"),
    ):
        message = refusal(folder)
        assert message.startswith(f"{folder} is not a folder of pairs (pairs.json: ")
        assert reason in message
        assert message.endswith(end)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other/1"}, "its format is 'other/1', not 'filmcolorizer-pairs/1'"),
        ({"pairs": [{"name": "000001"}]}, "'bw_seconds'"),
        ({"pairs": 3}, "'int' object is not iterable"),
        ({"width": "wide"}, "invalid literal for int()"),
        ({"aspect_ratio": None}, "NoneType"),
        ({"every": 0}, "a still of every 0 frames"),
        ({"aspect_ratio": 0}, "stills of 43x32 with an aspect ratio of 0.0"),
        ({"height": -32}, "stills of 43x-32 with an aspect ratio of"),
        ({"pairs": [PAIR | {"bw_seconds": "1.0"}]}, "must be real number, not str"),
        ({"pairs": [PAIR | {"color_seconds": math.nan}]}, "the times of pair 000001 are no"),
        ({"bw": None}, "'NoneType' object is not iterable"),
        ({"every": math.inf}, "cannot convert float infinity to integer"),
        ({"pairs": [PAIR | {"name": []}]}, "a pair called []"),
    ],
)
def test_read_pairs_refuses_a_broken_index(
    change: dict[str, Any], reason: str, own_pairs: Pairs
) -> None:
    index = own_pairs.folder / "pairs.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), **change}))
    message = refusal(own_pairs.folder)
    assert message.startswith(f"{own_pairs.folder} is not a folder of pairs (pairs.json: ")
    assert reason in message


def test_read_pairs_refuses_half_an_index(own_pairs: Pairs) -> None:
    index = own_pairs.folder / "pairs.json"
    index.write_text(index.read_text()[:-100])
    assert "is not a folder of pairs (pairs.json: " in refusal(own_pairs.folder)


def test_read_pairs_tells_of_a_side_that_cannot_be_read(own_pairs: Pairs) -> None:
    """Its stills are not reported as missing, lest their counterparts be deleted."""
    stills = own_pairs.folder / "color"
    shutil.rmtree(stills)
    for reason in ("No such file or directory", "Not a directory"):
        assert refusal(own_pairs.folder) == (
            f"the stills in {stills} cannot be read ({reason}); put them back, or change their"
            " permissions"
        )
        stills.touch()


@pytest.mark.parametrize("beneath", [(0, 0, 0, 0), (255, 0, 255, 0), (255, 0, 255, 254)])
def test_read_knows_no_colours_where_a_still_is_transparent(
    beneath: tuple[int, ...], own_pairs: Pairs
) -> None:
    """Whatever colour lies beneath; here, only the coat was painted."""
    path = own_pairs.folder / "color" / "000002.png"
    painted = Image.new("RGBA", (43, 32), beneath)
    painted.paste((*ORANGE, 255), (10, 5, 30, 25))
    painted.save(path)
    grey, color, known = own_pairs.read(own_pairs.pairs[1])
    coat = np.zeros((32, 43), bool)
    coat[5:25, 10:30] = True
    np.testing.assert_array_equal(known, coat * 255)
    assert (color[coat] == ORANGE).all()
    np.testing.assert_array_equal(color[~coat], np.stack([grey[~coat]] * 3, axis=1))


def test_read_knows_no_colours_where_a_larger_still_is_transparent(own_pairs: Pairs) -> None:
    """Partly covered pixels are unknown, and the colours of all others are unpremultiplied."""
    painted = Image.new("RGBA", (86, 64), (0, 0, 0, 0))
    painted.paste((*ORANGE, 255), (21, 11, 60, 50))
    painted.save(own_pairs.folder / "color" / "000002.png")
    _, color, known = own_pairs.read(own_pairs.pairs[1])
    assert (known[8:23, 13:28] == 255).all()
    assert not known[:5].any() and not known[26:].any()
    assert not known[:, :10].any() and not known[:, 31:].any()
    assert np.abs(color[known == 255].astype(int) - ORANGE).max() <= 1


def test_read_refuses_a_grey_still_with_transparent_parts(own_pairs: Pairs) -> None:
    path = own_pairs.folder / "bw" / "000002.png"
    with Image.open(path) as still:
        erased = still.convert("LA")
    erased.save(path)
    own_pairs.read(own_pairs.pairs[1])
    erased.putpixel((3, 3), (0, 0))
    erased.save(path)
    with pytest.raises(PairsError, match=r"\(it has transparent parts\); replace it or delete"):
        own_pairs.read(own_pairs.pairs[1])


def test_read_refuses_a_colour_still_that_is_opaque_nowhere(own_pairs: Pairs) -> None:
    layer = Image.new("RGBA", (43, 32), (255, 128, 0, 128))
    layer.save(own_pairs.folder / "color" / "000002.png")
    with pytest.raises(PairsError) as caught:
        own_pairs.read(own_pairs.pairs[1])
    assert str(caught.value) == (
        f"the colour still of pair 000002 in {own_pairs.folder} is transparent all over; merge all"
        " its layers at full opacity, or delete the pair"
    )


def paint(pairs: Pairs, side: str, size: tuple[int, int], *, mode: str = "RGB") -> Pair:
    """Replace a still of the second pair by a flat orange one."""
    picture = Image.new("RGB", size, ORANGE).convert(mode)
    picture.save(pairs.folder / side / "000002.png")
    return pairs.pairs[1]


@pytest.mark.parametrize("size", [(43, 32), (430, 320), (1290, 968), (86, 64), (20, 15)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_read_takes_a_hand_painted_still_of_any_size(
    size: tuple[int, int], mode: str, own_pairs: Pairs
) -> None:
    grey_before, _, _ = own_pairs.read(own_pairs.pairs[1])
    grey, color, known = own_pairs.read(paint(own_pairs, "color", size, mode=mode))
    assert known.shape == (32, 43) and (known == 255).all()
    np.testing.assert_array_equal(grey, grey_before)
    assert color.shape == (32, 43, 3)
    assert (color == np.array(ORANGE)).all()


@pytest.mark.parametrize("size", [(430, 300), (32, 43), (43, 30), (64, 64)])
def test_read_refuses_a_colour_still_of_another_shape(
    size: tuple[int, int], own_pairs: Pairs
) -> None:
    pair = paint(own_pairs, "color", size)
    with pytest.raises(PairsError) as caught:
        own_pairs.read(pair)
    assert str(caught.value) == (
        f"the stills of pair 000002 in {own_pairs.folder} have different shapes, grey 43x32 and"
        f" colour {size[0]}x{size[1]}; crop the colour one or delete the pair"
    )


def test_read_refuses_a_grey_still_of_another_size(own_pairs: Pairs) -> None:
    pair = paint(own_pairs, "bw", (86, 64), mode="L")
    with pytest.raises(PairsError) as caught:
        own_pairs.read(pair)
    assert str(caught.value) == (
        f"the grey still of pair 000002 in {own_pairs.folder} is 86x64, not 43x32;"
        " put the extracted one back or delete the pair"
    )


def as_tensors(pairs: Pairs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return all luma (N, 1, H, W), R'G'B' (N, 3, H, W) and where it is known."""
    read = [pairs.read(pair) for pair in pairs.pairs]
    grey, color, known = (np.stack(planes) / np.float32(255) for planes in zip(*read, strict=True))
    luma, rgb, where = map(torch.from_numpy, (grey[:, None], color.transpose(0, 3, 1, 2), known))
    return luma, rgb, where[:, None]


def test_true_colors_have_the_luma_of_the_film(pairs: Pairs) -> None:
    """A darker copy with the same chroma gives the same true colours."""
    luma, rgb, known = as_tensors(pairs)
    assert torch.equal(true_colors(luma, rgb, known, pairs.matrix), rgb)
    darker = rgb - rgb.amin(1, keepdim=True) / 2
    assert (rgb - darker).max() > 0.3
    found = true_colors(luma, darker, known, pairs.matrix)
    is_clipped = ((rgb == 0) | (rgb == 1)).any(1, keepdim=True)
    assert is_clipped.float().mean() < 0.2
    torch.testing.assert_close(
        found * ~is_clipped, rgb * ~is_clipped, atol=3 / 255, rtol=0
    )  # stills hold whole codes


def test_true_colors_change_nothing_where_nothing_is_known(pairs: Pairs) -> None:
    luma, rgb, known = as_tensors(pairs)
    known[..., :20] = 0
    darker = rgb / 2
    found = true_colors(luma, darker, known, pairs.matrix)
    assert torch.equal(found[..., :20], darker[..., :20])
    assert not torch.equal(found[..., 20:], darker[..., 20:])


def test_true_colors_of_a_film_in_bt601_are_the_film_itself(tmp_path: Path) -> None:
    """In BT.709 the luma of saturated colours would be off by a tenth."""
    colors = [np.full((96, 128, 3), color, np.uint8) for color in ((200, 40, 40), (40, 60, 190))]
    film = probe(make_color_clip(tmp_path / "film.mp4", [c for c in colors for _ in range(24)]))
    assert film.coding.matrix == "bt601"
    folder = tmp_path / "pairs"
    options = ExtractOptions(every=12, size=32)
    list(extract(None, film, constant_offset(film, film, 0), folder, options))
    pairs = read_pairs(folder)
    assert pairs.matrix == "bt601"
    luma, rgb, known = as_tensors(pairs)
    assert torch.equal(true_colors(luma, rgb, known, "bt601"), rgb)
    assert not torch.equal(true_colors(luma, rgb, known, "bt709"), rgb)
    index = json.loads((folder / "pairs.json").read_text())
    del index["matrix"]  # as in folders of older versions
    (folder / "pairs.json").write_text(json.dumps(index))
    assert read_pairs(folder).matrix == "bt709"


def test_doubtful_stills_are_those_that_show_something_else(own_pairs: Pairs) -> None:
    colors = own_pairs.folder / "color"
    assert doubtful_stills(own_pairs) == []
    with Image.open(colors / "000003.png") as still:
        brighter = still.point(lambda code: 60 + code * 2 // 3)
        mirrored = still.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    brighter.save(colors / "000003.png")
    mirrored.save(colors / "000004.png")
    (colors / "000005.png").write_bytes((colors / "000020.png").read_bytes())
    stroke = Image.new("RGBA", (43, 32))
    stroke.paste((200, 30, 30, 255), (5, 5, 20, 10))
    stroke.save(colors / "000006.png")
    layer = Image.new("RGB", (43, 32))
    layer.paste(stroke)
    layer.save(colors / "000007.png")
    Image.new("RGB", (43, 32)).save(colors / "000008.png")
    doubt = "does not show what its grey still does; correct it, or delete the pair"
    assert doubtful_stills(own_pairs) == [
        (colors / f"{name}.png", doubt) for name in ("000004", "000005", "000007", "000008")
    ]


@pytest.mark.parametrize("mode", ["L", "LA", "RGB"])
def test_doubtful_stills_are_those_that_were_saved_in_grey(mode: str, own_pairs: Pairs) -> None:
    path = own_pairs.folder / "color" / "000003.png"
    with Image.open(path) as still:
        grey = still.convert("L").convert(mode)
    grey.save(path)
    doubt = "has no colours; save it with them, unless it is really grey"
    assert doubtful_stills(own_pairs) == [(path, doubt)]


@pytest.mark.parametrize(("alpha", "is_told"), [(255, False), (254, True), (128, True), (0, False)])
def test_doubtful_stills_are_those_painted_half_transparent(
    alpha: int, is_told: bool, own_pairs: Pairs
) -> None:
    path = own_pairs.folder / "color" / "000003.png"
    with Image.open(path) as still:
        painted = still.convert("RGBA")
    painted.paste((*ORANGE, alpha), (5, 5, 20, 12))
    painted.save(path)
    doubt = "is partly half transparent, and not learnt there; paint at full opacity"
    assert doubtful_stills(own_pairs) == ([(path, doubt)] if is_told else [])


def test_doubtful_stills_are_grey_ones_that_were_painted(own_pairs: Pairs) -> None:
    """Not those that another program only saved again, with a profile of its own."""
    paths = [own_pairs.folder / "bw" / f"00000{number}.png" for number in (3, 4)]
    for path, is_painted in zip(paths, (True, False), strict=True):
        with Image.open(path) as still:
            saved = still.convert("RGB")
        if is_painted:
            saved.paste(ORANGE, (5, 5, 20, 12))
        saved.save(path, icc_profile=_swapped_profile(b"rTRC", b"rXYZ"))
    assert paths[1] in changed_stills(own_pairs.folder)
    doubt = "has colours, which are ignored: it should be grey; paint the one in color, and"
    assert doubtful_stills(own_pairs) == [(paths[0], f"{doubt} put this one back")]


def test_doubtful_stills_tells_of_a_grey_one_that_cannot_be_read(own_pairs: Pairs) -> None:
    path = own_pairs.folder / "bw" / "000003.png"
    path.write_bytes(b"no picture")
    with pytest.raises(PairsError, match=f"{path} cannot be read as a picture"):
        doubtful_stills(own_pairs)


def test_count_by_hand_is_of_colour_stills_that_are_left(own_pairs: Pairs) -> None:
    colors, grey = (own_pairs.folder / side for side in ("color", "bw"))
    chosen = list(own_pairs.pairs)
    assert count_by_hand(own_pairs, chosen) == 0
    for path in (colors / "000003.png", colors / "000004.png", grey / "000005.png"):
        Image.new("L", (43, 32)).save(path)
    assert count_by_hand(own_pairs, chosen) == 2
    assert count_by_hand(own_pairs, chosen[:3]) == 1
    index = json.loads((own_pairs.folder / "pairs.json").read_text())
    del index["checksums"]  # as in folders of older versions
    (own_pairs.folder / "pairs.json").write_text(json.dumps(index))
    assert count_by_hand(own_pairs, chosen) == 0


def _swapped_profile(one: bytes, other: bytes) -> bytes:
    """Return the sRGB profile with two of its tags swapped."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    first, second = profile.index(one), profile.index(other)
    profile[first : first + 4], profile[second : second + 4] = other, one
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "a colour for what is transparent"])
def test_pairs_read_gives_the_colours_of_a_stills_own_profile(mode: str, own_pairs: Pairs) -> None:
    """Here, of a profile in which two primaries of sRGB are swapped."""
    pair = own_pairs.pairs[3]
    path = own_pairs.folder / "color" / f"{pair.name}.png"
    flag = Image.new("RGB", (43, 32), ORANGE)
    flag.paste((40, 90, 200), (20, 0, 43, 32))
    expected = np.asarray(flag)
    r, g, b = flag.split()
    stored = Image.merge("RGB", (g, r, b))
    options: dict[str, Any] = {"icc_profile": _swapped_profile(b"rXYZ", b"gXYZ")}
    if mode == "P":
        stored = stored.quantize(4)
    elif mode == "RGBA":
        stored.putalpha(255)
        stored.paste((0, 0, 0, 0), (0, 0, 43, 5))
    elif mode != "RGB":
        stored.paste((1, 2, 3), (0, 0, 43, 5))
        options["transparency"] = (1, 2, 3)
    stored.save(path, **options)
    _, rgb, known = own_pairs.read(pair)
    assert (known == 0).sum() == (0 if mode in ("RGB", "P") else 43 * 5)
    assert np.abs(rgb[5:].astype(int) - expected[5:]).max() <= 2


@pytest.mark.parametrize("profile", ["damaged", "of other pictures"])
def test_doubtful_stills_are_those_with_a_profile_that_cannot_be_used(
    profile: str, own_pairs: Pairs
) -> None:
    path = own_pairs.folder / "color" / "000003.png"
    with Image.open(path) as still:
        painted = still.convert("RGB")
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    painted.save(path, icc_profile=lab if profile == "of other pictures" else b"no profile")
    doubt = "has an unusable colour profile, and is taken for sRGB; save it as sRGB"
    assert doubtful_stills(own_pairs) == [(path, doubt)]
    [pair] = [pair for pair in own_pairs.pairs if pair.name == "000003"]
    np.testing.assert_array_equal(own_pairs.read(pair)[1], np.asarray(painted))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_pairs_read_turns_a_still_upright(orientation: int, own_pairs: Pairs) -> None:
    pair = own_pairs.pairs[3]
    path = own_pairs.folder / "color" / f"{pair.name}.png"
    with Image.open(path) as still:
        upright = still.convert("RGB")
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    turned = upright.transpose(turn.get(orientation, Image.Transpose.ROTATE_270))
    turned.save(path, exif=exif)
    np.testing.assert_array_equal(own_pairs.read(pair)[1], np.asarray(upright))


@pytest.mark.parametrize("name", ["000003.jpg", "000003.PNG", "000003.tif"])
def test_read_pairs_tells_of_a_still_that_was_saved_beside_it(name: str, own_pairs: Pairs) -> None:
    path = own_pairs.folder / "color" / name
    Image.new("RGB", (43, 32), ORANGE).save(path)
    told = f"{path} is ignored; save it as 000003.png, or move it away"
    assert refusal(own_pairs.folder) == told
    (own_pairs.folder / "color" / "000003.png").unlink()
    assert refusal(own_pairs.folder) == told


@pytest.mark.parametrize(
    ("name", "is_told"),
    [
        ("000003_painted.jpg", True),
        ("000003 copy.TIF", True),
        ("Painted 000003.bmp", True),
        ("000099_painted.jpg", False),
        ("IMG_1000003.jpg", False),
        ("20240000031.jpg", False),
        ("000003 painted.kra", False),
    ],
)
def test_doubtful_stills_are_those_under_a_longer_name(
    name: str, is_told: bool, own_pairs: Pairs
) -> None:
    path = own_pairs.folder / "color" / name
    path.write_bytes(b"a painting, perhaps")
    doubt = "is ignored; if it is the painted 000003.png, save it as that"
    assert doubtful_stills(read_pairs(own_pairs.folder)) == ([(path, doubt)] if is_told else [])


def test_read_pairs_leaves_alone_what_is_no_still(own_pairs: Pairs) -> None:
    """Files of paint programs, and hidden files that systems write to foreign disks."""
    colors = own_pairs.folder / "color"
    for name in ("000003.kra", "000003.xcf", "000003.png~", "._000003.png", "notes.jpg"):
        (colors / name).write_bytes(b"none of ours")
    assert len(read_pairs(own_pairs.folder).pairs) == len(own_pairs.pairs)
    assert changed_stills(own_pairs.folder) == []


@pytest.mark.parametrize("color", [(60, 40, 30), (255, 255, 255)])
def test_true_colors_of_what_is_painted_have_the_luma_of_the_film(
    color: tuple[int, int, int], own_pairs: Pairs
) -> None:
    """Even on a small part of a still whose other colours are the film's own."""
    path = own_pairs.folder / "color" / "000003.png"
    with Image.open(path) as still:
        painted = still.convert("RGB")
    painted.paste(color, (5, 5, 15, 12))
    painted.save(path)
    luma, rgb, known = as_tensors(own_pairs)
    found = true_colors(luma, rgb, known, own_pairs.matrix)
    part = (2, slice(None), slice(5, 12), slice(5, 15))
    torch.testing.assert_close(rgb_to_ycbcr(found[part])[:1], luma[part], atol=3 / 255, rtol=0)
    found[part] = rgb[part]
    assert torch.equal(found, rgb)


def test_read_takes_a_still_with_the_profile_of_a_screen(own_pairs: Pairs) -> None:
    painted = Image.new("RGB", (own_pairs.width, own_pairs.height), (200, 30, 30))
    profile = bytes(1_500_000)
    painted.save(own_pairs.folder / "color" / "000001.png", icc_profile=profile)
    _, color, _ = own_pairs.read(own_pairs.pairs[0])
    assert (color == (200, 30, 30)).all()


@pytest.mark.parametrize("damage", ["cut short", "no tags", "a text for a number"])
def test_read_takes_a_still_whose_tags_are_damaged(damage: str, own_pairs: Pairs) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.XResolution] = 6, 72.0
    tags = exif.tobytes()
    tags = {
        "cut short": b"Exif\0\0MM\0*\0",
        "no tags": b"none",
        "a text for a number": tags.replace(b"\x01\x1a\0\x05", b"\x01\x1a\0\x02"),
    }[damage]
    path = own_pairs.folder / "color" / "000002.png"
    with Image.open(path) as still:
        painted = still.convert("RGB")
    painted.save(path, exif=tags)
    np.testing.assert_array_equal(own_pairs.read(own_pairs.pairs[1])[1], np.asarray(painted))


@pytest.mark.parametrize("side", ["bw", "color"])
@pytest.mark.parametrize("damage", ["half", "text", "empty", "a chunk"])
def test_read_refuses_a_damaged_still(side: str, damage: str, own_pairs: Pairs) -> None:
    path = own_pairs.folder / side / "000002.png"
    data = path.read_bytes()
    path.write_bytes(
        {
            "half": data[: len(data) // 2],
            "text": b"not a picture",
            "empty": b"",
            "a chunk": data.replace(b"IDAT", b"\0\0\0\0"),
        }[damage]
    )
    with pytest.raises(PairsError) as caught:
        own_pairs.read(own_pairs.pairs[1])
    message = str(caught.value)
    assert message.startswith(f"{path} cannot be read as a picture (")
    assert message.endswith("); replace it or delete the pair")


def test_changed_stills_tells_of_a_folder_in_the_place_of_a_still(own_pairs: Pairs) -> None:
    path = own_pairs.folder / "color" / "000002.png"
    path.unlink()
    path.mkdir()
    with pytest.raises(PairsError) as caught:
        changed_stills(own_pairs.folder)
    told = f"{path} cannot be read (Is a directory); replace it or delete the pair"
    assert str(caught.value) == told


def test_part_of_undivided_pairs_is_all_of_them(pairs: Pairs) -> None:
    for part in PARTS:
        assert pairs.part(part, Undivided()) == list(pairs.pairs)


def test_part_interleaved_holds_every_other_pair(pairs: Pairs) -> None:
    split = InterleavedSplit(6)
    train, validation, test = (pairs.part(part, split) for part in PARTS)
    assert train == list(pairs.pairs[::2])
    assert validation == list(pairs.pairs[1::4])
    assert test == list(pairs.pairs[3::4])


def test_part_interleaved_refuses_an_empty_part(pairs: Pairs) -> None:
    few, split = replace(pairs, pairs=pairs.pairs[:3]), InterleavedSplit(6)
    assert [pair.name for pair in few.part("validation", split)] == ["000002"]
    with pytest.raises(PairsError) as caught:
        few.part("test", split)
    assert str(caught.value) == (
        f"the test part of the pairs in {pairs.folder} is empty; extract pairs of the whole film,"
        " or give another --split"
    )


def test_part_holds_the_pairs_of_its_time(pairs: Pairs) -> None:
    split = split_by_time(pairs.pairs)
    assert [pairs.part(part, split) for part in PARTS] == [
        list(pairs.pairs[begin : begin + 8]) for begin in (0, 8, 16)
    ]


def test_part_refuses_an_empty_part(pairs: Pairs) -> None:
    with pytest.raises(PairsError) as caught:
        pairs.part("test", TimeSplit(2.0, 100.0))
    assert str(caught.value) == (
        f"the test part of the pairs in {pairs.folder} is empty; extract pairs of the whole film,"
        " or give another --split"
    )
