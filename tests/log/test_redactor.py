"""What is a secret by its look is taken out of texts and URLs, and nothing else is."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from greenflow.log.redactor import redact, redact_url, url_secrets
from greenflow.log.secret import MASK

# The machine may be busy; what is tested is not how fast it is.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb://user:pa:ss@host:27017/db", "mongodb://***@host:27017/db"),
        ("mongodb://user:pa/ss@host/db", "mongodb://***@host/db"),
        ("mongodb://user:p@ss@host/db", "mongodb://***@host/db"),
        ("redis://:word@h:1/2 and a://u@h", "redis://***@h:1/2 and a://***@h"),
        ("'https://token@git/x'", "'https://***@git/x'"),
        ("a://x:1@b://y:2@c", "a://***@b://***@c"),
        ("password=hunter2, x=1", "password=***, x=1"),
        ("db.password = hunter2", "db.password = ***"),
        ("{'password': 'a \\' b', 'x': 1}", "{'password': ***, 'x': 1}"),
        ('{"access_token":"abc","n":1}', '{"access_token":***,"n":1}'),
        ("?token=abc&x=1", "?token=***&x=1"),
        ("SECRET_KEY: abc", "SECRET_KEY: ***"),
        ("x-api-key: abc", "x-api-key: ***"),
        ("the user's token: abc", "the user's token: ***"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("{'Authorization': ['Bearer x', 'y'], 'A': ['b']}", "{'Authorization': ***, 'A': ['b']}"),
        ("Cookie: a=b; c=d\nnext: 1", "Cookie: ***\nnext: 1"),
        ("Set-Cookie=sid=1; HttpOnly", "Set-Cookie=***"),
        ('password="never closed', "password=***"),
    ],
)
def test_secrets_are_replaced(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///greenflow.db",
        "open http://localhost:8000/users/@me",
        "http://host/path?email=a@b",
        "unexpected token: '}'",
        "shop.yaml:1:2: $.tls.password: expected a string, got a number",
        "$.users[0].token: missing",
        "authorization failed",
        "the cookie jar is full",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert redact(text) == text


@untimed
@given(st.text("ab:/@=\"' token[]{}\\\n.,;-0", max_size=60))
def test_redacting_ends_and_hides_no_more_the_second_time(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("sqlite:////srv/flow.db?timeout=3", "sqlite:////srv/flow.db?timeout=3"),
        ("sqlite:////srv/a@b/flow.db", "sqlite:////srv/a@b/flow.db"),
        ("mongodb://host:27017,other:27017/db", "mongodb://host:27017,other:27017/db"),
        ("mongodb://me:pass@host/db", "mongodb://***@host/db"),
        ("mongodb://me:pass@a:1,b:2/db?w=1", "mongodb://***@a:1,b:2/db?w=1"),
        ("mongodb+srv://me:pa:s@s%40@host/db", "mongodb+srv://***@host/db"),
        ("mongodb://:pass@host/db", "mongodb://***@host/db"),
        ("mongodb://me@host/db", "mongodb://***@host/db"),
        (
            "x://h/?tls=1&tlsPassword=p&w=1&Access_Token=t",
            "x://h/?tls=1&tlsPassword=***&w=1&Access_Token=***",
        ),
        ("amqp://me:a@h;amqp://me:b@i", "amqp://***@h;amqp://***@i"),
        # Options, whatever is in their values.
        ("redis://h/0?password=se,cret", "redis://h/0?password=***"),
        ("redis://h/0?password=se@cret", "redis://h/0?password=***"),
        ("redis://h/0?password=se#cret&db=1", "redis://h/0?password=***&db=1"),
        ("redis://h/0?password=se&cret&db=1", "redis://h/0?password=***&db=1"),
        ("redis://h/0?pass%77ord=secret", "redis://h/0?pass%77ord=***"),
        ("https://h/#access_token=secret&x=1", "https://h/#access_token=***&x=1"),
        ("https://h/a?x=1#token=secret", "https://h/a?x=1#token=***"),
        ("jdbc://h/db;user=me;password=secret", "jdbc://h/db;user=me;password=***"),
        ("https://h/?sig=abc&design=round&auth=no", "https://h/?sig=***&design=round&auth=***"),
        ("mongodb://h/?authSource=admin", "mongodb://h/?authSource=admin"),
        (
            "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:abc,B:mongodb://defg&w=1",
            "mongodb://h/?authMechanismProperties=***&w=1",
        ),
        # Passwords that nobody encoded.
        ("redis://me:pa#ss@host/0", "redis://***@host/0"),
        ("redis://me:pa?ss@host/0", "redis://***@host/0"),
        ("redis://me:p@ss/word@host/0", "redis://***@host/0"),
        ("redis://me:p@ss?word@host/0", "redis://***@host/0"),
        ("redis://me:p://ss@host/0", "redis://***@host/0"),
        ("redis:///me:pass@host/0", "redis://***@host/0"),
        ("http://me:pa/ss@host/x", "http://***@host/x"),
        ("http://me:pa?a=b@host/x", "http://***@host/x"),
        # What is no URL, or not all of one.
        ("redis://me:secret", "redis://me:***"),
        ("redis://me:secret/0?x=1", "redis://me:***"),
        ("redis:/me:secret@host/0", "***@host/0"),
        ("me:secret@host/0", "***@host/0"),
        (" redis://me:secret@host/0", "***@host/0"),
        ("?token=secret", "?token=***"),
        ("redis://host:port/0", "redis://host:port/0"),
        # The web's URLs.
        ("https://h/users/@me?mail=a@b", "https://h/users/@me?mail=a@b"),
        ("https://me:pass@h/?mail=a@b", "https://***@h/?mail=a@b"),
        ("https://[::1]:8000/", "https://[::1]:8000/"),
        ("https://h/?to=https://me:pass@i/", "https://h/?to=https://***@i/"),
        ("https://h/?to=https%3A%2F%2Fme%3Apass%40i%2F&x=1", "https://h/?to=***&x=1"),
        ("https://h/?to=https%253A%252F%252Fme%253Apass%2540i", "https://h/?to=***"),
        ("https://h/?to=https%3A%2F%2Fi%2F", "https://h/?to=https%3A%2F%2Fi%2F"),
    ],
)
def test_secrets_of_a_url_are_not_shown(url: str, shown: str) -> None:
    assert redact_url(url) == shown
    assert redact_url(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://h/0?password=se,cret: away", "redis://h/0?password=*** away"),
        ("(http://127.0.0.1:8000).", "(http://127.0.0.1:8000)."),
        ("http://127.0.0.1:8000: refused", "http://127.0.0.1:8000: refused"),
        ("'amqp://me:a@h;amqp://me:b@i'", "'amqp://***@h;amqp://***@i'"),
        ("redis://me:p://ss@host/0 is away", "redis://***@host/0 is away"),
        ("http://h/?to=https://me:pass@i/", "http://h/?to=https://***@i/"),
        ("x://h/?token=a://bcdef&y=1", "x://h/?token=***&y=1"),
        ("write redis://host:port/0", "write redis://host:port/0"),
    ],
)
def test_urls_are_found_in_texts(text: str, shown: str) -> None:
    assert redact(text) == shown


schemes = st.sampled_from(["redis", "mongodb", "amqps", "postgresql", "http", "wss", "far+off"])
hosts = st.sampled_from(["hh.example", "[::1]:80", "hh.example:6379", "hh.example:1,ii.example:2"])
paths = st.sampled_from(["", "/", "/0", "/vhost/db", "/users/@me"])
# No part of these is in any other part of a URL, so each of them that is seen has leaked.
letters = "QXZ7"
signs = "/?#@:;,&=%+ !$'()*[]{}\\\"<>|~-._\n\t"
raw = st.text(letters + signs, min_size=4, max_size=24)


def leaked(shown: str, hidden: str) -> list[str]:
    """The parts of more than three characters of a secret that are shown, other than the mask."""
    parts = (hidden[at : at + 4] for at in range(len(hidden) - 3))
    return [part for part in parts if part in shown and set(part) & set(letters)]


@untimed
@given(schemes, raw, hosts, paths)
@example("redis", "Q@X/Z?7", "hh.example", "/0")
def test_an_encoded_password_never_leaks_and_the_host_survives(
    scheme: str, password: str, host: str, path: str
) -> None:
    url = f"{scheme}://me:{quote(password, safe='')}@{host}{path}"
    for shown in (redact_url(url), redact(url), redact(f"cannot open {url}: away")):
        assert not leaked(shown, password)
        assert not leaked(shown, quote(password, safe=""))
        assert "@" in path or host in shown
        assert host.rpartition(".")[2] in shown or "@" in path
    assert password in set(url_secrets(url)) or "@" in path


@untimed
@given(schemes, raw, hosts, st.sampled_from(["", "/", "/0", "/vhost/db?x=1&y=2"]))
@example("http", "@#QX", "hh.example", "")
def test_a_password_as_it_is_never_leaks_and_the_host_survives(
    scheme: str, password: str, host: str, path: str
) -> None:
    # Digits and then a slash are a port in the web's URLs, for those may hold a @ behind it, as an
    # option of theirs may.
    assume(scheme not in ("http", "wss") or not (password[0].isdigit() or "=" in password))
    shown = redact_url(f"{scheme}://me:{password}@{host}{path}")
    assert not leaked(shown, password)
    assert host in shown


@untimed
@given(schemes, raw)
def test_a_password_without_a_host_never_leaks(scheme: str, password: str) -> None:
    assume(not password[0].isdigit() and "@" not in password)
    assert not leaked(redact_url(f"{scheme}://me:{password}"), password)


@untimed
@given(
    schemes,
    hosts,
    st.sampled_from(["password", "Access-Token", "tlsPassword", "api_key", "X-Amz-Signature"]),
    raw,
    st.booleans(),
)
def test_a_secret_option_never_leaks_and_the_host_survives(
    scheme: str, host: str, name: str, value: str, is_encoded: bool
) -> None:
    # Behind an `&` and in front of a `=` stands the name of another option.
    assume(is_encoded or "=" not in value.partition("&")[2])
    text = quote(value, safe="") if is_encoded else value
    for url in (f"{scheme}://{host}/db?a=1&{name}={text}&b=2", f"{scheme}://{host}?{name}={text}"):
        shown = redact_url(url)
        assert not leaked(shown, text)
        assert not leaked(shown, value)
        assert host in shown
        if is_encoded:
            assert redact(url) == shown
            assert redact(f"cannot open {url}, alas").startswith("cannot open " + shown)
    if name in ("password", "tlsPassword"):
        assert value in set(url_secrets(f"{scheme}://{host}/?{name}={quote(value, safe='')}"))


@untimed
@given(st.text("ab:/@=\"' token[]{}\\\n.,;-0?#&%", max_size=60))
def test_redacting_a_url_ends_and_hides_no_more_the_second_time(text: str) -> None:
    assert redact_url(redact_url(text)) == redact_url(text)
    assert redact(redact(text)) == redact(text)


def test_the_mask_is_no_secret() -> None:
    assert redact(f"password={MASK}") == f"password={MASK}"
