"""The rules: what each is about, why, and how it looks.

Lives here: RULES, in the order of their ids. An id is never used again for another rule. The page
contrib/docs/rules.md is made from here (`greenflow lint --rules`).
"""

from __future__ import annotations

from textwrap import indent
from typing import Literal, NamedTuple

Level = Literal["error", "warning", "info", "off"]

LEVELS: tuple[Level, ...] = ("error", "warning", "info", "off")


class Rule(NamedTuple):
    """One thing that is looked for. `bad` and `good` are specs that have it and that have not."""

    id: str
    name: str
    level: Level
    summary: str
    why: str
    bad: str = ""
    good: str = ""
    fixable: bool = False
    preview: bool = False


RULES = (
    Rule(
        "GF001",
        "unreadable",
        "error",
        "a file cannot be read as specs",
        "Nothing else is looked at in it. The place is where the reader gave up.",
        "kind: snippet\nname: [hello\n",
        "kind: snippet\nname: hello\nlanguage: text\ncode: hi\n",
    ),
    Rule(
        "GF002",
        "invalid",
        "error",
        "a spec is not what its kind takes",
        "`greenflow apply` refuses it: an unknown field, a wrong type, what is missing, code that"
        " cannot be compiled.",
        "kind: snippet\nname: hello\nlangauge: text\ncode: hi\n",
        "kind: snippet\nname: hello\nlanguage: text\ncode: hi\n",
    ),
    Rule(
        "GF003",
        "taken",
        "error",
        "a name or an id stands twice",
        "A link could mean either, so `greenflow apply` refuses both.",
        "- {kind: nop, name: end}\n- {kind: nop, name: end}\n",
        "- {kind: nop, name: end}\n- {kind: nop, name: finish}\n",
    ),
    Rule(
        "GF010",
        "no-target",
        "error",
        "a link leads to a node that is not there",
        "The node stays inactive until somebody applies what is missing.",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: helo}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
    ),
    Rule(
        "GF011",
        "no-port",
        "error",
        "a link leads to a port that its target does not have",
        "The node stays inactive.",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello, port: input}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
    ),
    Rule(
        "GF012",
        "inactive",
        "error",
        "a node will not be active",
        "Something that it needs is not there, such as an extra that is not installed. Values are"
        " not looked at: they are in the store, not in files.",
    ),
    Rule(
        "GF013",
        "unreachable",
        "warning",
        "no packet can come to a node",
        "No source leads to it, over whatever links. It costs memory, and whoever reads it is"
        " misled. A program that embeds greenflow may call it; then say so in an ignore.",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n"
        "- {kind: snippet, name: forgotten, language: text, code: hi}\n",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
    ),
    Rule(
        "GF014",
        "address-conflict",
        "error",
        "two nodes claim what only one can have",
        "Such as an address: the first one has it, the other one stays inactive.",
        "- {kind: listener, name: one, port: 8000, links: {out: {name: hello}}}\n"
        "- {kind: listener, name: two, port: 8000, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
        "- {kind: listener, name: one, port: 8000, links: {out: {name: hello}}}\n"
        "- {kind: listener, name: two, port: 8001, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
    ),
    Rule(
        "GF015",
        "route-twice",
        "error",
        "a route of a router never gets a request",
        "Another route of the same method has the same path, whatever its parameters are called."
        " Those that are more specific come first by themselves, wherever they stand.",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: ways}}}\n"
        "- kind: router\n  name: ways\n"
        "  routes: [{method: GET, path: /a/:id}, {method: GET, path: /a/:name}]\n"
        "  links: {out: {name: hello}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: ways}}}\n"
        "- kind: router\n  name: ways\n"
        "  routes: [{method: GET, path: /a/:id}, {method: PUT, path: /a/:id}]\n"
        "  links: {out: {name: hello}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
    ),
    Rule(
        "GF016",
        "no-catch-all",
        "warning",
        "a `switch` that decides on errors has no case for the others",
        "An error that no case takes is answered by nobody: its sender gets an empty answer.",
        "- kind: listener\n  port: 8000\n  name: web\n"
        "  links: {out: {name: hello}, error: {name: sort}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n"
        "- kind: switch\n  name: sort\n"
        "  match: [{when: 'self.status == 404', port: 'out[0]'}]\n"
        "  links: {out: {name: hello}}\n",
        "- kind: listener\n  port: 8000\n  name: web\n"
        "  links: {out: {name: hello}, error: {name: sort}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n"
        "- kind: switch\n  name: sort\n"
        "  match: [{when: 'self.status == 404', port: 'out[0]'}, {when: 'true', port: 'out[1]'}]\n"
        "  links: {out: {name: hello}, 'out[1]': {name: hello}}\n",
    ),
    Rule(
        "GF017",
        "no-error-link",
        "info",
        "a listener has no `error` link",
        "What fails is answered by the status that the error has, in the engine's words. With a"
        " link the answer is yours.",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
        "- kind: listener\n  port: 8000\n  name: web\n"
        "  links: {out: {name: hello}, error: {name: oops}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n"
        "- {kind: snippet, name: oops, language: text, code: sorry}\n",
    ),
    Rule(
        "GF018",
        "advice",
        "warning",
        "a node may do more than is meant",
        "A `retry` repeats everything behind its `out`, also what must happen once.",
    ),
    Rule(
        "GF019",
        "secret",
        "warning",
        "a secret stands in clear",
        "Specs are stored, shown, compared and logged. A secret belongs into a value:"
        " `greenflow apply values`, and `env` binds it.",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: get}}}\n"
        "- {kind: http, name: get, url: 'https://me:hunter2@api.example'}\n",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
    ),
    Rule(
        "GF020",
        "env-unused",
        "warning",
        "a key of `env` is used nowhere in its spec",
        "The node waits for the value, and is loaded again when it changes, for nothing.",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi, env: {A: {data: 1}}}\n",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: '{{ .A }}', env: {A: {data: 1}}}\n",
    ),
    Rule(
        "GF021",
        "endless-cycle",
        "warning",
        "a cycle of nodes in which nothing decides or waits",
        "A packet that enters goes round until the limit of writes ends it as a runaway.",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: a}}}\n"
        "- {kind: snippet, name: a, language: cel, code: self, links: {out: {name: b}}}\n"
        "- {kind: snippet, name: b, language: cel, code: self, links: {out: {name: a}}}\n",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: a}}}\n"
        "- {kind: snippet, name: a, language: cel, code: self, links: {out: {name: b}}}\n"
        "- {kind: snippet, name: b, language: cel, code: self}\n",
    ),
    Rule(
        "GF022",
        "same-code",
        "info",
        "two specs have the same code",
        "Whoever mends one forgets the other. A `template` says it once.",
    ),
    Rule(
        "GF023",
        "other-word",
        "info",
        "a field, kind or opcode is called by its other name, or a time has no unit",
        "Both are read, one is written: what `greenflow get` shows has the first. These are the"
        " words of the Go engine's releases; `greenflow migrate` changes all of them.",
        "- {kind: listener, port: 8000, name: web, ports: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
        fixable=True,
    ),
    Rule(
        "GF024",
        "doubtful",
        "warning",
        "a node will run, but hardly as it is meant",
        "What its kind has to say of it, such as a case whose port leads nowhere, or a placeholder"
        " that is taken as text.",
        "- {kind: listener, port: 8000, name: web}\n",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
    ),
    Rule(
        "GF025",
        "unused-ignore",
        "warning",
        "an ignore that nothing needs",
        "What it was for is gone; the next fault would hide behind it.",
        "# greenflow: ignore GF013 it is called by hand\n"
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
        "- {kind: listener, port: 8000, name: web, links: {out: {name: hello}}}\n"
        "- {kind: snippet, name: hello, language: text, code: hi}\n",
        fixable=True,
    ),
    Rule(
        "GF026",
        "unnamed",
        "info",
        "a spec has neither name nor id",
        "`greenflow apply` refuses it, for it would be stored anew each time; `greenflow run FILE`"
        " takes it.",
        preview=True,
    ),
)

BY_ID = {rule.id: rule for rule in RULES}


def page() -> str:
    """The page of all rules, as Markdown."""
    parts = [_HEAD]
    for rule in RULES:
        notes = [f"level: {rule.level}"]
        notes += ["`--fix` mends it"] if rule.fixable else []
        notes += ["preview: with `--preview` only"] if rule.preview else []
        parts.append(f"## {rule.id} {rule.name}\n\n{_sentence(rule.summary)} {rule.why}\n")
        parts.append("\n".join(_wrapped(", ".join(notes))) + "\n")
        for title, text in (("Found in", rule.bad), ("Not in", rule.good)):
            if text:
                parts.append(f"{title}:\n\n{_block(text, text == rule.good)}")
    return "\n".join(parts)


def _block(text: str, is_good: bool) -> str:
    """The text as a block; what has a fault is none that anybody would copy or a test apply."""
    return f"```yaml\n{text}```\n" if is_good else indent(text, "    ")


_HEAD = """\
# Rules of `greenflow lint`

What `greenflow lint` looks for, each with its id. This page is made by `greenflow lint --rules`.
Settings change the level of rules: `lint.error`, `lint.warning`, `lint.info` and `lint.off` are
lists of ids. A comment at a spec or a field silences a rule there:

```yaml
# greenflow: ignore GF017 the clients want our words
kind: listener
name: web
port: 8000
links: {out: {name: hello}}
```
"""


def _sentence(summary: str) -> str:
    first = summary.removeprefix("`")
    return f"{summary[: len(summary) - len(first)]}{first[:1].upper()}{first[1:]}."


def _wrapped(text: str) -> list[str]:
    return [f"*{text}*"]
