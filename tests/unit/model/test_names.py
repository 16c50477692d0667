from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from canon.model.errors import CanonError
from canon.model.names import MAX_LENGTH, check_names, dns_name_from_stage, stage_from_dns_name

NAMES = st.one_of(
    st.text(min_size=1, max_size=100),
    st.text("abz09-@._ÄZ", min_size=1, max_size=80),
    st.from_regex(r"\A[a-z][a-z0-9_-]{0,10}(@[a-z0-9.-]{1,8}){0,2}\Z"),
)
LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


@given(NAMES)
@example("-")
@example("é")
@example("a-")
@example("a" * 63 + "-")
@example("\ud800")
@example("")
@example("a" * 90 + "@")
def test_a_stages_name_becomes_a_dns_label(name: str) -> None:
    dns = dns_name_from_stage(name)
    assert LABEL.fullmatch(dns)
    assert len(dns) <= MAX_LENGTH
    assert dns_name_from_stage(name) == dns


@given(st.from_regex(r"\A[a-z][a-z0-9]*(-[a-z0-9]+)*\Z").filter(lambda name: len(name) <= MAX_LENGTH))
def test_a_name_that_fits_stays_as_it_is(name: str) -> None:
    assert dns_name_from_stage(name) == name


@given(st.lists(NAMES, unique=True, min_size=2, max_size=30))
def test_different_stages_have_different_names_in_the_cluster(names: list[str]) -> None:
    assert len({dns_name_from_stage(name) for name in names}) == len(names)
    assert check_names(names) == ()


@given(NAMES, st.text("-@0123456789abcdefxz", min_size=1, max_size=20))
def test_what_looks_like_an_escape_is_one_stage_alone(name: str, other: str) -> None:
    mapped = dns_name_from_stage(name)
    for each in (mapped, mapped + other, other, f"{mapped}-{other}"):
        assert each == name or dns_name_from_stage(each) != mapped or each == mapped == name


@given(st.lists(NAMES, unique=True, min_size=1, max_size=10), st.data())
def test_a_stage_is_found_by_its_name_in_the_cluster(names: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(names))
    assert stage_from_dns_name(dns_name_from_stage(name), names) == name


@pytest.mark.parametrize(
    ("name", "dns"),
    [
        ("train", "train"),
        ("data-raw", "data-raw"),
        ("fit@gb", "fit--40gb"),
        ("grid@0.1-adam", "grid--400--2e1-adam"),
        ("Train", "x--00--54rain"),
        ("2020", "x--00--32020"),
        ("a_b", "a--5fb"),
        ("a--b", "a--2d-b"),
        ("é", "x--00--e9"),
        ("日", "x--00--x65e5x"),
    ],
)
def test_names_that_are_written_in_manifests_do_not_change(name: str, dns: str) -> None:
    assert dns_name_from_stage(name) == dns


def test_a_name_that_is_cut_keeps_its_beginning_and_gets_a_hash() -> None:
    long = dns_name_from_stage("fit@" + "a" * 80)
    assert re.fullmatch(r"fit--40a+--z-[0-9a-f]{10}", long)
    assert len(long) == MAX_LENGTH
    assert dns_name_from_stage("fit@" + "a" * 81) != long


def test_names_that_would_be_one_are_said() -> None:
    one, two = ("a" * 60 + f"@{number}" for number in (420803, 1047598))  # equal in the 40 bits that are left of sha256
    (problem,) = check_names([one, "other", two])
    assert problem.path == f"stages.{two}"
    assert one in problem.message
    assert dns_name_from_stage(one) == dns_name_from_stage(two)
    assert problem.remedy
    assert check_names(["a", "b", "a"]) == ()


def test_a_name_of_no_stage_is_said() -> None:
    with pytest.raises(CanonError, match="no stage is called 'fit'"):
        stage_from_dns_name("fit", ["train", "fit@gb"])
