"""Batches of training pictures: random squares of photos, with luma worn as on old film.

Everything is computed on whole batches on the training device, so that a GPU does not wait for
pictures. Pictures are R'G'B' (B, 3, H, W) in [0, 1], lumas (B, 1, H, W).
"""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from filmcolorizer_cli.color import resize, rgb_to_ycbcr

# Share of the pictures with each treatment: old film is dirty, soft, faded and badly exposed.
TITLE_SHARE = 0.02  # light letters on dark, or sometimes the reverse
BLANK_SHARE = 0.01  # nothing but a tone or a ramp
BARS_SHARE = 0.08  # letterbox or pillarbox
WORN_SHARE = 0.5  # treated in the ways below, up to COMPRESSED_SHARE; their shares are of these
TONE_SHARE = 0.6  # gamma, contrast, crushed blacks and blown highlights
EMULSION_SHARE = 0.3  # other weights of red, green and blue than BT.709's, as film stocks have
SOFT_SHARE = 0.4  # out of focus, or copied at a low resolution
DIRT_SHARE = 0.2  # scratches and dust
GRAIN_SHARE = 0.5
COMPRESSED_SHARE = 0.2
TURNED_SHARE = 0.5  # rotated by a few degrees

STRETCH, MAX_STRETCH = 0.12, 0.3  # change of the log aspect ratio: standard deviation, limit
TURN, MAX_TURN = math.radians(5), math.radians(12)  # rotation: standard deviation, limit
TITLES = 256  # number of titles, rendered once and shown at random
BLUR_RADIUS = 4  # radius of Gaussian kernels, in pixels
# The luminance table of JPEG's quality 50 (ITU-T T.81, table K.1).
JPEG_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


class Album:
    """Photos in a device's memory, each at the upper left of a square that fits all of them.

    Args:
        photos: uint8 (3, H, W) each.
    """

    def __init__(self, photos: list[Tensor], device: torch.device) -> None:
        side = max(max(photo.shape[-2:]) for photo in photos)
        pixels = torch.zeros(len(photos), 3, side, side, dtype=torch.uint8)
        for place, photo in zip(pixels, photos, strict=True):
            place[:, : photo.shape[1], : photo.shape[2]] = photo
        self.pixels = pixels.to(device)
        self.sizes = torch.tensor([photo.shape[-2:] for photo in photos], device=device)

    def random_squares(
        self, chosen: Tensor, side: int, *, least: float, generator: torch.Generator
    ) -> Tensor:
        """Crop a random part of each chosen photo, stretch it a little, and scale it to a square.

        Half of the parts are mirrored, and half are rotated a little; areas beyond the photo show
        its mirror image.

        Args:
            chosen: (B,), indices of photos.
            least: the smallest side of a part, before it is stretched, as a share of the photo's
                short side.

        Returns:
            (B, 3, side, side).
        """
        device = self.pixels.device
        sizes = self.sizes[chosen].float()  # height and width
        chance = torch.rand(len(chosen), 5, generator=generator, device=device)
        bells = torch.randn(len(chosen), 2, generator=generator, device=device)
        stretch = torch.exp((bells[:, 0] * STRETCH).clamp(-MAX_STRETCH, MAX_STRETCH) / 2)
        part = sizes.amin(dim=1) * (least + (1 - least) * chance[:, 0])
        extent = torch.stack((part / stretch, part * stretch), dim=1).minimum(sizes)
        centre = extent / 2 + (sizes - extent) * chance[:, 1:3]
        angle = (bells[:, 1] * TURN).clamp(-MAX_TURN, MAX_TURN) * (chance[:, 3] < TURNED_SHARE)
        # (B, side, 1) and (B, 1, side): offsets of the part's pixels from its centre.
        steps = (torch.arange(side, device=device) + 0.5) / side - 0.5
        down = steps[:, None] * extent[:, :1, None]
        across = steps * extent[:, 1:, None]
        across = torch.where(chance[:, 4, None, None] < 0.5, across, -across)
        cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
        places = torch.stack((across * cosine - down * sine, across * sine + down * cosine), dim=-1)
        places = _reflected(places + centre.flip(1)[:, None, None], sizes.flip(1)[:, None, None])
        whole = torch.tensor([self.pixels.shape[-1], self.pixels.shape[-2]], device=device)
        grid = places * 2 / whole - 1
        photos = self.pixels[chosen].float() / 255
        return F.grid_sample(photos, grid, padding_mode="border", align_corners=False)


def _reflected(places: Tensor, sizes: Tensor) -> Tensor:
    """Mirror places beyond the edges of photos of these sizes back into the photos."""
    inside = sizes - (sizes - places.abs()).abs()
    return inside.clamp_min(0.5).minimum(sizes - 0.5)  # the outermost pixels' centres


def title(side: int, rng: random.Random) -> Tensor:
    """Return a random title (3, side, side): letters of one tone on another."""
    background, ink = (rng.choice((0, 0, 0, rng.randint(0, 90))), rng.randint(170, 255))
    if rng.random() < 0.2:
        background, ink = ink, background
    image = Image.new("L", (side, side), background)
    draw = ImageDraw.Draw(image)
    top = rng.randint(-10, 60)
    while top < side and rng.random() < 0.9:
        size = rng.randint(8, 34)
        letters = "".join(rng.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIKLMNOPRSTUVW  .,", k=18))
        left = rng.randint(-20, 60)
        draw.text((left, top), letters, fill=ink, font=ImageFont.load_default(size))
        top += round(size * rng.uniform(1.1, 2.5))
    return (torch.from_numpy(np.array(image)).float() / 255).expand(3, -1, -1)


def titles(side: int, seed: int, device: torch.device) -> Tensor:
    """Return random titles (TITLES, 3, side, side), enough that training rarely repeats one."""
    rng = random.Random(seed)
    return torch.stack([title(side, rng) for _ in range(TITLES)]).to(device)


class Wear:
    """Random wear for batches, drawn from a generator.

    Args:
        titles: (N, 3, H, W), of the same size as the pictures.
    """

    def __init__(self, generator: torch.Generator, titles: Tensor) -> None:
        self.generator = generator
        self.titles = titles

    def stage(self, rgb: Tensor) -> Tensor:
        """Replace some pictures by titles and blanks, and add bars to others."""
        count, _, height, width = rgb.shape
        kind = self._uniform(count, 0, 1)
        chosen = (self._uniform(count, 0, 1) * len(self.titles)).long()
        is_title = kind < TITLE_SHARE
        is_blank = (kind < TITLE_SHARE + BLANK_SHARE) & ~is_title
        rgb = torch.where(is_title, self.titles[chosen.flatten()], rgb)
        first, last = self._uniform(count, 0, 1), self._uniform(count, 0, 1)
        across = torch.linspace(0, 1, width, device=rgb.device).expand(height, width)
        along = torch.where(self._with(0.5, count), across, across.T)
        along = torch.where(self._with(0.33, count), torch.zeros_like(along), along)
        rgb = torch.where(is_blank, first + (last - first) * along, rgb)
        return rgb * ~(self._bars(count, height, width) & ~is_title & ~is_blank)

    def _bars(self, count: int, height: int, width: int) -> Tensor:
        """Return a mask of the bars, (B, 1, H, W)."""
        share = self._uniform(count, 0.02, 0.25)
        rows = torch.linspace(0, 1, height, device=share.device)[:, None].expand(height, width)
        columns = torch.linspace(0, 1, width, device=share.device).expand(height, width)
        place = torch.where(self._with(0.5, count), rows, columns)
        is_outside = (place < share) | (place > 1 - share)
        return self._with(BARS_SHARE, count) & is_outside

    def film(self, rgb: Tensor) -> Tensor:
        """Return the luma of pictures, half of them worn like old film."""
        clean = rgb_to_ycbcr(rgb)[:, :1]
        luma = clean
        for share, treat in (
            (EMULSION_SHARE, lambda luma: self._emulsion(rgb)),
            (TONE_SHARE, self._tone),
            (SOFT_SHARE / 2, self._blurred),
            (SOFT_SHARE / 2, self._shrunk),
            (DIRT_SHARE, self._dirty),
            (GRAIN_SHARE, self._grainy),
            (COMPRESSED_SHARE, self._compressed),
        ):
            luma = torch.where(self._with(share, len(luma)), treat(luma), luma)
        return torch.where(self._with(WORN_SHARE, len(luma)), luma.clamp(0, 1), clean)

    def _emulsion(self, rgb: Tensor) -> Tensor:
        lowest = torch.tensor([0.05, 0.35, 0.05], device=rgb.device).view(1, 3, 1, 1)
        highest = torch.tensor([0.45, 0.75, 0.4], device=rgb.device).view(1, 3, 1, 1)
        chance = torch.rand(len(rgb), 3, 1, 1, generator=self.generator, device=rgb.device)
        response = lowest + (highest - lowest) * chance
        return (rgb * response / response.sum(dim=1, keepdim=True)).sum(dim=1, keepdim=True)

    def _tone(self, luma: Tensor) -> Tensor:
        low = self._uniform(len(luma), -0.15, 0.12)
        high = self._uniform(len(luma), 0.8, 1.25)
        gamma = self._uniform(len(luma), 0.6, 1.6)
        return luma.clamp(1e-4, 1) ** gamma * (high - low) + low

    def _blurred(self, luma: Tensor) -> Tensor:
        return _blur(luma, self._uniform(len(luma), 0.4, 2.0))

    def _shrunk(self, luma: Tensor) -> Tensor:
        """Shrink and enlarge again, by one random factor for the whole batch."""
        side = luma.shape[-1]
        small = round(side * float(self._uniform(1, 0.35, 0.8)))
        return resize(resize(luma, small, small), side, side)

    def _dirty(self, luma: Tensor) -> Tensor:
        """Add scratches from top to bottom, and dust specks of one to four pixels."""
        count, _, height, width = luma.shape
        scratched = self._noise(count, 1, 1, width) < self._uniform(count, 0, 2 / width)
        is_white = self._noise(count, 1, 1, width) < 0.5
        luma = torch.where(scratched, luma * 0.5 + 0.5 * is_white, luma)
        dust = self._noise(count, 1, height, width)
        dust = (dust < self._uniform(count, 0, 12 / (height * width))).float()
        for size in (2, 3):
            grown = F.pad(F.max_pool2d(dust, size, 1), (size - 1, 0, size - 1, 0))
            dust = torch.where(self._with(0.4, count), grown, dust)
        return torch.where(dust > 0, self._with(0.5, count).float(), luma)

    def _grainy(self, luma: Tensor) -> Tensor:
        grain = torch.randn(luma.shape, generator=self.generator, device=luma.device)
        coarse = _blur(grain, torch.full((len(luma), 1, 1, 1), 0.7, device=luma.device)) * 2
        grain = torch.where(self._with(0.5, len(luma)), coarse, grain)
        return luma + grain * self._uniform(len(luma), 0.005, 0.06)

    def _compressed(self, luma: Tensor) -> Tensor:
        """Quantize blocks of 8x8 as JPEG does (ITU-T T.81, A.3.3 and A.3.4)."""
        count, _, height, width = luma.shape
        quality = self._uniform(count, 15, 60)
        scale = torch.where(quality < 50, 50 / quality, (100 - quality) / 50).view(
            count, 1, 1, 1, 1
        )
        table = torch.tensor(JPEG_TABLE, device=luma.device) * scale / 255
        cosines = _cosines().to(luma.device)
        blocks = luma.view(count, height // 8, 8, width // 8, 8).transpose(2, 3)
        steps = (cosines @ blocks @ cosines.T / table).round() * table
        return (cosines.T @ steps @ cosines).transpose(2, 3).reshape(luma.shape)

    def _uniform(self, count: int, low: float, high: float) -> Tensor:
        """Return uniform random numbers (count, 1, 1, 1) between low and high."""
        return low + (high - low) * self._noise(count, 1, 1, 1)

    def _with(self, share: float, count: int) -> Tensor:
        """Choose this share of the pictures at random; a mask (count, 1, 1, 1)."""
        return self._noise(count, 1, 1, 1) < share

    def _noise(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.titles.device)


def _cosines() -> Tensor:
    """Return the matrix of the orthonormal DCT of 8 values, a basis vector per row."""
    number = torch.arange(8.0)
    rows = torch.cos(math.pi / 8 * (number + 0.5) * number[:, None]) / 2
    rows[0] /= math.sqrt(2)
    return rows


def _blur(planes: Tensor, sigma: Tensor) -> Tensor:
    """Blur planes (B, 1, H, W) by a Gaussian, with a sigma (B, 1, 1, 1) in pixels for each."""
    offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=planes.device)
    kernels = torch.exp(-(offsets**2) / (2 * sigma**2))  # (B, 1, 1, 9)
    kernels = kernels / kernels.sum(dim=-1, keepdim=True)
    padded = F.pad(planes.transpose(0, 1), (BLUR_RADIUS,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernels, groups=len(planes))
    return F.conv2d(rows, kernels.transpose(2, 3), groups=len(planes)).transpose(0, 1)
