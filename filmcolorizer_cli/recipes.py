"""Training options and defaults: duration, learning rate, and which parts of stills are used."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from filmcolorizer_cli.configs import ClassicConfig
from filmcolorizer_cli.pairs import Pairs

# Number of pictures in a film's own training: minutes on two cores, however many pairs there are.
FILM_PICTURES = 8_000  # from pretrained weights, if the pairs do not cover all shots
SCRATCH_PICTURES = 16_000  # the same, from untrained weights
WHOLE_FILM_PICTURES = 18_000  # if the pairs cover all shots, which are to be learnt by heart
# If the pairs are a few painted stills. For eight shots of Big Buck Bunny, three times as many
# pictures did not lower the error of these shots and raised that of all others.
PAINTED_PICTURES = 6_000
# Largest share of the trained weights after training on painted stills, which they know by heart
# while knowing nothing else. With five stills of one minute, a share of 1 multiplied the error of
# another scene by 1.22, this one by 1.03; errors of the painted shots were multiplied by 0.05 and
# 0.17, those of other shots of that minute by 0.86 and 0.75.
PAINTED_SHARE = 0.75
MIN_EPOCHS = 2  # however many pairs there are
MIN_EPOCHS_MEMORIZING = 4
PICTURES_PER_EPOCH = 512  # at least, so that batch norms see many parts even of a few pairs
FROZEN_STAGES = 2  # first stages of the encoder: edges and textures are the same in any film
# Share of the missing colourfulness that is restored after training: small and unfamiliar coloured
# objects come out paler than they are, but restoring all of it would make other colours wrong.
RESTORED_COLORFULNESS = 0.4


@dataclass(frozen=True)
class Augmentation:
    """How random parts are taken from the stills for training.

    Attributes:
        squares: whether parts are squares; otherwise they have the aspect ratio of the film.
        min_crop: the smallest part, as a share of the largest one of its shape.
        early_scale, scale: the size of scaled parts, as a share of the network's input size: the
            first, smaller and cheaper, until the learning rate cools down, then the second.
        tone_share: share of the parts whose tone is changed; see `augmentation.vary_tone`.
        mirrors: whether half of the parts are mirrored.
        stretch: variation of the aspect ratio; see `augmentation.random_part`.
        patched_share: share of the parts that show another part in a rectangle.
        max_patch: area of the largest such rectangles, as a share of the part's.
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


# GENERALIZE is for pairs that do not cover all shots, MEMORIZE for those that do. The latter
# shows stills as they are colorized later: what is learnt by heart is bound to its size and place.
GENERALIZE = Augmentation(
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
MEMORIZE = Augmentation(
    squares=False, min_crop=0.9, early_scale=0.6, scale=1.0, tone_share=0.0, mirrors=False
)
MEMORIZED_SIZE = 5 / 6  # network's short side by the stills'; more costs more time than it gains


@dataclass(frozen=True)
class TrainingOptions:
    """Everything that determines a training's result besides the pictures and the first weights.

    Attributes:
        learning_rate: the decoder's highest rate; `classic` uses it throughout.
        augmentation: None to train on whole stills.
        frozen_stages: how many of the encoder's first stages keep their first weights; if any do,
            the stem does too.
        blend: also try blends of the first weights with the trained ones, both those with the
            lowest loss and the last ones, and keep what does best.
        max_trained_share: the largest share of the trained weights in such a blend.
        weight_decay: AdamW's, for `film`.
        colorfulness_weight: loss per unit of too much or too little colourfulness, in `film_loss`.
        colorfulness_restored: for `film`; share of the colourfulness missing on the validation part
            that is restored after training.
        cooldown_share: for `film`; share of the steps, at the end, over which the learning rate
            falls to zero.
        averaging_share: for `film`; time constant of the moving average of the weights, as a share
            of the steps.
        path_drop_rate, feature_drop_rate: for `film`; see `Encoder.drop_paths` and
            `FilmNetwork.drop_features`.
        shot_balance: how much less often stills of long shots are shown: 0 shows all stills equally
            often, 1 all shots. Above 0, stills are drawn with replacement, so an epoch leaves some
            out. 0.5 is square-root sampling (Mahajan et al. 2018, "Exploring the limits of weakly
            supervised pretraining").
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int = 0
    augmentation: Augmentation | None = None
    frozen_stages: int = 0
    blend: bool = False
    max_trained_share: float = 1.0
    weight_decay: float = 0.01
    colorfulness_weight: float = 0.0
    colorfulness_restored: float = 0.0
    cooldown_share: float = 0.4
    averaging_share: float = 0.05
    path_drop_rate: float = 0.0
    feature_drop_rate: float = 0.0
    shot_balance: float = 0.0

    def seed_of(self, epoch: int) -> int:
        """Return the random seed of an epoch."""
        return (self.seed * 1_000_003 + epoch) % 2**63

    @property
    def early_epochs(self) -> int:
        """Number of epochs before the learning rate cools down, which train on small pictures."""
        return math.floor(self.epochs * (1 - self.cooldown_share))


def default_options(
    arch: str, pairs: int, *, is_pretrained: bool, shows_all: bool, is_painted: bool = False
) -> TrainingOptions:
    """Return suitable options for this number of a film's pairs; `classic` trains as in 2020.

    Args:
        is_pretrained: whether the first weights are from an earlier training.
        shows_all: whether the pairs cover all shots that matter.
        is_painted: whether the pairs are a few stills painted by hand.
    """
    if arch == ClassicConfig.arch:
        return TrainingOptions(epochs=20, batch_size=16, learning_rate=1e-4)
    if is_painted:
        pictures = PAINTED_PICTURES
    elif shows_all:
        pictures = WHOLE_FILM_PICTURES
    else:
        pictures = FILM_PICTURES if is_pretrained else SCRATCH_PICTURES
    fewest = MIN_EPOCHS_MEMORIZING if shows_all else MIN_EPOCHS
    options = TrainingOptions(
        epochs=max(fewest, round(pictures / (pairs * _passes(pairs)))),
        batch_size=16,
        learning_rate=3e-3,
        augmentation=MEMORIZE,
        frozen_stages=FROZEN_STAGES if is_pretrained else 0,
        blend=is_pretrained,
        max_trained_share=PAINTED_SHARE if is_painted else 1.0,
        colorfulness_restored=RESTORED_COLORFULNESS,
    )
    if shows_all:
        return options
    # A film has few shots and the network soon learns them by heart, which does not help with other
    # shots. So parts of the pictures and of the network are dropped at random, and the learning
    # rate cools down only briefly.
    return replace(
        options,
        learning_rate=2e-3,
        augmentation=GENERALIZE,
        weight_decay=0.05,
        cooldown_share=0.1,
        averaging_share=0.1,
        path_drop_rate=0.2,
        feature_drop_rate=0.15,
        shot_balance=0.5,
    )


def default_size(arch: str, pairs: Pairs, *, shows_all: bool) -> int:
    """Return the short side, in pixels, of the input of a network trained on these pairs.

    Args:
        shows_all: as in `default_options`.
    """
    if arch == ClassicConfig.arch:
        return ClassicConfig.size
    side = min(pairs.width, pairs.height)
    return multiple_of_16(side * MEMORIZED_SIZE) if shows_all else side


def multiple_of_16(pixels: float) -> int:
    """Round to a multiple of 16, so that the deepest features, at 1/32, fit the picture well."""
    return max(round(pixels / 16), 1) * 16


def steps_per_epoch(pairs: int, options: TrainingOptions) -> int:
    """Return the number of batches per epoch.

    A single remaining picture joins the batch before it, since batch norm needs two or more.
    """
    return max(math.ceil((pictures_per_epoch(pairs, options) - 1) / options.batch_size), 1)


def pictures_per_epoch(pairs: int, options: TrainingOptions) -> int:
    """Return how many pictures an epoch shows, for this number of training pairs."""
    return pairs * _passes(pairs) if options.augmentation else pairs


def _passes(pairs: int) -> int:
    """Return how many random parts of each pair an epoch shows; more if there are few pairs."""
    return math.ceil(PICTURES_PER_EPOCH / pairs)
