"""Tests, and what they share: fixtures in conftest.py, all else in modules named for what it is."""

import pytest

pytest.register_assert_rewrite(
    *(f"tests.{name}" for name in ("colors", "films", "machine", "networks", "values", "versions"))
)
