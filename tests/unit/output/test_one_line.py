"""Values that are written on one line, or once."""

from __future__ import annotations

from canon.output.yaml import OneLine, OneRow, Shared, format_yaml, load_yaml


def test_small_values_take_one_line_and_read_back_the_same() -> None:
    value = {
        "env": [OneLine(name="A", value="1"), OneLine(name="B", value="{{x}}: 'y'")],
        "args": OneRow(["a b", "-c", ""]),
    }
    text = format_yaml(value)
    assert text == "env:\n- {name: A, value: '1'}\n- {name: B, value: '{{x}}: ''y'''}\nargs: [a b, -c, '']\n"
    assert load_yaml(text, "a.yaml") == value


def test_what_is_shared_is_written_once() -> None:
    shared, equal = Shared(a="b"), Shared(a="b")
    text = format_yaml([shared, shared, equal])
    assert text == "- &id001 {a: b}\n- *id001\n- {a: b}\n"
    assert load_yaml(text, "a.yaml") == [{"a": "b"}] * 3


def test_nothing_else_is() -> None:
    same = {"a": "b"}
    assert format_yaml([same, same]) == "- a: b\n- a: b\n"
