"""URLs of outgoing requests: what is refused, and where a Location leads."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.net.url import Url, join, parse_authority, parse_url, quote_path, remove_dot_segments

BASE = parse_url("http://a/b/c/d;p?q")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", Url("", "", 0, "")),
        ("/", Url("", "", 0, "/")),
        ("/a?b=c", Url("", "", 0, "/a", "b=c")),
        ("//host", Url("", "host", 0, "")),
        ("//host:8080/a", Url("", "host", 8080, "/a")),
        ("http://host", Url("http", "host", 80, "")),
        ("HTTPS://Host.Test./A?#f", Url("https", "host.test.", 443, "/A", "")),
        ("https://host:/x", Url("https", "host", 443, "/x")),
        ("http://u:p%40%3A@host:1/", Url("http", "host", 1, "/", None, "u:p@:")),
        ("http://@host/", Url("http", "host", 80, "/", None, "")),
        ("http://[::1]:8080/", Url("http", "::1", 8080, "/")),
        ("http://[2001:DB8::0:1]/", Url("http", "2001:db8::1", 80, "/")),
        ("http://[::ffff:127.0.0.1]/", Url("http", "::ffff:7f00:1", 80, "/")),
        ("http://bücher.test/", Url("http", "xn--bcher-kva.test", 80, "/")),
        ("/ü?ü=%C3%BC", Url("", "", 0, "/%C3%BC", "%C3%BC=%C3%BC")),
        ("http://my_service:1/", Url("http", "my_service", 1, "/")),
        ("http://h/100%/%zz/%41", Url("http", "h", 80, "/100%25/%25zz/%41")),
        ('http://h/a"<b>|?c|"', Url("http", "h", 80, "/a%22%3Cb%3E%7C", "c%7C%22")),
    ],
)
def test_what_a_url_says(text: str, url: Url) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "host",
        "host/path",
        "?a=b",
        "#f",
        "http:/host",
        "http:host",
        "http://",
        "http:///path",
        "http://:80/",
        "ftp://host/",
        "file:///etc/passwd",
        "unix:/run/socket",
        "javascript:alert(1)",
        "http://host:0/",
        "http://host:65536/",
        "http://host:+80/",
        "http://host:8 0/",
        "http://host:80:80/",
        "http://a@b@c/",
        "http://ho st/",
        " http://host/",
        "http://host/a b",
        "http://host/\r\nX: y",
        "http://host\\@evil/",
        "http://host/\x00",
        "http://host%2f@evil%2e/",
        "http://%31%32%37.0.0.1/",
        "http://[::1/",
        "http://::1/",
        "http://[fe80::1%25eth0]/",
        "http://[::1]x/",
        "http://[v1.a]/",
        "http://[1.2.3.4]/",
        "http://a..b/",
        "http://.a/",
        "http://-*-/",
        "http://a,b/",
        "http://host!/",
        "http://" + "a" * 64 + "/",
        "http://" + "a." * 130 + "/",
        "http://a\uff0fb/",
        "http://a\uff20b/",
        "http://a\u2100b/",
        "http://\udc80/",
        "http://host/\udc80",
        "http://host/?\udc80",
    ],
)
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the reasons are many
        parse_url(text)
    assert "evil" not in str(caught.value)


def test_what_a_request_says_of_its_url() -> None:
    url = parse_url("http://h:8080")
    assert (url.authority, url.target, str(url)) == ("h:8080", "/", "http://h:8080")
    url = parse_url("https://u:secret@[::1]:443/p/?q#f")
    assert (url.authority, url.target, str(url)) == ("[::1]", "/p/?q", "https://[::1]")
    assert parse_url("http://h:443").authority == "h:443"
    assert parse_url("https://h:80").origin == ("https", "h", 80)


# RFC 3986 5.4.1 and 5.4.2, without the fragments, which are no part of a request.
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("g", "/b/c/g"),
        ("./g", "/b/c/g"),
        ("g/", "/b/c/g/"),
        ("/g", "/g"),
        ("?y", "/b/c/d;p?y"),
        ("g?y", "/b/c/g?y"),
        ("#s", "/b/c/d;p?q"),
        ("g#s", "/b/c/g"),
        ("g?y#s", "/b/c/g?y"),
        (";x", "/b/c/;x"),
        ("g;x?y#s", "/b/c/g;x?y"),
        ("", "/b/c/d;p?q"),
        (".", "/b/c/"),
        ("./", "/b/c/"),
        ("..", "/b/"),
        ("../", "/b/"),
        ("../g", "/b/g"),
        ("../..", "/"),
        ("../../g", "/g"),
        ("../../../g", "/g"),
        ("../../../../g", "/g"),
        ("/./g", "/g"),
        ("/../g", "/g"),
        ("g.", "/b/c/g."),
        (".g", "/b/c/.g"),
        ("g..", "/b/c/g.."),
        ("..g", "/b/c/..g"),
        ("./../g", "/b/g"),
        ("./g/.", "/b/c/g/"),
        ("g/./h", "/b/c/g/h"),
        ("g/../h", "/b/c/h"),
        ("g;x=1/./y", "/b/c/g;x=1/y"),
        ("g;x=1/../y", "/b/c/y"),
        ("g?y/./x", "/b/c/g?y/./x"),
        ("g?y/../x", "/b/c/g?y/../x"),
    ],
)
def test_where_a_location_of_the_same_origin_leads(location: str, target: str) -> None:
    found = join(BASE, location)
    assert (found.origin, found.target) == (BASE.origin, target)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("//g", "http://g/"),
        ("//g:8080/x?y", "http://g:8080/x?y"),
        ("https://g", "https://g/"),
        ("HTTP://G/ä b", "http://g/%E4%20b"),
        ("http://a:80/x", "http://a/x"),
    ],
)
def test_where_an_absolute_location_leads(location: str, url: str) -> None:
    found = join(BASE, location)
    assert f"{found}{found.target}" == url


@pytest.mark.parametrize(
    "location",
    [
        "http:g",
        "http:/g",
        "http:///g",
        "///g",
        "//user@g/",
        "http://a:b@g/",
        "ftp://g/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "\\\\g\\x",
        "/\\g",
        "http://g\\@h/",
        "\tg",
        "http://127.0.0.1%2f/",
    ],
)
def test_a_location_that_cannot_be_followed(location: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the reasons are many
        join(BASE, location)


@pytest.mark.parametrize(
    ("path", "without"),
    [
        ("/", "/"),
        ("/a/../../b", "/b"),
        ("/%2e%2E/%2e/b", "/b"),
        ("/a/.%2e", "/"),
        ("/a%2F../b", "/a%2F../b"),
        ("/a//../b", "/a/b"),
        ("/...", "/..."),
        ("/..", "/"),
    ],
)
def test_dot_segments_never_lead_above_the_root(path: str, without: str) -> None:
    assert remove_dot_segments(path) == without


@given(st.text())
def test_a_quoted_path_is_plain_and_stays_as_it_is(text: str) -> None:
    quoted = quote_path(text)
    assert re.fullmatch(r"(?:[A-Za-z0-9\-._~/:@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*", quoted)
    assert quote_path(quoted) == quoted
    dotless = remove_dot_segments("/" + quoted)
    assert dotless.startswith("/")
    assert not {".", ".."} & set(dotless.replace("%2e", ".").replace("%2E", ".").split("/"))


@given(st.text(st.sampled_from("aZ09.-_:@[]/\\?#%é\uff0e\u3002 \t\x00")))
def test_a_host_is_one_that_everybody_reads_alike(text: str) -> None:
    try:
        _, host, port = parse_authority(text)
    except ValueError:
        return
    assert re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:]+", host)
    assert 0 <= port < 65536


@given(st.text(st.sampled_from("ab./\\:@?#%[]h t\x00\xe4")))
def test_a_location_leads_to_a_whole_url_or_nowhere(location: str) -> None:
    try:
        found = join(BASE, location)
    except ValueError:
        return
    assert found.host
    assert found.port
    assert found.user is None
    assert re.fullmatch(r"/[\x21-\x7e]*", found.target)
    assert not {"\\", "#"} & set(found.target)
    assert join(BASE, f"{found}{found.target}").target == found.target
