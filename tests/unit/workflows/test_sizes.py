"""How large the manifests of many stages are: what is the same in all of them stands in the text once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clustered import HEAD, make_clustered, rendered, tree


@pytest.mark.parametrize(("stages", "most"), [(200, 60), (1000, 300)])
def test_the_manifests_of_many_stages_stay_small(stages: int, most: int, tmp_path: Path) -> None:
    """In KiB, all YAML together: a client-side apply takes 256 KiB of one manifest, Argo 1 MiB."""
    files = rendered(make_clustered(tmp_path, HEAD + tree(stages)))
    assert files["argo/toy/workflow/cluster.yaml"].count("- {name: stage-") == stages
    assert sum(len(text.encode()) for path, text in files.items() if path.endswith(".yaml")) <= most << 10
