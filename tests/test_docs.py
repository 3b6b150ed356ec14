"""Every command of contrib/docs, run as it stands; its output must be what the page says. Every
spec there can be applied, and every script runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from greenflow.nodes.listener.spec import LimitsSpec
from greenflow.runtime import Runtime
from greenflow.spec.document import read
from tests import programs

DOCS = Path(__file__).parent.parent / "contrib" / "docs"
ROOT = DOCS.parent.parent
EXAMPLES = "kinds.md"  # its blocks are the examples of the kinds: nodes/test_examples.py
# Read from top to bottom: test_pages.py.
SESSIONS = {
    "auth.md",
    "changes.md",
    "debugging.md",
    "formats.md",
    "guide.md",
    "migrating.md",
    "operations.md",
    "payloads.md",
    "settings.md",
    "templates.md",
    "testing.md",
    "validation.md",
    "values.md",
    "writing-kinds.md",
}


def examples() -> Iterator[tuple[str, str]]:
    """Each command with its output."""
    for block in blocks("console"):
        for example in block.split("$ ")[1:]:
            command, _, output = example.partition("\n")
            yield command, output


def blocks(kind: str, pages: str = "*.md") -> Iterator[str]:
    for page in sorted(DOCS.glob(pages)):
        if page.name in (*SESSIONS, EXAMPLES):
            continue
        yield from re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    for page in DOCS.glob("*.md"):
        kinds = set(re.findall(r"^```(\w+)", page.read_text(), re.MULTILINE))
        allowed = {"console", "yaml", "python", "toml"} if page.name in SESSIONS else set()
        assert kinds <= (allowed or {"console", "python", "yaml"})


def anchor(heading: str) -> str:
    """What a heading is called in a link, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "contrib").rglob("*.md"))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_a_link_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", prose):
        name, _, place = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if place:
            headings = re.findall(r"^#+ (.*)", file.read_text(), re.MULTILINE)
            assert place in map(anchor, headings), target


def test_the_readme_lists_every_page() -> None:
    listed = (ROOT / "README.md").read_text().partition("\n## More\n")[2]
    pages = {page.name for page in DOCS.glob("*.md")}
    assert pages <= set(re.findall(r"\[([\w-]+\.md)\]\(contrib/docs/", listed))


def test_the_limits_of_listeners_are_those_of_the_page() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", (DOCS / "listener.md").read_text(), re.MULTILINE)
    limits = msgspec.structs.asdict(LimitsSpec())
    assert {name: float(value) for name, value in rows} == limits


@pytest.mark.usefixtures("templates")
@pytest.mark.parametrize(("command", "output"), list(examples()))
def test_a_command_says_what_the_page_says(command: str, output: str, tmp_path: Path) -> None:
    ours = shlex.join(programs.shell())
    done = subprocess.run(
        ["bash", "-uc", re.sub(r"\bgreenflow\b", ours, command, count=1)],
        cwd=tmp_path,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.stdout == output


@pytest.mark.parametrize("script", list(blocks("python")))
def test_a_script_runs(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("specs", list(blocks("yaml")))
def test_specs_can_be_applied(specs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    documents = [document.data for document in read(specs, "test")]
    with Runtime("memory://") as flow:
        flow.operations.apply(documents)


PUBLIC = {"greenflow", "greenflow.errors", "greenflow.testing", "greenflow.wsgi"}


@pytest.mark.parametrize(
    "path",
    [
        ROOT / "README.md",
        *sorted(path for path in DOCS.glob("*.md") if path.name != "architecture.md"),
        *sorted((ROOT / "contrib" / "examples").rglob("*.py")),
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_users_are_shown_public_names_only(path: Path) -> None:
    imports = re.findall(r"^\s*(?:from|import) (greenflow[\w.]*)", path.read_text(), re.MULTILINE)
    assert set(imports) <= PUBLIC
