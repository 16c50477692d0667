"""What stages read that no stage makes: datasets, params, the environment, and files, those of one folder together."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from canon.drawing.picture import Kind, Sketch, listed_names
from canon.dvc.resolve import has_templating
from canon.git import clean_url
from canon.model.declaration import data_stage
from canon.model.paths import is_url
from canon.model.project import Pipeline, Project
from canon.model.stage import DEFAULT_PARAMS_FILE, Stage

MOST_KEYS = 6
"""Keys of a params file that are listed."""


class Inputs:
    """Adds what is read to a sketch, once. ``reads``: of all stages that are drawn, the files that no stage makes, and the keys of params files."""

    def __init__(
        self, sketch: Sketch, project: Project, files: Iterable[str], keys: Mapping[str, Iterable[str]]
    ) -> None:
        self._sketch, self._project = sketch, project
        self._pipelines = {pipeline.declaration.dvc_file: pipeline for pipeline in project.pipelines}
        self._pins = {pipeline.pins_file: pipeline for pipeline in project.pipelines}
        self._environments = {pipeline.environment_file: pipeline for pipeline in project.pipelines}
        self._folders: dict[str, list[str]] = {}
        for path in sorted(set(files)):
            if not is_url(path):
                self._folders.setdefault(posixpath.dirname(path), []).append(path)
        self._keys = {file: sorted(set(found)) for file, found in keys.items()}

    def environment(self, pipeline: Pipeline) -> str | None:
        """The declared image and requirements; None where there are none."""
        declared = pipeline.declaration.environment
        if declared is None or not (declared.image or declared.requirements):
            return None
        details = [each for each in (declared.image, declared.requirements) if each]
        return self._sketch.add(Kind.DECLARED, "environment", pipeline.name, "environment", details)

    def of_file(self, stage: Stage, path: str) -> str | None:
        """A file or folder that a stage reads; None where something else stands for it."""
        pipeline = self._pipelines.get(stage.file)
        if pipeline is not None:
            environment = pipeline.declaration.environment
            if environment is not None and path == environment.requirements:
                return self.environment(pipeline)
            if any(stage.name == data_stage(name) for name in pipeline.declaration.data):
                return None  # the dataset names its sources
        return self.file(path)

    def file(self, path: str) -> str:
        """A file or folder that somebody wrote, or that a `.dvc` file tracks."""
        if is_url(path):
            return self._sketch.add(Kind.DECLARED, "source", path, path)
        tracked = self._tracked(path)
        if tracked:
            return self._sketch.add(Kind.DECLARED, "dataset", tracked, tracked, [f"{tracked}.dvc"])
        if (self._project.root / path).is_dir():
            return self._sketch.add(Kind.DECLARED, "files", f"{path}/", f"{path}/")
        folder = posixpath.dirname(path)
        members = self._folders.get(folder, [path])
        if len(members) == 1:
            return self._sketch.add(Kind.DECLARED, "files", path, path)
        names = listed_names((posixpath.basename(each) for each in members), "files")
        return self._sketch.add(Kind.DECLARED, "files", f"{folder}/*", f"{folder or '.'}/", names, members)

    def of_params(self, file: str, keys: Iterable[str]) -> tuple[str, ...]:
        """A params file; or what it stands for: datasets by their pins, the environment by its image."""
        if file in self._environments:
            found = self.environment(self._environments[file])
            return (found,) if found else ()
        if file in self._pins:
            declared = self._pins[file].declaration.data
            return tuple(self.dataset(self._pins[file], key) for key in keys if key in declared)
        known = self._keys.get(file, [])
        more = [f"and {len(known) - MOST_KEYS} more"] if len(known) > MOST_KEYS else []
        details = [", ".join([*known[:MOST_KEYS], *more])] if known else []
        return (self._sketch.add(Kind.DECLARED, "params", file, file, details, known),)

    def dataset(self, pipeline: Pipeline, name: str) -> str:
        """A declared dataset, with its pin and where each profile finds it."""
        pin = pipeline.pins.datasets.get(name)
        sources = [
            f"{profile}: {clean_url(source) if is_url(source) else source}"
            for profile, source in pipeline.declaration.data[name].from_.items()
        ]
        details = [*sources, f"sha256:{pin.sha256[:12]}" if pin else "not pinned"]
        return self._sketch.add(Kind.DECLARED, "dataset", f"{pipeline.name}/{name}", name, details)

    def variables(self, pipeline: Pipeline, stage: Stage) -> tuple[str, ...]:
        """Files whose values DVC fills into a stage's templates."""
        declared = pipeline.raw["stages"].get(stage.name.partition("@")[0])
        if declared is None or not has_templating({"stages": {stage.name: declared}}):
            return ()
        own = declared.get("do", declared).get("vars") or ()
        used = [("", item) for item in pipeline.raw.get("vars") or ()] + [(stage.folder, item) for item in own]
        files = [
            posixpath.normpath(posixpath.join(at, item.partition(":")[0])) for at, item in used if isinstance(item, str)
        ]
        default = posixpath.join(posixpath.dirname(pipeline.declaration.dvc_file), DEFAULT_PARAMS_FILE)
        if (self._project.root / default).is_file():
            files.append(default)
        return tuple(each for file in dict.fromkeys(files) for each in self.of_params(file, ()))

    def overlays(self, pipeline: Pipeline, params: Iterable[str]) -> None:
        """The files that profiles put over the params files, which are there already."""
        targets = list(params)
        for profile, file in pipeline.declaration.params.items():
            if targets:
                overlay = self._sketch.add(Kind.DECLARED, "overlay", file, file, [f"profile {profile}"])
                for target in targets:
                    self._sketch.link([overlay], target)

    def _tracked(self, path: str) -> str | None:
        """The path that a `.dvc` file beside it tracks, of a path or of a folder above it."""
        while path and path not in {".", "/"} and not path.startswith("../"):
            if (self._project.root / f"{path}.dvc").is_file():
                return path
            path = posixpath.dirname(path)
        return None
