"""Tests and their helpers: fixtures in conftest.py, everything else in modules by topic."""

import pytest

# Failing assertions in these helpers report the compared values, as those in tests do.
pytest.register_assert_rewrite("tests.commands", "tests.damage", "tests.films", "tests.values")
