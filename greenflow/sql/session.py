"""What a statement may leave behind in its connection: settings, temporary tables, locks.

Lives here: `remains` and `looks_back`, which judge by the SQL alone. How a connection is made as
new is sqlite.py's and server.py's. The state of a session ends with the process that made it: the
next one on the connection sees none of it (BEHAVIOUR 14.8).

A statement that is not known to leave nothing is taken for one that may. So what is listed here is
what is harmless, and what is forgotten costs a round trip and no more. What the triggers and
default values of tables do is not in the SQL, and is not seen.
"""

from __future__ import annotations

import re
from enum import IntEnum

_POSTGRES = frozenset(("postgresql", "cockroachdb"))
_MYSQL = frozenset(("mysql", "mariadb"))


class Remains(IntEnum):
    """What a session may hold after a statement that it did not hold before."""

    NOTHING = 0
    STATE = 1  # what the database itself undoes when it is asked
    ANYTHING = 2  # the connection has to be given up


# Statements that change no session, but for the functions that they call.
_HARMLESS = frozenset(
    (
        *("SELECT", "VALUES", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"),
        *("SAVEPOINT", "RELEASE", "ROLLBACK", "CREATE", "ALTER", "DROP", "TRUNCATE", "ANALYZE"),
    )
)
_ALSO_HARMLESS = {
    "sqlite": frozenset(("EXPLAIN", "REINDEX", "VACUUM")),
    "postgresql": frozenset(
        ("TABLE", "SHOW", "LOCK", "COMMENT", "GRANT", "REVOKE", "NOTIFY", "REFRESH")
    ),
    "mysql": frozenset(("TABLE", "SHOW", "DESCRIBE", "DESC", "GRANT", "REVOKE", "OPTIMIZE")),
}

_TEMPORARY = re.compile(r"\b(?:TEMP|TEMPORARY|PG_TEMP\w*)\b|#", re.IGNORECASE)
_EXPLAINED = re.compile(r"\s*(?:EXPLAIN|ANALYZE|VERBOSE|QUERY|PLAN|EXTENDED|\s)+", re.IGNORECASE)

# PostgreSQL: these end with the transaction.
_LOCAL = re.compile(r"\s*SET\s+(?:LOCAL|TRANSACTION|CONSTRAINTS)\b", re.IGNORECASE)
# What asking PostgreSQL for a new session does not undo, or not with safety.
_LASTING = re.compile(
    r"\b(?:PREPARE|EXECUTE|DEALLOCATE|LOAD|DO|CALL|SETSEED|DBLINK\w*)\b", re.IGNORECASE
)

# A setting of one's own: to reset it leaves an empty text where nothing was.
_OWN_SETTING = re.compile(r"\A\s*SET\s+(?:SESSION\s+)?\w+\s*\.|\bset_config\b", re.IGNORECASE)
_LOCAL_SETTING = re.compile(r"\bset_config\s*\([^()]*,\s*true\s*\)", re.IGNORECASE)
_CONFLICT = re.compile(r"\bDO\s+(?:NOTHING|UPDATE)\b", re.IGNORECASE)

# MySQL: a variable of the user's is assigned or read. `@@` is one of the server's.
_VARIABLE = re.compile(r"(?<!@)@(?!@)")

# SQLite: a pragma without an argument reads, and some do that with one, too. All others may set
# something, also those whose name is in quotes, as if it were a text.
_PRAGMA = re.compile(
    r"\bPRAGMA\b(?:\s*(?:\w+\s*\.\s*)?(?P<name>\w+)\s*(?P<takes>\(|;|\Z))?", re.IGNORECASE
)
_READING_PRAGMAS = frozenset(
    (
        *("table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo"),
        *("foreign_key_list", "foreign_key_check", "integrity_check", "quick_check"),
        *("incremental_vacuum", "optimize", "wal_checkpoint"),
    )
)

# Those that set something for the whole OS process, other databases included.
_PRAGMAS_OF_ALL = re.compile(
    r"\bPRAGMA\b.{0,200}?\b(soft_heap_limit|hard_heap_limit|temp_store_directory|data_store_directory)"
    r"\b['\"`\]]?\s*[=(]",
    re.IGNORECASE | re.DOTALL,
)

_CALL = re.compile(r"(?<![\w.@])(\w+(?:\s*\.\s*\w+)*)\s*\(")
# What a name before a bracket is not a function after: INSERT INTO t (a), WITH t AS (...).
_NO_CALL = re.compile(
    r"\b(?:INTO|TABLE|EXISTS|AS|REFERENCES)\s+(?:\w+\s*\.\s*)*\w+\s*\(", re.IGNORECASE
)
# Functions that leave nothing, and words before a bracket that are none.
_PURE_WORDS = """
    abs add age all and any array array_agg array_append array_length array_position
    array_remove array_to_string as ascii avg between bigint bit bool_and bool_or by cardinality
    case cast ceil ceiling char char_length character check clock_timestamp coalesce concat
    concat_ws conflict connection_id convert cos count cube curdate current_database
    current_schema current_setting current_timestamp current_user curtime database date date_add
    date_format date_part date_sub date_trunc datediff datetime day dayofweek dayofyear decimal
    decode default degrees dense_rank digest distinct div elt encode every except exclude exists
    exp extract field filter find_in_set first_value float floor foreign format from from_base64
    from_unixtime gen_random_uuid generate_series greatest group group_concat grouping having
    hex hour if ifnull in index inet_aton inet_ntoa insert instr int integer intersect interval
    is isnull json_agg json_array json_array_elements json_arrayagg json_build_object
    json_contains json_each json_extract json_keys json_length json_object json_object_agg
    json_objectagg json_quote json_remove json_set json_table json_unquote json_valid json_value
    jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length
    jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_object_agg
    jsonb_object_keys jsonb_path_query jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_typeof key
    lag last_day last_value lateral lcase lead least left length like ln locate log lower lpad
    ltrim make_date make_interval make_timestamptz max md5 microsecond mid min minute mod month
    monthname not now nth_value ntile nullif numeric octet_length on or order over overlay
    partition percentile_cont percentile_disc period_diff pg_advisory_xact_lock
    pg_advisory_xact_lock_shared pg_backend_pid pg_notify pg_sleep pg_try_advisory_xact_lock pi
    position pow power primary quarter quote quote_ident quote_literal radians random rank
    regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
    regexp_split_to_table regexp_substr repeat replace returning reverse right rollup round row
    row_number row_to_json rpad rtrim second select set sets sha1 sha2 sha256 sign sin sleep
    smallint some soundex space split_part sqrt statement_timestamp stddev str_to_date strcmp
    string_agg string_to_array strpos substr substring substring_index sum sysdate tan then time
    timediff timestamp timestampadd timestampdiff to_base64 to_char to_date to_days to_json
    to_jsonb to_number to_timestamp to_tsquery to_tsvector transaction_timestamp translate trim
    trunc truncate ts_rank ucase unhex union unique unix_timestamp unnest upper using utc_date
    utc_time utc_timestamp uuid uuid_generate_v4 values varbinary varchar variance version week
    weekday when where with within year
"""
_PURE = frozenset(_PURE_WORDS.split())

_BACKWARD = {
    "sqlite": r"last_insert_rowid|changes|total_changes",
    "postgresql": r"lastval|currval",
    "mysql": r"last_insert_id|insert_id|identity|row_count|found_rows|warnings|errors"
    r"|warning_count|error_count|diagnostics|lastval|previous\s+value",
    "mssql": r"identity|scope_identity|rowcount",
}
_LOOKING_BACK = {
    name: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for name, words in _BACKWARD.items()
}


def _family(dialect: str) -> str:
    if dialect in _MYSQL:
        return "mysql"
    return "postgresql" if dialect in _POSTGRES else dialect


def remains(code: str, word: str, dialect: str) -> Remains:
    """What a statement may leave in its session: its code, without texts and comments, and its
    first word in capitals."""
    family = _family(dialect)
    if word == "EXPLAIN":  # some run all the same: EXPLAIN ANALYZE, and pragmas in SQLite
        code = code[_end(_EXPLAINED.match(code)) :]
        word = (re.match(r"[\s(]*(\w*)", code) or [""])[1].upper()
    if family == "sqlite":
        return _of_sqlite(code, word)
    if family == "postgresql":
        return _of_postgres(code, word)
    harmless = word in _HARMLESS or word in _ALSO_HARMLESS.get(family, ())
    if not harmless or _TEMPORARY.search(code) or _VARIABLE.search(code) or _calls(code):
        return Remains.ANYTHING
    return Remains.NOTHING


def _of_sqlite(code: str, word: str) -> Remains:
    """Its functions leave nothing, and cannot be more than those it has."""
    sets = any(
        not found["name"]
        or (found["takes"] == "(" and found["name"].lower() not in _READING_PRAGMAS)
        for found in _PRAGMA.finditer(code)
    )
    harmless = word in _HARMLESS or word in _ALSO_HARMLESS["sqlite"] or word == "PRAGMA"
    if sets or not harmless or _TEMPORARY.search(code):
        return Remains.ANYTHING
    return Remains.NOTHING


def _of_postgres(code: str, word: str) -> Remains:
    if _LOCAL.match(code):
        return Remains.NOTHING
    code = _LOCAL_SETTING.sub(" ", code)
    if _LASTING.search(_CONFLICT.sub(" ", code)) or _OWN_SETTING.search(code):
        return Remains.ANYTHING
    harmless = word in _HARMLESS or word in _ALSO_HARMLESS["postgresql"]
    if not harmless or _TEMPORARY.search(code) or _calls(code):
        return Remains.STATE
    return Remains.NOTHING


def _end(found: re.Match[str] | None) -> int:
    return found.end() if found else 0


def looks_back(code: str, dialect: str) -> bool:
    """Whether a statement asks for what the statement before it has left in the session."""
    pattern = _LOOKING_BACK.get(_family(dialect))
    return pattern is not None and pattern.search(code) is not None


def pragma_of_all(sql: str) -> str:
    """The pragma in SQL of SQLite that sets something for the whole OS process, if there is one."""
    found = _PRAGMAS_OF_ALL.search(sql)
    return "" if found is None else found[1].lower()


def _calls(code: str) -> bool:
    """Whether it may call a function that is not known to leave nothing."""
    code = _NO_CALL.sub(" ", code)
    return any(name.lower() not in _PURE for name in _CALL.findall(code))
