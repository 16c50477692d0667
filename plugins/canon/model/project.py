"""The declared project: settings and pipelines, read from a checkout."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from canon.model.consistency import consistency_problems, template_findings
from canon.model.declaration import Declaration
from canon.model.errors import CanonError, Problem, ProblemsError
from canon.model.pins import Pins, load_pins
from canon.model.places import placed
from canon.model.problems import Place, format_place, locate_toml, locate_yaml, problems_from_validation
from canon.model.root import SETTINGS_FILE
from canon.model.settings import Settings
from canon.output.files import load_text
from canon.output.yaml import compose_yaml, load_yaml

PIPELINES = "pipelines"
DVCS_OWN = ("dvc.yaml", "params.yaml")
"""Files of DVC's that may lie in that folder."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One declaration and its pins, with the mapping and the text that it was written as."""

    file: str
    declaration: Declaration
    raw: Mapping[str, Any]
    pins: Pins
    text: str = ""

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.declaration.name

    @property
    def pins_file(self) -> str:
        """Path of the pins file, relative to the root."""
        return pins_file_of(self.name)

    @property
    def environment_file(self) -> str:
        """Path of the generated params file that holds the environment's image, relative to the root."""
        return f"{PIPELINES}/{self.name}.environment.yaml"

    def placed(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Problems, those with this declaration with the lines that they are about."""
        return placed(problems, self.file, self.text, self.declaration)


@dataclass(frozen=True, slots=True)
class Project:
    """A checkout's declared state. ``root`` is absolute."""

    root: Path
    settings: Settings
    pipelines: tuple[Pipeline, ...]
    documents: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What follows from the declarations alone, by the pipeline, once it was asked for (`canon.dvc.render.declared_document`)."""

    def pipeline(self, name: str) -> Pipeline:
        """Return the pipeline of that name. Raises CanonError, naming those that there are."""
        for pipeline in self.pipelines:
            if pipeline.name == name:
                return pipeline
        known = ", ".join(pipeline.name for pipeline in self.pipelines) or "none"
        raise CanonError(f"there is no pipeline `{name}` in {PIPELINES}/ (there is: {known})")

    def placed(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Problems with the lines of the declarations that they are about."""
        found = tuple(problems)
        for pipeline in self.pipelines:
            found = pipeline.placed(found)
        return found


def pins_file_of(name: str) -> str:
    """Path of a pipeline's pins file, relative to the root."""
    return f"{PIPELINES}/{name}.pins.yaml"


def _load_table(text: str) -> object:
    """The table [tool.canon] as TOML has it. Raises ProblemsError."""
    try:
        tool = tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line ([0-9]+)", str(error))
        number = int(line[1]) if line else text.count("\n") + 1
        raise ProblemsError(
            [Problem(file=SETTINGS_FILE, line=number, message=f"is not TOML: {error}", remedy="mend the line")]
        ) from None
    except RecursionError:
        raise ProblemsError([Problem(file=SETTINGS_FILE, message="is nested too deep", remedy="nest less")]) from None
    if not isinstance(tool, dict):
        remedy = "write `[tool.canon]` with its keys below it"
        raise ProblemsError([Problem(file=SETTINGS_FILE, line=locate_toml(text, ("tool",)), path="tool", message="is no table", remedy=remedy)])  # fmt: skip
    return tool.get("canon", {})


def load_settings(root: Path) -> Settings:
    """Return the settings of a project. Raises ProblemsError."""
    text = load_text(root / SETTINGS_FILE, SETTINGS_FILE) or ""
    table = _load_table(text)
    try:
        settings = Settings.model_validate(table)
    except ValidationError as error:
        raise ProblemsError(
            problems_from_validation(
                error,
                file=SETTINGS_FILE,
                data=table,
                model=Settings,
                locate=lambda place: locate_toml(text, place),
                prefix=("tool", "canon"),
            )
        ) from None
    findings = [*template_findings((), table)]
    if settings.default_profile not in settings.profiles:
        message = f"there is no profile `{settings.default_profile}`"
        findings.append((("default_profile",), message, f"add [tool.canon.profiles.{settings.default_profile}]"))
    if findings:
        raise ProblemsError(
            Problem(
                file=SETTINGS_FILE,
                line=locate_toml(text, ("tool", "canon", *place)),
                path=format_place(("tool", "canon", *place)),
                message=message,
                remedy=remedy,
            )
            for place, message, remedy in findings
        )
    return settings


def declaration_files(root: Path) -> tuple[str, ...]:
    """Paths of the declarations, sorted, relative to the root."""
    folder = root / PIPELINES
    return tuple(
        f"{PIPELINES}/{path.name}"
        for path in sorted(folder.glob("*.yaml"))
        if not path.name.endswith((".pins.yaml", ".environment.yaml"))
        and not path.name.startswith(".")
        and path.name not in DVCS_OWN
    )


def load_declaration(text: str, file: str, settings: Settings) -> tuple[Declaration, Mapping[str, Any]]:
    """Return a declaration and the mapping that it was made from. Raises ProblemsError with all that is wrong."""
    raw = load_yaml(text, file)
    if not isinstance(raw, dict):
        raise ProblemsError(
            [Problem(file=file, line=1, message="is no mapping", remedy="begin with `name:` and `stages:`")]
        )

    def locate(place: Place) -> int:
        return locate_yaml(compose_yaml(text, file), place)

    try:
        declaration = Declaration.model_validate(raw)
    except ValidationError as error:
        raise ProblemsError(
            problems_from_validation(error, file=file, data=raw, model=Declaration, locate=locate)
        ) from None
    problems = consistency_problems(declaration, raw, settings, file=file, locate=locate)
    if problems:
        raise ProblemsError(problems)
    return declaration, raw


def load_pipeline(root: Path, file: str, settings: Settings) -> Pipeline:
    """Return one declared pipeline with its pins. Raises ProblemsError."""
    text = load_text(root / file, file)
    if text is None:
        raise ProblemsError([Problem(file=file, message="is not there", remedy="write it, or mend the link")])
    declaration, raw = load_declaration(text, file, settings)
    pins_file = pins_file_of(declaration.name)
    pins_text = load_text(root / pins_file, pins_file)
    return Pipeline(
        file=file,
        declaration=declaration,
        raw=raw,
        pins=Pins() if pins_text is None else load_pins(pins_text, pins_file),
        text=text,
    )


def load_project(root: Path, names: Sequence[str] = ()) -> Project:
    """Return the project at ``root``, with all pipelines or those named.

    Raises ProblemsError with the problems of all files at once.
    """
    settings = load_settings(root)
    files = declaration_files(root)
    if not files:
        remedy = "write one as pipelines/NAME.yaml, with `name: NAME` and `stages:`"
        raise ProblemsError([Problem(file=f"{PIPELINES}/", message="there is no declaration", remedy=remedy)])
    problems: list[Problem] = []
    pipelines: list[Pipeline] = []
    for file in files:
        if names and Path(file).stem not in names:
            continue
        try:
            pipelines.append(load_pipeline(root, file, settings))
        except ProblemsError as error:
            problems += error.problems
    problems += _shared_dvc_files(pipelines)
    if problems:
        raise ProblemsError(problems)
    project = Project(root=root, settings=settings, pipelines=tuple(pipelines))
    for name in names:
        project.pipeline(name)
    return project


def _shared_dvc_files(pipelines: Sequence[Pipeline]) -> list[Problem]:
    owners: dict[str, str] = {}
    problems: list[Problem] = []
    for pipeline in pipelines:
        owner = owners.setdefault(pipeline.declaration.dvc_file, pipeline.file)
        if owner != pipeline.file:
            problem = Problem(
                file=pipeline.file,
                path="dvc_file",
                message=f"{owner} generates {pipeline.declaration.dvc_file}, too",
                remedy=f"give one of them a place of its own, for example `dvc_file: {PIPELINES}/{pipeline.name}/dvc.yaml`",
            )
            problems += pipeline.placed([problem])
    return problems
