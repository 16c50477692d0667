"""Which Workflows release to which environments."""

from __future__ import annotations

import pytest

from canon.model.declaration import Declaration
from canon.model.pins import Pins
from canon.model.project import Pipeline
from canon.model.releasing import released_environments, releasing_problems
from canon.model.settings import Settings

BAKING = {"namespace": "ml", "registry": "r.example.com/ml", "remote": "store"}


def settings(*baking: str) -> Settings:
    return Settings.model_validate({"default_profile": "local", "profiles": {"local": {}, **dict.fromkeys(baking, BAKING)}})  # fmt: skip


def pipeline(deploy: dict[str, object], **more: object) -> Pipeline:
    raw = {
        "name": "toy", "stages": {"fit": {"cmd": "fit", "outs": ["model"]}}, "artifacts": {"m": {"path": "model"}},
        "serving": {"artifact": "m", "cmd": "serve"}, "deploy": deploy, **more,
    }  # fmt: skip
    return Pipeline("pipelines/toy.yaml", Declaration.model_validate(raw), raw, Pins())


@pytest.mark.parametrize(
    ("baking", "deploy", "more", "released", "says"),
    [
        (["a"], {"s": {"namespace": "s"}, "p": {"namespace": "p", "from": "s"}}, {}, {"a": ("s",)}, []),
        (["a", "b"], {"s": {"namespace": "s"}}, {}, {}, ["no Workflow releases here: those of a, b make images"]),
        (["a", "b"], {"s": {"namespace": "s"}}, {"triggers": {"sync": "b"}}, {"b": ("s",)}, []),
        (["a", "b"], {"s": {"namespace": "s", "profile": "a"}}, {"triggers": {"sync": "b"}}, {"a": ("s",)}, []),
        (["a"], {"s": {"namespace": "s", "profile": "local"}}, {}, {}, ["the Workflows of `local` make no image"]),
        ([], {"s": {"namespace": "s"}}, {}, {}, []),
    ],
)
def test_the_profile_that_releases(
    baking: list[str], deploy: dict[str, object], more: dict[str, object], released: dict[str, object], says: list[str]
) -> None:
    declared, of = pipeline(deploy, **more), settings(*baking)
    found = {name: released_environments(declared.declaration, of, name) for name in ("local", "a", "b")}
    assert {name: environments for name, environments in found.items() if environments} == released
    problems = list(releasing_problems(declared, of))
    assert len(problems) == len(says)
    assert all(said in problem.message for said, problem in zip(says, problems, strict=True))
