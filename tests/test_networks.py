from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from filmcolorizer_cli import networks
from filmcolorizer_cli.color import chroma_to_codes, luma_from_codes, rgb_to_ycbcr
from filmcolorizer_cli.configs import (
    ClassicConfig,
    Config,
    FilmConfig,
    config_from_dict,
    config_to_dict,
)
from filmcolorizer_cli.errors import OptionError, WeightsError
from filmcolorizer_cli.files import SAMPLE_FILM
from filmcolorizer_cli.frames import read_ycbcr
from filmcolorizer_cli.models import find_model
from filmcolorizer_cli.networks import (
    ClassicNetwork,
    DepthwiseConv,
    FilmNetwork,
    InvertedResidual,
    Network,
    autocast,
    build,
    fold_batch_norms,
    for_inference,
    pick_device,
)
from filmcolorizer_cli.sampling import Sampling
from filmcolorizer_cli.video import probe
from filmcolorizer_cli.weights import load
from tests.colors import BT709_BARS_100
from tests.networks import TINY, random_luma
from tests.values import present

# EfficientNet-Lite's published parameter counts, and channels before its head (left out here).
LITE_PARAMETERS = {"lite0": (4_652_008, 320), "lite2": (6_092_072, 352)}


def seeded(config: Config) -> Network:
    """Build a network as after some training: no weight, bias or statistic is left at 0 or 1."""
    torch.manual_seed(0)
    network = build(config).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            present(module.running_mean).normal_(std=0.2)
            present(module.running_var).uniform_(0.5, 2)
    nn.init.normal_(network.head.weight, std=0.1)
    nn.init.normal_(present(network.head.bias), std=0.05)
    return network


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_classic_has_the_2020_projects_parameters() -> None:
    assert parameter_count(build(ClassicConfig())) == 1_885_827


def test_classic_has_the_2020_projects_layers() -> None:
    network = build(ClassicConfig())
    layers: list[nn.Module] = []
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, *_: layers.append(module))
    network(torch.zeros(1, 3, 64, 64))
    *doubles, last = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [
        (c.in_channels, c.out_channels, c.kernel_size, c.stride, c.padding) for c in doubles
    ] == [
        (3, 64, (3, 3), (2, 2), (1, 1)),
        (64, 64, (3, 3), (1, 1), (1, 1)),
        (64, 128, (3, 3), (2, 2), (1, 1)),
        (128, 128, (3, 3), (1, 1), (1, 1)),
        (128, 256, (3, 3), (2, 2), (1, 1)),
        (256, 256, (3, 3), (1, 1), (1, 1)),
        (256 + 128, 128, (3, 3), (1, 1), (1, 1)),
        (128, 128, (3, 3), (1, 1), (1, 1)),
        (128 + 64, 64, (3, 3), (1, 1), (1, 1)),
        (64, 64, (3, 3), (1, 1), (1, 1)),
    ]
    assert (last.in_channels, last.out_channels, last.kernel_size) == (64, 3, (1, 1))
    assert [type(layer) for layer in layers] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 10 + [
        nn.Conv2d
    ]


def test_classic_computes_what_the_2020_project_describes() -> None:
    network = seeded(ClassicConfig())
    assert isinstance(network, ClassicNetwork)
    rgb = random_luma(64, 64).expand(-1, 3, -1, -1) * 2 - 1
    upsample = nn.Upsample(scale_factor=2, mode="bilinear")
    half = network.encoder[0](rgb)
    quarter = network.encoder[1](half)
    eighth = network.encoder[2](quarter)
    x = network.decoder[0](torch.cat((upsample(eighth), quarter), dim=1))
    x = network.decoder[1](torch.cat((upsample(x), half), dim=1))
    torch.testing.assert_close(network(rgb), network.head(upsample(x)), atol=1e-5, rtol=0)


def test_classic_paints_a_colour_with_its_chroma() -> None:
    network = build(ClassicConfig()).eval()
    for color, (_, cb, cr) in BT709_BARS_100.items():
        nn.init.zeros_(network.head.weight)
        network.head.bias = nn.Parameter(torch.tensor(color) * 2.0 - 1)
        luma = random_luma(5, 7)
        rgb = network.predict_rgb(luma)
        painted = torch.tensor(color).float().view(1, 3, 1, 1).expand(2, 3, 5, 7)
        torch.testing.assert_close(rgb, painted, atol=1e-6, rtol=0)
        chroma = network.predict_chroma(luma)
        assert chroma.shape == (2, 2, 3, 4)
        codes = chroma_to_codes(chroma, range="limited")
        assert (codes == torch.tensor([cb, cr]).view(1, 2, 1, 1)).all()


def test_classic_keeps_rgb_within_0_and_1() -> None:
    network = build(ClassicConfig()).eval()
    nn.init.zeros_(network.head.weight)
    network.head.bias = nn.Parameter(torch.tensor([-9.0, 0.0, 9.0]))
    rgb = network.predict_rgb(random_luma(8, 8))
    assert [plane.unique().tolist() for plane in rgb.unbind(1)] == [[0.0], [0.5], [1.0]]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (31, 33), (48, 64), (65, 97)])
@pytest.mark.parametrize("config", [TINY, ClassicConfig()], ids=["film", "classic"])
def test_predict_chroma_is_half_as_large_rounded_up(config: Config, size: tuple[int, int]) -> None:
    height, width = size
    network = build(config).eval()
    with torch.inference_mode():
        chroma = network.predict_chroma(random_luma(height, width))
        rgb = network.predict_rgb(random_luma(height, width))
    assert chroma.shape == (2, 2, (height + 1) // 2, (width + 1) // 2)
    assert rgb.shape == (2, 3, height, width)


def test_film_untrained_leaves_the_film_grey() -> None:
    network = build(FilmConfig()).eval()
    luma = random_luma(33, 47)
    with torch.inference_mode():
        assert torch.equal(network.predict_chroma(luma), torch.zeros(2, 2, 17, 24))
        torch.testing.assert_close(network.predict_rgb(luma), luma.expand(-1, 3, -1, -1))


@pytest.mark.parametrize("encoder", LITE_PARAMETERS)
def test_film_encoder_has_the_published_parameters(encoder: str) -> None:
    network = build(FilmConfig(encoder=encoder))
    assert isinstance(network, FilmNetwork)
    whole, channels = LITE_PARAMETERS[encoder]
    head = channels * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    for_two_more_planes = 32 * 2 * 3 * 3
    assert parameter_count(network.encoder) == whole - head - for_two_more_planes


def test_film_config_names_an_encoder_that_there_is() -> None:
    with pytest.raises(ValueError, match="'lite9' is not an encoder"):
        FilmConfig(encoder="lite9")


def test_drop_paths_leaves_residuals_out_in_training_alone() -> None:
    """Each residual counts as much on average; evaluation is not random."""
    torch.manual_seed(0)
    block = InvertedResidual(8, 8, expansion=2, kernel=3, stride=1).train()
    block.drop_rate = 0.5
    picture = torch.rand(400, 8, 6, 6)
    residual = (block(picture) - picture).abs().mean(dim=(1, 2, 3))
    assert 0.4 < (residual == 0).float().mean() < 0.6
    assert torch.equal(block.eval()(picture), block(picture))
    network = build(TINY)
    assert isinstance(network, FilmNetwork)
    network.encoder.drop_paths(0.2)
    rates = [m.drop_rate for m in network.modules() if isinstance(m, InvertedResidual)]
    assert rates == sorted(rates)
    assert 0 == rates[0] < rates[-1] < 0.2


def test_drop_features_leaves_whole_features_out_in_training_alone() -> None:
    """Only coarse features, each in all its places; evaluation is not random."""
    torch.manual_seed(0)
    network = build(TINY).train()
    assert isinstance(network, FilmNetwork)
    torch.nn.init.ones_(network.head.weight)
    seen: dict[str, torch.Tensor] = {}

    def watch(name: str, module: torch.nn.Module) -> None:
        module.register_forward_pre_hook(lambda _, inputs: seen.update({name: inputs[0]}))

    watch("bottom", network.bottom)
    for number, block in enumerate(network.decoder):
        watch(f"decoder.{number}", block)
    skips = {f"decoder.{n}": w for n, w in enumerate(network.config.decoder_widths[:-1])}
    luma = random_luma(64, 64, batch=2)

    def share_left_out() -> dict[str, float]:
        network(luma)
        planes = {name: x[:, skips.get(name, 0) :].flatten(2) for name, x in seen.items()}
        return {name: float((x == 0).all(dim=2).float().mean()) for name, x in planes.items()}

    before = share_left_out()
    network.drop_features(0.5)
    after = share_left_out()
    coarse = {"bottom", "decoder.0", "decoder.1"}
    assert all(0.35 < after[name] - before[name] < 0.65 for name in coarse)
    assert all(after[name] == before[name] for name in set(after) - coarse)
    assert not torch.equal(network(luma), network(luma))
    network.eval()
    assert torch.equal(network(luma), network(luma))


def test_film_encoder_sees_black_as_minus_1_and_white_as_1() -> None:
    network = build(TINY).eval()
    assert isinstance(network, FilmNetwork)
    seen: list[torch.Tensor] = []
    network.encoder.stem.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
    network(torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3))
    assert seen[0].flatten().tolist() == [-1.0, 0.0, 1.0]


def test_film_encoder_halves_five_times() -> None:
    network = build(TINY).eval()
    assert isinstance(network, FilmNetwork)
    features = network.encoder(random_luma(65, 96, batch=1))
    assert [tuple(x.shape[1:]) for x in features] == [
        (16, 33, 48),
        (24, 17, 24),
        (40, 9, 12),
        (112, 5, 6),
        (320, 3, 3),
    ]


def test_film_keeps_chroma_within_its_range() -> None:
    network = build(TINY).eval()
    network.head.bias = nn.Parameter(torch.tensor([-2.0, 3.0]))
    chroma = network.predict_chroma(random_luma(8, 8))
    assert [plane.unique().tolist() for plane in chroma.unbind(1)] == [[-0.5], [0.5]]


def test_film_keeps_the_luma() -> None:
    network = build(TINY).eval()
    network.head.bias = nn.Parameter(torch.tensor([0.05, -0.08]))
    luma = random_luma(9, 11) * 0.4 + 0.3  # with room for this chroma
    luma[..., 0, :] = 0.8  # so that the picture is not dim
    luma_of_rgb = rgb_to_ycbcr(network.predict_rgb(luma))
    torch.testing.assert_close(luma_of_rgb[:, :1], luma)
    torch.testing.assert_close(luma_of_rgb[:, 1:].mean((0, 2, 3)), torch.tensor([0.05, -0.08]))


@pytest.mark.parametrize("light", [0.8, 0.5, 0.15])
def test_film_sees_a_dim_picture_as_if_it_were_lit(light: float) -> None:
    """A fade multiplies R'G'B', and so luma and chroma, by the same number."""
    network = seeded(TINY)
    luma = random_luma(64, 96, batch=2) * 0.8
    luma[..., ::8, :] = 0.8
    with torch.inference_mode():
        lit, dim = network.predict_chroma(luma), network.predict_chroma(luma * light)
    assert lit.abs().max() > 1e-3
    torch.testing.assert_close(dim, lit * light, atol=1e-5, rtol=1e-3)


def test_film_sees_the_light_of_each_picture() -> None:
    """Other pictures in the batch have no influence."""
    network = seeded(TINY)
    luma = random_luma(64, 96, batch=1)
    dim = random_luma(64, 96, batch=1) * 0.3
    with torch.inference_mode():
        alone = network.predict_chroma(luma)
        together = network.predict_chroma(torch.cat((luma, dim)))
    torch.testing.assert_close(together[:1], alone)


def test_film_looks_through_a_veil() -> None:
    """Only a picture without blacks, as of a faded print, is cleared of its veil."""
    network = seeded(replace(TINY, clears_veil=True))
    plain = seeded(TINY)
    plain.load_state_dict(network.state_dict())
    luma = 0.06 + 0.94 * random_luma(64, 96, batch=1)
    luma[..., ::8, :] = 0.06
    veiled = 0.5 + 0.5 * luma
    veil = 0.5 + 0.5 * 0.06 - 0.06
    with torch.inference_mode():
        expected = plain.predict_chroma((veiled - veil) / (1 - veil)) * min((1 - veil) / 0.5, 1)
        torch.testing.assert_close(network.predict_chroma(veiled), expected)
        torch.testing.assert_close(network.predict_chroma(luma), plain.predict_chroma(luma))
        together = network.predict_chroma(torch.cat((luma, veiled)))
    torch.testing.assert_close(together[1:], expected)
    assert expected.abs().max() > 1e-3


@pytest.mark.parametrize("brightness", [0.0, 0.3, 0.6, 1.0])
def test_shipped_film_leaves_blank_frames_grey(brightness: float) -> None:
    network = load(find_model("default"))
    assert isinstance(network.config, FilmConfig)
    assert network.config.clears_veil
    blank = torch.full((1, 1, 192, 256), brightness)
    with torch.inference_mode():
        assert network.predict_chroma(blank).abs().mean() < 2 / 255


def test_film_looks_at_the_picture() -> None:
    network = seeded(TINY)
    luma = random_luma(64, 64, batch=1)
    with torch.inference_mode():
        difference = network.predict_chroma(luma) - network.predict_chroma(1 - luma)
    assert difference.abs().max() > 1e-3


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]


def frozen_network(stages: int) -> tuple[FilmNetwork, list[nn.Module], list[nn.Module]]:
    """Return a network in training mode, its frozen parts, and all other parts."""
    network = seeded(TINY).train()
    assert isinstance(network, FilmNetwork)
    network.encoder.freeze(stages)
    parts = [network.encoder.stem, *network.encoder.stages]
    rest = [network.bottom, network.decoder, network.refine, network.head]
    return network, parts[: stages + 1], [*parts[stages + 1 :], *rest]


def test_freeze_of_no_stages_freezes_nothing() -> None:
    """Not even the stem, and all batch norms keep learning."""
    network, _, _ = frozen_network(0)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(module.training for module in network.modules())
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    network(random_luma(64, 64)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert all((buffer != before[name]).any() for name, buffer in network.named_buffers())


def test_freeze_of_fewer_stages_thaws_the_others() -> None:
    network, _, _ = frozen_network(4)
    assert isinstance(network, FilmNetwork)
    network.encoder.freeze(1)
    assert not any(p.requires_grad for p in network.encoder.stages[0].parameters())
    assert all(p.requires_grad for p in network.encoder.stages[1:].parameters())
    network.encoder.freeze(0)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("stages", [1, 2, 7])
def test_freeze_trains_neither_the_stem_nor_the_first_stages(stages: int) -> None:
    network, frozen, learning = frozen_network(stages)
    assert not any(p.requires_grad for part in frozen for p in part.parameters())
    assert all(p.requires_grad for part in learning for p in part.parameters())
    network(random_luma(64, 64)).square().mean().backward()
    assert all(p.grad is None for part in frozen for p in part.parameters())
    assert all(p.grad is not None for part in learning for p in part.parameters())


def test_freeze_keeps_batch_norms_at_rest_whatever_mode_comes() -> None:
    network, frozen, learning = frozen_network(2)

    def modes(parts: list[nn.Module]) -> set[bool]:
        return {module.training for part in parts for module in part.modules()}

    assert (modes(frozen), modes(learning)) == ({False}, {True})
    network.eval()
    assert (modes(frozen), modes(learning)) == ({False}, {False})
    network.train()
    assert (modes(frozen), modes(learning)) == ({False}, {True})
    assert network.training
    assert network.encoder.training
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    network(random_luma(64, 64))
    moved = {name for name, buffer in network.named_buffers() if (buffer != before[name]).any()}
    prefixes = ("encoder.stem.", "encoder.stages.0.", "encoder.stages.1.")
    assert moved == {name for name in before if not name.startswith(prefixes)}


def test_freeze_in_evaluation_stays_there() -> None:
    network = seeded(TINY)
    assert isinstance(network, FilmNetwork)
    network.encoder.freeze(2)
    assert not any(module.training for module in network.modules())


def test_freeze_holds_for_a_copy_and_changes_no_weight() -> None:
    network, _, _ = frozen_network(2)
    copied = copy.deepcopy(network)
    network.eval()
    copied.train()
    assert not any(norm.training for norm in norms(copied.encoder.stem))
    assert all(norm.training for norm in norms(copied.encoder.stages[2]))
    before, after = seeded(TINY).state_dict(), network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("config", [TINY, ClassicConfig()], ids=["film", "classic"])
def test_fold_batch_norms_computes_the_same(config: Config) -> None:
    network = seeded(config)
    luma = random_luma(48, 80)
    folded = fold_batch_norms(network)
    with torch.inference_mode():
        expected, found = network.predict_chroma(luma), folded.predict_chroma(luma)
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    norms = [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == []


def test_fold_batch_norms_leaves_the_network_as_it_was() -> None:
    network = seeded(TINY).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded = fold_batch_norms(network)
    assert network.training
    assert not folded.training
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("aspect_ratio", "size"),
    [
        (16 / 9, (192, 341)),
        (4 / 3, (192, 256)),
        (1, (192, 192)),
        (9 / 16, (341, 192)),
        (320, (192, 3072)),
        (1 / 320, (3072, 192)),
    ],
)
def test_working_size_keeps_the_films_shape(aspect_ratio: float, size: tuple[int, int]) -> None:
    assert FilmConfig().working_size(aspect_ratio) == size


@pytest.mark.parametrize("aspect_ratio", [16 / 9, 4 / 3, 9 / 16])
def test_working_size_of_classic_is_a_square(aspect_ratio: float) -> None:
    assert ClassicConfig().working_size(aspect_ratio) == (64, 64)


@pytest.mark.parametrize("config", [TINY, FilmConfig(), ClassicConfig(), ClassicConfig(size=96)])
def test_config_from_dict_undoes_config_to_dict(config: Config) -> None:
    values = json.loads(json.dumps(config_to_dict(config)))
    assert values["arch"] in ("film", "classic")
    assert config_from_dict(values) == config
    assert type(build(config_from_dict(values))) is type(build(config))


@pytest.mark.parametrize(
    "values", [{"arch": "gan"}, {"size": 64}, {"arch": "film", "depth": 3}, {}]
)
def test_config_from_dict_refuses_what_it_does_not_know(values: dict[str, object]) -> None:
    with pytest.raises(WeightsError) as caught:
        config_from_dict(values)
    assert str(caught.value) == (
        f"the network config {values} is not one that this version knows"
        " (architectures: film, classic); use a newer filmcolorizer"
    )


@pytest.mark.parametrize("is_training", [True, False])
def test_depthwise_conv_trains_in_float32(is_training: bool) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv(8, 8, 5, padding=2, groups=8).train(is_training)
    x = torch.randn(1, 8, 16, 16).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    in_float32 = nn.Conv2d.forward(layer, x.float()).bfloat16()
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, in_float32) == is_training


def test_pick_device_takes_the_fastest_there_is() -> None:
    fastest = "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else fastest)
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "mps", "abacus"])
def test_pick_device_refuses_what_is_not_there(name: str) -> None:
    if (name == "cuda" and torch.cuda.is_available()) or (
        name == "mps" and torch.backends.mps.is_available()
    ):
        pytest.skip(f"{name} is there")
    with pytest.raises(OptionError) as caught:
        pick_device(name)
    assert str(caught.value) == (
        f"there is no device {name!r} here that torch {torch.__version__} can use;"
        " use --device auto or --device cpu"
    )


def test_autocast_uses_bfloat16_where_the_cpu_computes_in_it() -> None:
    processor = Path("/proc/cpuinfo")
    if not processor.is_file():
        pytest.skip("no /proc/cpuinfo to look at")
    has_bfloat16 = "avx512_bf16" in processor.read_text()
    with autocast(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if has_bfloat16 else torch.float32)


@pytest.mark.parametrize("config", [TINY, ClassicConfig()], ids=["film", "classic"])
@pytest.mark.parametrize("in_bfloat16", [False, True])
def test_for_inference_gives_what_the_network_gives(
    config: Config, in_bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with weights cast in advance, as on processors or cards that compute in bfloat16."""
    monkeypatch.setattr(networks, "computes_in_bfloat16", lambda device: in_bfloat16)
    network, luma = seeded(config), random_luma(40, 64)
    fast = for_inference(network, torch.device("cpu"))
    with torch.inference_mode(), autocast(torch.device("cpu")):
        ours, theirs = fast.predict_chroma(luma), network.predict_chroma(luma)
    assert theirs.abs().mean() > 1e-3
    torch.testing.assert_close(ours, theirs, atol=2e-2 if in_bfloat16 else 1e-4, rtol=0)


def test_for_inference_clears_veils_of_faded_films_alone() -> None:
    clearing, plain = (replace(TINY, clears_veil=clears) for clears in (True, False))
    network, bright = seeded(clearing), 0.5 + 0.5 * random_luma(64, 96)
    ready = [for_inference(network, torch.device("cpu"), is_faded=faded) for faded in (True, False)]
    assert [network.config for network in ready] == [clearing, plain]
    with torch.inference_mode(), autocast(torch.device("cpu")):
        seen = [network.predict_chroma(bright) for network in ready]
    assert (seen[0] - seen[1]).abs().max() > 1e-3


@pytest.mark.parametrize("folds", [False, True])
def test_bfloat16_shifts_no_colours_of_the_shipped_model(
    folds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On real film, the error has a few ten-thousandths of the energy of the chroma."""
    sampling = Sampling(width=256, height=192, every=36)
    pictures = [torch.from_numpy(p.copy()) for p in read_ycbcr(probe(SAMPLE_FILM), sampling)]
    assert len(pictures) == 4
    luma = luma_from_codes(torch.stack(pictures)[:, None, :, :, 0], range="limited").clamp(0, 1)
    network = load(find_model("default")).eval()
    with torch.inference_mode():
        exact = network.predict_chroma(luma)
        monkeypatch.setattr(networks, "computes_in_bfloat16", lambda device: True)
        with autocast(torch.device("cpu")):
            seen_by = for_inference(network, torch.device("cpu")) if folds else network
            found = seen_by.predict_chroma(luma)
    error = (found - exact).square().mean() / exact.square().mean()
    assert 0 < error < 1e-3
    assert (found - exact).mean(dim=(0, 2, 3)).abs().max() * 255 < 0.2  # codes
