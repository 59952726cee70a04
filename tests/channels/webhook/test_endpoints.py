"""Which endpoints there are: everything that is wrong is told, and nothing that may be secret."""

from __future__ import annotations

import pytest

from channels.webhook.endpoints import endpoints_of, keys_of, missing, urls_of
from channels.webhook.signature import key_of
from tests.fakes.webhooks import new_secret

SECRET = "hunter2"
A, B = new_secret(), new_secret()


def test_endpoints_have_a_name_a_url_and_keys() -> None:
    found = endpoints_of(
        " pager=https://pager.example.com:8443/hooks/hunter2?a=b=c\n audit=http://127.0.0.1:9/in ",
        f"pager={B} audit={A} pager={A}",
    )
    assert list(found) == ["pager", "audit"]
    assert found["pager"].url == "https://pager.example.com:8443/hooks/hunter2?a=b=c"
    assert found["pager"].keys == (key_of(B), key_of(A))
    assert found["pager"].where == "pager.example.com:8443"
    assert SECRET not in f"{found}"
    assert A not in f"{found}"


def test_nothing_set_is_no_endpoint() -> None:
    assert endpoints_of("", "") == {}
    assert missing("", "") == []


def test_what_is_set_by_half_is_told_together() -> None:
    urls, secrets = "a=https://a.example b=https://b.example", f"b={A} c={B}"
    assert list(endpoints_of(urls, secrets)) == ["b"]
    assert missing(urls, secrets) == [
        "WEBHOOK_SECRETS has no secret for a: make one with `echo a=whsec_$(openssl rand -base64 32)`.",
        "WEBHOOK_URLS has no URL for c: write c=https://…, or take its secret out of WEBHOOK_SECRETS.",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://x.example/hunter2", "must be NAME=https://example.com/hook, with spaces between several"),
        ("Pager=https://x.example", "must be NAME="),
        ("a/b=https://x.example", "must be NAME="),
        ("a=https://x.example a=https://y.example", "names a twice"),
        ("a=ftp://x.example/hunter2", "needs for a an https:// URL"),
        ("a=hunter2", "needs for a an https:// URL"),
        ("a=https:///hunter2", "needs for a an https:// URL"),
        ("a=https://x.example:hunter2/", "needs for a a URL"),
        ("a=https://[hunter2", "needs for a a URL"),
        ("a=https://bücher.example", "needs for a an https:// URL"),
        ("a=http://x.example/hunter2", "needs for a https://, as http:// would cross the network in the clear"),
        ("a=http://127.0.0.1.example/", "needs for a https://"),
        ("a=https://u:hunter2@x.example/", "needs for a a URL without a user, a password, a fragment or a comma"),
        ("a=https://x.example/#hunter2", "without a user, a password, a fragment"),
        ("a=https://x.example,b=https://y.example", "or a comma"),
        ("a=http://x.example b=ftp://y.example", "needs for a https://, as .*, and needs for b an https:// URL"),
    ],
)
def test_what_is_no_url_is_told_without_it(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as error:
        urls_of(text)
    assert SECRET not in str(error.value)


def test_what_is_no_secret_is_told_without_it() -> None:
    with pytest.raises(ValueError, match=r"needs for a whsec_ and 24 .*, and needs for b whsec_ and 24") as error:
        keys_of(f"a={SECRET} b=whsec_{SECRET}")
    assert SECRET not in str(error.value)
    with pytest.raises(ValueError, match="must be NAME=whsec_") as error:
        keys_of(SECRET)
    assert SECRET not in str(error.value)
