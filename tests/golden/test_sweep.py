"""The Workflow of a sweep, committed, so that a change shows in review."""

from __future__ import annotations

from pathlib import Path

from canon.manifests.text import format_manifests
from tests.clustered import COMMON, HEAD, SERVICES, SWEPT, SWEPT_PARAMS, make_clustered, sweep_of
from tests.golden.test_golden import WRITE

EXPECTED = Path(__file__).parent / "sweep/argo/toy/workflow/cluster.yaml"


def test_a_sweep_yields_what_is_committed(tmp_path: Path) -> None:
    root = make_clustered(tmp_path, HEAD + SWEPT, settings=COMMON + SERVICES)
    (root / "p.yaml").write_text(SWEPT_PARAMS)
    points = [{"p.yaml": {"seed": seed, "lr": lr}} for seed in (1, 2) for lr in (0.5, 0.25)]
    text = format_manifests("pipelines/toy.yaml", sweep_of(root, points)[0])
    if WRITE:
        EXPECTED.parent.mkdir(parents=True, exist_ok=True)
        EXPECTED.write_text(text)
    assert text == EXPECTED.read_text()
