"""The tools image: Canon with its own interpreter's environment, never part of a user's image (design 5).

It is a virtual environment (PEP 405) at `/opt/canon/tools`, so that `python -I`, which reads neither PYTHONPATH nor a user's folder,
finds it. git comes from the image below: it is no Python package.
"""

from __future__ import annotations

import posixpath
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path

from canon.baking.cache import open_cache
from canon.baking.environment import environment_key, environment_members, relocated
from canon.baking.interpreter import Interpreter, find_interpreter, find_program
from canon.baking.labels import BASE_DIGEST, TITLE, VERSION
from canon.baking.reuse import cached_layer
from canon.image.append import append_layer, append_layers, origins, whole
from canon.image.contents import final_paths
from canon.image.descriptors import Descriptor
from canon.image.images import Edits, Image, image_of, variables
from canon.image.layers import Member
from canon.image.stores import Progress, Source, Store, no_progress
from canon.image.trees import member_of_bytes, members_of_folder
from canon.model.errors import CanonError

DISTRIBUTION = "canon-ml"
TOOLS = "opt/canon/tools"
"""Where the environment lies in the image."""
LOCK = "tools.lock"
"""The lock of Canon's own environment, in its package: what it runs with, for Python 3.11 to 3.13."""
NEEDED = ("git", "sh")
"""What the image below must have beside Python."""


@dataclass(frozen=True)
class Tools:
    """A tools image that was made, and its layers with where each came from."""

    image: Image
    version: str
    layers: tuple[tuple[Descriptor, str], ...]


def make_tools(
    source: Source, below: Image, target: Store, *, write: bool = True, progress: Progress = no_progress
) -> Tools:
    """Put this version of Canon and its locked environment on an image with Python and git. The same inputs give the same digest.

    Raises CanonError where the image below lacks one of them.
    """
    paths = final_paths(source, below)
    interpreter = find_interpreter(paths, below)
    missing = [
        *([] if interpreter else ["python3"]),
        *(name for name in NEEDED if not find_program(paths, below, name)),
    ]
    if missing or interpreter is None:
        raise CanonError(
            f"{below.name} has no {', '.join(missing)} on its PATH, which the tools need; take an image that has it: the `-slim` ones of"
            " Python have no git"
        )
    version = _version()
    store = target if write else None
    with tempfile.TemporaryDirectory(prefix="canon-tools-") as scratch, whole(target):
        packages = f"{TOOLS}/lib/python{interpreter.version}/site-packages"
        lock = files("canon").joinpath(LOCK).read_bytes()
        into = Path(scratch) / "install"
        into.mkdir()

        def environment() -> Iterator[Member]:
            yield from relocated(environment_members(lock, interpreter, below.platform, into), TOOLS, packages)
            yield from _virtual(interpreter)

        key = environment_key(lock, interpreter, below.platform, TOOLS)
        cache = open_cache(Path(scratch) / "cache")
        layers = [
            cached_layer(store, cache, key, TOOLS, environment, "environment of the tools", progress),
            append_layer(store, list(_own(packages, interpreter)), TOOLS, f"canon {version}", progress),
        ]
        edits = Edits(
            time=0,
            env={"PATH": f"/{TOOLS}/bin:{variables(below).get('PATH', '/usr/local/bin:/usr/bin:/bin')}"},
            labels={TITLE: "canon tools", VERSION: version, BASE_DIGEST: below.digest},
            settings={"Entrypoint": ["canon"], "Cmd": None, "WorkingDir": "/"},
        )
        made = append_layers(store, source, below, layers, edits, f"tools-{version}", progress)
    return Tools(image_of(made, target.name), version, origins(below, layers, made))


def _version() -> str:
    try:
        return distribution(DISTRIBUTION).version
    except PackageNotFoundError:
        raise CanonError(
            f"{DISTRIBUTION} is not installed, only imported; install it, and the tools image holds it"
        ) from None


def _virtual(interpreter: Interpreter) -> Iterator[Member]:
    """What makes a folder a virtual environment (PEP 405): a link to the interpreter, and where that one is at home."""
    home = posixpath.dirname(interpreter.path)
    config = f"home = {home}\ninclude-system-site-packages = false\nversion = {interpreter.version}\n"
    yield member_of_bytes(f"{TOOLS}/pyvenv.cfg", config.encode())
    for name in ("python", "python3", f"python{interpreter.version}"):
        yield Member(f"{TOOLS}/bin/{name}", target=interpreter.path)


def _own(packages: str, interpreter: Interpreter) -> Iterator[Member]:
    """This very Canon: its package as it runs here, without bytecode, and what installers read of it."""
    found = distribution(DISTRIBUTION)
    folder = Path(str(sys.modules["canon"].__path__[0]))
    for member in members_of_folder(folder, f"{packages}/canon"):
        if "__pycache__" not in member.path.split("/"):
            yield Member(member.path, member.size, read=member.read)
    about = f"{packages}/{DISTRIBUTION.replace('-', '_')}-{found.version}.dist-info"
    for name in ("METADATA", "entry_points.txt"):
        yield member_of_bytes(f"{about}/{name}", (found.read_text(name) or "").encode())
    shebang = f"#!/{TOOLS}/bin/python{interpreter.version}"
    start = "import sys\nfrom canon.cli.main import main\nsys.exit(main())\n"
    yield member_of_bytes(f"{TOOLS}/bin/canon", f"{shebang}\n{start}".encode(), executable=True)
