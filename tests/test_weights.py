from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from filmcolorizer_cli import models
from filmcolorizer_cli.configs import ClassicConfig, Config
from filmcolorizer_cli.errors import FilmColorizerError, WeightsError
from filmcolorizer_cli.files import models_folder
from filmcolorizer_cli.models import Model, find_model, read_metadata, read_model, shipped_models
from filmcolorizer_cli.networks import Network, build
from filmcolorizer_cli.weights import checksum, load, read_tensors, save, write_tensors
from tests.machine import file_size_limit, files_in
from tests.networks import TINY

ABOUT = {"description": "a tiny one", "licence": "MIT", "epochs": 3, "ünïcode": ["ä", None]}


def network(config: Config = TINY) -> Network:
    """Build a network whose weights are all random."""
    torch.manual_seed(0)
    made = build(config)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.1)
    return made


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save(network(), path, about=ABOUT)
    return path


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two shipped models, ``default`` and ``old``; the current folder is another."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    save(network(), folder / "default.safetensors", about=ABOUT)
    save(network(ClassicConfig()), folder / "old.safetensors", about={})
    monkeypatch.setattr(models, "models_folder", lambda: folder)
    current = tmp_path / "current"
    current.mkdir()
    monkeypatch.chdir(current)
    return folder


def state(made: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in made.state_dict().items()}


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=0, rtol=0, msg=name)


@pytest.mark.parametrize("config", [TINY, ClassicConfig(size=48)], ids=["film", "classic"])
def test_load_gives_back_what_was_saved(config: Config, tmp_path: Path) -> None:
    original = network(config)
    path = tmp_path / "w.safetensors"
    save(original, path, about=ABOUT)
    loaded = load(read_model(path))
    assert type(loaded) is type(original)
    assert loaded.config == config
    assert not loaded.training
    assert_same(loaded.state_dict(), original.state_dict())


def test_read_model_tells_what_the_file_says_of_itself(saved: Path) -> None:
    model = read_model(saved)
    assert model == Model(
        name=str(saved),
        path=saved,
        config={
            "arch": "film",
            "size": 32,
            "decoder_widths": [16, 16, 8, 8, 8],
            "encoder": "lite0",
            "clears_veil": False,
        },
        about=ABOUT,
    )
    assert model.size_bytes == len(saved.read_bytes())


def test_save_writes_another_state_when_given(tmp_path: Path) -> None:
    made = network()
    best = {name: tensor * 0.5 for name, tensor in state(made).items()}
    best = {name: t.to(made.state_dict()[name].dtype) for name, t in best.items()}
    save(made, tmp_path / "w.safetensors", about={}, state=best)
    assert_same(load(read_model(tmp_path / "w.safetensors")).state_dict(), best)


def test_save_in_half_precision_halves_the_file(saved: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.safetensors"
    save(network(), half, about=ABOUT, half_precision=True)
    assert half.stat().st_size == pytest.approx(saved.stat().st_size / 2, rel=0.05)
    loaded = load(read_model(half)).state_dict()
    for name, tensor in network().state_dict().items():
        assert loaded[name].dtype == tensor.dtype
        # A float16 has 11 significant bits.
        torch.testing.assert_close(loaded[name], tensor, atol=1e-7, rtol=2**-11, msg=name)


def test_save_lets_others_read_as_any_new_file_does(saved: Path) -> None:
    plain = saved.with_name("plain.txt")
    plain.touch()
    assert saved.stat().st_mode == plain.stat().st_mode


def test_save_takes_tensors_that_are_views(tmp_path: Path) -> None:
    # torch's annotations of Module.to lack memory_format.
    made = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save(made, tmp_path / "w.safetensors", about={})
    assert_same(load(read_model(tmp_path / "w.safetensors")).state_dict(), made.state_dict())


def test_read_tensors_gives_metadata_and_tensors(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6).view(2, 3), "b": torch.tensor(1.5)}
    path = tmp_path / "w.safetensors"
    write_tensors(path, tensors, {"epoch": "3"})
    metadata, found = read_tensors(path)
    assert metadata == read_metadata(path) == {"epoch": "3"}
    assert_same(dict(sorted(found.items())), tensors)


def test_find_model_takes_a_file(saved: Path, shipped: Path) -> None:
    assert find_model(str(saved)).path == saved
    Path("my.safetensors").write_bytes(saved.read_bytes())
    assert find_model("my.safetensors").name == "my.safetensors"


def test_find_model_takes_a_shipped_models_name(shipped: Path) -> None:
    model = find_model("old")
    assert (model.name, model.path) == ("old", shipped / "old.safetensors")
    assert model.config == {"arch": "classic", "size": 64}


def test_find_model_prefers_a_file_to_a_shipped_model(saved: Path, shipped: Path) -> None:
    Path("old").write_bytes(saved.read_bytes())
    assert find_model("old").config["arch"] == "film"


def test_find_model_without_a_name_takes_the_films_own_weights(saved: Path, shipped: Path) -> None:
    assert find_model().path == shipped / "default.safetensors"
    Path("film.safetensors").write_bytes(saved.read_bytes())
    assert find_model().path == Path("film.safetensors")


@pytest.mark.parametrize("name", ["nope", "../shipped/old", "missing.safetensors"])
def test_find_model_refuses_what_is_not_there(name: str, shipped: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_model(name)
    assert str(caught.value) == (
        f"there is no model {name!r}: give a .safetensors file that exists"
        " or one of the shipped models (default, old)"
    )


def test_find_model_tells_when_nothing_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "models_folder", lambda: tmp_path)
    with pytest.raises(WeightsError) as caught:
        find_model()
    assert str(caught.value) == (
        "there is no model 'default': give a .safetensors file that exists"
        " or one of the shipped models (none is shipped here)"
    )


def test_shipped_models_are_listed_by_name(shipped: Path) -> None:
    (shipped / "default.md").write_text("a model card")
    assert [model.name for model in shipped_models()] == ["default", "old"]


def test_shipped_models_all_load() -> None:
    models = shipped_models()
    if not models:
        pytest.skip(f"no weights lie in {models_folder()}")
    for model in models:
        luma = torch.rand(1, 1, 36, 64)
        with torch.inference_mode():
            chroma = load(model).predict_chroma(luma)
        assert chroma.shape == (1, 2, 18, 32)
        assert chroma.isfinite().all()
        assert chroma.abs().max() > 1e-3


def refusal_to_read(path: Path, capture: pytest.ExceptionInfo[WeightsError]) -> str:
    """Return the reason within the message about an unreadable file."""
    message = str(capture.value)
    start = f"cannot read the weights in {path} ("
    end = "); the file is missing, damaged or not a safetensors file, so give another one"
    assert message.startswith(start)
    assert message.endswith(end)
    return message[len(start) : -len(end)]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_may_hold_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9") / os.fsdecode(b"\xff.safetensors")
    path.parent.mkdir()
    write_tensors(path, {"a": torch.arange(3)}, {"epoch": "3"})
    metadata, tensors = read_tensors(path)
    assert (metadata, tensors["a"].tolist()) == ({"epoch": "3"}, [0, 1, 2])
    made = network()
    save(made, path, about={})
    assert_same(load(read_model(path)).state_dict(), made.state_dict())


@pytest.mark.parametrize("read", [read_model, read_tensors, read_metadata])
def test_reading_a_missing_file_is_refused(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "missing.safetensors"
    with pytest.raises(WeightsError) as caught:
        read(path)
    assert "No such file or directory" in refusal_to_read(path, caught)


@pytest.mark.parametrize("read", [read_model, read_tensors, read_metadata])
@pytest.mark.parametrize("damage", ["empty", "text", "header", "tensors"])
def test_reading_a_damaged_file_is_refused(read: Any, damage: str, saved: Path) -> None:
    data = saved.read_bytes()
    damaged = {
        "empty": b"",
        "text": b"once upon a time there was a film",
        "header": data[:8] + bytes(100) + data[108:],
        "tensors": data[: len(data) // 2],
    }
    saved.write_bytes(damaged[damage])
    with pytest.raises(WeightsError) as caught:
        read(saved)
    assert refusal_to_read(saved, caught)


def test_read_model_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        read_model(tmp_path)
    assert refusal_to_read(tmp_path, caught)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_read_model_refuses_other_peoples_weights(
    metadata: dict[str, str] | None, tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata)
    with pytest.raises(WeightsError) as caught:
        read_model(path)
    found = None if metadata is None else "pt"
    assert str(caught.value) == (
        f"{path} holds no network that filmcolorizer knows (its format is {found!r}, not"
        " 'filmcolorizer-weights/1'); give another file"
    )


@pytest.mark.parametrize("key", ["config", "about"])
@pytest.mark.parametrize("text", [None, "{", "not json", "[1, 2]"])
def test_read_model_refuses_broken_metadata(key: str, text: str | None, saved: Path) -> None:
    metadata, tensors = read_tensors(saved)
    changed = {k: v for k, v in {**metadata, key: text}.items() if v is not None}
    save_file(tensors, saved, changed)
    with pytest.raises(WeightsError) as caught:
        read_model(saved)
    assert refusal_to_read(saved, caught)


def refuse_to_load(path: Path) -> None:
    model = read_model(path)
    with pytest.raises(WeightsError) as caught:
        load(model)
    assert str(caught.value) == (
        f"the weights in {path} do not fit the network {model.config} that it names; the file is"
        " damaged or was made by another version, so give another one"
    )


def test_load_refuses_weights_of_another_architecture(saved: Path) -> None:
    metadata, _ = read_tensors(saved)
    save_file(state(network(ClassicConfig())), saved, metadata)
    refuse_to_load(saved)


def test_load_refuses_weights_of_another_width(saved: Path) -> None:
    metadata, tensors = read_tensors(saved)
    wider = {"arch": "film", "size": 32, "decoder_widths": [16, 16, 8, 8, 12]}
    save_file(tensors, saved, {**metadata, "config": json.dumps(wider)})
    refuse_to_load(saved)


@pytest.mark.parametrize("change", ["one less", "one more"])
def test_load_is_strict(change: str, saved: Path) -> None:
    metadata, tensors = read_tensors(saved)
    if change == "one less":
        del tensors["head.bias"]
    else:
        tensors["head.scale"] = torch.ones(1)
    save_file(tensors, saved, metadata)
    refuse_to_load(saved)


def test_load_refuses_an_architecture_of_the_future(saved: Path) -> None:
    metadata, tensors = read_tensors(saved)
    save_file(tensors, saved, {**metadata, "config": json.dumps({"arch": "film2"})})
    with pytest.raises(WeightsError) as caught:
        load(read_model(saved))
    assert str(caught.value) == (
        "the network config {'arch': 'film2'} is not one that this version knows"
        " (architectures: film, classic); use a newer filmcolorizer"
    )


def refuse_to_save(path: Path, advice: str) -> str:
    """Return the reason within the message about a file that cannot be written."""
    with pytest.raises(FilmColorizerError) as caught:
        save(network(), path, about=ABOUT)
    message = str(caught.value)
    start, end = f"cannot write {path} (", f"); {advice}choose another place"
    assert message.startswith(start)
    assert message.endswith(end)
    return message[len(start) : -len(end)]


def test_save_on_a_full_disk_keeps_the_older_file(saved: Path) -> None:
    before = saved.read_bytes()
    with file_size_limit(100_000):
        assert "File too large" in refuse_to_save(saved, "make room there, or ")
    assert saved.read_bytes() == before
    assert files_in(saved.parent) == [saved.name]


def test_save_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "w.safetensors"
    advice = "check that its folder is still there, or "
    assert "No such file or directory" in refuse_to_save(path, advice)
    assert files_in(tmp_path) == []


def test_save_over_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.mkdir()
    assert refuse_to_save(path, "") == "Is a directory"
    assert files_in(tmp_path) == [path.name]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_load_refuses_weights_that_are_no_numbers(value: float, tmp_path: Path) -> None:
    network = build(TINY)
    state = network.state_dict()
    state["head.bias"] = torch.full_like(state["head.bias"], value)
    path = tmp_path / "broken.safetensors"
    save(network, path, about={}, state=state)
    with pytest.raises(
        WeightsError, match=r"broken.safetensors are NaN or infinite; the file is dam"
    ):
        load(read_model(path))


def test_checksum_changes_with_any_weight() -> None:
    network = build(ClassicConfig())
    before = checksum(network)
    for tensor in [*network.state_dict().values()][::10]:
        tensor += 1
        assert checksum(network) != before
        before = checksum(network)
