"""Spec files in one form: the same indentation and spacing everywhere, comments where they were.

Lives here: `formatted`. What a file means does not change: what comes out is read again and
compared, and a file of which that is not so is refused.
"""

from __future__ import annotations

import io
import json

from greenflow.errors import GreenflowError
from greenflow.spec.document import read

# Characters up to which ruamel leaves a line whole; a folded line of code would be another one.
_WIDTH = 1_000_000


class NotFormatted(GreenflowError):
    """A file that cannot be written in the one form without changing what it means."""

    exit_code = 1


def formatted(text: str, source: str) -> str:
    """The text of a spec file in the one form. Raises DocumentError for what cannot be read, and
    NotFormatted."""
    before = [document.data for document in read(text, source)]
    result = _json(text) if source.endswith(".json") else _yaml(text)
    result = "\n".join(line.rstrip() if _is_bare(line) else line for line in result.split("\n"))
    result = result.rstrip("\n") + "\n"
    if [document.data for document in read(result, source)] != before:
        raise NotFormatted(f"{source}: cannot be written in another form and mean the same")
    return result


def _is_bare(line: str) -> bool:
    return not line.strip()


def _json(text: str) -> str:
    return json.dumps(json.loads(text.removeprefix("\ufeff")), indent=2, ensure_ascii=False)


def _yaml(text: str) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    form = YAML(typ="rt")
    form.preserve_quotes = True
    form.width = _WIDTH
    form.brace_single_entry_mapping_in_flow_sequence = True
    form.indent(mapping=2, sequence=2, offset=0)
    output = io.StringIO()
    try:
        documents = list(form.load_all(text.removeprefix("\ufeff")))
        if len(documents) == 1:
            form.dump(documents[0], output)
        else:
            form.dump_all(documents, output)
    except (YAMLError, ValueError) as error:
        raise NotFormatted(f"the YAML cannot be kept as it is: {error}") from error
    return output.getvalue()
