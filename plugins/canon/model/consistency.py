"""What a declaration must hold together, beyond the types of its keys."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from canon.model.declaration import RESERVED_DATASETS, TRACK, Declaration, data_stage
from canon.model.definition import ForeachDefinition, StageDefinition
from canon.model.delivery import environment_of_gate
from canon.model.errors import Problem
from canon.model.paths import is_url, leaves_repository, out_finding, path_finding
from canon.model.problems import Locate, Place, format_place
from canon.model.settings import Settings


def consistency_problems(
    declaration: Declaration, raw: Mapping[str, Any], settings: Settings, *, file: str, locate: Locate
) -> tuple[Problem, ...]:
    """Everything in a valid declaration that contradicts itself, the settings, or what a manifest can hold."""

    def problem(place: Place, message: str, remedy: str) -> Problem:
        return Problem(file=file, line=locate(place), path=format_place(place), message=message, remedy=remedy)

    found: list[Problem] = []
    stem = posixpath.basename(file).rsplit(".", 1)[0]
    if declaration.name != stem:
        found.append(
            problem(
                ("name",),
                f"the pipeline is called `{declaration.name}`, its file `{stem}`",
                f"write `name: {stem}`, or rename the file",
            )
        )
    for place, message, remedy in (
        *_profile_findings(declaration, settings),
        *_reference_findings(declaration),
        *_environment_findings(declaration),
        *_stage_findings(declaration),
        *_path_findings(declaration),
        *_template_findings(raw),
    ):
        found.append(problem(place, message, remedy))
    return tuple(sorted(found, key=lambda item: item.line))


_Finding = tuple[Place, str, str]


def _profile_findings(declaration: Declaration, settings: Settings) -> Iterator[_Finding]:
    known = ", ".join(settings.profiles)
    named: list[tuple[Place, str]] = [(("params", profile), profile) for profile in declaration.params]
    for dataset, data in declaration.data.items():
        named += [(("data", dataset, "from", profile), profile) for profile in data.from_]
        if settings.default_profile not in data.from_:
            yield (
                ("data", dataset, "from"),
                f"there is no source for the default profile `{settings.default_profile}`",
                f"add `{settings.default_profile}: PATH-OR-URL`: plain `dvc repro` runs with it",
            )
    triggers = declaration.triggers
    if triggers.sync:
        named.append((("triggers", "sync"), triggers.sync))
    named += [(("triggers", "push", pattern), profile) for pattern, profile in (triggers.push or {}).items()]
    named += [(("deploy", name, "profile"), each.profile) for name, each in declaration.deploy.items() if each.profile]
    if triggers.schedule:
        named.append((("triggers", "schedule", "profile"), triggers.schedule.profile))
    for place, profile in named:
        if profile not in settings.profiles:
            yield (
                place,
                f"there is no profile `{profile}`",
                f"declare it in pyproject.toml as [tool.canon.profiles.{profile}], or use one of: {known}",
            )


def _reference_findings(declaration: Declaration) -> Iterator[_Finding]:
    if declaration.serving and declaration.serving.artifact not in declaration.artifacts:
        yield (
            ("serving", "artifact"),
            f"there is no artifact `{declaration.serving.artifact}`",
            "declare it under `artifacts:`",
        )
    for name, environment in declaration.deploy.items():
        source = environment.from_
        if source is not None and source not in declaration.deploy:
            yield ("deploy", name, "from"), f"there is no environment `{source}`", "declare it under `deploy:`"
        seen = {name}
        while source in declaration.deploy:
            if source in seen:
                yield (
                    ("deploy", name, "from"),
                    f"environments promote in a circle: {' -> '.join([*seen, source])}",
                    "one of them must have no `from`",
                )
                break
            seen.add(source)
            source = declaration.deploy[source].from_
    if declaration.deploy and declaration.serving is None:
        yield ("deploy",), "there is nothing to deploy", "declare `serving:`, or remove `deploy:`"


def _environment_findings(declaration: Declaration) -> Iterator[_Finding]:
    """What an environment says that nothing would heed, and gates that no promotion could pass."""
    for name, environment in declaration.deploy.items():
        place = ("deploy", name)
        if environment.profile and environment.from_:
            message = f"Workflows release to no environment that is promoted to from `{environment.from_}`"
            yield (*place, "profile"), message, "remove one of `profile` and `from`"
        if not environment.sync.automated:
            for key in sorted(environment.sync.model_fields_set - {"automated"}):
                yield (*place, "sync", key), "is of what Argo CD does by itself, and `automated` is false", "remove it"
        for index, gate in enumerate(environment.gates):
            other = environment_of_gate(gate)
            if other is not None and other not in declaration.deploy:
                message = f"`{gate}` compares with `{other}`, which is no environment"
                yield (*place, "gates", index), message, f"name one of: {', '.join(declaration.deploy)}"


def _stage_findings(declaration: Declaration) -> Iterator[_Finding]:
    generated = {data_stage(name): f"data.{name}" for name, data in declaration.data.items() if data.materialize}
    if declaration.track:
        generated[TRACK] = "track"
    for name, stage in declaration.stages.items():
        if name in generated:
            yield (
                ("stages", name),
                f"Canon generates a stage of this name (for `{generated[name]}`)",
                "rename the stage",
            )
        if "@" in name or not name:  # `dvc stage add` allows less, and DVC runs what stands in a dvc.yaml
            yield ("stages", name), f"DVC does not allow the stage name {name!r}", "use letters, digits, `-` and `_`"
        if isinstance(stage, ForeachDefinition):
            yield from _foreach_findings(name, stage, tracked=declaration.track)  # DVC passes over a `matrix` there
            yield from _unloadable_findings(("stages", name, "do"), stage.do)
        else:
            yield from _unloadable_findings(("stages", name), stage)
    for name in declaration.data:
        if name in RESERVED_DATASETS:
            yield ("data", name), f"`{name}` is a key of the pins file itself", "rename the dataset"


def _foreach_findings(name: str, stage: ForeachDefinition, *, tracked: bool) -> Iterator[_Finding]:
    place = ("stages", name, "foreach")
    if stage.do.matrix and tracked:
        yield ("stages", name, "do"), "`do` cannot hold a `matrix`", "use `matrix` alone"
    if isinstance(stage.foreach, str) and "${" not in stage.foreach:
        yield place, f"{stage.foreach!r} is no list", "write a list, a mapping, or `${name of one}`"
    if isinstance(stage.foreach, Mapping) and any("${" in str(key) for key in stage.foreach):
        yield place, "`${…}` is not filled in where it is a key", "write the key itself"


def _unloadable_findings(place: Place, stage: StageDefinition) -> Iterator[_Finding]:
    """What DVC's schema takes and DVC then cannot load."""
    if stage.matrix is not None and not stage.matrix:
        yield (*place, "matrix"), "a matrix without axes has no members", "write `NAME: [VALUES]`, or remove it"
    for index, item in enumerate(stage.plots or ()):
        for path, flags in item.items() if isinstance(item, Mapping) else ():
            if isinstance(flags, tuple):
                remedy = "write a mapping; several plots of one file stand under `plots` at the top"
                yield (*place, "plots", index, path), "DVC does not load a list of settings", remedy


def _path_findings(declaration: Declaration) -> Iterator[_Finding]:
    normal = posixpath.normpath(declaration.dvc_file)
    if normal != declaration.dvc_file and not leaves_repository(normal):
        yield ("dvc_file",), "is not written plainly", f"write `{normal}`"
    paths: list[tuple[Place, str]] = [(("dvc_file",), declaration.dvc_file)]
    read: list[tuple[Place, str]] = []
    paths += [(("params", name), path) for name, path in declaration.params.items()]
    artifacts: list[tuple[Place, str]] = [
        (("artifacts", name, "path"), each.path) for name, each in declaration.artifacts.items()
    ]
    (paths if declaration.track else read).extend(artifacts)  # nothing reads them before `canon log`
    if declaration.environment and declaration.environment.requirements:
        paths.append((("environment", "requirements"), declaration.environment.requirements))
    own = list(paths)
    read += [(("metrics", index), path) for index, path in enumerate(declaration.metrics or ())]
    read += [(("parameters", index), path) for index, path in enumerate(declaration.parameters or ())]
    read += [(("vars", index), item.partition(":")[0]) for index, item in enumerate(declaration.vars or ()) if isinstance(item, str)]  # fmt: skip
    made: list[tuple[Place, str]] = []
    data_outs: list[tuple[Place, str]] = [
        (("data", name, "path"), data.path) for name, data in declaration.data.items()
    ]
    for name, stage in declaration.stages.items():
        keys: Place = ("stages", name, "do") if isinstance(stage, ForeachDefinition) else ("stages", name)
        definition = stage.do if isinstance(stage, ForeachDefinition) else stage
        read += [((*keys, *place), path) for place, path in _read_paths(definition)]
        made += [((*keys, *place), path) for place, path in _written_paths(definition)]
    outside = (
        not declaration.track
    )  # a result knows what lies in the repository; what DVC alone runs may lie where DVC allows
    for place, path, finding in (
        *((place, path, path_finding(path)) for place, path in paths),
        *((place, path, path_finding(path, outside=outside)) for place, path in read),
        *((place, path, out_finding(path, outside=outside)) for place, path in made),
        *((place, path, out_finding(path)) for place, path in data_outs),
    ):
        if finding and not is_url(path) and "${" not in path:
            yield place, *finding
    for name, data in declaration.data.items():
        own.append((("data", name, "path"), data.path))
        own += [(("data", name, "from", profile), uri) for profile, uri in data.from_.items()]
    for place, path in own:
        if "${" in path:
            message = f"`{path}` is a template, and only DVC fills those in: in stages, `plots` and `metrics`"
            yield place, message, "write it out"


def _read_paths(stage: StageDefinition) -> Iterator[tuple[Place, str]]:
    """Paths that a stage reads, from the root; those with a template in them as they are."""
    if stage.wdir:
        yield ("wdir",), stage.wdir
    for index, path in enumerate(stage.deps or ()):
        yield ("deps", index), _from_root(stage, path)
    for index, item in enumerate(stage.params or ()):
        for path in item if isinstance(item, Mapping) else ():
            yield ("params", index, path), _from_root(stage, path)


def _written_paths(stage: StageDefinition) -> Iterator[tuple[Place, str]]:
    for key, items in (("outs", stage.outs), ("metrics", stage.metrics), ("plots", stage.plots)):
        for index, item in enumerate(items or ()):
            for path in item if isinstance(item, Mapping) else (item,):
                place: Place = (key, index, path) if isinstance(item, Mapping) else (key, index)
                yield place, _from_root(stage, path)


def _from_root(stage: StageDefinition, path: str) -> str:
    return path if is_url(path) or not stage.wdir else posixpath.join(stage.wdir, path)


def _template_findings(raw: Mapping[str, Any]) -> Iterator[_Finding]:
    """Strings that would reach a manifest and that Argo would expand there."""
    places: list[tuple[Place, Any]] = [
        ((key,), raw[key])
        for key in ("name", "description", "environment", "serving", "deploy", "workflow", "triggers")
        if key in raw
    ]
    for name, data in (raw.get("data") or {}).items():
        places.append((("data", name), data))
    for name, stage in (raw.get("stages") or {}).items():
        places.append((("stages", name), name))
        for holder, keys in ((stage, ("stages", name)), (stage.get("do") or {}, ("stages", name, "do"))):
            if "pod" in holder:
                places.append(((*keys, "pod"), holder["pod"]))
    for place, value in places:
        yield from template_findings(place, value)


def template_findings(place: Place, value: object) -> Iterator[_Finding]:
    """Texts below ``place`` that Argo would expand in a manifest."""
    for inner, text in _texts(place, value):
        if "{{" in text:
            yield inner, "`{{` would be expanded by Argo's template engine", "remove it"


def _texts(place: Place, value: object) -> Iterable[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str):
                yield (*place, key), key
            yield from _texts((*place, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts((*place, index), item)
