"""Where Argo Server is: what goes first, what is no address, and that nothing shows the token."""

from __future__ import annotations

import pytest

from canon.argo.address import Address, find_address
from canon.model.errors import CanonError, UsageError

TOKEN = "secret-of-mine"


def test_the_flag_goes_first_then_the_variable_then_the_profile() -> None:
    environ = {"ARGO_SERVER": "variable:2746"}
    setting = "https://profile.example.com"
    found = [
        find_address("flag:1", environ, setting),
        find_address(None, environ, setting),
        find_address(None, {}, setting),
        find_address("", {}, None),
    ]
    assert [each and each.url for each in found] == [
        "https://flag:1/",
        "https://variable:2746/",
        "https://profile.example.com/",
        None,
    ]


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"ARGO_SERVER": "argo-server.argo.svc:2746"}, "https://argo-server.argo.svc:2746/"),
        ({"ARGO_SERVER": "argo:2746", "ARGO_SECURE": "false"}, "http://argo:2746/"),
        ({"ARGO_SERVER": "argo:2746", "ARGO_SECURE": "true"}, "https://argo:2746/"),
        ({"ARGO_SERVER": "https://argo:2746", "ARGO_SECURE": "false"}, "https://argo:2746/"),
        ({"ARGO_SERVER": "argo", "ARGO_BASE_HREF": "/argo/"}, "https://argo/argo/"),
        ({"ARGO_SERVER": "http://argo/some/base/"}, "http://argo/some/base/"),
        ({"ARGO_SERVER": "[::1]:2746"}, "https://[::1]:2746/"),
    ],
)
def test_the_variables_mean_what_they_mean_to_argo(environ: dict[str, str], url: str) -> None:
    found = find_address(None, environ, None)
    assert found is not None
    assert found.url == url


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{TOKEN}@argo", "argo?x=1", "argo#x", "ftp://argo", "argo:port", "argo/../x y", "https://", "-argo", "argo\nx",
        "https://argo//evil.example.com", "argo:123456", "a{b}", "https://argo\\@evil",
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        find_address(text, {}, None)
    assert TOKEN not in str(raised.value)
    with pytest.raises(CanonError, match="ARGO_SERVER"):
        find_address(None, {"ARGO_SERVER": text}, None)
    with pytest.raises(CanonError):
        find_address(None, {}, text)


@pytest.mark.parametrize("given", [TOKEN, f"Bearer {TOKEN}", f" Bearer  {TOKEN}\n"])
def test_a_token_is_as_argo_auth_token_prints_it_or_bare(given: str) -> None:
    found = find_address("argo", {"ARGO_TOKEN": given}, None)
    assert found is not None
    assert found.token == f"Bearer {TOKEN}"
    assert TOKEN not in f"{found!r} {found} {found.warnings}"


@pytest.mark.parametrize("given", [f"Bearer {TOKEN} x", f"{TOKEN}\x00", f"{TOKEN}é"])
def test_what_is_no_token_is_not_shown(given: str) -> None:
    with pytest.raises(CanonError, match="ARGO_TOKEN holds something else") as raised:
        find_address("argo", {"ARGO_TOKEN": given}, None)
    assert TOKEN not in str(raised.value)


def test_what_is_not_safe_is_said() -> None:
    assert Address("http://argo.argo.svc/", "Bearer x").warnings == (
        "argo.argo.svc is spoken to without TLS: the token and all else can be read on the way",
    )
    assert Address("http://127.0.0.1:2746/", "Bearer x").warnings == ()
    assert Address("http://localhost:2746/", "Bearer x").warnings == ()
    unverified = find_address("argo", {"ARGO_INSECURE_SKIP_VERIFY": "true"}, None)
    assert unverified is not None
    assert unverified.warnings == ("the certificate of argo is not looked at (ARGO_INSECURE_SKIP_VERIFY)",)
