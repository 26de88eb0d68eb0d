from __future__ import annotations

import numpy as np
import pytest

from filmcolorizer_cli.planes import quantile


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (24, 32), (7, 11), (96, 171)])
@pytest.mark.parametrize("most", [3, 255])
def test_quantile_is_that_of_numpy(share: float, shape: tuple[int, int], most: int) -> None:
    codes = np.random.default_rng(1).integers(0, most + 1, shape).astype(np.uint8)
    assert quantile(codes, share) == pytest.approx(np.quantile(codes, share), abs=1e-9)
