"""`greenflow apply`, `get` and `delete` on one database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from greenflow.spec.document import read
from greenflow.spec.syntax import MAX_DEPTH
from tests.cli.conftest import Command, Start, service


def names(greenflow: Command, *arguments: str) -> list[str]:
    result = greenflow("get", *arguments, "-o", "json")
    if "there is no database" in result.err:
        return []
    return [spec["name"] for spec in result.data]


def test_it_says_what_was_created_changed_and_left(greenflow: Command, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(service("one"))
    result = greenflow("apply", "-f", "shop.yaml")
    assert (result.code, result.err) == (0, "")
    assert [row[:4] for row in result.rows] == [
        ["created", "default", "web", "listener"],
        ["created", "default", "says", "snippet"],
    ]
    assert [row[0] for row in greenflow("apply", "-f", "shop.yaml").rows] == ["unchanged"] * 2
    file.write_text(service("two", "- {kind: nop, name: new}\n"))
    result = greenflow("apply", "-f", "shop.yaml", "-o", "json")
    assert [(one["name"], one["result"]) for one in result.data] == [
        ("web", "unchanged"),
        ("says", "changed"),
        ("new", "created"),
    ]


def test_it_takes_files_folders_and_standard_input(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "a.yaml").write_text("{kind: nop, name: a}")
    (tmp_path / "folder" / "b.json").write_text('{"kind": "nop", "name": "b"}')
    (tmp_path / "c.yml").write_text("kind: nop\nname: c\n---\nkind: nop\nname: d\n")
    arguments = ("-f", "folder", "-f", "c.yml", "--file", "-")
    result = greenflow("apply", "specs", *arguments, stdin="[{kind: nop, name: e}]")
    assert result.code == 0
    assert names(greenflow) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_what_get_shows_can_be_applied_again(greenflow: Command, tmp_path: Path, form: str) -> None:
    deep: Any = [2**63 - 1, -(2**63), 1e300, "yes", "a\nb\n", "\u2028", None]
    for _ in range(MAX_DEPTH - 3):
        deep = [deep]
    spec = {"kind": "nop", "name": "deep", "annotations": {"deep": deep}}
    (tmp_path / "a.json").write_text(json.dumps(spec))
    assert greenflow("apply", "-f", "a.json").rows[0][0] == "created"
    shown = greenflow("get", "-o", form).out
    (tmp_path / f"b.{form}").write_text(shown)
    result = greenflow("apply", "-f", f"b.{form}")
    assert (result.code, [row[0] for row in result.rows]) == (0, ["unchanged"])


def test_every_faulty_spec_is_reported_with_its_place_and_nothing_is_applied(
    greenflow: Command, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text(
        "- {kind: nop, name: good}\n"
        "- kind: snippet\n"
        "  name: code\n"
        "  code: [1]\n"
        "  langauge: text\n"
        "- kind: nope\n"
        "  name: strange\n"
        "- kind: router\n"
        "  name: good\n"
        "  routes: {path: /}\n"
        "- kind: nop\n"
        "- {kind: nop, name: good}\n"
        "- {kind: nop, id: x, name: x}\n"
        "- {kind: nop, id: x, name: y}\n"
    )
    result = greenflow("apply", "-f", "bad.yaml")
    assert (result.code, result.out) == (3, "")
    places = [line.split(": ")[:2] for line in result.err.splitlines()]
    assert places == [
        ["bad.yaml:4:3", "$.code"],
        ["bad.yaml:5:3", "$.langauge"],
        ["bad.yaml:6:3", "$.kind"],
        ["bad.yaml:10:3", "$.routes[0].method"],
        ["bad.yaml:11:3", "$"],
        ["bad.yaml:12:15", "$.name"],
        ["bad.yaml:14:15", "$.id"],
    ]
    assert "did you mean 'language'" in result.err
    assert "'good' is taken by the spec at bad.yaml:1:15" in result.err
    assert names(greenflow) == []


def test_every_faulty_file_is_reported(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text("kind: nop\nkind: nop\n")
    (tmp_path / "specs" / "b.yaml").write_bytes(b"\x00\x01")
    (tmp_path / "specs" / "c.json").write_text("{")
    (tmp_path / "specs" / "d.yaml").write_text("")
    (tmp_path / "specs" / "good.yaml").write_text("{kind: nop, name: good}")
    (tmp_path / "empty").mkdir()
    result = greenflow("apply", "-f", "specs", "-f", "empty")
    assert (result.code, result.out) == (3, "")
    assert result.err.splitlines() == [
        "specs/a.yaml:2:1: the key 'kind' is there twice in this map",
        "specs/b.yaml:1:1: a NUL character; is this a binary file?",
        "specs/c.json:1:2: not JSON: expecting property name enclosed in double quotes",
        "specs/d.yaml: no spec in it: write one, or [] for none",
        "empty: no spec file in this folder (*.yaml *.yml *.json)",
    ]
    assert names(greenflow) == []


def test_a_file_that_is_not_there_is_wrong_usage(greenflow: Command) -> None:
    for command in ("apply", "delete"):
        result = greenflow(command, "-f", "missing.yaml")
        assert (result.code, result.err) == (2, "missing.yaml: no such file or folder\n")


def test_a_file_that_cannot_be_opened_is_a_failure(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("[]")
    result = greenflow("apply", "-f", "a.yaml/b.yaml")
    assert (result.code, result.err) == (1, "a.yaml/b.yaml: Not a directory\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_failure(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").touch(mode=0)
    result = greenflow("apply", "-f", "secret.yaml")
    assert (result.code, result.err) == (1, "secret.yaml: Permission denied\n")


def test_nothing_on_standard_input_is_refused(greenflow: Command) -> None:
    result = greenflow("apply", "-f", "-")
    assert (result.code, result.err) == (3, "-: no spec in it: write one, or [] for none\n")
    assert greenflow("apply", "-f", "-", stdin="[]").code == 0


def test_what_the_store_refuses_is_told_in_one_line(greenflow: Command) -> None:
    greenflow("apply", "-f", "-", stdin="{kind: nop, name: a, id: one}")
    result = greenflow("apply", "-f", "-", stdin="{kind: nop, name: a, id: two}")
    assert (result.code, result.out) == (3, "")
    assert len(result.err.splitlines()) == 1
    result = greenflow("apply", "-f", "-", "-n", "other", stdin="{kind: nop, name: b, id: one}")
    assert result.code == 1
    assert result.err.startswith("invalid argument: ")
    assert len(result.err.splitlines()) == 1


def test_a_spec_that_names_its_namespace_is_obeyed(greenflow: Command) -> None:
    specs = "[{kind: nop, name: a}, {kind: nop, name: a, namespace: there}]"
    greenflow("apply", "-f", "-", "-n", "here", stdin=specs)
    assert [row[:2] for row in greenflow("get", "-A").rows] == [["here", "a"], ["there", "a"]]
    assert names(greenflow, "-n", "there") == ["a"]
    assert names(greenflow) == []


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_what_get_prints_can_be_applied_again(greenflow: Command, form: str) -> None:
    specs = service("one", '- {kind: snippet, name: odd, code: "yes\\n  1e3\\n"}\n')
    greenflow("apply", "-f", "-", stdin=specs)
    printed = greenflow("get", "-o", form)
    assert (printed.code, printed.err) == (0, "")
    result = greenflow("apply", "-f", "-", stdin=printed.out)
    assert [row[0] for row in result.rows] == ["unchanged"] * 3
    [odd] = read(greenflow("get", "odd", "-o", form).out, "-")
    assert odd.data["code"] == "yes\n  1e3\n"
    assert odd.data["namespace"] == "default"


def test_get_shows_those_named_by_name_or_id(greenflow: Command) -> None:
    specs = "[{kind: nop, name: a, id: one}, {kind: nop, id: two}, {kind: nop, name: two}]"
    greenflow("apply", "-f", "-", stdin=specs)
    assert [row[3] for row in greenflow("get", "a").rows] == ["one"]
    assert [row[3] for row in greenflow("get", "nodes", "one").rows] == ["one"]
    [row] = greenflow("get", "specs", "two").rows
    assert row[1] == "two"
    result = greenflow("get", "a", "b", "c")
    assert (result.code, result.out) == (1, "")
    assert result.err == "namespace default: nothing is called b, c\n"


def test_get_says_why_a_spec_would_be_inactive(greenflow: Command) -> None:
    specs = service("one").replace("name: says,", "name: silent,")
    greenflow("apply", "-f", "-", stdin=specs)
    rows = {row[1]: row[5] for row in greenflow("get").rows}
    assert rows == {"web": "links.out: no node 'says' in namespace 'default'", "silent": "-"}


def test_delete_by_name_or_id_is_all_or_nothing(greenflow: Command) -> None:
    specs = "[{kind: nop, name: a}, {kind: nop, name: b, id: one}, {kind: nop, name: c}]"
    greenflow("apply", "-f", "-", stdin=specs)
    result = greenflow("delete", "a", "missing")
    assert (result.code, result.err) == (1, "namespace default: nothing is called missing\n")
    assert names(greenflow) == ["a", "b", "c"]
    result = greenflow("delete", "specs", "a", "one")
    assert [row[2] for row in result.rows] == ["b", "a"] or [row[2] for row in result.rows] == [
        "a",
        "b",
    ]
    assert names(greenflow) == ["c"]


def test_delete_takes_what_files_name_even_if_it_is_faulty(greenflow: Command) -> None:
    specs = "[{kind: nop, name: a}, {kind: nop, name: b, id: one}, {kind: nop, name: c}]"
    greenflow("apply", "-f", "-", stdin=specs)
    greenflow("apply", "-f", "-", "-n", "other", stdin="{kind: nop, name: c}")
    faulty = "- {kind: nope, name: a}\n- {id: one, name: c}\n- {name: gone}\n"
    result = greenflow("delete", "-f", "-", "-o", "json", stdin=faulty)
    assert (result.code, result.err) == (0, "")
    assert sorted(one["name"] for one in result.data) == ["a", "b"]
    assert names(greenflow) == ["c"]
    assert greenflow("delete", "-f", "-", stdin="{name: c, namespace: other}").code == 0
    assert names(greenflow, "-A") == ["c"]


def test_an_entry_that_names_nothing_deletes_nothing(greenflow: Command) -> None:
    greenflow("apply", "-f", "-", stdin="{kind: nop, name: a}")
    result = greenflow("delete", "-f", "-", stdin="- {name: a}\n- {kind: nop}\n- {id: [1]}\n")
    assert (result.code, result.out) == (3, "")
    assert [line.split(": ")[0] for line in result.err.splitlines()] == ["-:2:3", "-:3:4"]
    assert names(greenflow) == ["a"]


def test_values_have_a_collection_of_their_own_and_are_not_shown(greenflow: Command) -> None:
    result = greenflow("apply", "values", "-f", "-", stdin="{name: db, data: {password: hunter2}}")
    assert result.rows[0][:3] == ["created", "default", "db"]
    assert names(greenflow) == []
    assert greenflow("get", "values").rows[0][:2] == ["default", "db"]
    for form in ("json", "yaml"):
        assert "hunter2" not in greenflow("get", "values", "-o", form).out
    result = greenflow("apply", "values", "-f", "-", stdin="{kind: nop, name: db}")
    assert (result.code, result.err.split(": ")[:2]) == (3, ["-:1:2", "$.kind"])
    assert greenflow("delete", "values", "db").code == 0
    assert greenflow("get", "values").rows == []


def test_ctrl_c_ends_quietly(start: Start) -> None:
    running = start("apply", "-f", "-", stdin=subprocess.PIPE)
    assert running.process.stdin is not None
    # More than a pipe holds: when it is written, the command has begun to read.
    running.process.stdin.write(b"# a note\n" * 100_000)
    assert running.stop(signal.SIGINT) == 130
    log = "\n".join(running.log)
    assert "Traceback" not in log
    assert "KeyboardInterrupt" not in log  # the hub, which was interrupted, has nothing to report


def test_it_advises_where_a_retry_repeats_more_than_is_meant(
    greenflow: Command, tmp_path: Path
) -> None:
    """The specs are stored all the same, and the node that is repeated may be stored already."""
    (tmp_path / "receipt.yaml").write_text("{kind: write, name: receipt, filename: r.txt}")
    assert greenflow("apply", "-f", "receipt.yaml").err == ""
    (tmp_path / "pay.yaml").write_text("""
- {kind: retry, name: pay, threshold: 3, links: {out: {name: bank}}}
- {kind: http, name: bank, url: "http://bank", links: {out: {name: receipt}}}
""")
    result = greenflow("apply", "-f", "pay.yaml")
    assert (result.code, [row[0] for row in result.rows]) == (0, ["created"] * 2)
    assert result.err == (
        "advice: 'pay' (retry) also repeats 'receipt' (write), which comes after 'bank' (http): "
        "link what comes after from its out[1]\n"
    )


def test_a_use_is_checked_against_the_template_in_the_store(
    greenflow: Command, tmp_path: Path
) -> None:
    """BEHAVIOUR 13.5, 13.6."""
    template = "{kind: template, name: t, parameters: {n: {type: FROM}}, specs: [{kind: nop}]}"
    (tmp_path / "t.yaml").write_text(template.replace("FROM", "integer"))
    (tmp_path / "u.yaml").write_text("{kind: use, name: u, template: t, with: {n: 1}}")
    (tmp_path / "bad.yaml").write_text("{kind: use, name: v, template: t, with: {n: many}}")
    (tmp_path / "late.yaml").write_text("{kind: use, name: w, template: later}")
    result = greenflow("apply", "late.yaml")
    assert result.code == 5
    assert "late.yaml:1:22: w: $.template: no template 'later' in namespace" in result.err
    assert greenflow("apply", "t.yaml").code == 0
    assert greenflow("apply", "u.yaml").code == 0
    result = greenflow("apply", "bad.yaml")
    assert result.code == 3
    said = "bad.yaml:1:42: $.with.n: expected `int`, got `str` (template 't', "
    assert result.err.startswith(said)
    assert names(greenflow) == ["t", "u", "w"]
    (tmp_path / "t.yaml").write_text(template.replace("FROM", "boolean, values: [false]"))
    result = greenflow("apply", "t.yaml")
    assert result.code == 5
    assert "u: $.with.n: True is not allowed; allowed are False (template 't', as st" in result.err
