"""An error knows where it arose, and says so in every language (BEHAVIOUR 5.12)."""

from __future__ import annotations

import copy
import pickle
from contextlib import closing
from typing import Any

import pytest

from greenflow import Context, Runtime, Scheme, Stream, node
from greenflow.errors import Runaway
from greenflow.payload.origin import Origin, mark, origin_of, shown
from tests.flows import flow

LETTER = {
    "cel": "{'at': self.at, 'node': self.node, 'kind': self.kind, 'order': self.input,"
    " 'why': self.message, 'cause': self.cause, 'same': self == 'sold out'}",
    "javascript": "export default e => ({at: e.at, node: e.node, kind: e.kind, order: e.input,"
    " why: e.message, cause: e.cause, same: e.error() === 'invalid argument: sold out'})",
    "typescript": "export default (e: any): any => ({at: e.at, node: e.node, kind: e.kind,"
    " order: e.input, why: e.message, cause: e.cause,"
    " same: e.error() === 'invalid argument: sold out'})",
}
ORDER = {"sku": "A1", "blob": b"\0\1", "lines": [1, 2.5, None]}


def letter(error: Any) -> dict[str, Any]:
    """A dead letter, written by a function of a user."""
    return {
        "at": error.at,
        "node": error.node,
        "kind": error.kind,
        "order": error.input,
        "why": error.message,
        "cause": error.cause,
        "same": str(error) == "invalid argument",
    }


def told(handler: str) -> dict[str, Any]:
    specs = f"""
- {{kind: block, name: shop, id: s1, specs: [{{kind: probe, name: check, raises: sold out}}],
   links: {{error: {{name: handler}}}}}}
- {{name: handler, {handler}}}
"""
    with flow(specs) as running:
        answer: dict[str, Any] = running.call("shop", ORDER)
        return answer


@pytest.mark.parametrize("language", LETTER)
def test_a_dead_letter_is_one_snippet(language: str) -> None:
    answer = told(f"kind: snippet, language: {language}, code: {LETTER[language]!r}")
    cause = answer.pop("cause")
    assert str(cause) == "sold out"
    assert answer.pop("at").startswith("s1 revision ")
    assert answer == {
        "node": "shop > check",
        "kind": "probe",
        "order": ORDER,
        "why": "invalid argument",
        "same": True,
    }


@pytest.mark.parametrize("isolation", ["greenlet", "thread", "process"])
def test_or_one_function(isolation: str) -> None:
    answer = told(f"kind: python, call: '{__name__}:letter', isolation: {isolation}")
    assert str(answer.pop("cause")) == "sold out"
    assert answer.pop("at").startswith("s1 revision ")
    assert answer == {
        "node": "shop > check",
        "kind": "probe",
        "order": ORDER,
        "why": "invalid argument",
        "same": True,
    }


@pytest.mark.parametrize(
    "code",
    [
        "{'is': has(self.node), 'none': has(self.cause), 'maybe': self.?input.orValue('-')}",
    ],
)
def test_cel_asks_whether_it_is_known(code: str) -> None:
    specs = [{"kind": "snippet", "name": "asks", "code": code, "language": "cel"}]
    with Runtime("memory://", specs=specs) as runtime:
        assert runtime.call("asks", ValueError("x")) == {"is": False, "none": False, "maybe": "-"}
        error = ValueError("x")
        mark(error, Origin("a", "sql", "b revision 1", [1]))
        assert runtime.call("asks", error) == {"is": True, "none": False, "maybe": [1]}


def test_a_field_that_errors_do_not_have_is_told_with_those_they_have() -> None:
    specs = [{"kind": "snippet", "name": "asks", "code": "self.msg", "language": "cel"}]
    with (
        Runtime("memory://", specs=specs) as runtime,
        pytest.raises(Exception, match="an error has message, node, kind, at, input, cause"),
    ):
        runtime.call("asks", ValueError("x"))


@node("raises")
def raises(ctx: Context, payload: Any) -> Any:
    """Raises its input, or the same error again and again."""
    raise payload if isinstance(payload, Exception) else AGAIN


AGAIN = ValueError("again")


def scheme() -> Scheme:
    installed = Scheme.installed()
    installed.register(raises)
    return installed


def test_what_is_raised_again_keeps_where_it_arose() -> None:
    specs = [
        {
            "kind": "snippet",
            "name": "first",
            "code": "self.nosuch",
            "language": "cel",
            "links": {"error": {"name": "second"}},
        },
        {"kind": "raises", "name": "second", "links": {"error": {"name": "third"}}},
        {"kind": "throw", "name": "third"},
    ]
    with (
        Runtime("memory://", specs=specs, scheme=scheme()) as runtime,
        pytest.raises(Exception, match="no such key") as caught,
    ):
        runtime.call("first", {})
    assert shown(caught.value)["node"] == "first"
    assert shown(caught.value)["input"] == {}


def test_an_error_object_of_a_module_has_the_place_of_the_latest_time() -> None:
    specs = [{"kind": "raises", "name": name} for name in ("one", "two")]
    with Runtime("memory://", specs=specs, scheme=scheme()) as runtime:
        for name, payload in (("one", 1), ("two", 2)):
            with pytest.raises(ValueError, match="again") as caught:
                runtime.call(name, payload)
            error: Any = caught.value
            assert (error.node, error.input, error.message) == (name, payload, "again")


class Tagged(Exception):
    """An error of a user, which has fields of these names already."""

    kind = "theirs"

    def __init__(self) -> None:
        super().__init__("tagged")
        self.input = "theirs"


def test_what_an_error_has_by_these_names_stays() -> None:
    error: Any = Tagged()
    mark(error, Origin("a", "sql", "b revision 1", [1]))
    assert (error.kind, error.input, error.node) == ("theirs", "theirs", "a")
    assert shown(error)["kind"] == "sql"
    mark(error, Origin("c", "sql", "d revision 2", [2]))
    assert (error.kind, error.input, error.node, error.at) == (
        "theirs",
        "theirs",
        "c",
        "d revision 2",
    )


def test_a_text_that_cannot_be_had_hides_no_error() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    error: Any = Broken()
    mark(error, Origin("a", "sql", "b revision 1", None))
    assert "ZeroDivisionError" in error.message


def test_a_copy_keeps_all_but_the_payload() -> None:
    with closing(Stream([b"x"])) as stream:
        error = ValueError("x")
        mark(error, Origin("a", "sql", "b revision 1", None, 7))
        origin = origin_of(error)
        assert origin is not None
        origin.input = stream
        for copied in (copy.deepcopy(origin), pickle.loads(pickle.dumps(origin))):
            assert (copied.node, copied.at, copied.input) == ("a", "b revision 1", None)


def test_a_group_arose_where_its_first_member_did() -> None:
    errors = [ValueError("x"), ValueError("y")]
    mark(errors[1], Origin("a", "sql", "b revision 1", None))
    group = ExceptionGroup("branches failed", errors)
    found = origin_of(ExceptionGroup("outer", [group]))
    assert found is not None
    assert found.node == "a"


def test_a_stream_that_a_node_was_given_does_not_go_to_other_languages() -> None:
    specs = [
        {"kind": "raises", "name": "first", "links": {"error": {"name": "handler"}}},
        {
            "kind": "snippet",
            "name": "handler",
            "language": "javascript",
            "code": "export default e => [e.node, e.input]",
        },
    ]
    with (
        Runtime("memory://", specs=specs, scheme=scheme()) as runtime,
        closing(Stream([b"x"])) as stream,
    ):
        assert runtime.call("first", {"body": stream}) == ["first", None]


def test_an_error_within_what_a_node_was_given_does_not_go_on_for_ever() -> None:
    error: Any = ValueError("x")
    mark(error, Origin("a", "sql", "b revision 1", None))
    origin_of(error).input = [error]  # type: ignore[union-attr]
    specs = [
        {
            "kind": "snippet",
            "name": "asks",
            "language": "javascript",
            "code": "export default e => [e.input[0].node, e.input[0].input, e.input[0].message]",
        }
    ]
    with Runtime("memory://", specs=specs) as runtime:
        assert runtime.call("asks", error) == ["a", None, "x"]


def test_a_runaway_in_a_block_is_the_block_s() -> None:
    specs = """
- kind: block
  name: turning
  specs:
    - {kind: try, name: a, links: {out: {name: b}}}
    - {kind: try, name: b, links: {out: {name: a}}}
  inbounds: {in: [{name: a, port: in}]}
  links: {error: {name: handler}}
- {kind: snippet, name: handler, language: cel, code: self.node}
"""
    with flow(specs) as running:
        assert running.call("turning", 1) in ("turning > a", "turning > b")


def test_without_a_block_it_names_the_node_that_was_not_reached() -> None:
    specs = "- {kind: sleep, name: round, interval: 0, links: {out: {name: round}}}"
    with flow(specs) as running, pytest.raises(Runaway) as caught:
        running.call("round", 1)
    assert shown(caught.value)["node"] == "round"
