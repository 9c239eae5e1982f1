"""Which settings a tool may set and see, and to which values.

Absent is refused: a setting can change how PostgreSQL reads a text (standard_conforming_strings),
which functions a name reaches (search_path), what `= NULL` means (transform_null_equals), or who
one is (role). search_path, whose values depend on the policy, and consent.purpose are not here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, overload

from proxy.errors import Reason, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingLimits:
    """No tool gets more time than the proxy gives; defaults as in consent-proxy.yaml."""

    statement_ms: int = 300_000
    idle_ms: int = 600_000


# What a check returns: the value to use, None where the value is not allowed.
Check = Callable[[str, SettingLimits], str | None]

_TRUE: Final = frozenset({"on", "true", "t", "tr", "tru", "yes", "y", "ye", "1"})
_FALSE: Final = frozenset({"off", "of", "false", "f", "fa", "fal", "fals", "no", "n", "0"})
_UTF8: Final = frozenset({"utf8", "unicode"})
_DATE_STYLE_WORDS: Final = frozenset(
    {"iso", "sql", "postgres", "german", "mdy", "dmy", "ymd", "us", "noneuro", "noneuropean"}
    | {"euro", "european", "default"}
)
# Names and POSIX specifications of time zones (`Europe/Madrid`, `<+02>-02`, `EST5EDT`, `-3.5`):
# no path upwards, since the server looks names up in a folder.
_TIME_ZONE: Final = re.compile(r"[A-Za-z0-9<+-][A-Za-z0-9_+\-/:<>,]{0,63}|-?[0-9]{1,2}(\.[0-9]+)?")
_DURATION: Final = re.compile(r"\s*([0-9]{1,10})(\.[0-9]{1,6})?\s*(us|ms|s|min|h|d)?\s*")
_MILLISECONDS: Final[Mapping[str, float]] = {
    "us": 0.001,
    "ms": 1,
    "s": 1_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
}


def _any(value: str, _: SettingLimits) -> str | None:
    return None if "\0" in value else value


def _boolean(value: str, _: SettingLimits) -> str | None:
    return value if value.strip().lower() in _TRUE | _FALSE else None


def _only_true(value: str, _: SettingLimits) -> str | None:
    return "on" if value.strip().lower() in _TRUE else None


def _one_of(*allowed: str) -> Check:
    def check(value: str, _: SettingLimits) -> str | None:
        return value if value.strip().lower() in allowed else None

    return check


def _utf8(value: str, _: SettingLimits) -> str | None:
    # PostgreSQL compares encoding names by letters and digits only (clean_encoding_name);
    # asyncpg sends 'utf-8' with its quotes.
    name = re.sub(r"[^a-z0-9]", "", value.lower())
    return "UTF8" if name in _UTF8 else None


def _date_style(value: str, _: SettingLimits) -> str | None:
    words = [word.strip().lower() for word in value.split(",")]
    return value if all(word in _DATE_STYLE_WORDS for word in words) else None


def _time_zone(value: str, _: SettingLimits) -> str | None:
    return value if _TIME_ZONE.fullmatch(value) or value.lower() in ("default", "local") else None


def _extra_float_digits(value: str, _: SettingLimits) -> str | None:
    return value if re.fullmatch(r"\s*-?[0-9]{1,2}\s*", value) else None


def _up_to(most: Callable[[SettingLimits], int]) -> Check:
    """A duration; 0 (none) and more than ours become ours."""

    def check(value: str, limits: SettingLimits) -> str | None:
        match = _DURATION.fullmatch(value)
        if match is None:
            return None
        number = float(match[1] + (match[2] or ""))
        milliseconds = number * _MILLISECONDS[match[3] or "ms"]
        # Less than half a unit is rounded to 0 by PostgreSQL, and 0 means no limit.
        is_within = 1 <= milliseconds <= most(limits)
        return value if is_within else str(most(limits))

    return check


_ISOLATION: Final = _one_of("read uncommitted", "read committed", "repeatable read", "serializable")

_SETTABLE: Final[Mapping[str, Check]] = {
    "application_name": _any,
    "bytea_output": _one_of("hex", "escape"),
    "client_encoding": _utf8,
    # Less than notice would show PostgreSQL's own messages about our rewritten text.
    "client_min_messages": _one_of("notice", "warning", "error"),
    "datestyle": _date_style,
    "default_transaction_deferrable": _boolean,
    "default_transaction_isolation": _ISOLATION,
    "default_transaction_read_only": _only_true,
    "escape_string_warning": _boolean,
    "extra_float_digits": _extra_float_digits,
    "geqo": _boolean,
    "idle_in_transaction_session_timeout": _up_to(lambda limits: limits.idle_ms),
    "idle_session_timeout": _up_to(lambda limits: limits.idle_ms),
    "intervalstyle": _one_of("postgres", "postgres_verbose", "sql_standard", "iso_8601"),
    "jit": _boolean,
    "lock_timeout": _up_to(lambda limits: limits.statement_ms),
    "quote_all_identifiers": _boolean,
    # `off` turns row security into an error, which would tell that there is some.
    "row_security": _only_true,
    "standard_conforming_strings": _only_true,
    "statement_timeout": _up_to(lambda limits: limits.statement_ms),
    "synchronize_seqscans": _boolean,
    "timezone": _time_zone,
    "transaction_deferrable": _boolean,
    "transaction_isolation": _ISOLATION,
    "transaction_read_only": _only_true,
    "transaction_timeout": _up_to(lambda limits: limits.statement_ms),
    "xmlbinary": _one_of("base64", "hex"),
    "xmloption": _one_of("content", "document"),
}

# Whatever value these get, nobody sees more or waits longer: set_config may name them with a
# value that is not known yet (asyncpg: set_config('jit', $1, false)).
FREE_SETTINGS: Final = frozenset(
    {"application_name", "bytea_output", "datestyle", "escape_string_warning", "geqo"}
    | {"extra_float_digits", "intervalstyle", "jit", "quote_all_identifiers"}
    | {"synchronize_seqscans", "timezone", "xmlbinary", "xmloption"}
)

_FACTS: Final = frozenset(
    {"block_size", "default_table_access_method", "default_tablespace", "in_hot_standby"}
    | {"default_text_search_config", "integer_datetimes", "is_superuser", "lc_collate", "lc_ctype"}
    | {"lc_messages", "lc_monetary", "lc_numeric", "lc_time", "max_function_args"}
    | {"max_identifier_length", "max_index_keys", "segment_size", "server_encoding"}
    | {"server_version", "server_version_num", "session_authorization", "ssl", "search_path"}
    | {"transform_null_equals", "wal_block_size"}
)

# Of PostgreSQL's own, those that it lets only some roles see, and hides from pg_settings for others
# (GUC_SUPERUSER_ONLY).
SECRET_SETTINGS: Final = frozenset(
    {"config_file", "data_directory", "dynamic_library_path", "external_pid_file"}
    | {"extension_control_path", "hba_file", "ident_file", "krb_server_keyfile", "log_directory"}
    | {"log_filename", "primary_conninfo", "session_preload_libraries"}
    | {"shared_preload_libraries", "unix_socket_directories"}
)

SHOWN_SETTINGS: Final = frozenset(_SETTABLE) | _FACTS


@overload
def check_set(name: str, value: str, limits: SettingLimits) -> str: ...
@overload
def check_set(name: str, value: None, limits: SettingLimits) -> None: ...
def check_set(name: str, value: str | None, limits: SettingLimits) -> str | None:
    """The value to use where a tool sets `name` to `value` (None: RESET, TO DEFAULT).

    Raises `Refused(setting_not_allowed)`. Names in any case; a list's values joined by commas.
    """
    check = _SETTABLE.get(name.lower())
    if check is None:
        raise Refused(
            Reason.SETTING_NOT_ALLOWED,
            f"setting {name} can not be changed here",
            hint=f"Settings that can be: {', '.join(sorted(_SETTABLE))}, search_path.",
        )
    if value is None:
        return None
    used = check(value, limits)
    if used is None:
        raise Refused(
            Reason.SETTING_NOT_ALLOWED, f"this value of the setting {name} is not allowed here"
        )
    return used


def is_show_allowed(name: str) -> bool:
    """Whether SHOW and current_setting may name it; consent.purpose and ALL are not settings."""
    return name.lower() in SHOWN_SETTINGS


def is_startup_setting_allowed(name: str, value: str) -> bool:
    """Whether a start-up parameter (or `-c name=value` among its options) may be set."""
    try:
        check_set(name, value, SettingLimits())
    except Refused:
        return False
    return True
