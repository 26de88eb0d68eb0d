"""Tests, and what they share: fixtures in conftest.py, all else in modules named for what it is."""

import pytest

# Their assertions tell what they compared, as those of tests do.
pytest.register_assert_rewrite("tests.commands", "tests.damage", "tests.films", "tests.values")
