"""What a statement may leave behind in its connection: settings, temporary tables, locks.

Lives here: `judge`, which does it by the SQL alone. How a connection is made as
new is sqlite.py's and server.py's. The state of a session ends with the process that made it: the
next one on the connection sees none of it (BEHAVIOUR 14.8).

A statement that is not known to leave nothing is taken for one that may. So what is listed here is
what is harmless, and what is forgotten costs a round trip and no more. What the triggers and
default values of tables do is not in the SQL, and is not seen.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import NamedTuple

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
    "sqlite": frozenset(("REINDEX", "VACUUM", "PRAGMA")),
    "postgresql": frozenset(
        ("TABLE", "SHOW", "LOCK", "COMMENT", "GRANT", "REVOKE", "NOTIFY", "REFRESH")
    ),
    "mysql": frozenset(("TABLE", "SHOW", "DESCRIBE", "DESC", "GRANT", "REVOKE", "OPTIMIZE")),
}

_TEMPORARY = frozenset(("temp", "temporary"))
_EXPLAINED = re.compile(r"\s*(?:(?:explain|analyze|verbose|query|plan|extended)\b\s*)+")

# PostgreSQL: these end with the transaction.
_LOCAL = re.compile(r"\s*set\s+(?:local|transaction|constraints)\b")
# What asking PostgreSQL for a new session does not undo, or not with safety.
_LASTING = frozenset(("prepare", "execute", "deallocate", "load", "do", "call", "setseed"))
_CONFLICT = re.compile(r"\bdo\s+(?:nothing|update)\b")
_DO = re.compile(r"\bdo\b")
# A setting of one's own: to reset it leaves an empty text where nothing was.
_OWN_SETTING = re.compile(r"\s*set\s+(?:session\s+)?\w+\s*\.")
_LOCAL_SETTING = re.compile(r"\bset_config\s*\([^()]*,\s*true\s*\)")

# MySQL: a variable of the user's is assigned or read. `@@` is one of the server's.
_VARIABLE = re.compile(r"(?<!@)@(?!@)")

# SQLite: a pragma without an argument reads, and some do that with one, too. All others may set
# something, also those whose name is in quotes, as if it were a text.
_PRAGMA = re.compile(r"\bpragma\b(?:\s*(?:\w+\s*\.\s*)?(?P<name>\w+)\s*(?P<takes>\(|;|\Z))?")
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

_FIRST = re.compile(r"[\s(]*+(\w*)")
_WORDS = re.compile(r"\w+")
_CALL = re.compile(r"(\.\s*+)?\b(\w++)\s*+\(")
# What a name before a bracket is not a function after: INSERT INTO t (a), WITH t AS (...).
_NO_CALL = re.compile(r"\b(?:into|table|exists|as|references)\s++(?:\w++\s*+\.\s*+)*\w++\s*+\(")
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

# What asks for what the statement before it has left in the session.
_BACKWARD = {
    "sqlite": frozenset(("last_insert_rowid", "changes", "total_changes")),
    "postgresql": frozenset(("lastval", "currval")),
    "mysql": frozenset(
        (
            *("last_insert_id", "insert_id", "identity", "lastval", "previous", "row_count"),
            *("found_rows", "warnings", "errors", "warning_count", "error_count", "diagnostics"),
        )
    ),
    "mssql": frozenset(("identity", "scope_identity", "rowcount")),
}


def _family(dialect: str) -> str:
    if dialect in _MYSQL:
        return "mysql"
    return "postgresql" if dialect in _POSTGRES else dialect


class SessionUse(NamedTuple):
    """What is known of a statement and its session."""

    remains: Remains
    looks_back: bool  # it asks for what the statement before it has left


def judge(code: str, word: str, dialect: str) -> SessionUse:
    """What a statement does to its session: its code, without texts and comments, or a part of it,
    and its first word in capitals."""
    family, code = _family(dialect), code.lower()
    words = frozenset(_WORDS.findall(code))
    if word == "EXPLAIN":  # some run all the same: EXPLAIN ANALYZE, and pragmas in SQLite
        explained = _EXPLAINED.match(code)
        code = code[explained.end() :] if explained else code
        found = _FIRST.match(code)
        word = found[1].upper() if found else ""
    return SessionUse(_remains(code, word, family, words), not words.isdisjoint(_backward(family)))


def _backward(family: str) -> frozenset[str]:
    return _BACKWARD.get(family, frozenset())


def _remains(code: str, word: str, family: str, words: frozenset[str]) -> Remains:
    is_harmless = word in _HARMLESS or word in _ALSO_HARMLESS.get(family, ())
    is_harmless = is_harmless and words.isdisjoint(_TEMPORARY) and "#" not in code
    if family == "sqlite":  # its functions leave nothing, and cannot be more than those it has
        sets = "pragma" in words and any(map(_sets, _PRAGMA.finditer(code)))
        return Remains.ANYTHING if sets or not is_harmless else Remains.NOTHING
    if family == "postgresql":
        return _of_postgres(code, word, is_harmless, words)
    if not is_harmless or _VARIABLE.search(code) or _calls(code):
        return Remains.ANYTHING
    return Remains.NOTHING


def _sets(pragma: re.Match[str]) -> bool:
    return not pragma["name"] or (pragma["takes"] == "(" and pragma["name"] not in _READING_PRAGMAS)


def _of_postgres(code: str, word: str, is_harmless: bool, words: frozenset[str]) -> Remains:
    if word == "SET":
        if _LOCAL.match(code):
            return Remains.NOTHING
        return Remains.ANYTHING if _OWN_SETTING.match(code) else Remains.STATE
    lasting = words & _LASTING
    if lasting == {"do"} and not _DO.search(_CONFLICT.sub(" ", code)):
        lasting = frozenset()
    if lasting or "dblink" in code:
        return Remains.ANYTHING
    if "set_config" in words:
        code = _LOCAL_SETTING.sub(" ", code)
        if "set_config" in code:
            return Remains.ANYTHING
    if not is_harmless or "pg_temp" in code or _calls(code):
        return Remains.STATE
    return Remains.NOTHING


def pragma_of_all(sql: str) -> str:
    """The pragma in SQL of SQLite that sets something for the whole OS process, if there is one."""
    found = _PRAGMAS_OF_ALL.search(sql)
    return "" if found is None else found[1].lower()


def _calls(code: str) -> bool:
    """Whether it may call a function that is not known to leave nothing."""
    return _calls_unknown(code) and _calls_unknown(_NO_CALL.sub(" ", code))


def _calls_unknown(code: str) -> bool:
    return any(schema or name not in _PURE for schema, name in set(_CALL.findall(code)))
