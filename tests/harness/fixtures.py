"""Fixtures: a harness of a test's own, over one engine and one set of images for all. `tests/conftest.py` has them for every test."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.engines import choose_engine
from tests.harness.harness import Harness
from tests.harness.images import Images
from tests.harness.launch import Engine

if TYPE_CHECKING:
    from tests.conftest import Base

MakeHarness = Callable[..., Harness]
"""Keywords are those of Harness."""


@pytest.fixture(scope="session")
def pods(busybox_base: Base) -> Iterator[tuple[Engine, Images]]:
    """What runs containers, and the images: `tools:1` and `user:1` are busybox. Skips where nothing can run one."""
    with tempfile.TemporaryDirectory(prefix="canon-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        image = (busybox_base.layout, busybox_base.digest)
        images = Images(folder, {"tools:1": image, "user:1": image})
        engine, why = choose_engine(folder, images.find("tools:1"))
        if engine is None:
            pytest.skip(f"no pod can be run here\n{why}")
        yield engine, images
        engine.close()


@pytest.fixture
def make_harness(pods: tuple[Engine, Images]) -> Iterator[MakeHarness]:
    """Make a harness; all that runs in it ends with the test."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Harness:
            # Not in pytest's own folder: only root may enter that.
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canon-", ignore_cleanup_errors=True)))
            folder.chmod(0o755)
            ours = {"engine": pods[0], "images": pods[1], "folder": folder, "notice": 0.3, "grace": 2.0}
            return stack.enter_context(Harness(**{**ours, **settings}))

        yield make


@pytest.fixture
def harness(make_harness: MakeHarness) -> Harness:
    return make_harness()
