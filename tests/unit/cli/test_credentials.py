"""What is said shows no password of a URL, whoever wrote it there."""

from __future__ import annotations

import pytest

from canon.cli.console import say


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("its dep `https://user:pw@example.com/a` is no file", "its dep `https://example.com/a` is no file"),
        ("https://token@example.com and s3://key:secret@bucket/x", "https://example.com and s3://bucket/x"),
        ("push to ssh://git@example.com/ml.git", "push to ssh://git@example.com/ml.git"),
        ("https://example.com/ml/co2@sha256:0a", "https://example.com/ml/co2@sha256:0a"),
        ("stage fit@gb, A B <a@example.com>", "stage fit@gb, A B <a@example.com>"),
    ],
)
def test_urls_are_said_without_credentials(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(text)
    assert capsys.readouterr().err == f"{said}\n"
