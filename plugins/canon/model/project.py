"""The declared project: settings and pipelines, read from a checkout."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from canon.model.consistency import consistency_problems
from canon.model.declaration import Declaration
from canon.model.errors import CanonError, Problem, ProblemsError
from canon.model.pins import Pins, load_pins
from canon.model.problems import Place, locate_toml, locate_yaml, problems_from_validation
from canon.model.settings import Settings
from canon.output.files import load_text
from canon.output.yaml import compose_yaml, load_yaml

SETTINGS_FILE = "pyproject.toml"
PIPELINES = "pipelines"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One declaration and its pins, with the mapping as it was written."""

    file: str
    declaration: Declaration
    raw: Mapping[str, Any]
    pins: Pins

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


@dataclass(frozen=True, slots=True)
class Project:
    """A checkout's declared state. ``root`` is absolute."""

    root: Path
    settings: Settings
    pipelines: tuple[Pipeline, ...]

    def pipeline(self, name: str) -> Pipeline:
        """Return the pipeline of that name. Raises CanonError, naming those that there are."""
        for pipeline in self.pipelines:
            if pipeline.name == name:
                return pipeline
        known = ", ".join(pipeline.name for pipeline in self.pipelines) or "none"
        raise CanonError(f"there is no pipeline `{name}` in {PIPELINES}/ (there is: {known})")


def pins_file_of(name: str) -> str:
    """Path of a pipeline's pins file, relative to the root."""
    return f"{PIPELINES}/{name}.pins.yaml"


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` whose pyproject.toml has a table [tool.canon].

    Raises CanonError when there is none.
    """
    for folder in (start, *start.parents):
        text = load_text(folder / SETTINGS_FILE)
        if text is not None and "tool.canon" in text:
            return folder
    raise CanonError(
        f"neither {start} nor a folder above it has a {SETTINGS_FILE} with [tool.canon]; "
        'add `[tool.canon]` with `default_profile = "local"` and `[tool.canon.profiles.local]` at the root of the repository'
    )


def load_settings(root: Path) -> Settings:
    """Return the settings of a project. Raises ProblemsError."""
    text = load_text(root / SETTINGS_FILE) or ""
    try:
        table = tomllib.loads(text).get("tool", {}).get("canon", {})
    except tomllib.TOMLDecodeError as error:
        raise ProblemsError(
            [Problem(file=SETTINGS_FILE, message=f"is not TOML: {error}", remedy="mend the line")]
        ) from None
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
    if settings.default_profile not in settings.profiles:
        raise ProblemsError([Problem(
            file=SETTINGS_FILE, line=locate_toml(text, ("tool", "canon", "default_profile")), path="tool.canon.default_profile",
            message=f"there is no profile `{settings.default_profile}`", remedy=f"add [tool.canon.profiles.{settings.default_profile}]",
        )])  # fmt: skip
    return settings


def declaration_files(root: Path) -> tuple[str, ...]:
    """Paths of the declarations, sorted, relative to the root."""
    folder = root / PIPELINES
    return tuple(
        f"{PIPELINES}/{path.name}"
        for path in sorted(folder.glob("*.yaml"))
        if not path.name.endswith((".pins.yaml", ".environment.yaml")) and not path.name.startswith(".")
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
    text = load_text(root / file)
    if text is None:
        raise CanonError(f"there is no {file}")
    declaration, raw = load_declaration(text, file, settings)
    pins_file = pins_file_of(declaration.name)
    pins_text = load_text(root / pins_file)
    return Pipeline(
        file=file,
        declaration=declaration,
        raw=raw,
        pins=Pins() if pins_text is None else load_pins(pins_text, pins_file),
    )


def load_project(root: Path, names: Sequence[str] = ()) -> Project:
    """Return the project at ``root``, with all pipelines or those named.

    Raises ProblemsError with the problems of all files at once.
    """
    settings = load_settings(root)
    files = declaration_files(root)
    if not files:
        raise CanonError(f"there is no declaration: write one as {root / PIPELINES}/NAME.yaml")
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
            problems.append(
                Problem(
                    file=pipeline.file,
                    path="dvc_file",
                    message=f"{owner} generates {pipeline.declaration.dvc_file}, too",
                    remedy=f"give one of them a place of its own, for example `dvc_file: {PIPELINES}/{pipeline.name}/dvc.yaml`",
                )
            )
    return problems
