"""How a network is trained: for how long, how fast, and on which parts of the stills."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from filmcolorizer_cli.configs import ClassicConfig
from filmcolorizer_cli.pairs import Pairs

# A film's own training: minutes on two cores, however many pairs there are.
FILM_PICTURES = 8_000  # that a training sees where later shots are foreign to it
SCRATCH_PICTURES = 16_000  # and where it begins with weights that know no colours
WHOLE_FILM_PICTURES = 18_000  # and where it sees all shots, and is to learn them by heart
# And where these are a few painted ones: of eight shots of Big Buck Bunny three times as many made
# the error no less, and that of all others more.
PAINTED_PICTURES = 6_000
# The share of the weights that learnt these by heart, which know nothing else: of five stills of
# one minute with all of it another scene came out 1.22 times as wrong as before, with this 1.03
# times; the painted shots had 0.05 and 0.17 of their error, others of that minute 0.86 and 0.75.
PAINTED_SHARE = 0.75
MIN_EPOCHS = 2  # however many pairs there are
MIN_EPOCHS_BY_HEART = 4
PICTURES_PER_EPOCH = 512  # or more, so that the batch norms of a few pairs see many of their parts
FROZEN_STAGES = 2  # of the encoder: edges and textures are the same in any film
# The share that is made up for of what colours lack of colourfulness, since small coloured things
# come out paler, and foreign ones too; all of it would make the others wrong.
LIVELINESS = 0.4


@dataclass(frozen=True)
class Augmentation:
    """Which random parts of the stills training sees, and how they vary.

    Attributes:
        squares: whether they are squares; else they have the shape of the film's picture.
        min_crop: the smallest part, as a share of the largest of its shape.
        early_scale, scale: what parts are scaled to, as shares of the network's size: small and
            cheap ones at first, larger ones once the learning rate cools down.
        tone_share: of the parts, seen in another tone.
        mirrors: whether half of the parts are mirrored.
        stretch: by how much they differ in shape; see `augmentation.random_part`.
        patched_share: of the parts, that show another one in a rectangle.
        max_patch: of these rectangles, as a share of the part's area.
    """

    squares: bool
    min_crop: float
    early_scale: float
    scale: float
    tone_share: float
    mirrors: bool
    stretch: float = 0.0
    patched_share: float = 0.0
    max_patch: float = 0.0


# For shots that are foreign to the network, and for those that it is to learn by heart: as they are
# looked at later, since what is learnt so is known in this size and place alone.
TO_GENERALIZE = Augmentation(
    squares=True,
    min_crop=0.35,
    early_scale=5 / 6,
    scale=5 / 6,
    tone_share=0.5,
    mirrors=True,
    stretch=0.15,
    patched_share=0.4,
    max_patch=0.3,
)
BY_HEART = Augmentation(
    squares=False, min_crop=0.9, early_scale=0.6, scale=1.0, tone_share=0.0, mirrors=False
)
BY_HEART_SIZE = 5 / 6  # of the stills' size; more takes longer than it is worth


@dataclass(frozen=True)
class TrainingOptions:
    """What decides the result of a training run, besides the pictures and the first weights.

    Attributes:
        learning_rate: of the decoder at its highest; `classic` uses it throughout.
        augmentation: None to show the stills themselves, whole.
        frozen_stages: so many of the encoder's first stages (and what comes before them) keep the
            weights they came with.
        blend: keep what does best between the first weights and the trained ones, be it those with
            the least loss or the last, and not only one of both.
        most_trained: the share of the trained weights in such a blend, at most.
        weight_decay: of `film` (AdamW's).
        colorfulness_weight: of a unit of colourfulness too much or too little, in `film_loss`.
        liveliness: of `film`; the share that is made up for, once it is trained, of what colours
            lack of colourfulness on the validation part.
        cooldown_share: of the steps of `film`, at the end, over which the learning rate falls to
            nothing.
        averaging_share: of the steps of `film`, that the moving average of the weights reaches
            back over.
        path_drop_rate, feature_drop_rate: of `film`; how often parts of it are left out at random
            (`Encoder.drop_paths`, `FilmNetwork.drop_features`).
        shot_balance: how much the stills of long shots are shown less often: 0 shows each as often
            as the others, 1 each shot; beyond 0 they are drawn with replacement, so that an epoch
            leaves some out. 0.5 is square-root sampling (Mahajan et al. 2018, "Exploring
            the limits of weakly supervised pretraining").
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int = 0
    augmentation: Augmentation | None = None
    frozen_stages: int = 0
    blend: bool = False
    most_trained: float = 1.0
    weight_decay: float = 0.01
    colorfulness_weight: float = 0.0
    liveliness: float = 0.0
    cooldown_share: float = 0.4
    averaging_share: float = 0.05
    path_drop_rate: float = 0.0
    feature_drop_rate: float = 0.0
    shot_balance: float = 0.0

    def seed_of(self, epoch: int) -> int:
        """What decides all that is random in an epoch."""
        return (self.seed * 1_000_003 + epoch) % 2**63

    @property
    def early_epochs(self) -> int:
        """How many epochs show small pictures: those before the learning rate cools down."""
        return math.floor(self.epochs * (1 - self.cooldown_share))


def default_options(
    arch: str, pairs: int, *, is_pretrained: bool, shows_all: bool, is_painted: bool = False
) -> TrainingOptions:
    """What suits the training on so many pairs of one film; `classic` trains as in 2020.

    Args:
        is_pretrained: whether the first weights know colours already.
        shows_all: whether the pairs show all shots that matter, or others will come.
        is_painted: whether these are a handful, painted by hand.
    """
    if arch == ClassicConfig.arch:
        return TrainingOptions(epochs=20, batch_size=16, learning_rate=1e-4)
    if is_painted:
        pictures = PAINTED_PICTURES
    elif shows_all:
        pictures = WHOLE_FILM_PICTURES
    else:
        pictures = FILM_PICTURES if is_pretrained else SCRATCH_PICTURES
    fewest = MIN_EPOCHS_BY_HEART if shows_all else MIN_EPOCHS
    options = TrainingOptions(
        epochs=max(fewest, round(pictures / (pairs * _passes(pairs)))),
        batch_size=16,
        learning_rate=3e-3,
        augmentation=BY_HEART,
        frozen_stages=FROZEN_STAGES if is_pretrained else 0,
        blend=is_pretrained,
        most_trained=PAINTED_SHARE if is_painted else 1.0,
        liveliness=LIVELINESS,
    )
    if shows_all:
        return options
    # A film has few shots, and they are learnt by heart soon, which tells nothing of the others. So
    # parts of them and of the network are left out at random, and no rate falls for long.
    return replace(
        options,
        learning_rate=2e-3,
        augmentation=TO_GENERALIZE,
        weight_decay=0.05,
        cooldown_share=0.1,
        averaging_share=0.1,
        path_drop_rate=0.2,
        feature_drop_rate=0.15,
        shot_balance=0.5,
    )


def default_size(arch: str, pairs: Pairs, *, shows_all: bool) -> int:
    """The short side, in pixels, of the picture that a network looks at which learns these pairs.

    Args:
        shows_all: as in `default_options`.
    """
    if arch == ClassicConfig.arch:
        return ClassicConfig.size
    side = min(pairs.width, pairs.height)
    return multiple_of_16(side * BY_HEART_SIZE) if shows_all else side


def multiple_of_16(pixels: float) -> int:
    """So that the deepest features, at a 32nd, cut off little."""
    return max(round(pixels / 16), 1) * 16


def steps_per_epoch(pairs: int, options: TrainingOptions) -> int:
    """How many batches show so many pictures as `pictures_per_epoch` tells.

    A last one alone joins the batch before it, since batch norm cannot learn from one picture.
    """
    return max(math.ceil((pictures_per_epoch(pairs, options) - 1) / options.batch_size), 1)


def pictures_per_epoch(pairs: int, options: TrainingOptions) -> int:
    """How many pictures an epoch shows of so many training pairs."""
    return pairs * _passes(pairs) if options.augmentation else pairs


def _passes(pairs: int) -> int:
    """How often an epoch shows pairs of which it takes random parts: a few of them more often."""
    return math.ceil(PICTURES_PER_EPOCH / pairs)
