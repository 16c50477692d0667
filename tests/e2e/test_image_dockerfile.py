"""`canon image dockerfile`: the files, settings, labels and provenance of the baked image, in BuildKit's words."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.conftest import git
from tests.e2e.faults import assert_said, canon, unchanged
from tests.e2e.served import bake
from tests.images import files_of, read_image

pytestmark = pytest.mark.usefixtures("quick")


def test_it_says_what_the_image_has(served: Path) -> None:
    _, config, layers = read_image(served / "../made", bake(served))
    with unchanged(served):
        text = canon(served, "image", "dockerfile", "p", "--from", "oci:../below").stdout
    head, rest = text.split('COPY <<"END-OF-PROVENANCE" /opt/canon/provenance.json\n')
    provenance, tail = rest.split("END-OF-PROVENANCE\n")
    assert provenance.encode() == files_of(layers[-1])["opt/canon/provenance.json"][1]
    lines = (head + tail).splitlines()
    declared = next(line for line in (served / "pipelines/p.yaml").read_text().splitlines() if "image:" in line)
    assert f"FROM {declared.partition('image: ')[2].rstrip('}')} AS base" in lines
    assert "COPY --exclude=model . /opt/canon/src" in lines
    assert 'COPY ["model", "/opt/canon/src/model"]' in lines

    def said(instruction: str) -> list[str]:
        return [line.removeprefix(f"{instruction} ") for line in lines if line.startswith(f"{instruction} ")]

    settings = config["config"]
    assert dict("".join(shlex.split(each)).split("=", 1) for each in said("ENV")) == dict(each.split("=", 1) for each in settings["Env"])  # fmt: skip
    labels = dict("".join(shlex.split(each, posix=True)).split("=", 1) for each in said("LABEL"))
    assert {name: text for name, text in labels.items() if text} == {
        name: text.replace(" ", " ") for name, text in settings["Labels"].items()
    }
    assert said("USER") == [settings["User"]]
    assert said("WORKDIR") == [settings["WorkingDir"]]
    assert json.loads(said("ENTRYPOINT")[0]) == settings["Entrypoint"]
    assert [f"{port}" for port in settings["ExposedPorts"]] == said("EXPOSE")
    assert json.loads(said("HEALTHCHECK")[0].partition(" CMD ")[2]) == settings["Healthcheck"]["Test"][1:]


def test_its_context_is_what_git_has_and_the_model(served: Path) -> None:
    text = canon(served, "image", "dockerfile", "p", "--from", "oci:../below", "--ignore-file").stdout
    _, _, layers = read_image(served / "../made", bake(served))
    code = {path.removeprefix("opt/canon/src/") for path, (kind, _) in files_of(layers[1]).items() if kind != "/"}
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines[0] == "**"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == code | {"model"}


def test_what_it_cannot_say(served: Path) -> None:
    (served / "new.py").write_text("")
    said = canon(served, "image", "dockerfile", "p", "--from", "oci:../below", code=1).stderr
    assert_said(said, "the image would not hold what is not committed: new.py")
    file = served / "pipelines/p.yaml"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("environment")))
    canon(served, "render")
    git(served, "add", "--all")
    git(served, "commit", "-qm", "no environment")
    said = canon(served, "image", "dockerfile", "p", code=1).stderr
    assert_said(said, "declares no `environment.image`; add it, by digest, or say --from oci:DIR")
