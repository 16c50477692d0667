"""A DVC project's own dvc.yaml files as declarations: the same stages, before and after, or nothing."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from canon.adapters import render_project
from canon.adoption.declare import PARAMETERS, format_declaration
from canon.adoption.found import Found, find_dvc_files
from canon.adoption.names import name_of_folder
from canon.adoption.view import differences, is_same, load_document, resolved_view
from canon.adoption.written import Edit
from canon.model.errors import CanonError, Problem, ProblemsError, UsageError, listed
from canon.model.pins import Pins
from canon.model.project import PIPELINES, Pipeline, Project, declaration_files, load_declaration, load_pipeline
from canon.model.settings import Settings
from canon.output.files import RenderedFile, load_text

if TYPE_CHECKING:
    from dvc.repo import Repo


@dataclass(frozen=True, slots=True)
class Adopted:
    """A dvc.yaml and its new declaration. ``as_written``: with its own text and comments."""

    dvc_file: str
    declaration: str
    pipeline: str
    stages: int
    as_written: bool


@dataclass(frozen=True, slots=True)
class Adoption:
    """What adopting a project comes to.

    ``files``: the declarations, then what `canon render` makes of them; ``project``: the project as it is then;
    ``without_stages``: dvc.yaml files that stay as they are; ``elsewhere``: likewise, with the other Git repository that each lies in.
    """

    adopted: tuple[Adopted, ...]
    files: tuple[RenderedFile, ...]
    project: Project
    without_stages: tuple[str, ...]
    elsewhere: tuple[tuple[str, str], ...]


def adopt(repo: Repo, settings: Settings, name: str | None, only: Sequence[str] = ()) -> Adoption:
    """Return what makes the project's dvc.yaml files generated ones, ``only`` some of them. Nothing is written.

    ``name``: of the pipeline of the root, or of the only one. Raises ProblemsError for what DVC or a declaration does not
    take, and for every difference between the stages before and after; UsageError for a name that fits no pipeline.
    """
    root = Path(repo.root_dir)
    found = find_dvc_files(repo)
    existing = _existing(root, settings)
    left = [each for each in found if each.document.get("stages") and not _is_declared(each, existing)]
    elsewhere = {each.file: each.repository for each in left if each.repository}
    if others := [file for file in only if file in elsewhere]:
        raise UsageError(
            f"{listed(others)} lies in the Git repository {elsewhere[others[0]]}, which is a project of its own"
        )
    left = [each for each in left if not each.repository]
    if unknown := [file for file in only if file not in {each.file for each in left}]:
        raise UsageError(f"{listed(unknown)} is no dvc.yaml that could be adopted; there is: {_listed(left)}")
    left = [each for each in left if not only or each.file in only]
    again = {
        each.declaration.dvc_file: each for each in existing if each.declaration.dvc_file in {one.file for one in left}
    }
    existing = tuple(each for each in existing if each not in again.values())
    named = _named(left, root.name, name, {pipeline.name for pipeline in existing}, {file: each.name for file, each in again.items()})  # fmt: skip
    adopted: list[Adopted] = []
    declarations: list[RenderedFile] = []
    pipelines = list(existing)
    problems: list[Problem] = []
    for each in left:
        try:
            done, pipeline = _declared(each, named[each.file], settings)
        except ProblemsError as error:
            problems += _of_dvc_file(error.problems, each, named[each.file])
            continue
        adopted.append(done)
        pipelines.append(pipeline)
        declarations.append(RenderedFile(pipeline.file, pipeline.text))
    problems += _foreign(root, declarations)
    if problems:
        raise ProblemsError(problems)
    project = Project(root, settings, tuple(sorted(pipelines, key=lambda pipeline: pipeline.file)))
    try:
        rendered = render_project(project) if adopted else ()
    except ProblemsError as error:
        raise ProblemsError(_said_of(error.problems, {done.declaration: done.dvc_file for done in adopted})) from None
    problems += _differences(repo, left, {file.path: file.text for file in rendered})
    if problems:
        raise ProblemsError(problems)
    without = tuple(
        each.file for each in found if not each.document.get("stages") and not each.is_generated and not each.repository
    )
    texts = {each.file: each.text for each in left}
    edits = [Edit(file.path, file.text, was=texts[file.path]) if file.path in texts else file for file in rendered]
    return Adoption(tuple(adopted), (*declarations, *edits), project, without, tuple(elsewhere.items()))


def _existing(root: Path, settings: Settings) -> tuple[Pipeline, ...]:
    files = declaration_files(root)
    try:
        return tuple(load_pipeline(root, file, settings) for file in files)
    except ProblemsError as error:
        raise CanonError(
            f"{error}\nCanon takes each {PIPELINES}/*.yaml for a declaration: mend it, or move it elsewhere if it is none"
        ) from None


def _is_declared(found: Found, existing: Sequence[Pipeline]) -> bool:
    """A declaration makes it already; one that an interrupted `canon init` left is made again."""
    return found.is_generated or any(
        pipeline.declaration.dvc_file == found.file and pipeline.text != _text(found, pipeline.name)
        for pipeline in existing
    )


def _text(found: Found, name: str) -> str:
    return format_declaration(found.text, found.document, found.file, name).text


def _named(
    found: Sequence[Found], root: str, name: str | None, taken: set[str], before: dict[str, str]
) -> dict[str, str]:
    """Names of the pipelines by their dvc.yaml; ``before``: those that they have had already."""
    named = dict(before)
    if name is not None:
        whose = [each for each in found if each.file == "dvc.yaml"] or (found if len(found) == 1 else [])
        if found and not whose:
            raise UsageError(f"--name fits one pipeline, and there are several: {_listed(found)}; name the file, too")
        named.update({each.file: name for each in whose})
    for each in found:
        if each.file not in named:
            folder = posixpath.dirname(each.file)
            named[each.file] = name_of_folder(folder, root, {*taken, *named.values()})
    return named


def _listed(found: Sequence[Found]) -> str:
    return listed([each.file for each in found]) or "none"


def _declared(found: Found, name: str, settings: Settings) -> tuple[Adopted, Pipeline]:
    try:
        made = format_declaration(found.text, found.document, found.file, name)
    except CanonError as error:
        raise ProblemsError([Problem(file=found.file, message=str(error))]) from None
    file = f"{PIPELINES}/{name}.yaml"
    declaration, raw = load_declaration(made.text, file, settings)
    done = Adopted(found.file, file, name, found.stages, made.as_written)
    return done, Pipeline(file=file, declaration=declaration, raw=raw, pins=Pins(), text=made.text)


def _of_dvc_file(problems: Sequence[Problem], found: Found, name: str) -> Iterator[Problem]:
    """Problems of a declaration that is not written yet, said of the file that it is made from."""
    for problem in problems:
        if problem.path == "name":
            raise UsageError(f"--name {name}: {problem.message}; {problem.remedy}")
        yield Problem(
            file=found.file,
            path=problem.path.replace(PARAMETERS, "params", 1) if problem.path.startswith(PARAMETERS) else problem.path,
            message=f"cannot be declared: {problem.message}",
            remedy=f"{problem.remedy}; then run `canon init` again",
        )


def _said_of(problems: Sequence[Problem], files: Mapping[str, str]) -> Iterator[Problem]:
    """Problems of declarations that are not written yet, said of the dvc.yaml that each is made from."""
    for problem in problems:
        yield replace(problem, file=files[problem.file], line=0) if problem.file in files else problem


def _foreign(root: Path, declarations: Sequence[RenderedFile]) -> Iterator[Problem]:
    for file in declarations:
        there = load_text(root / file.path, file.path)
        if there is not None and there != file.text:
            yield Problem(
                file=file.path, message="is there already", remedy="move it away, or choose another name (--name)"
            )


def _differences(repo: Repo, found: Sequence[Found], rendered: dict[str, str]) -> Iterator[Problem]:
    """What would no longer be as it was: nothing, or this is no adoption."""
    for each in found:
        try:
            document = load_document(rendered[each.file], each.file, check=False)
            if is_same(each.document, document):  # word for word: so is what DVC makes of it
                continue
            load_document(rendered[each.file], each.file)
            before, after = (resolved_view(repo, each.file, known) for known in (each.document, document))
        except CanonError as error:
            yield Problem(file=each.file, message=f"DVC would not take what `canon render` makes of it: {error}")
            continue
        for path, message in differences(before, after):
            remedy = "write it more plainly in the dvc.yaml, then run `canon init` again"
            yield Problem(file=each.file, path=path, message=message, remedy=remedy)
