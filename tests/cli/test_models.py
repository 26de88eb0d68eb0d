"""`filmcolorizer models`, end to end."""

from __future__ import annotations

import json
from pathlib import Path

from filmcolorizer_cli import models
from filmcolorizer_cli.files import models_folder
from tests.commands import succeed


def test_models_lists_the_shipped_networks() -> None:
    shipped = models.shipped_models()
    assert "default" in [model.name for model in shipped]
    said = succeed("models")
    result = json.loads(succeed("models", "--json"))
    assert [model["name"] for model in result] == [model.name for model in shipped]
    for model, told in zip(shipped, result, strict=True):
        assert told["path"] == str(models_folder() / f"{model.name}.safetensors")
        assert told["size_bytes"] == Path(told["path"]).stat().st_size
        assert (told["config"], told["about"]) == (model.config, model.about)
        assert model.name in said
        assert f"{told['size_bytes'] / 1e6:.1f} MB" in said
