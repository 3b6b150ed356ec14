"""The results of tests as JUnit XML, which CI servers show.

Lives here: the writing of the file. There is no standard of the format; this is what Jenkins and
GitLab read: a suite for each source, a case for each test, and in it `failure` if it failed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree as xml

from greenflow.cli.results import Result
from greenflow.log.redactor import redact

# What no XML document may hold, also not as a reference (XML 1.0, production 2).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: str, results: Sequence[Result]) -> None:
    """Write the file. Raises OSError."""
    root = xml.Element("testsuites", _counts(results), name="greenflow")
    for source, group in groupby(results, key=lambda result: result.test.source):
        of_source = list(group)
        suite = xml.SubElement(root, "testsuite", _counts(of_source), name=_text(source))
        for result in of_source:
            case = xml.SubElement(
                suite,
                "testcase",
                classname=_text(source),
                name=_text(result.test.name),
                time=f"{result.seconds:.3f}",
            )
            if result.test.line:
                case.attrib |= {"file": _text(source), "line": str(result.test.line)}
            if result.reason:
                reason = _text(redact(result.reason))
                message = ": ".join(reason.splitlines()[:2])
                xml.SubElement(case, "failure", message=message).text = reason
    tree = xml.ElementTree(root)
    xml.indent(tree)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _counts(results: Sequence[Result]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(bool(result.reason) for result in results)),
        "errors": "0",
        "skipped": "0",
        "time": f"{sum(result.seconds for result in results):.3f}",
    }


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
