"""Random projects over the whole of DVC's stage schema (dvc/schema.py): files, params files, and a dvc.yaml."""

from __future__ import annotations

import json
import os
import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.contract.values import LINES, LONG, PARAMS_FILES, SCALARS, TEXTS, dumped, keys_in

NAMES = st.builds(
    "{}{}{}".format,
    st.sampled_from("abé#*[!'\"{,-_日𝄞"),
    st.text("ab.-_ #*é", max_size=3),
    st.sampled_from(["", "a", "b", "*"]),
)
PATTERNS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "*",
                "a*",
                "!a",
                "b/",
                "/a",
                "**/b",
                "a/**",
                "a/b",
                "!a/b",
                "# no",
                r"\#",
                r"\!a",
                "[ab]",
                "  b  ",
                "!*/",
                "é*",
                "data/b",
                "?",
                "*.a",
            ]
        ),
        NAMES,
    ),
    max_size=3,
)


COMMANDS = st.one_of(
    st.sampled_from(["python train.py", "a && b", "echo '$x' \\\n  more", "tab\tand: colon", "# no comment"]),
    LINES,
    LONG,
)


@dataclass(frozen=True)
class Generated:
    """What lies in a folder: ``files`` path → (bytes, may be executed), ``links`` path → target, and dvc.yaml's content."""

    files: dict[str, tuple[bytes, bool]]
    folders: list[str]
    links: dict[str, str]
    document: dict[str, Any]
    names: list[str]

    def write(self, folder: Path) -> str:
        """Write it all; return dvc.yaml's text. ``FOLDER`` in it is the folder's own path."""
        for path in self.folders:
            (folder / path).mkdir(parents=True, exist_ok=True)
        for path, (content, executable) in self.files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            if executable:
                file.chmod(0o755)
        for path, target in self.links.items():
            (folder / path).symlink_to(target)
        text = json.dumps(self.document, ensure_ascii=False, indent=1).replace("FOLDER", str(folder))
        (folder / "dvc.yaml").write_text(text)
        return text


@st.composite
def generated(draw: st.DrawFn) -> Generated:
    """A project in a folder of a repository, with one declared stage (or several by ``foreach`` and ``matrix``)."""
    project = _Project(draw, wdir=draw(st.sampled_from([None, None, None, ".", "w", "w/v"])))
    project.add_files()
    project.add_links()
    project.add_rules()
    definition: dict[str, Any] = {"cmd": draw(st.one_of(COMMANDS, st.lists(COMMANDS, min_size=1, max_size=3)))}
    if project.wdir:
        definition["wdir"] = project.wdir
    definition |= {"deps": project.add_deps(), "params": project.add_params()}
    definition |= {kind: project.add_outs(kind) for kind in ("outs", "metrics", "plots")}
    definition = {key: value for key, value in definition.items() if value != []}
    for flag in ("always_changed", "frozen"):
        if project.rarely(7):
            definition[flag] = draw(st.booleans())
    if draw(st.booleans()):
        definition["desc"] = draw(LINES)
        definition["meta"] = {"any": ["thing", 1, None]}
    document, names = _templated(draw, definition)
    return Generated(files=project.files, folders=project.folders, links=project.links, document=document, names=names)


@dataclass
class _Project:
    """A project while it is drawn."""

    draw: st.DrawFn
    wdir: str | None
    files: dict[str, tuple[bytes, bool]] = field(default_factory=dict)
    folders: list[str] = field(default_factory=lambda: ["data", "w/v"])
    links: dict[str, str] = field(default_factory=dict)

    def rarely(self, times: int) -> bool:
        """True about once in so many times; an integer would be 0, Hypothesis's favourite, far more often."""
        return self.draw(st.sampled_from([*[False] * (times - 1), True]))

    def written(self, path: str) -> str:
        """One of the ways to write a path, from the stage's working folder."""
        relative = os.path.relpath(path, self.wdir or ".")
        ways = [relative, relative, relative, f"./{relative}"]
        if not self.wdir:
            ways += [relative.replace("/", "//"), f"w/../{relative}", f"FOLDER/{path}"]
        return self.draw(st.sampled_from(ways))

    def add_files(self) -> None:
        """Files and folders, some empty, some that may be executed, up to three levels deep."""
        for parts in self.draw(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=6)):
            above = [posixpath.join("data", *parts[:depth]) for depth in range(1, len(parts))]
            path = posixpath.join("data", *parts)
            if path in self.folders or path in self.files or any(folder in self.files for folder in above):
                continue
            kind = self.draw(st.sampled_from(["file", "file", "file", "executable", "folder"]))
            if kind == "folder":
                self.folders.append(path)
            else:
                self.files[path] = (self.draw(st.binary(max_size=6)), kind == "executable")
            self.folders += [folder for folder in above if folder not in self.folders]

    def add_links(self) -> None:
        """Links to files and folders, inside of a folder and beside it, rarely a broken one."""
        if self.rarely(4):
            self.files |= {"w.txt": (b"w", self.draw(st.booleans())), "w/inside": (b"i", False)}
            self.links |= {
                "data/to file": "../w.txt",
                "data/to folder": "../w",
                "to folder": "data",
                "to file": "w.txt",
            }
        if self.rarely(40):
            self.links["data/broken"] = "nothing"

    def add_rules(self) -> None:
        """`.dvcignore` files, rarely one where DVC refuses it, and another project inside of a folder."""
        patterns = self.draw(PATTERNS)
        if patterns:
            self.files[".dvcignore"] = ("\n".join([*patterns, "!/dvc.yaml"]).encode(), False)
        if self.rarely(25):
            self.files["data/.dvcignore"] = (b"a\n", False)
        if self.rarely(15):
            self.files |= {"data/nested/.dvc/config": (b"", False), "data/nested/file": (b"x", False)}

    def add_deps(self) -> list[str]:
        candidates = [path for path in [*self.files, *self.links, *self.folders] if ".dvc" not in path]
        if "data/nested/file" in self.files:
            # DVC sees another project only if it looks at the folder around it before it looks below that folder
            candidates = [path for path in candidates if not path.startswith("data/")]
        deps = self.draw(st.lists(st.sampled_from(candidates), max_size=4))
        return [self.written(path) for path in [*deps, *(["missing"] if self.rarely(40) else [])]]

    def add_outs(self, kind: str) -> list[Any]:
        listed: list[Any] = []
        for out in self.draw(st.lists(st.sampled_from(["a", "b", "c d", "é", "f/o"]), unique=True, max_size=2)):
            path = f"{kind}-{out}"
            if kind == "outs" and self.draw(st.booleans()):
                self.folders.append(path)
                if self.draw(st.booleans()):
                    self.files[f"{path}/x"] = (self.draw(st.binary(max_size=3)), False)
            else:
                self.files[path] = (b"1", self.draw(st.booleans()))
            written, flags = self.written(path), self._flags(kind)
            plain = not flags and self.draw(st.booleans())
            listed.append(written if plain else {written: flags})
            if self.rarely(15):  # named twice: DVC takes the flags of both
                listed.append({written: self._flags(kind)})
        return listed

    def _flags(self, kind: str) -> dict[str, Any]:
        flags: dict[str, Any] = {}
        for flag, usual in (("cache", True), ("persist", False), ("push", True)):
            if self.rarely(10):
                flags[flag] = self.draw(st.sampled_from([usual, not usual, not usual]))
        if self.rarely(6):
            flags |= {"desc": "d", "type": "model", "labels": ["l"], "meta": {"a": 1}, "remote": "other"}
        if kind == "plots" and self.draw(st.booleans()):
            flags |= {"x": "step", "y": "loss", "title": "t", "header": False, "template": "linear"}
        return flags

    def add_params(self) -> list[Any]:
        listed: list[Any] = []
        if self.draw(st.booleans()):
            # DVC reads params.yaml for its templates too, so that this one must be sound
            depth, text = self.draw(SCALARS), self.draw(TEXTS)
            document = {"lr": 0.1, "train": {"depth": depth, "list": [1, {"size": 2}]}, "é": text}
            self.files[posixpath.normpath(posixpath.join(self.wdir or ".", "params.yaml"))] = (
                dumped(document).encode(),
                False,
            )
            keys = st.sampled_from(["lr", "train", "train.depth", "train.list.1", "é", "train.list"])
            listed += self.draw(st.lists(keys, max_size=3))
            if self.rarely(4):
                file = self.draw(st.sampled_from(["params.yaml", "./params.yaml"]))
                listed.append({file: self.draw(st.sampled_from([None, [], ["lr"]]))})
        for suffix in self.draw(st.lists(st.sampled_from(sorted(PARAMS_FILES)), max_size=2)):
            path, text = f"{self.draw(st.sampled_from(['p', 'é', 'w/p']))}{suffix}", self.draw(PARAMS_FILES[suffix])
            self.files[path] = (text.encode(), False)
            some = st.lists(st.sampled_from(keys_in(text)), min_size=1, max_size=2)
            listed.append({self.written(path): self.draw(st.one_of(st.none(), some))})
        return self.draw(st.permutations(listed)) if listed else []


def _templated(draw: st.DrawFn, definition: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """One stage as it is, or several by one of DVC's templates."""
    kind = draw(st.sampled_from(["plain", "plain", "plain", "vars", "foreach", "matrix"]))
    if kind == "plain":
        return {"stages": {"one": definition}}, ["one"]
    if kind == "vars":
        stage = {
            **definition,
            "cmd": "run ${model.name} --depth ${model.depth}",
            "vars": [{"local": 3}],
            "desc": "${local}",
        }
        return {"vars": [{"model": {"name": "m", "depth": 1e-5}}], "stages": {"one": stage}}, ["one"]
    if kind == "foreach":
        if draw(st.booleans()):
            stage = {**definition, "cmd": "run ${item}"}
            return {"stages": {"each": {"foreach": ["a", 0.1, True], "do": stage}}}, ["each@a", "each@0.1", "each@true"]
        stage = {**definition, "cmd": ["run ${key}", "again ${item.lr}"]}
        return {"stages": {"each": {"foreach": {"x": {"lr": 1}, "y": {"lr": 2}}, "do": stage}}}, ["each@x", "each@y"]
    stage = {"matrix": {"model": ["gb", "nn"], "lr": [0.1]}, **definition, "cmd": "run ${item.model} ${item.lr} ${key}"}
    return {"stages": {"grid": stage}}, ["grid@gb-0.1", "grid@nn-0.1"]
