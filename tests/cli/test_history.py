"""`greenflow log`, `show`, `diff`, `blame`, `rollback` and `export`, and what `apply` asks of the
history: dry runs, plans, sets."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from greenflow.cli.blame import blamed
from greenflow.store.change import Edit
from tests.cli.conftest import Command, Start, get, get_until, service

SHOP = """\
# The shop.
- kind: snippet  # it greets
  name: hello
  language: text
  code: |
    one
    two
# Nothing.
- {kind: nop, name: idle}
"""


@pytest.fixture
def shop(greenflow: Command, tmp_path: Path) -> Path:
    """A file that is applied once."""
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    assert greenflow("apply", "shop.yaml", "-m", "opened").code == 0
    return file


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def stored(greenflow: Command) -> dict[str, Any]:
    return {spec["name"]: spec for spec in greenflow("get", "-o", "json").data}


def test_the_log_says_who_what_when_and_why(greenflow: Command, shop: Path) -> None:
    edit(shop, "two", "three")
    greenflow("apply", "shop.yaml")
    greenflow("delete", "idle")
    rows = greenflow("log").rows
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("3", "1 deleted: idle", "-"),
        ("2", "1 changed: hello", "-"),
        ("1", "2 created: hello, idle", "opened"),
    ]
    assert all("@" in row[2] for row in rows)
    newest, *_ = greenflow("log", "hello", "-o", "json").data
    assert (newest["change"], newest["source"]) == (2, "apply shop.yaml")
    assert [row[0] for row in greenflow("log", "--limit", "1").rows] == ["3"]
    missing = greenflow("log", "nobody")
    assert (missing.code, "nobody" in missing.err) == (1, True)


def test_show_gives_each_document_before_and_after(greenflow: Command, shop: Path) -> None:
    edit(shop, "two", "three")
    greenflow("apply", "shop.yaml", "-m", "for better")
    lines = greenflow("show", "2").out.splitlines()
    assert lines[0] == "change 2"
    assert "message: for better" in lines
    assert lines[lines.index("changed hello") + 1 :] == [
        "--- a/hello",
        "+++ b/hello",
        "@@ -4,5 +4,5 @@",
        *lines[-6:-4],
        "   one",
        "-  two",
        "+  three",
        " language: text",
    ]
    (document,) = greenflow("show", "#2", "-o", "json").data["documents"]
    assert document["fields"] == [
        {"path": "$.code", "before": "one\ntwo\n", "after": "one\nthree\n"}
    ]
    assert "from 1 to 2" in greenflow("show", "3").err
    assert greenflow("show", "two").code == 2


def test_diff_compares_files_with_the_store_and_changes_with_each_other(
    greenflow: Command, shop: Path
) -> None:
    shop.write_text('[{name: "idle", kind: nop}]')  # what is meant is the same
    same = greenflow("diff", "shop.yaml", "--exit-code")
    assert (same.code, same.out) == (0, "")
    shop.write_text("[{name: idle, kind: nop, annotations: {a: b}}, {name: new, kind: nop}]")
    differs = greenflow("diff", "shop.yaml", "--exit-code")
    assert differs.code == 1
    assert [line for line in differs.out.splitlines() if line[0] in "+-cd"] == [
        "changed idle",
        "--- a/idle",
        "+++ b/idle",
        "+annotations:",
        "+  a: b",
        "created new",
        "--- /dev/null",
        "+++ b/new",
        "+kind: nop",
        "+name: new",
        "+namespace: default",
    ]
    greenflow("apply", "shop.yaml")
    changed, created = greenflow("diff", "1", "2", "-o", "json").data
    assert (changed["name"], created["name"]) == ("idle", "new")
    back = greenflow("diff", "2", "1", "-o", "json").data
    assert [each["result"] for each in back] == ["changed", "deleted"]
    assert len(greenflow("diff", "0", "-o", "json").data) == 3
    assert greenflow("diff", "9").code == 1


def test_blame_says_which_change_set_each_field(greenflow: Command, shop: Path) -> None:
    edit(shop, "two", "three")
    greenflow("apply", "shop.yaml", "-m", "for better")
    fields = {row[0]: (row[1], row[-1]) for row in greenflow("blame", "hello").rows}
    assert fields["$.code"] == ("2", "for better")
    assert fields["$.language"] == ("1", "opened")


def test_a_field_is_blamed_on_the_change_that_gave_it_what_it_has() -> None:
    versions: list[dict[str, Any]] = [
        {"a": 1, "b": [1, 2], "m": {"x": 1}},
        {"a": 2, "b": [1, 2], "m": {"x": 1, "y": []}},
        {"a": 1, "b": [1, 3, 4], "m": {"y": []}},
    ]
    texts = [None, *map(json.dumps, versions)]
    edits = [
        Edit(number, "specs", "i", "n", number, texts[number - 1], texts[number], "")
        for number in (1, 2, 3)
    ]
    assert blamed(edits) == [
        ("$.a", 3),
        ("$.b[0]", 1),
        ("$.b[1]", 3),
        ("$.b[2]", 3),
        ("$.m.y", 2),
    ]
    assert blamed(edits[1:])[1] == ("$.b[0]", 0)


def test_a_rollback_undoes_one_change_or_goes_back(greenflow: Command, shop: Path) -> None:
    first = stored(greenflow)
    edit(shop, "two", "three")
    greenflow("apply", "shop.yaml")
    second = stored(greenflow)
    greenflow("delete", "idle")
    undone = greenflow("rollback", "3", "--yes")
    assert (undone.code, undone.out.splitlines()[-1]) == (0, "change 4: undo change 3")
    assert stored(greenflow) == second
    refused = greenflow("rollback", "3", "--yes")
    assert (refused.code, "again by change 4" in refused.err) == (1, True)
    back = greenflow("rollback", "--to", "1", "-y", "-m", "it broke", "-o", "json")
    assert back.data["change"] == 5
    assert stored(greenflow) == first
    assert greenflow("rollback", "--to", "1", "-y").out == "nothing to do: it is as it was\n"
    assert greenflow("rollback", "--to", "0", "-y").code == 0
    assert stored(greenflow) == {}
    newest, before, *_ = greenflow("log").rows
    assert (newest[4], before[4]) == ("back to change 0", "it broke")


def test_a_rollback_of_some_leaves_the_others(greenflow: Command, shop: Path) -> None:
    edit(shop, "two", "three")
    edit(shop, "kind: nop", "annotations: {a: b}, kind: nop")
    greenflow("apply", "shop.yaml")
    assert greenflow("rollback", "2", "idle", "-y").code == 0
    now = stored(greenflow)
    assert ("annotations" in now["idle"], now["hello"]["code"]) == (False, "one\nthree\n")


def test_a_rollback_asks_and_does_nothing_without_an_answer(greenflow: Command, shop: Path) -> None:
    result = greenflow("rollback", "1")
    assert (result.code, "--yes" in result.err) == (2, True)
    assert len(stored(greenflow)) == 2


def test_values_come_back_if_they_were_encrypted(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("{name: url, data: hunter2}")
    sealed = {"GREENFLOW_VALUES_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
    assert greenflow("apply", "values", "v.yaml", **sealed).code == 0
    greenflow("delete", "values", "url")
    assert greenflow("rollback", "2", "-y").code == 0
    shown = greenflow("get", "values", "url", "--reveal", "-o", "json", **sealed)
    assert shown.data[0]["data"] == "hunter2"
    greenflow("delete", "values", "url")
    greenflow("apply", "values", "v.yaml")
    greenflow("delete", "values", "url")
    lost = greenflow("rollback", "6", "-y")
    assert (lost.code, "was not encrypted" in lost.err) == (1, True)
    everything = "".join(
        greenflow(*words).out for words in (["log"], ["show", "1"], ["show", "5"], ["diff", "0"])
    )
    assert "hunter" not in everything + lost.err


def test_a_dry_run_changes_nothing_and_its_plan_is_done_once(
    greenflow: Command, tmp_path: Path
) -> None:
    (tmp_path / "shop.yaml").write_text(SHOP)
    dry = greenflow("apply", "shop.yaml", "--dry-run", "--exit-code", "--save-plan", "plan")
    assert (dry.code, dry.out.splitlines()[-1]) == (1, "would be 2 created")
    assert not (tmp_path / "greenflow.db").exists()
    assert (tmp_path / "plan").stat().st_mode & 0o777 == 0o600
    assert greenflow("apply", "--plan", "plan").code == 0
    assert set(stored(greenflow)) == {"hello", "idle"}
    stale = greenflow("apply", "--plan", "plan")
    assert (stale.code, "newest change is 1, not 0" in stale.err) == (1, True)
    again = greenflow("apply", "shop.yaml", "--dry-run", "--exit-code")
    assert (again.code, again.out) == (0, "nothing to do\n")
    assert greenflow("apply", "--plan", "shop.yaml").code == 2


def test_an_apply_is_refused_if_somebody_else_was_faster(greenflow: Command, shop: Path) -> None:
    assert greenflow("apply", "shop.yaml", "--if-change", "0").code == 1
    assert greenflow("apply", "shop.yaml", "--if-change", "1").code == 0


def test_pruning_deletes_what_a_set_has_no_more(greenflow: Command, tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    many = [f"{{kind: nop, name: n{number}}}" for number in range(10)]
    file.write_text("[" + ", ".join(many) + "]")
    (tmp_path / "other.yaml").write_text("{kind: nop, name: alone}")
    greenflow("apply", "other.yaml")
    greenflow("apply", "jobs.yaml", "--set", "jobs")
    file.write_text("[" + ", ".join(many[:8]) + "]")
    wanted = greenflow("diff", "jobs.yaml", "--set", "jobs", "--prune", "-o", "json").data
    assert [(each["result"], each["name"]) for each in wanted] == [
        ("deleted", "n8"),
        ("deleted", "n9"),
    ]
    pruned = greenflow("apply", "jobs.yaml", "--set", "jobs", "--prune")
    assert [row[2] for row in pruned.rows if row[0] == "deleted"] == ["n8", "n9"]
    assert set(stored(greenflow)) == {"alone", *(f"n{number}" for number in range(8))}
    file.write_text("[" + ", ".join(many[:6]) + "]")
    refused = greenflow("apply", "jobs.yaml", "--set", "jobs", "--prune")
    assert (refused.code, "2 of 8" in refused.err) == (1, True)
    file.write_text("[]")
    empty = greenflow("apply", "jobs.yaml", "--set", "jobs", "--prune", "--max-delete", "8")
    assert (empty.code, "all 8 of the set" in empty.err) == (1, True)
    assert len(stored(greenflow)) == 9
    allowed = ("apply", "jobs.yaml", "--set", "jobs", "--prune", "--allow-empty")
    assert greenflow(*allowed).code == 0
    assert set(stored(greenflow)) == {"alone"}


@pytest.mark.parametrize(
    "words",
    [
        ["--prune", "a.yaml"],
        ["--exit-code", "a.yaml"],
        ["--max-delete", "1", "a.yaml"],
        ["--plan", "a.yaml", "--strict"],
    ],
)
def test_options_that_mean_nothing_are_refused(greenflow: Command, words: list[str]) -> None:
    assert greenflow("apply", *words).code == 2


def test_specs_are_shown_and_exported_as_they_were_written(
    greenflow: Command, shop: Path, tmp_path: Path
) -> None:
    shown = greenflow("get", "--source", "hello").out
    assert shown == "# hello: shop.yaml:2\n" + SHOP.partition("# Nothing.")[0]
    assert greenflow("export", "plain").code == 0
    assert sorted(os.listdir(tmp_path / "plain")) == ["hello.yaml", "idle.yaml"]
    assert greenflow("diff", "plain", "--exit-code").code == 0
    assert greenflow("export", "plain").code == 2
    edit(shop, "two", "three")
    edit(shop, "it greets", "it shouts")
    greenflow("apply", "shop.yaml")
    (tmp_path / "more.yaml").write_text("{kind: nop, name: more}")
    greenflow("apply", "-", stdin="{kind: nop, name: piped} # by hand")
    assert greenflow("export", "applied", "--as-applied").code == 0
    assert (tmp_path / "applied" / "shop.yaml").read_text() == shop.read_text()
    assert "by hand" in (tmp_path / "applied" / "standard-input.yaml").read_text()
    assert greenflow("diff", "applied", "--exit-code").code == 0
    greenflow("rollback", "2", "-y")
    assert greenflow("get", "--source", "hello").out == shown


def test_a_change_of_a_syscall_is_signed_by_its_node(
    greenflow: Command, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "put.yaml").write_text(
        "- {kind: listener, name: web, port: 0, links: {out: [{name: body}]}}\n"
        '- {kind: snippet, name: body, language: json, code: \'{"kind": "nop", "name": "x"}\','
        " links: {out: [{name: put}]}}\n"
        "- {kind: syscall, name: put, opcode: nodes.create}\n"
    )
    assert greenflow("apply", "put.yaml").code == 0
    running = start("run")
    assert get(running.port())[0] == 200
    newest, *_ = greenflow("log", "-o", "json").data
    assert (newest["author"], newest["created"]) == ("syscall:put", 1)
    assert running.stop() == 0


def test_a_running_engine_follows_a_rollback(
    greenflow: Command, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "web.yaml").write_text(service("one"))
    greenflow("apply", "web.yaml")
    running = start("run")
    port = running.port()
    get_until(port, "one")
    (tmp_path / "web.yaml").write_text(service("two"))
    greenflow("apply", "web.yaml")
    get_until(port, "two")
    greenflow("rollback", "2", "-y")
    get_until(port, "one")
    assert running.stop() == 0


def test_another_program_s_write_is_shown_and_taken_back(
    greenflow: Command, shop: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "greenflow.db", isolation_level=None)) as shell:
        shell.execute("UPDATE specs SET document = replace(document, 'two', 'three')")
    assert greenflow("log").rows[0][2] == "unknown"
    shown = greenflow("show", "2").out
    assert "author:  unknown" in shown
    assert "-two" in shown.replace(" ", "")
    blamed = [row for row in greenflow("blame", "hello").rows if row[0] == "$.code"]
    assert [row[1:2] + row[3:4] for row in blamed] == [["2", "unknown"]]
    assert greenflow("rollback", "--to", "1", "--yes").code == 0
    assert stored(greenflow)["hello"]["code"] == "one\ntwo\n"


BROKEN = "- {kind: listener, name: web, port: 8123, links: {out: {name: hello}}}\n"


def test_a_dry_run_whose_specs_will_not_run_ends_as_the_apply_would(
    greenflow: Command, tmp_path: Path
) -> None:
    (tmp_path / "web.yaml").write_text(BROKEN)
    for more in ((), ("--exit-code",), ("--strict",), ("--save-plan", "plan.json")):
        done = greenflow("apply", "web.yaml", "--dry-run", *more)
        assert (done.code, "web.yaml:1:" in done.err, "no node 'hello'" in done.err) == (
            5,
            True,
            True,
        )
    assert not (tmp_path / "greenflow.db").exists()
    done = greenflow("apply", "--plan", "plan.json")
    assert (done.code, done.out) == (5, "done: 1 applied, 0 deleted\n")
    assert "1 of 1 will not run:\n  web.yaml:1: web: " in done.err


def test_a_rollback_tells_what_will_not_run(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text("- {kind: nop, name: hello}\n")
    (tmp_path / "web.yaml").write_text(BROKEN)
    assert greenflow("apply", "hello.yaml").code == 0
    assert greenflow("apply", "web.yaml").code == 0
    greenflow("delete", "web")
    greenflow("delete", "hello")
    done = greenflow("rollback", "3", "--yes")
    assert done.code == 5
    assert "1 of 1 will not run:\n  stored in namespace default: web: " in done.err
    assert greenflow("rollback", "4", "--yes").code == 0
    gone = greenflow(
        "rollback", "--to", "0", "hello", "--yes"
    )  # what leads to it runs, and would not any more
    assert (gone.code, "a restart would not bring it back" in gone.err) == (5, True)
    assert greenflow("rollback", "7", "--yes").code == 0


def test_pruning_tells_whom_it_leaves_without(greenflow: Command, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(BROKEN)
    hello = tmp_path / "hello.yaml"
    hello.write_text("- {kind: nop, name: hello}\n- {kind: nop, name: other}\n")
    assert greenflow("apply", "hello.yaml", "--set", "some").code == 0
    assert greenflow("apply", "web.yaml").code == 0
    hello.write_text("- {kind: nop, name: other}\n")
    words = ("apply", "hello.yaml", "--set", "some", "--prune", "--max-delete", "1")
    strict = greenflow(*words, "--strict")
    assert (strict.code, strict.out) == (5, "")
    assert "nothing was stored" in strict.err
    assert greenflow(*words, "--dry-run").code == 5
    assert greenflow(*words).code == 5
