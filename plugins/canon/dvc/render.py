"""From a declaration to dvc.yaml: the stages as written, and beside them Canon's own stages, deps and params."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from canon.dvc.refusals import refusals
from canon.dvc.resolve import has_templating, resolve_stages
from canon.dvc.track_stage import CANON_KEYS, build_track_stage
from canon.git import committable_files
from canon.model.declaration import TRACK, Dataset, Declaration, data_stage
from canon.model.errors import CanonError, Problem, ProblemsError
from canon.model.paths import is_url
from canon.model.project import Pipeline, Project
from canon.model.stage import Stage, stage_from_definition
from canon.output.files import MARK, RenderedFile
from canon.output.yaml import format_yaml

FIRST_KEYS = ("cmd", "wdir", "deps", "params")
"""Keys of a stage that Canon adds to, in the order that DVC writes them (dvc/stage/serialize.py)."""
TOP_LEVEL = ("params", "metrics", "plots", "artifacts", "datasets")


def render_pipelines(project: Project) -> tuple[RenderedFile, ...]:
    """The dvc.yaml of every pipeline, and the small params file that holds its environment.

    Raises ProblemsError for what DVC would refuse: cycles, outs of two stages, also across pipelines.
    """
    files: list[RenderedFile] = []
    stages: list[Stage] = []
    problems: list[Problem] = []
    for pipeline in project.pipelines:
        try:
            document, of_pipeline = resolve_pipeline(project, pipeline)
        except ProblemsError as error:
            problems += error.problems
            continue
        files.append(_render_document(pipeline, document))
        stages += of_pipeline
        environment = render_environment(pipeline)
        if environment is not None:
            files.append(environment)
    problems += project.placed(refusals(project.root, stages, declared_in(project), untracked_in(project)))
    if problems:
        raise ProblemsError(problems)
    return tuple(files)


def declared_in(project: Project) -> dict[str, str]:
    """Generated dvc.yaml → the declaration that it is made from."""
    return {pipeline.declaration.dvc_file: pipeline.file for pipeline in project.pipelines}


def untracked_in(project: Project) -> frozenset[str]:
    """The dvc.yaml of pipelines whose results no stage writes."""
    return frozenset(each.declaration.dvc_file for each in project.pipelines if not each.declaration.track)


def render_environment(pipeline: Pipeline) -> RenderedFile | None:
    """The params file that stages track the environment's image by; None without an image.

    Not the declaration itself: DVC parses a params file once a stage, and its reader refuses `{a: s3://b}` without quotes.
    """
    environment = pipeline.declaration.environment
    if environment is None or environment.image is None:
        return None
    header = f"{MARK}{pipeline.file}: DVC tracks the environment of the stages by it.\n"
    return RenderedFile(
        path=pipeline.environment_file, text=header + format_yaml({"environment": {"image": environment.image}})
    )


def resolve_pipeline(project: Project, pipeline: Pipeline) -> tuple[Mapping[str, Any], list[Stage]]:
    """The mapping of a pipeline's dvc.yaml and its resolved stages, `track` among both.

    Raises ProblemsError where DVC's own resolver refuses a template.
    """
    declaration = pipeline.declaration
    document, declared = declared_document(project, pipeline)
    stages = [*declared]
    if declaration.track:
        _check_folders(pipeline, stages)
        track = _generated(declaration, build_track_stage(project.root, pipeline, stages))
        document = {**document, "stages": {**document["stages"], TRACK: track}}
        stages.append(stage_from_definition(TRACK, track, declaration.dvc_file))
    return document, stages


def declared_document(project: Project, pipeline: Pipeline) -> tuple[Mapping[str, Any], tuple[Stage, ...]]:
    """The mapping of a pipeline's dvc.yaml without `track`, and its stages. Raises ProblemsError.

    Several adapters ask for it. Where no template makes it depend on other files it is kept with the project.
    """
    known: tuple[Pipeline, Mapping[str, Any], tuple[Stage, ...]] | None = project.documents.get(pipeline.name)
    if known is not None and known[0] is pipeline:
        return known[1], known[2]
    document = build_document(pipeline, local_sources(project, pipeline))
    stages = tuple(resolve_document(project.root, pipeline, document))
    if not has_templating(document):
        project.documents[pipeline.name] = pipeline, document, stages
    return document, stages


def _render_document(pipeline: Pipeline, document: Mapping[str, Any]) -> RenderedFile:
    declaration = pipeline.declaration
    ordered = {key: document[key] for key in ("vars", "stages", *TOP_LEVEL) if key in document}
    return RenderedFile(path=declaration.dvc_file, text=_header(pipeline) + format_yaml(ordered))


def _check_folders(pipeline: Pipeline, stages: Iterable[Stage]) -> None:
    """A `wdir` that is a template may be deeper than it looks, and Canon's additions are relative to it."""
    environment = pipeline.declaration.environment
    for stage in stages:
        declared = pipeline.raw["stages"].get(stage.name.partition("@")[0], {})
        declared = declared.get("do", declared)
        wdir = declared.get("wdir") or ""
        if environment is None or "${" not in wdir or declared.get("environment") is False:
            continue
        wanted = (environment.requirements, pipeline.environment_file if environment.image else None)
        missing = {file for file in wanted if file} - {*stage.dep_paths, *(file for file, _ in stage.param_paths)}
        if missing:
            raise CanonError(
                f"{pipeline.file}: stages.{stage.name}.wdir: `{wdir}` is {stage.folder} once it is filled in, from where "
                f"{', '.join(sorted(missing))} cannot be named; give each template one folder, as in `${{a}}/${{b}}`, "
                "or say `environment: false`"
            )


def _header(pipeline: Pipeline) -> str:
    text = f"{MARK}{pipeline.file}: change that file, not this one.\n"
    if pipeline.declaration.description:
        for line in pipeline.declaration.description.strip().splitlines():
            printable = "".join(each if each.isprintable() else " " for each in line)
            text += f"# {printable}".rstrip() + "\n"
    return text


def needs_git(project: Project) -> bool:
    """Tell whether what is rendered depends on Git: it decides which local sources are deps."""
    profile = project.settings.default_profile
    return any(
        data.materialize and not is_url(data.from_[profile])
        for pipeline in project.pipelines
        for data in pipeline.declaration.data.values()
    )


def local_sources(project: Project, pipeline: Pipeline) -> frozenset[str]:
    """Sources of the default profile that lie in the repository where Git can hold them: deps of the data stages."""
    profile = project.settings.default_profile
    sources = {
        data.from_[profile]
        for data in pipeline.declaration.data.values()
        if data.materialize and not is_url(data.from_[profile])
    }
    return committable_files(project.root, sources) if sources else frozenset()


def build_document(pipeline: Pipeline, sources: frozenset[str]) -> dict[str, Any]:
    """The mapping of a dvc.yaml, without the stage that tracks the result."""
    declaration, raw = pipeline.declaration, pipeline.raw
    folder = posixpath.dirname(declaration.dvc_file)
    stages: dict[str, Any] = {}
    for name, data in declaration.data.items():
        if data.materialize:
            stages[data_stage(name)] = _generated(declaration, _data_stage(pipeline, name, data, sources))
    for name, stage in raw["stages"].items():
        stages[name] = _declared(pipeline, stage)
    document: dict[str, Any] = {"stages": stages}
    raw = {key: value for key, value in raw.items() if value is not None}
    if "vars" in raw:
        document["vars"] = [_relative(item, folder) if isinstance(item, str) else item for item in raw["vars"]]
    if "parameters" in raw:
        document["params"] = [_relative(item, folder) for item in raw["parameters"]]
    if "metrics" in raw:
        document["metrics"] = [_relative(item, folder) for item in raw["metrics"]]
    if "plots" in raw:
        document["plots"] = [_plot(item, folder) for item in raw["plots"]]
    if "artifacts" in raw:
        document["artifacts"] = {
            name: {**artifact, "path": _relative(artifact["path"], folder)}
            for name, artifact in raw["artifacts"].items()
        }
    if "datasets" in raw:
        document["datasets"] = raw["datasets"]
    return document


def resolve_document(root: Path, pipeline: Pipeline, document: Mapping[str, Any]) -> list[Stage]:
    """The stages of a document, templates resolved, in declaration order. Raises ProblemsError."""
    file = pipeline.declaration.dvc_file
    if has_templating(document):
        try:
            return list(resolve_stages(root, file, document, declared_in=pipeline.file))
        except ProblemsError as error:
            raise ProblemsError(pipeline.placed(error.problems)) from None
    return [stage_from_definition(name, definition, file) for name, definition in document["stages"].items()]


def _declared(pipeline: Pipeline, stage: Mapping[str, Any]) -> dict[str, Any]:
    if "do" in stage:
        return {**{key: value for key, value in stage.items() if key != "do"}, "do": _declared(pipeline, stage["do"])}
    definition = {key: value for key, value in stage.items() if key not in CANON_KEYS}
    declaration = pipeline.declaration
    wdir = stage.get("wdir") or "."
    additions: list[tuple[str, Any]] = []
    environment = declaration.environment
    if environment and stage.get("environment") is not False:
        if environment.requirements:
            additions.append(("deps", _relative(environment.requirements, wdir)))
        if environment.image:
            additions.append(("params", {_relative(pipeline.environment_file, wdir): ["environment.image"]}))
    left = [data for data in declaration.data.values() if not data.materialize]
    deps = definition.get("deps") or () if left else ()
    read = {dep: name for dep in deps if (name := _in_place(declaration, wdir, dep))}
    if read:
        definition["deps"] = [dep for dep in definition["deps"] if dep not in read] or None
        additions.append(("params", {_relative(pipeline.pins_file, wdir): sorted(set(read.values()))}))
    for key, item in additions:
        listed = list(definition.get(key) or ())
        if item not in listed:
            definition = _with(definition, key, [*listed, item])
    folder = posixpath.dirname(declaration.dvc_file)
    if folder:
        definition = _at_root(definition, wdir, folder)
    return {key: value for key, value in definition.items() if value is not None}


def _in_place(declaration: Declaration, wdir: str, dep: str) -> str | None:
    """Name of the dataset that a dep is, or lies in, where its data stays at its source."""
    path = posixpath.normpath(posixpath.join(wdir, dep))
    for name, data in declaration.data.items():
        place = posixpath.normpath(data.path)
        if not data.materialize and (path == place or path.startswith(f"{place}/")):
            return name
    return None


def _with(definition: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:  # noqa: ANN401  whatever DVC takes
    """A definition with one key more, where DVC writes it: a key that is there keeps its place."""
    if definition.get(key) is not None:
        return {**definition, key: value}
    before = FIRST_KEYS[: FIRST_KEYS.index(key)]
    items = [item for item in definition.items() if item[0] != key]
    place = 1 + max(index for index, (other, _) in enumerate(items) if other in before)
    return dict([*items[:place], (key, value), *items[place:]])


def _at_root(definition: Mapping[str, Any], wdir: str, folder: str) -> dict[str, Any]:
    """Let a stage of a dvc.yaml in a folder start from the root."""
    rest = {key: value for key, value in definition.items() if key != "wdir"}
    if "${" not in wdir:
        place = _relative(wdir, folder)
    elif wdir.startswith(f"{folder}/"):  # a template below the folder stays as it is there
        place = wdir.removeprefix(f"{folder}/")
    else:
        place = posixpath.join(_relative(".", folder), wdir)
    return rest if place == "." else _with(rest, "wdir", place)


def _generated(declaration: Declaration, stage: dict[str, Any]) -> dict[str, Any]:
    folder = posixpath.dirname(declaration.dvc_file)
    return _at_root(stage, ".", folder) if folder else stage


def _data_stage(pipeline: Pipeline, name: str, data: Dataset, sources: frozenset[str]) -> dict[str, Any]:
    stage: dict[str, Any] = {"cmd": f"canon data get {pipeline.name}/{name}"}
    local = sorted({source for source in data.from_.values() if source in sources})
    if local:
        stage["deps"] = local
    stage["params"] = [{pipeline.pins_file: [name]}]
    stage["outs"] = [data.path]
    return stage


def _plot(item: Any, folder: str) -> Any:  # noqa: ANN401  DVC's plots are texts and mappings
    """A top-level plot with its paths relative to the dvc.yaml's folder; an id that is no file stays as it is."""
    if isinstance(item, str):
        return _relative(item, folder)
    plots: dict[str, Any] = {}
    for name, plot in item.items():
        definition = dict(plot or {})
        files = False
        for axis in ("x", "y"):
            if isinstance(definition.get(axis), Mapping):
                definition[axis] = {_relative(path, folder): column for path, column in definition[axis].items()}
                files = files or axis == "y"
        plots[name if files else _relative(name, folder)] = None if plot is None else definition
    return plots


def _relative(path: str, folder: str) -> str:
    """A path of the root as seen from ``folder``; templates, URLs and absolute paths stay as they are."""
    if not folder or folder == "." or is_url(path) or path.startswith(("/", "${")):
        return path
    return posixpath.relpath(path, folder)
