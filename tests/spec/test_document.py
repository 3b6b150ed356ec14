"""Spec files: what is read, what is refused and where, and where each part stands."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenflow.spec.document import Document, DocumentError, read, read_file, read_path
from greenflow.spec.syntax import MAX_DEPTH
from greenflow.spec.syntax.yaml import MAX_REPEATED

# The machine may be busy; what is tested is not how fast it is.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def data(text: str | bytes, source: str = "shop.yaml") -> list[dict[str, Any]]:
    return [document.data for document in read(text, source)]


def fault(text: str | bytes, source: str = "shop.yaml") -> str:
    with pytest.raises(DocumentError) as caught:
        read(text, source)
    error = caught.value
    assert error.exit_code == 3
    if error.line:
        assert str(error) == f"{source}:{error.line}:{error.column}: {error.reason}"
    return str(error).removeprefix(f"{source}:")


def test_one_spec_a_list_or_several_documents() -> None:
    assert data("kind: nop\n") == [{"kind": "nop"}]
    assert data("- kind: nop\n- kind: fork\n") == [{"kind": "nop"}, {"kind": "fork"}]
    assert data("kind: nop\n---\n- kind: fork\n- {kind: try}\n---\nkind: sleep\n") == [
        {"kind": "nop"},
        {"kind": "fork"},
        {"kind": "try"},
        {"kind": "sleep"},
    ]
    assert data('{"kind": "nop"}', "shop.json") == [{"kind": "nop"}]
    assert data('[{"kind": "nop"},\n{"kind": "fork"}]') == [{"kind": "nop"}, {"kind": "fork"}]
    assert data('{"kind": "nop"}\n{"kind": "fork"}\n') == [{"kind": "nop"}, {"kind": "fork"}]


def test_empty_documents_are_skipped_and_an_empty_list_is_no_spec() -> None:
    assert data("---\nkind: nop\n---\n---\n# only a note\n") == [{"kind": "nop"}]
    assert data("[]") == []
    assert data("[]", "shop.json") == []


@pytest.mark.parametrize("text", ["", " \n", "# a note\n", "---\n", "null", b"\xef\xbb\xbf"])
def test_a_text_without_any_document_is_refused(text: str | bytes) -> None:
    assert fault(text) == " no spec in it: write one, or [] for none"


def test_yaml_is_1_2_with_the_core_schema() -> None:
    strings = ["yes", "no", "on", "off", "y", "2020-01-01", "1_000", "12:30"]
    strings += ["0b1", "1.2.3", ".e1", "-", "0x", "nan", "="]
    [values] = data(
        f"%YAML 1.1\n---\nstrings: [{', '.join(strings)}]\n"
        "nulls: [~, null, Null, NULL]\n"
        "booleans: [true, True, TRUE, false, False, FALSE]\n"
        "integers: [0, -1, +12, 010, 0o17, 0x1F, 9223372036854775807, -9223372036854775808]\n"
        "floats: [1.5, -.5, 1., 1e3, 1.5E-2, +2.0]\n"
        "quoted: ['1', \"true\", !!str 5, ! 6]\n"
        "tagged: [!!int 5, !!float 5, !!bool true, !!null null]\n"
        "empty:\n"
    )
    assert values == {
        "strings": strings,
        "nulls": [None, None, None, None],
        "booleans": [True, True, True, False, False, False],
        "integers": [0, -1, 12, 10, 15, 31, 2**63 - 1, -(2**63)],
        "floats": [1.5, -0.5, 1.0, 1000.0, 0.015, 2.0],
        "quoted": ["1", "true", "5", "6"],
        "tagged": [5, 5.0, True, None],
        "empty": None,
    }
    assert [type(value) for value in values["floats"]] == [float] * 6
    assert type(values["tagged"][1]) is float


def test_colons_inside_of_a_word_are_part_of_it() -> None:
    [values] = data("a: [/:id, 12:30]\nb: {path: /:name/x, url: http://host:80/, c: a?b}\n")
    assert values == {
        "a": ["/:id", "12:30"],
        "b": {"path": "/:name/x", "url": "http://host:80/", "c": "a?b"},
    }


def test_block_texts_keep_their_lines() -> None:
    [values] = data("code: |\n  one\n\n  two\nfolded: >-\n  a\n  b\n")
    assert values == {"code": "one\n\ntwo\n", "folded": "a b"}


def test_aliases_are_copies_and_merge_keys_are_kept() -> None:
    [values] = data(
        "base: &base {x: 1, y: [1]}\n"
        "same: *base\n"
        "merged:\n  <<: *base\n  x: 2\n"
        "several:\n  <<: [*base, {z: 3, x: 9}]\n"
        "'<<': text\n"
        "name: &name n\n*name : named\n"
    )
    assert values == {
        "base": {"x": 1, "y": [1]},
        "same": {"x": 1, "y": [1]},
        "merged": {"x": 2, "y": [1]},
        "several": {"x": 1, "y": [1], "z": 3},
        "<<": "text",
        "name": "n",
        "n": "named",
    }
    values["same"]["y"].append(2)
    assert values["base"]["y"] == values["merged"]["y"] == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: the key 'a' is there twice in this map"),
        ("a: {b: 1, b: 2}", "1:11: the key 'b' is there twice in this map"),
        ("<<: {a: 1}\n<<: {b: 1}", "2:1: the key '<<' is there twice in this map"),
        ("a: &x [1, *x]", "1:11: the alias *x is inside of what it stands for"),
        ("a: &x {b: {c: *x}}", "1:15: the alias *x is inside of what it stands for"),
        ("a: *x", "1:4: the alias *x has no anchor &x before it"),
        ("a: &x 1\n---\na: *x", "3:4: the alias *x has no anchor &x before it"),
        ("1: a", "1:1: a key must be a string: put 1 in quotes"),
        ("a: {true: 1}", "1:5: a key must be a string: put true in quotes"),
        ("~: a", "1:1: a key must be a string: put null in quotes"),
        ("? [a]\n: b", "1:3: a key must be a string, not a list or map"),
        ("a: &x {b: 1}\n*x : c", "2:1: a key must be a string, not a list or map"),
        ("<<: 5", "1:1: << takes a map, or a list of maps"),
        ("a: !python/object x", "1:4: the tag !python/object is not known here"),
        ("a: !set {b}", "1:4: the tag !set is not known here"),
        ("a: !!timestamp 2020-01-01", "1:4: the tag tag:yaml.org,2002:timestamp is not known"),
        ("a: !!int x", "1:4: 'x' is no int"),
        ("a: !!seq {}", "1:4: the tag tag:yaml.org,2002:seq is not known here"),
        ("a: .inf", "1:4: .inf is no finite number"),
        ("a: -.INF", "1:4: -.INF is no finite number"),
        ("a: .nan", "1:4: .nan is no finite number"),
        ("a: 1e999", "1:4: 1e999 is no finite number"),
        ("a: 9223372036854775808", "1:4: the integer has more than 64 bit: put it in quotes"),
        ("a: 0x" + "f" * 10_000, "1:4: the integer has more than 64 bit: put it in quotes"),
        ("a: 1\n\tb: 2", "2:1: a tab cannot indent: use blanks"),
        ("a:\n\t- b", "2:1: a tab cannot indent: use blanks"),
        ("a: @b", "1:4: the character '@' cannot start a value: put the text in quotes"),
        ("a: b: c", "1:5: mapping values are not allowed in this context"),
        ("a: 'b", "1:6: found unexpected end of stream"),
        ("\n\na: [1,\n", "4:1: did not find expected node content"),
        ("%YAML 2.0\n---\na: 1", "1:1: found incompatible YAML document"),
        ("a: 1\nb: \x01", "2:4: the control character U+0001 is not allowed in YAML"),
        ("a: \ud800", "1:4: the control character U+D800 is not allowed in YAML"),
        ("a: 1\nb: \0", "2:4: a NUL character; is this a binary file?"),
        ("- kind: nop\n- text\n", "2:3: a spec is a map, not a string"),
        ("- - kind: nop\n", "1:3: a spec is a map, not a list"),
        ("[null]", "1:2: a spec is a map, not null"),
        ("kind: nop\n---\n5", "3:1: a spec is a map, not a number"),
        ("{a: " * (MAX_DEPTH + 1), f"1:{4 * MAX_DEPTH + 1}: nested deeper than {MAX_DEPTH}"),
    ],
)
def test_what_is_wrong_in_yaml_has_its_line_and_column(text: str, message: str) -> None:
    assert fault(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "b": {"c": 1, "\\u0063": 2}}', "2:16: the key 'c' is there twice in this map"),
        ('{"a": NaN}', "1:7: NaN is no JSON number"),
        ('{"a": -Infinity}', "1:7: -Infinity is no JSON number"),
        ('{"a": 1e999}', "1:7: 1e999 is no finite number"),
        ('[{"a": 1},\n{"a": 99999999999999999999}]', "2:7: the integer has more than 64 bit"),
        ('{"a": "\\ud83d"}', "1:7: half of a surrogate pair is no character"),
        ('{"\\udc00": 1}', "1:2: half of a surrogate pair is no character"),
        ('{"a": 1,}', "1:9: not JSON: expecting property name"),
        ('{"a" 1}', "1:6: not JSON: expecting ':' delimiter"),
        ('{"a": "\n"}', "1:8: not JSON: invalid control character"),
        ("kind: nop", "1:1: not JSON: expecting value"),
        ('{"a": 1} x', "1:10: not JSON: expecting value"),
        ("[" * 5000, f"1:{MAX_DEPTH + 1}: nested deeper than {MAX_DEPTH}"),
        ('[{"a": 1},\n 5]', "2:2: a spec is a map, not a number"),
        ('{"a": 1}\n"text"', "2:1: a spec is a map, not a string"),
    ],
)
def test_what_is_wrong_in_json_has_its_line_and_column(text: str, message: str) -> None:
    assert fault(text, "shop.json").startswith(message)


def test_characters_beyond_the_basic_plane_are_read_from_escapes() -> None:
    for source in ("shop.json", "shop.yaml"):
        assert data('{"a": "\\ud83d\\ude00 \\/ \\u00e9"}', source) == [{"a": "\U0001f600 / \u00e9"}]


def test_what_begins_like_json_may_be_yaml_unless_the_file_says_json() -> None:
    assert data("{a: 1, b: [x, y]}") == [{"a": 1, "b": ["x", "y"]}]
    assert data('{"a": 1, # a note\n "b": 2,}') == [{"a": 1, "b": 2}]
    assert data('{"a": 1}\n---\nb: 2\n') == [{"a": 1}, {"b": 2}]
    assert fault('{"a": 1, "b": [1, 2}').startswith("1:20: ")


@pytest.mark.parametrize(("head", "tail"), [("[", "]"), ("{a: ", "}"), ('{"a": ', "}")])
@pytest.mark.parametrize("inmost", ["1", "[]"])
def test_the_greatest_depth_is_read(head: str, tail: str, inmost: str) -> None:
    inner = MAX_DEPTH - 1 - (inmost == "[]")
    for root in ('{"a": ', "{a: "):
        assert len(data(root + head * inner + inmost + tail * inner + "}")) == 1
        inner += 1
        assert "nested deeper" in fault(root + head * inner + inmost + tail * inner + "}")
        inner -= 1


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    assert fault("\n".join(lines)).endswith(f": aliases repeat more than {MAX_REPEATED} values")


def test_aliases_cannot_nest_deeper_than_is_allowed() -> None:
    half = "[" * (MAX_DEPTH // 2) + "]" * (MAX_DEPTH // 2)
    assert len(data(f"a: &a {half}\nb: *a")) == 1
    deep = "[" * (MAX_DEPTH // 2) + "*a" + "]" * (MAX_DEPTH // 2)
    assert "nested deeper" in fault(f"a: &a {half}\nb: {deep}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: \xe9\n", "1:4: byte 0xe9 is not UTF-8; is this a binary file?"),
        (b"\xef\xbb\xbfa: 1\n\xc3\xa9\xff", "2:2: byte 0xff is not UTF-8"),
        (b"\xef\xbb\xbf\xff", "1:1: byte 0xff is not UTF-8"),
        (b"\xff\xfea\0", "1:1: this is UTF-16: save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0", "1:1: byte 0x89 is not UTF-8"),
        (b"a\0b", "1:2: a NUL character"),
    ],
)
def test_other_encodings_and_binary_files_are_refused(content: bytes, message: str) -> None:
    assert fault(content).startswith(message)


def test_a_byte_order_mark_is_skipped() -> None:
    for text in ("kind: nop", '{"kind": "nop"}'):
        assert data(b"\xef\xbb\xbf" + text.encode()) == data("\ufeff" + text) == [{"kind": "nop"}]


YAML = """\
# a router
- kind: router
  name: api
  routes:
    - {method: GET, path: /a}
    - method: POST
      path: /b
  links:
    out[0]: [{name: x}]
    error.late:
      - name: "y"
- kind: nop
"""

JSON = """\
[
 {"kind": "router", "name": "api",
  "routes": [{"method": "GET", "path": "/a"},
             {"method": "POST", "path": "/b"}],
  "links": {"out[0]": [{"name": "x"}],
            "error.late": [{"name": "\\u0079"}]}},
 {"kind": "nop"}
]
"""


@pytest.mark.parametrize(
    ("path", "in_yaml", "in_json"),
    [
        ("$", (2, 3), (2, 2)),
        ("", (2, 3), (2, 2)),
        ("$.kind", (2, 3), (2, 3)),
        ("$.routes", (4, 3), (3, 3)),
        ("$.routes[0]", (5, 7), (3, 14)),
        ("$.routes[0].path", (5, 21), (3, 32)),
        ("$.routes[1].method", (6, 7), (4, 15)),
        ("$.links.out[0]", (9, 5), (5, 13)),
        ("$.links.out[0][0].name", (9, 15), (5, 25)),
        ("$.links.error.late[0].name", (11, 9), (6, 29)),
        # What is not there: the nearest that is.
        ("$.missing", (2, 3), (2, 2)),
        ("$.routes[7].method", (4, 3), (3, 3)),
        ("$.routes[1].port", (6, 7), (4, 14)),
        ("$.routes[...]", (4, 3), (3, 3)),
        ("$.kind.deeper[0]", (2, 3), (2, 3)),
        ("$.routes.method", (4, 3), (3, 3)),
        ("$.routes[1", (4, 3), (3, 3)),
    ],
)
def test_a_path_leads_to_line_and_column(
    path: str, in_yaml: tuple[int, int], in_json: tuple[int, int]
) -> None:
    from_yaml, from_json = read(YAML, "a.yaml"), read(JSON, "a.json")
    assert [document.data for document in from_yaml] == [document.data for document in from_json]
    assert from_yaml[0].position(path) == in_yaml
    assert from_json[0].position(path) == in_json


def test_every_document_knows_its_own_position() -> None:
    assert [document.position() for document in read(YAML, "a.yaml")] == [(2, 3), (12, 3)]
    assert [document.position() for document in read(JSON, "a.json")] == [(2, 2), (7, 2)]
    several = read('{"a": 1}\n\n{"b": 1}\nnull\n  {"c": 1}', "-")
    assert [document.position("$.c") for document in several] == [(1, 1), (3, 1), (5, 4)]
    assert repr(several[1]) == "<Document -:3:1>"


def test_positions_inside_of_an_alias_are_those_of_its_anchor() -> None:
    [document] = read("a: &x\n  b: 1\nc: *x\nd:\n  <<: *x\n", "shop.yaml")
    assert document.position("$.c") == (3, 1)
    assert document.position("$.c.b") == (2, 3)
    assert document.position("$.d.b") == (2, 3)


def test_the_place_of_every_yaml_and_json_error_is_inside_of_the_text() -> None:
    for end in range(len(YAML)):
        for text in (YAML[:end], JSON[:end]):
            try:
                read(text, "shop.yaml")
                line = 0
            except DocumentError as error:
                line = error.line
            assert line <= text.count("\n") + 2, text


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def paths_of(value: Any, path: str) -> list[str]:
    inner = value.items() if isinstance(value, dict) else ()
    found = [path]
    for key, item in inner:
        found += paths_of(item, f"{path}.{key}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += paths_of(item, f"{path}[{index}]")
    return found


@untimed
@given(st.dictionaries(st.text(), VALUES, max_size=4), st.booleans(), st.sampled_from([None, 1]))
def test_any_json_is_read_as_it_is_and_placed(
    value: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    [document] = read(text, "shop.json")
    assert document.data == value
    lines = text.split("\n")
    for path in paths_of(value, "$"):
        line, column = document.position(path)
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1])


@untimed
@given(st.text(max_size=30) | st.binary(max_size=30))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    for source in ("shop.yaml", "shop.json"):
        try:
            documents = read(text, source)
        except DocumentError:
            continue
        assert all(isinstance(document.data, dict) for document in documents)


@untimed
@given(st.lists(st.sampled_from(list("{}[]:,-&*!<|>#'\"ab1 \n\t?%~")), max_size=30).map("".join))
def test_any_text_of_signs_is_read_or_refused(text: str) -> None:
    try:
        documents = read(text, "shop.yaml")
    except DocumentError:
        return
    json.dumps([document.data for document in documents])


def names(documents: list[Document]) -> list[str]:
    return [document.data["name"] for document in documents]


def write(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"kind: nop\nname: {name}\n")


def test_a_file_or_folder_is_read_sorted_without_what_is_hidden(tmp_path: Path) -> None:
    write(tmp_path / "b.yaml", "b")
    write(tmp_path / "a" / "z.yml", "a/z")
    write(tmp_path / "c" / "deep" / "x.yaml", "c/deep/x")
    (tmp_path / "d.json").write_text('{"kind": "nop", "name": "d"}')
    write(tmp_path / ".hidden.yaml", "hidden")
    write(tmp_path / ".git" / "x.yaml", "hidden")
    write(tmp_path / "notes.txt", "notes")
    (tmp_path / "b.flow.yaml").write_text("specs: b.yaml")  # cases for them (greenflow.testing)
    documents = read_path(str(tmp_path))
    assert names(documents) == ["a/z", "b", "c/deep/x", "d"]
    assert documents[0].source == os.path.join(str(tmp_path), "a", "z.yml")
    assert names(read_path(str(tmp_path / "notes.txt"))) == ["notes"]


def test_links_are_followed_but_never_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path / "..data" / "x.yaml", "x")
    (tmp_path / "x.yaml").symlink_to("..data/x.yaml")
    (tmp_path / "again").symlink_to(".")
    (tmp_path / "folder").symlink_to("..data")
    assert names(read_path(str(tmp_path))) == ["x", "x"]


def test_what_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_path(str(tmp_path / "missing.yaml"))
    (tmp_path / "broken.yaml").symlink_to("missing")
    with pytest.raises(FileNotFoundError):
        read_path(str(tmp_path))


def test_a_folder_without_spec_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("kind: nop")
    with pytest.raises(DocumentError, match=r"no spec file in this folder \(\*.yaml \*.yml") as at:
        read_path(str(tmp_path))
    assert (at.value.source, at.value.line) == (str(tmp_path), 0)


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"kind: nop\n")))
    [document] = read_path("-")
    assert (document.data, document.source) == ({"kind": "nop"}, "-")
    with pytest.raises(DocumentError, match=r"^-: no spec in it"):
        read_path("-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DocumentError, match=r"^-: no spec in it"):
        read_path("-")


@pytest.mark.parametrize("patch", ["", "from gevent import monkey; monkey.patch_all()"])
def test_a_signal_that_came_just_before_the_wait_for_standard_input_is_seen(patch: str) -> None:
    # As in that moment: the signal is there, and does not interrupt the system call.
    program = f"""
{patch}
import _thread
from gevent.monkey import get_original
from gevent import get_hub
from greenflow.spec.document import read_path
sleep = get_original("time", "sleep")
get_original("_thread", "start_new_thread")(lambda: (sleep(0.05), _thread.interrupt_main()), ())
try:
    read_path("-")
except KeyboardInterrupt:
    print("seen", flush=True)
"""
    read, write = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], stdin=read, capture_output=True, timeout=60, check=True
        )
    finally:
        os.close(read)
        os.close(write)
    assert done.stdout == b"seen\n", done.stderr


def test_a_file_with_tests_is_no_spec_file(tmp_path: Path) -> None:
    """A shell's `*.yaml` names it beside the specs."""
    path = tmp_path / "shop.flow.yaml"
    path.write_text("specs: shop.yaml\n")
    with pytest.raises(DocumentError, match=r"shop\.flow\.yaml: holds tests, which `greenflow"):
        read_file(str(path))
