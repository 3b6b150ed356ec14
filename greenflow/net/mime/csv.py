"""CSV: the rows of a spreadsheet as a list of maps, and back (RFC 4180).

Lives here: what Excel, LibreOffice and databases write: any line ends, line breaks in quotes, a
line `sep=;` in front, and a delimiter that nobody tells. What a cell means is not known here: each
is a string. Python's csv takes a line at a time, so others run between the lines, also of one cell.

A row has no more cells than the header names, but for empty ones, which programs write behind the
last; missing ones at its end are empty. So nothing that was sent is lost, or under a wrong name.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.hub.breathing import Breath, unhurried
from greenflow.payload.json import dumps
from greenflow.payload.large import MAX_CONTAINERS

#: Delimiters that are found out, the likelier one first where they are equally many.
DELIMITERS = ",;\t|"

# Columns of a table: those of Excel. Cells of all rows: each is an entry of a map, of 100 bytes.
MAX_COLUMNS = 16_384
MAX_CELLS = 2_000_000

# Characters of one line, which takes 10 ms at most. A cell has 131,072, as Python's csv has it.
MAX_LINE = 512 * 1024

# Cells of a row from which on others are let in between them.
CELLS = 1000

_LINE = re.compile(rf"[^\r\n]{{0,{MAX_LINE}}}(?:\r\n|\r|\n|\Z)")
_QUOTED = re.compile(r'"(?:[^"]|"")*+"?')
_SEPARATOR = re.compile(r"sep=(.)(?:\r\n|\r|\n|\Z)", re.IGNORECASE)

Header = bool | Sequence[str]


def parse_csv(text: str, delimiter: str | None = None, header: Header = True) -> list[Any]:
    """The rows: maps by the names of the first row, or of a `header` that is given; lists if it is
    False. Empty lines are none. Without a delimiter it is the one that the first line has most of.

    Raises InvalidArgument, with the line.
    """
    start = 0
    told = _SEPARATOR.match(text)
    if told is not None and delimiter in (None, told[1]):
        start, delimiter = told.end(), told[1]
    delimiter = delimiter or _likely(text, start)
    reader = csv.reader(_lines(text, start), delimiter=delimiter, strict=True)
    lines = 1 if start else 0  # before those of the reader
    try:
        return _rows(reader, lines, header)
    except csv.Error as error:
        reason = str(error).replace("unexpected end of data", "a quote that is not closed")
        raise InvalidArgument() from _fault(lines + reader.line_num, reason)


def _lines(text: str, start: int) -> Iterator[str]:
    """The lines with their ends. Lets others run."""
    breath = Breath()
    number = 2 if start else 1
    while start < len(text):
        line = _LINE.match(text, start)
        if line is None:
            raise InvalidArgument() from _fault(number, f"it has more than {MAX_LINE:,} characters")
        yield line[0]
        start = line.end()
        number += 1
        breath.take()


def _likely(text: str, start: int) -> str:
    line = _LINE.match(text, start)
    plain = "" if line is None else _QUOTED.sub("", line[0])
    return max(DELIMITERS, key=plain.count)  # of several the first


def _rows(reader: Any, lines: int, header: Header) -> list[Any]:
    names = None if isinstance(header, bool) else list(header)
    rows: list[Any] = []
    cells = 0
    for row in reader:
        if not row:
            continue
        cells += len(row)
        if len(row) > MAX_COLUMNS or cells > MAX_CELLS or len(rows) == MAX_CONTAINERS:
            most = f"{MAX_COLUMNS:,} columns, {MAX_CONTAINERS:,} rows or {MAX_CELLS:,} cells"
            raise InvalidArgument() from _fault(lines + reader.line_num, f"more than {most}")
        if header is False:
            rows.append(row)
        elif names is None:
            names = _names(row, lines + reader.line_num)
        else:
            rows.append(_row(row, names, lines + reader.line_num))
    return rows


def _names(row: list[str], line: int) -> list[str]:
    """The names of the columns. Those at the end without one have no cells either."""
    while row and not row[-1].strip():
        row.pop()
    names = [name.strip() for name in row]
    seen: set[str] = set()
    for i, name in enumerate(names, 1):
        if not name:
            raise InvalidArgument() from _fault(line, f"column {i} has no name in the header")
        if name in seen:
            raise InvalidArgument() from _fault(
                line, f"two columns of the header have the name {name!r}"
            )
        seen.add(name)
    return names


def _row(row: list[str], names: list[str], line: int) -> dict[str, str]:
    if len(row) < len(names):
        row += [""] * (len(names) - len(row))
    elif len(row) > len(names) and any(row[len(names) :]):
        raise InvalidArgument() from _fault(
            line, f"{len(row)} cells, and the header has {len(names)}"
        )
    return dict(zip(names, row, strict=False))


def _fault(line: int, reason: str) -> ValueError:
    return ValueError(f"no CSV: line {line}: {reason}")


def write_csv(rows: Any, delimiter: str | None = None, header: Header = True) -> str:
    """The text of a list of maps, or of lists: under the names of a `header` that is given, or of
    all maps, in the order in which they come first. Lines end as RFC 4180 2 has it.

    Lets others run. Raises EncodeError, with the row.
    """
    if not isinstance(rows, list):
        raise EncodeError(f"CSV is a list of rows, not {type(rows).__name__}")
    breath = Breath()
    names = _columns(rows, header, breath)
    pieces: list[str] = []
    writer = csv.writer(_Sink(pieces), delimiter=delimiter or DELIMITERS[0])
    if header is not False and names:
        writer.writerow(names)
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict):
            cells = list(map(row.get, names))
        elif isinstance(row, list):
            cells = row
        else:
            raise EncodeError(f"row {number} is no map and no list, but {type(row).__name__}")
        if len(cells) > MAX_COLUMNS:
            raise EncodeError(f"row {number} has more than {MAX_COLUMNS:,} columns")
        if len(cells) > CELLS:
            writer.writerow([_cell(cell, number) for cell in unhurried(cells)])
        else:
            writer.writerow([_cell(cell, number) for cell in cells])
        breath.take()
    return "".join(pieces)


def _columns(rows: list[Any], header: Header, breath: Breath) -> list[str]:
    if not isinstance(header, bool):
        return list(header)
    names: dict[str, None] = {}
    for row in rows:
        if isinstance(row, dict):
            if len(row) > MAX_COLUMNS:
                names.update(dict.fromkeys(islice(row, MAX_COLUMNS + 1)))
            elif not row.keys() <= names.keys():
                names.update(dict.fromkeys(row))
            if len(names) > MAX_COLUMNS:
                raise EncodeError(f"the rows have more than {MAX_COLUMNS:,} columns")
        breath.take()
    return list(names)


def _cell(cell: Any, row: int) -> str:
    """A cell as JSON has it, for numbers and times; null is empty."""
    if isinstance(cell, str):
        return cell
    if cell is None:
        return ""
    if isinstance(cell, dict | list):
        raise EncodeError(f"row {row} has a cell that is a {type(cell).__name__}")
    return dumps(cell).decode().strip('"\n')


class _Sink:
    """What csv writes to."""

    def __init__(self, pieces: list[str]) -> None:
        self.write = pieces.append
