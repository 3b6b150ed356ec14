"""Kinds that move packets, and those made of others."""

from __future__ import annotations

from typing import Any

from tests.nodes.matrix import NO_NODE, PICKED, PICKY, Case, Exit, Missing, Row, Sent
from tests.waiting import until

# What enters here goes to two ports of `n`.
BOTH = "- {kind: probe, name: both, links: {out: [{name: n, port: ONE}, {name: n, port: TWO}]}}\n"


def both(case: Case, payload: Any) -> Any:
    return case.running.call("both", payload)


def forked(case: Case) -> None:
    """The answer comes at once, the payload arrives in the child."""
    assert case.ask("x") is None
    until(lambda: case.probes.of("seen") == ["x"])


def fork_fails(case: Case) -> None:
    assert case.ask("bad") is None
    if case.linked:
        until(lambda: case.handled)
        assert PICKED in case.handled[0]
        assert "unhandled error" not in case.log.text
    else:
        until(lambda: PICKED in case.log.text)


ROWS = {
    "nop": Row(
        flow="- {kind: nop, name: n}",
        happy=Sent("x", None),
        error=Missing("it never fails"),
        null=Sent(None, None),
        wrong=Sent(b"x", None),
        exits=Missing("it answers at once and holds nothing"),
    ),
    "fork": Row(
        flow="""
- {kind: fork, name: n, links: {out: {name: gate}}}
- {kind: probe, name: gate, links: {out: {name: seen}}}
- {kind: probe, name: seen, links: {out: {name: a}}}
"""
        + PICKY,
        happy=forked,
        error=fork_fails,
        null=Sent(None, None),
        wrong=Sent(b"x", None),
        exits=Exit("x", answer=None),
    ),
    "call": Row(
        flow='- {kind: call, name: n, links: {out: {name: a}, "out[1]": {name: gate}}}\n'
        "- {kind: probe, name: gate}" + PICKY,
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED),
        null=Sent(None, None),
        wrong=Sent(b"x", b"x"),
        exits=Exit("x"),
    ),
    "loop": Row(
        flow='- {kind: loop, name: n, links: {out: {name: a}, "out[1]": {name: gate}}}\n'
        "- {kind: probe, name: gate}" + PICKY,
        happy=Sent([1, 2], [1, 2]),
        error=Sent(["x", "bad"], error=PICKED),
        null=Sent(None, None),
        wrong=Sent("no list", "no list"),
        exits=Exit([1, 2]),
    ),
    "split": Row(
        flow='- {kind: split, name: n, links: {out: {name: a}, "out[1]": {name: a}}}' + PICKY,
        happy=Sent([1, 2, "dropped"], [1, 2]),
        error=Sent(["x", "bad"], error=PICKED, taken=False),
        null=Sent(None, None),
        wrong=Sent("no list", "no list"),
        exits=Exit([1]),
    ),
    "merge": Row(
        flow="- {kind: merge, name: n}\n" + BOTH.replace("ONE", "in").replace("TWO", '"in[1]"'),
        happy=Sent("x", ["x", "x"]),
        error=Sent(ValueError("bad"), error="bad"),
        null=Sent(None, [None, None]),
        wrong=Sent(b"x", [b"x", b"x"]),
        exits=Exit("x"),
        ask=both,
    ),
    "race": Row(
        flow='- {kind: race, name: n, links: {out: {name: a}, "out[1]": {name: b}}}\n'
        "- {kind: nop, name: b}" + PICKY,
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED),
        null=Sent(None, None),
        wrong=Sent(b"x", b"x"),
        exits=Exit("bad", port="out[2]"),
    ),
    "while": Row(
        flow="- {kind: while, name: n, when: self == 1 || self == 'bad', links: {out: {name: a}, "
        '"out[1]": {name: gate}}}\n- {kind: probe, name: gate}' + PICKY,
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED),
        null=Sent(None, None),
        wrong=Sent(b"x", b"x"),
        exits=Exit("x", port="out[1]"),
    ),
    "sleep": Row(
        flow="- {kind: sleep, name: n, interval: 0, links: {out: {name: a}}}" + PICKY,
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED, taken=False),
        null=Sent(None, None),
        wrong=Sent(b"x", b"x"),
        exits=Exit("x"),
    ),
    "sleep (long)": Row(
        flow="- {kind: sleep, name: n, interval: 1h}",
        happy=Missing("an hour is too long for a test"),
        error=Missing("the row above has it"),
        null=Missing("the row above has it"),
        wrong=Missing("the row above has it"),
        exits=Exit("x", began=lambda case: case.node.in_flight),
    ),
    "session": Row(
        flow="- {kind: session, name: n, links: {out: {name: a}}}\n"
        + BOTH.replace("ONE", "io").replace("TWO", "in")
        + PICKY.replace('"bad"', '["bad", "bad"]').replace("self * 2", "self[0] * 2"),
        happy=Sent("x", ["x", "x"]),
        error=Sent("bad", error=PICKED, taken=False),
        null=Sent(None, [None, None]),
        wrong=Sent(b"x", [b"x", b"x"]),
        exits=Exit("x"),
        ask=both,
    ),
    "step": Row(
        flow="- kind: step\n  name: n\n  specs: [{kind: sleep, interval: 0}, A]".replace(
            "A", PICKY.strip().removeprefix("- ")
        ),
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED),
        null=Sent(None, None),
        wrong=Sent(b"x", b"x"),
        exits=Exit("x"),
    ),
    "block": Row(
        flow="""
- kind: block
  name: n
  inbounds: {in: [{name: gate, port: in}]}
  outbounds: {out: [{name: a, port: out}]}
  specs: [{kind: probe, name: gate, links: {out: {name: a}}}, A]
""".replace("A]", PICKY.strip().removeprefix("- ") + "]"),
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED),
        null=Sent(None, None),
        wrong=Sent(b"x", b"x"),
        exits=Exit("x"),
    ),
    "use": Row(
        flow="""
- kind: template
  name: t
  parameters: {text: {default: bad}}
  specs: [{kind: probe, name: gate}, A]
- {kind: use, name: n, template: t}
""".replace("A]", PICKY.strip().removeprefix("- ").replace('"bad"', "{{ .text }}") + "]"),
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED),
        null=Sent(None, None),
        wrong=Sent(b"x", b"x"),
        exits=Exit("x"),
    ),
    "template": Row(
        flow="{kind: template, name: n, specs: [{kind: nop}]}",
        happy=Missing(NO_NODE),
        error=Missing(NO_NODE),
        null=Missing(NO_NODE),
        wrong=Missing(NO_NODE),
        exits=Missing(NO_NODE),
    ),
}
