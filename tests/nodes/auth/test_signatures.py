"""auth: signed webhooks (BEHAVIOUR 22.6, 22.7)."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from datetime import UTC, datetime

import pytest

from greenflow.testing.clock import ManualClock
from tests.nodes.auth.asking import guarded

SECRET, BODY, NOW = "a secret of some length", b'{"paid":  7}', 1_700_000_000


def at(moment: float) -> ManualClock:
    """A clock that stands at a wall time."""
    return ManualClock(start=datetime.fromtimestamp(moment, UTC))


def mac(text: bytes, secret: str = SECRET, hash: str = "sha256") -> str:
    return hmac.new(secret.encode(), text, hash).hexdigest()


# -- what providers publish ---------------------------------------------------------------------

GITHUB = (
    "github",
    "It's a Secret to Everybody",
    b"Hello, World!",
    0,
    [
        "X-Hub-Signature-256: "
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    ],
)
SLACK = (
    "slack",
    "8f742231b10e8888abcd99yyyzzz85a5",
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
    b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
    b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
    b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
    1531420618,
    [
        "X-Slack-Request-Timestamp: 1531420618",
        "X-Slack-Signature: v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    ],
)
STANDARD = (
    "standard-webhooks",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    b'{"test": 2432232314}',
    1614265330,
    [
        "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp: 1614265330",
        "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ],
)


@pytest.mark.parametrize(("preset", "secret", "body", "moment", "lines"), [GITHUB, SLACK, STANDARD])
def test_the_examples_of_providers_are_let_in(
    preset: str, secret: str, body: bytes, moment: int, lines: list[str]
) -> None:
    signature = {"preset": preset, "secrets": [secret]}
    with guarded(at(moment or NOW), signature=signature) as hook:
        answer = hook.ask(*lines, "Content-Type: application/octet-stream", body=body)
        assert json.loads(answer.body)["identity"]["name"] == preset
        for other in (body + b" ", body[:-1], b"", body.swapcase()):
            assert hook.ask(*lines, body=other).status == 401


def stripe(moment: int = NOW, body: bytes = BODY, secret: str = SECRET) -> str:
    return f"Stripe-Signature: t={moment},v1={mac(f'{moment}.'.encode() + body, secret)},v0=00"


def test_stripe() -> None:
    with guarded(at(NOW), signature={"preset": "stripe", "secrets": ["other", SECRET]}) as hook:
        assert hook.ask(stripe(), body=BODY).status == 200
        rolled = f"{stripe(NOW + 1)},v1={'0' * 64}"
        assert hook.ask(rolled, body=BODY).status == 200


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Stripe-Signature: ",
        stripe(secret="another"),
        stripe(body=BODY + b"x"),
        stripe(NOW - 301),
        stripe(NOW + 301),
        stripe().replace("v1=", "v0="),
        stripe().replace("v1=", "v1=ff"),
        stripe()[:-10],
        stripe().replace(f"t={NOW}", f"t={NOW + 1}"),
        stripe().replace(f"t={NOW}", f"t={NOW},t={NOW}"),
        stripe().replace(f"t={NOW},", ""),
        stripe().replace(f"t={NOW}", "t=nan"),
        stripe().replace(f"t={NOW}", "t=-1"),
        stripe().replace(f"t={NOW}", f"t={NOW}.0"),
        stripe().replace(f"t={NOW}", f"t=0{NOW}"),
        stripe().replace(f"t={NOW}", "t=99999999999999999999"),
        stripe().replace("v1=", "v1=\xff"),
        stripe() + "\r\n" + stripe(),
        "Stripe-Signature: " + ",".join(f"v1={n:064x}" for n in range(50)) + "," + stripe()[18:],
        f"Stripe-Signature: t={NOW},v1=",
        f"Stripe-Signature: t={NOW},v1={mac(BODY)}",
        f"X-Stripe-Signature: {stripe()[18:]}",
    ],
)
def test_what_stripe_has_not_signed(line: str) -> None:
    with guarded(at(NOW), signature={"preset": "stripe", "secrets": [SECRET]}) as hook:
        answer = hook.ask(*([line] if line else []), body=BODY)
        assert answer.status == 401
        assert mac(f"{NOW}.".encode() + BODY).encode() not in answer.body


@pytest.mark.parametrize(
    "line",
    [
        f"X-Hub-Signature-256: {mac(BODY)}",
        f"X-Hub-Signature-256: sha1={mac(BODY)}",
        f"X-Hub-Signature-256: SHA256={mac(BODY)}",
        f"X-Hub-Signature: sha1={mac(BODY, hash='sha1')}",
        "X-Hub-Signature-256: sha256=",
        f"X-Hub-Signature-256: sha256={mac(b'')}",
        f"X-Hub-Signature-256: sha256={mac(BODY, '')}",
        f"X-Hub-Signature-256: sha256={mac(BODY)}0",
        f"X-Hub-Signature-256: sha256={mac(BODY)},sha256={mac(BODY)}",
        f"X-Hub-Signature-256: sha256={mac(BODY)}\r\nX-Hub-Signature-256: sha256={'0' * 64}",
    ],
)
def test_what_github_has_not_signed(line: str) -> None:
    with guarded(signature={"preset": "github", "secrets": [SECRET]}) as hook:
        assert hook.ask(line, body=BODY).status == 401


def standard(body: bytes = BODY, id: str = "m", moment: int = NOW, name: str = "v1") -> list[str]:
    digest = hmac.new(SECRET.encode(), f"{id}.{moment}.".encode() + body, "sha256").digest()
    return [
        f"Webhook-Id: {id}",
        f"Webhook-Timestamp: {moment}",
        f"Webhook-Signature: {name},{b64encode(digest).decode()}",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        standard(name="v1a"),
        standard(name="v2"),
        standard(b"x"),
        standard(moment=NOW - 301),
        standard()[1:],
        standard()[:2],
        [standard()[0], standard()[2]],
        ["Webhook-Id: n", *standard()[1:]],
        [*standard()[:2], "Webhook-Signature: v1,"],
        [*standard()[:2], "Webhook-Signature: v1,!!!!"],
        [*standard()[:2], standard()[2].replace("v1,", "v1 ")],
    ],
)
def test_what_standard_webhooks_has_not_signed(lines: list[str]) -> None:
    signature = {"preset": "standard-webhooks", "secrets": [SECRET]}
    with guarded(at(NOW), signature=signature) as hook:
        assert hook.ask(*lines, body=BODY).status == 401


def test_a_signature_of_ones_own() -> None:
    signature = {
        "header": "X-Mac",
        "prefix": "mac ",
        "encoding": "base64",
        "algorithm": "sha512",
        "timestamp": "X-Time",
        "secrets": [SECRET],
        "tolerance": "10s",
    }
    digest = hmac.new(SECRET.encode(), f"{NOW}.".encode() + BODY, "sha512").digest()
    lines = [f"X-Time: {NOW}", f"X-Mac: mac {b64encode(digest).decode()}"]
    for moment, status in ((NOW + 10, 200), (NOW + 11, 401), (NOW - 11, 401)):
        with guarded(at(moment), signature=signature) as hook:
            assert hook.ask(*lines, body=BODY).status == status


# -- once --------------------------------------------------------------------------------------


def test_what_was_done_is_not_done_again() -> None:
    with guarded(at(NOW), signature={"preset": "stripe", "secrets": [SECRET]}) as hook:
        assert "identity" in json.loads(hook.ask(stripe(), body=BODY).body)
        again = hook.ask(stripe(), body=BODY)
        assert (again.status, json.loads(again.body)) == (200, {"detail": "done before"})
        assert "identity" in json.loads(hook.ask(stripe(NOW + 1), body=BODY).body)


def test_what_failed_may_come_again() -> None:
    signature = {"preset": "github", "secrets": [SECRET]}
    with guarded(code="{'status': 500}", signature=signature) as hook:
        line = f"X-Hub-Signature-256: sha256={mac(BODY)}"
        assert [hook.ask(line, body=BODY).status for _ in range(2)] == [500, 500]


def test_a_body_is_checked_as_it_came() -> None:
    """Decoded and written again it would be another one."""
    with guarded(at(NOW), signature={"preset": "stripe", "secrets": [SECRET]}) as hook:
        body = b'{"b": 1,  "a": 1.0}'
        assert (
            hook.ask(stripe(body=body), "Content-Type: application/json", body=body).status == 200
        )
