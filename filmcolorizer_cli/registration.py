"""Spatial registration of the pictures of two versions of a film: bars, crop, zoom, rotation.

A `Placement` is searched for on a grid of crops and zooms, then refined by Gauss-Newton steps on
the differences of many frames at once (B. D. Lucas and T. Kanade, "An Iterative Image Registration
Technique with an Application to Stereo Vision", 1981). Brightness, contrast and slow shading are
removed from the pictures first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from filmcolorizer_cli.areas import Affine, Area, farthest_move, inverse
from filmcolorizer_cli.planes import Floats
from filmcolorizer_cli.signatures import HEIGHT, WIDTH, Frames, Signatures

BAR_LUMA = 30  # codes; pixels that are rarely brighter belong to a bar
BAR_PERCENTILE = 80  # percentage of frames in which a bar must be dark; a reel may have no bars
BAR_MARGIN = 0.25  # pixels of a signature that are left out beside a bar
FAINT_DEVIATION = 40.0  # codes, as the norm of a picture: five times that of rounding to codes
MIN_SIDE = 0.2  # share of the black-and-white picture's width and height that both films must show
MIN_SHARED = 0.3  # share of the coloured picture that both films must show

# The search grid: the size of the coloured picture relative to the black-and-white one on each
# axis, the largest ratio between the axes, and the shift step, about a pixel of `COARSE`.
ZOOMS = (0.7, 0.8, 0.9, 1.0, 1.11, 1.25, 1.43)
MAX_STRETCH = 1.36
SHIFT_STEP = 0.066
KEY_FRAMES = 32  # frames of the black-and-white film to search for
SEARCHED_FRAMES = 2000  # frames of the coloured film to search, at most
MIN_SCORE = 0.1  # below this mean correlation of the best placement, no placement is found
TRIED_PLACEMENTS = 3  # number of the best placements of the grid to refine

MAX_STEPS = 15  # steps of a refinement, at most
SETTLED = 2e-4  # refinement ends when a step changes no element of the affine map by more
REFINING_FRAMES = 200  # frames to refine a placement on
MIN_PAIRS = 8  # pairs of frames in the shortest part with a placement of its own
MIN_WORSENING = 1.3  # ratio of dissimilarities above which a part gets its own placement
MIN_MOVE = 0.006  # share of the picture's side by which a corner must move for a new placement
PIXELS = WIDTH * HEIGHT


@dataclass(frozen=True)
class Placement:
    """The position of the coloured picture on the black-and-white one.

    Attributes:
        color_to_bw: maps a point (x, y, 1) of the coloured picture to the black-and-white one, both
            in [0, 1] coordinates.
        bw_content, color_content: areas of the two pictures without bars.
    """

    color_to_bw: Affine
    bw_content: Area
    color_content: Area

    def moved(self, color_to_bw: Affine) -> Placement:
        return Placement(color_to_bw, self.bw_content, self.color_content)

    def bw_to_color(self) -> Affine:
        """Return the affine map from the black-and-white picture to the coloured one."""
        return inverse(self.color_to_bw)

    def reversed(self) -> Placement:
        """Return the placement of the black-and-white picture on the coloured one."""
        return Placement(self.bw_to_color(), self.color_content, self.bw_content)

    @property
    def is_visible(self) -> bool:
        """Whether the area that both films show is more than a strip."""
        area = self.area()
        return min(area.width, area.height) > MIN_SIDE

    def area(self) -> Area:
        """Return the largest upright area of the black-and-white picture in both, without bars."""
        color = self.color_content
        corners = np.array(
            [(x, y, 1) for x in (color.left, color.right) for y in (color.top, color.bottom)]
        )
        (top_left, bottom_left, top_right, bottom_right) = corners @ self.color_to_bw.T
        return Area(
            max(float(top_left[0]), float(bottom_left[0]), self.bw_content.left),
            max(float(top_left[1]), float(top_right[1]), self.bw_content.top),
            min(float(top_right[0]), float(bottom_right[0]), self.bw_content.right),
            min(float(bottom_left[1]), float(bottom_right[1]), self.bw_content.bottom),
        )


def find_content(frames: Frames) -> Area:
    """Find the picture area inside the black bars that most frames (N, 768) have."""
    some = frames[:: max(len(frames) // 500, 1)]
    pictures = np.percentile(some, BAR_PERCENTILE, axis=0).reshape(HEIGHT, WIDTH)
    left, right = _lit_range(pictures.max(axis=0))
    top, bottom = _lit_range(pictures.max(axis=1))
    return Area(left, top, right, bottom)


def _lit_range(brightest: NDArray[np.float64]) -> tuple[float, float]:
    """Return the lit range of a line of pixels, in [0, 1] minus a margin beside bars."""
    size = len(brightest)
    lit = np.flatnonzero(brightest > BAR_LUMA)
    if not len(lit) or lit[-1] - lit[0] < size // 3:
        return 0.0, 1.0
    begin = lit[0] + _covered(brightest[lit[0]], brightest[lit[0] + 1])
    end = lit[-1] + 1 - _covered(brightest[lit[-1]], brightest[lit[-1] - 1])
    return float(begin) / size, float(end) / size


def _covered(edge: float, inside: float) -> float:
    """Return the share of an edge pixel that a bar and its margin cover, from its brightness."""
    covered = 1 - edge / max(inside, 1)
    return min(covered + BAR_MARGIN, 1) if covered > BAR_MARGIN else 0.0


@dataclass(frozen=True)
class Grid:
    """The pixel grid on which pictures are compared.

    Attributes:
        shading_radius: pixels; shading on a larger scale is removed.
    """

    width: int
    height: int
    shading_radius: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


FINE = Grid(WIDTH, HEIGHT, 4)
COARSE = Grid(16, 12, 3)  # tolerates a placement that is off by a twentieth of the picture


class Comparison:
    """A transform that makes frames of both films comparable at a given placement.

    Black-and-white frames are resampled to the pixels of the coloured ones. Parts that only one
    film shows, slow shading, brightness and contrast are removed from both. The results are unit
    vectors, whose inner product is the correlation of two pictures; faint pictures are shorter.

    Attributes:
        mask: (P,): 1 for the pixels that both films show, else 0.
    """

    def __init__(self, placement: Placement, grid: Grid = FINE) -> None:
        self.grid, self._affine = grid, placement.color_to_bw
        self._resampling, is_covered = _resampling(placement.color_to_bw, grid)
        self.mask = np.asarray(
            is_covered
            * (self._resampling @ _mask(placement.bw_content, grid) > 0.999)
            * _mask(placement.color_content, grid),
            np.float32,
        )
        self._flatten = _without_shading(self.mask, grid)
        # Scaled so that a small shared area needs no more contrast than a whole picture.
        self._faint = FAINT_DEVIATION * float(np.sqrt(self.mask.sum() / PIXELS))

    @property
    def shared(self) -> float:
        """The share of the coloured picture that both films show."""
        return float(self.mask.mean())

    def bw(self, frames: Frames) -> Floats:
        """Return frames (N, 768) of the black-and-white film as vectors (N, P)."""
        return self.normalised(self.flat_bw(frames))

    def color(self, frames: Frames) -> Floats:
        """Return frames (N, 768) of the coloured film as vectors (N, P)."""
        return self.normalised(self.flat_color(frames))

    def flat_bw(self, frames: Frames) -> Floats:
        """Return the vectors of `bw` before they are shortened, in luma codes."""
        return self._moved(frames, self._resampling)

    def flat_color(self, frames: Frames) -> Floats:
        """Return the vectors of `color` before they are shortened, in luma codes."""
        return np.asarray(_pooled(frames, self.grid) @ self._flatten.T)

    def contrast(self, flat: Floats) -> Floats:
        """Return the contrast (N,) of flat pictures (N, P); below 1, a picture is faint."""
        return np.asarray(np.linalg.norm(flat, axis=1) / self._faint)

    def normalised(self, flat: Floats) -> Floats:
        """Scale flat pictures (N, P) to vectors no longer than 1."""
        return np.asarray(flat / (self._faint * np.maximum(self.contrast(flat), 1))[:, None])

    def bw_slopes(self, frames: Frames) -> Floats:
        """Return the derivatives (N, 6, P) of the vectors by the six elements of the affine map."""
        flat = self.flat_bw(frames)
        lengths = (self._faint * np.maximum(self.contrast(flat), 1))[:, None]
        unit = flat / lengths
        slopes = []
        for slope in _resampling_slopes(self._affine, self.grid):
            moved = self._moved(frames, slope) / lengths
            slopes.append(moved - (moved * unit).sum(axis=1, keepdims=True) * unit)
        return np.stack(slopes, axis=1)

    def _moved(self, frames: Frames, resampling: Floats) -> Floats:
        pictures = _pooled(frames, self.grid)
        if len(pictures) < self.grid.pixels:
            return np.asarray((pictures @ resampling.T) @ self._flatten.T)
        return np.asarray(pictures @ (self._flatten @ resampling).T)


def _pooled(frames: Frames, grid: Grid) -> Floats:
    """Average the pixels of signatures (N, 768) in each pixel of the grid, giving (N, P)."""
    pictures = frames.astype(np.float32)
    if grid == FINE:
        return pictures
    across, down = WIDTH // grid.width, HEIGHT // grid.height
    blocks = pictures.reshape(-1, grid.height, down, grid.width, across)
    return np.asarray(blocks.mean(axis=(2, 4)).reshape(-1, grid.pixels))


def find_placement(bw: Signatures, color: Signatures) -> Placement | None:
    """Find the placement of two films without knowing which of their frames correspond.

    Key frames of the black-and-white film, cropped and zoomed in a few hundred ways, are searched
    for in the coloured film. The placements at which they match best are refined.

    Returns:
        The best placement; None if its score is not above `MIN_SCORE`.
    """
    contents = find_content(bw.frames), find_content(color.frames)
    keys = _key_frames(bw)
    searched = color.frames[:: len(color) // SEARCHED_FRAMES + 1]
    identity = np.eye(2, 3)
    whole = Comparison(Placement(identity, Area(), contents[1]), COARSE)
    pictures = whole.color(searched)
    squares = (pictures**2).T
    scored = []
    for affine in _grid(*contents):
        placement = Placement(affine, *contents)
        scored.append((_search_score(keys, pictures, squares, placement), placement))
    scored.sort(key=lambda pair: -pair[0])
    best = [placement for _, placement in scored[:TRIED_PLACEMENTS]]
    refined = [_refine_keys(keys, searched, placement) for placement in best]
    score, placement = max(refined, key=lambda pair: pair[0])
    return placement if score > MIN_SCORE else None


def place(bw_frames: Frames, color_frames: Frames) -> Placement:
    """Find the best placement for frames (N, 768) that are said to show the same moments."""
    contents = find_content(bw_frames), find_content(color_frames)
    placements = [Placement(affine, *contents) for affine in _grid(*contents)]
    placements.sort(key=lambda placement: dissimilarity(bw_frames, color_frames, placement, COARSE))
    refined = [refine(bw_frames, color_frames, p) for p in placements[:TRIED_PLACEMENTS]]
    return min(refined, key=lambda placement: dissimilarity(bw_frames, color_frames, placement))


def _key_frames(bw: Signatures) -> Frames:
    """Choose frames (N, 768) spread over a film, with high contrast and little motion."""
    frames = bw.frames
    edges = np.linspace(0, len(frames), min(KEY_FRAMES, len(frames)) + 1).astype(int)
    keys = []
    for begin, end in pairwise(edges):
        slot = frames[begin:end].astype(np.float32)
        motion = np.abs(np.diff(slot, axis=0, prepend=slot[:1])).mean(axis=1)
        keys.append(begin + np.argmax(slot.std(axis=1) - 10 * np.minimum(motion, 5)))
    return frames[keys]


def _grid(bw_content: Area, color_content: Area) -> list[Affine]:
    """Return affine maps from the coloured content to parts, or surroundings, of the other."""
    sides = []
    for zoom in ZOOMS:
        slack = abs(1 - zoom)
        steps = 1 if slack < 0.01 else int(np.ceil(slack / SHIFT_STEP)) + 1
        shifts = np.linspace(-slack / 2, slack / 2, steps) if steps > 1 else np.zeros(1)
        sides += [(zoom, 0.5 + shift - zoom / 2) for shift in shifts]
    affines = []
    for across, left in sides:
        for down, top in sides:
            if 1 / MAX_STRETCH < across / down < MAX_STRETCH:
                x = _axis(
                    left,
                    across,
                    (bw_content.left, bw_content.right),
                    (color_content.left, color_content.right),
                )
                y = _axis(
                    top,
                    down,
                    (bw_content.top, bw_content.bottom),
                    (color_content.top, color_content.bottom),
                )
                affines.append(np.array(((x[0], 0, x[1]), (0, y[0], y[1]))))
    return affines


def _axis(
    start: float, zoom: float, bw: tuple[float, float], color: tuple[float, float]
) -> tuple[float, float]:
    """Return the scale and shift that map the range ``color`` to a part of the range ``bw``."""
    size = bw[1] - bw[0]
    scale = zoom * size / (color[1] - color[0])
    return scale, bw[0] + start * size - scale * color[0]


def _search_score(keys: Frames, pictures: Floats, squares: Floats, placement: Placement) -> float:
    """Return the mean best correlation of the better half of the key frames in the pictures."""
    comparison = Comparison(placement, COARSE)
    if comparison.shared < MIN_SHARED:
        return 0.0
    sought = comparison.bw(keys)
    # The coloured pictures are not masked, so their lengths must be those of the shared area.
    lengths = np.sqrt(np.maximum(comparison.mask @ squares, 0.1))
    return _better_half((sought @ pictures.T / lengths).max(axis=1))


def _better_half(values: Floats) -> float:
    return float(np.sort(values)[len(values) // 2 :].mean())


def _refine_keys(keys: Frames, searched: Frames, placement: Placement) -> tuple[float, Placement]:
    """Refine a placement twice on the frames that match best; return their mean correlation too."""
    score = 0.0
    for _ in range(2):
        comparison = Comparison(placement, COARSE)
        similarity = comparison.bw(keys) @ comparison.color(searched).T
        found = similarity.argmax(axis=1)
        good = np.argsort(similarity.max(axis=1))[len(keys) // 2 :]
        placement = refine(keys[good], searched[found[good]], placement)
        fine = Comparison(placement)
        if fine.shared < MIN_SHARED:
            return 0.0, placement
        vectors = fine.bw(keys[good]), fine.color(searched[found[good]])
        score = float((vectors[0] * vectors[1]).sum(axis=1).mean())
    return score, placement


def refine(bw_frames: Frames, color_frames: Frames, placement: Placement) -> Placement:
    """Refine a placement so that frames (N, 768) of the same moments match best."""
    for _ in range(MAX_STEPS):
        equations = normal_equations(bw_frames, color_frames, placement)
        step = solve_step(*(part.sum(axis=0) for part in equations))
        placement = placement.moved(placement.color_to_bw + step)
        if np.abs(step).max() < SETTLED:
            break
    return placement


def split_by_placement(
    bw_frames: Frames, color_frames: Frames, placement: Placement
) -> list[tuple[int, Placement]]:
    """Find where the placement changes along ordered pairs of frames (N, 768).

    Returns:
        The first pair of each part, and the part's refined placement.
    """
    squares, rights = normal_equations(bw_frames, color_frames, placement)
    sums = (
        np.concatenate((np.zeros((1, 6, 6)), np.cumsum(squares, axis=0))),
        np.concatenate((np.zeros((1, 6)), np.cumsum(rights, axis=0))),
    )

    def fit(begin: int, end: int) -> Placement:
        step = solve_step(sums[0][end] - sums[0][begin], sums[1][end] - sums[1][begin])
        chosen = np.unique(np.linspace(begin, end - 1, REFINING_FRAMES).round().astype(int))
        start = placement.moved(placement.color_to_bw + step)
        return refine(bw_frames[chosen], color_frames[chosen], start)

    parts: list[tuple[int, Placement]] = []
    for begin, end in pairwise((*_split(sums, 0, len(bw_frames)), len(bw_frames))):
        own = fit(begin, end)
        if parts:
            # Faint pictures hardly constrain a placement, so test whether a shared one is worse.
            together = fit(parts[-1][0], end)
            pairs = bw_frames[begin:end], color_frames[begin:end]
            is_new = is_moved(parts[-1][1], own) and (
                dissimilarity(*pairs, together) > MIN_WORSENING * dissimilarity(*pairs, own)
            )
            if not is_new:
                parts[-1] = (parts[-1][0], together)
                continue
        parts.append((begin, own))
    return parts


def dissimilarity(
    bw_frames: Frames, color_frames: Frames, placement: Placement, grid: Grid = FINE
) -> float:
    """Return 1 minus the median correlation of frames (N, 768) of the same moments; from 0 to 2."""
    comparison = Comparison(placement, grid)
    similarity = (comparison.bw(bw_frames) * comparison.color(color_frames)).sum(axis=1)
    return 1 - float(np.median(similarity))


def is_moved(before: Placement, after: Placement) -> bool:
    """Whether a corner of the picture moves by more than `MIN_MOVE`."""
    return farthest_move(after.color_to_bw - before.color_to_bw) > MIN_MOVE


def _split(
    sums: tuple[NDArray[np.float64], NDArray[np.float64]],
    begin: int,
    end: int,
) -> list[int]:
    """Split a range recursively where two placements fit best, if they differ; return starts."""

    def step(first: int, last: int) -> tuple[Affine, float]:
        square, right = sums[0][last] - sums[0][first], sums[1][last] - sums[1][first]
        found = solve_step(square, right)
        return found, float(right @ found.ravel())

    candidates = range(begin + MIN_PAIRS, end - MIN_PAIRS + 1)
    if not candidates:
        return [begin]
    split = max(candidates, key=lambda n: step(begin, n)[1] + step(n, end)[1])
    if farthest_move(step(begin, split)[0] - step(split, end)[0]) <= MIN_MOVE:
        return [begin]
    return _split(sums, begin, split) + _split(sums, split, end)


def solve_step(square: NDArray[np.float64], right: NDArray[np.float64]) -> Affine:
    """Return the Gauss-Newton step (2, 3) of summed normal equations."""
    damping = 1e-6 * max(float(np.trace(square)) / 6, 1e-6)
    step = np.linalg.solve(square + damping * np.eye(6), right)
    return np.clip(step, -0.1, 0.1).reshape(2, 3)


def normal_equations(
    bw_frames: Frames, color_frames: Frames, placement: Placement
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Gauss-Newton normal equations of each of N pairs of frames.

    Returns:
        (N, 6, 6) and (N, 6): the matrices and right-hand sides; 0 for pairs that do not match.
    """
    comparison = Comparison(placement)
    bw, color = comparison.bw(bw_frames), comparison.color(color_frames)
    similarity = (bw * color).sum(axis=1)
    counts = similarity > max(0.3, float(np.median(similarity)) - 0.2)
    difference = (color - similarity[:, None] * bw) * counts[:, None]
    jacobian = comparison.bw_slopes(bw_frames) * counts[:, None, None]
    square = jacobian @ jacobian.transpose(0, 2, 1)
    right = jacobian @ difference[:, :, None]
    return square.astype(np.float64), right[:, :, 0].astype(np.float64)


def _resampling_slopes(affine: Affine, grid: Grid) -> Iterator[Floats]:
    """Yield the derivative of the resampling by each of the six elements of an affine map."""
    step = 0.25 / grid.width
    for number in range(6):
        change = np.zeros(6)
        change[number] = step
        after, _ = _resampling(affine + change.reshape(2, 3), grid)
        before, _ = _resampling(affine - change.reshape(2, 3), grid)
        yield (after - before) / np.float32(2 * step)


def _resampling(affine: Affine, grid: Grid) -> tuple[Floats, Floats]:
    """Return the bilinear resampling of a black-and-white picture at a coloured one's pixels.

    Returns:
        (P, P), the weights; and (P,), 1 where a pixel lies within the picture, else 0.
    """
    x, y = affine @ _pixel_centres(grid)
    column, row = x * grid.width - 0.5, y * grid.height - 0.5
    is_inside = (
        (column > -0.5) & (column < grid.width - 0.5) & (row > -0.5) & (row < grid.height - 0.5)
    )
    across, down = _hat(column, grid.width), _hat(row, grid.height)
    weights = (down[:, :, None] * across[:, None, :]).reshape(grid.pixels, grid.pixels)
    return weights, is_inside.astype(np.float32)


def _hat(position: NDArray[np.float64], size: int) -> Floats:
    """Return the linear weights (N, size) of the two pixels beside each position."""
    inside = np.clip(position, 0, size - 1)[:, None]
    return np.maximum(1 - np.abs(inside - np.arange(size)), 0).astype(np.float32)


@cache
def _pixel_centres(grid: Grid) -> NDArray[np.float64]:
    """Return x, y and 1 of each pixel's centre, (3, P), in [0, 1] coordinates."""
    y, x = np.mgrid[: grid.height, : grid.width]
    return np.stack(
        ((x.ravel() + 0.5) / grid.width, (y.ravel() + 0.5) / grid.height, np.ones(grid.pixels))
    )


def _mask(content: Area, grid: Grid) -> Floats:
    """Return the mask (P,): 1 for the pixels that lie wholly in a rectangle, else 0."""
    x, y, _ = _pixel_centres(grid)
    across, down = 0.49 / grid.width, 0.49 / grid.height
    inside = (x - across > content.left) & (x + across < content.right)
    inside &= (y - down > content.top) & (y + down < content.bottom)
    return inside.astype(np.float32)


def _without_shading(mask: Floats, grid: Grid) -> Floats:
    """Return the matrix (P, P) that subtracts from each pixel its local mean within the mask."""
    around = _neighbours(grid) * mask
    around /= np.maximum(around.sum(axis=1, keepdims=True), 1e-6)
    identity = np.eye(grid.pixels, dtype=np.float32)
    return np.asarray((identity - around) * mask[:, None] * mask, np.float32)


@cache
def _neighbours(grid: Grid) -> Floats:
    """Return the matrix (P, P): 1 for the pixels of a square around each pixel, else 0."""
    columns, rows = np.arange(grid.width), np.arange(grid.height)
    across = np.abs(columns[:, None] - columns) <= grid.shading_radius
    down = np.abs(rows[:, None] - rows) <= grid.shading_radius
    return np.kron(down, across).astype(np.float32)
