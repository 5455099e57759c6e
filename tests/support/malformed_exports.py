"""Exports as spreadsheets, scripts and broken pipes leave them, and what a load makes of each.

One file of a good export is replaced; a case says what is in it, and either the message of the
refusal or the rows that are stored.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

GOOD = {
    "activity.csv": (
        "activity_id,type,assigned_to_user,deal_id,done,due_to\n"
        "1,meeting,7,100,True,2024-05-01T09:00:00\n"
        "1,sc_2,,,False,2024-05-02 10:30:00\n"
    ),
    "activity_types.csv": "id,name,active,type\n1,Sales Call 1,Yes,meeting\n2,Old,No,old\n",
    "deal_changes.csv": (
        "deal_id,change_time,changed_field_key,new_value\n"
        "100,2024-05-01 08:00:00,stage_id,1\n"
        "100,2024-05-03 08:00:00,lost_reason,\n"
    ),
    "fields.csv": (
        "id,field_key,name,field_value_options\n"
        "1,add_time,Deal created,\n"
        '2,lost_reason,Lost reason,"[{""id"": 1, ""label"": ""Price""}]"\n'
    ),
    "stages.csv": "stage_id,stage_name\n1,Lead Generation\n",
    "users.csv": "id,name,email,modified\n7,Ada Secret,ada@secret.example,2024-01-01T00:00:00\n",
}
"""A good export: names of files and what is in them."""

Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True)
class MalformedExport:
    """One export.

    Args:
        name: A few words, unique.
        file: The file that is not good.
        content: What is in it; or what makes a good folder bad.
        expected: The refusal, every word of it; or the rows of the file's table once it is loaded.
    """

    name: str
    file: str
    content: str | bytes | Callable[[Path], object]
    expected: str | Rows

    def write(self, folder: Path) -> None:
        """Write the export into an empty folder."""
        for name, text in GOOD.items():
            (folder / name).write_bytes(text.encode())
        if callable(self.content):
            self.content(folder)
        else:
            content = self.content
            content = content.encode() if isinstance(content, str) else content
            (folder / self.file).write_bytes(content)


CHANGES = "deal_id,change_time,changed_field_key,new_value\n"
CHANGE = "100,2024-05-01 08:00:00,stage_id,1\n"
STORED_CHANGE = (100, datetime(2024, 5, 1, 8), "stage_id", "1")
STAGES = "stage_id,stage_name\n"
FIELDS = "id,field_key,name,field_value_options\n"
LONGEST_NAME = 255


def _cell(text: str) -> str:
    """Return a value as CSV writes it."""
    return '"' + text.replace('"', '""') + '"' if set(text) & set('",\r\n') else text


def _said(text: str) -> str:
    """Return a value as a message shows it."""
    return json.dumps(text, ensure_ascii=False)


def _of(file: str, expected: str | Rows) -> str | Rows:
    """Return a message with the file's name; ~ stands for what many encodings are refused by."""
    if not isinstance(expected, str):
        return expected
    return f"{file} {expected}".replace("~", "is not UTF-8")


def _times() -> Iterable[MalformedExport]:
    moment = datetime(2024, 5, 13, 9)
    read = {
        "2024-05-13T09:00:00": moment,
        "2024-05-13 09:00:00": moment,
        "2024-05-13 09:00": moment,
        "2024-05-13T09:00:00Z": moment,
        "2024-05-13t09:00:00z": moment,
        "2024-05-13T09:00:00+00:00": moment,
        "2024-05-13 11:00:00+02": moment,
        "2024-05-13 11:00:00+0200": moment,
        "2024-05-12 23:30:00-09:30": moment,
        "2024-05-13T14:45:00+05:45": moment,
        "2024-05-13T09:00:00.000000000Z": moment,
        "2024-05-13": datetime(2024, 5, 13),
        "2024-05-31T23:59:59.9999999Z": datetime(2024, 5, 31, 23, 59, 59, 999999),
        "2024-06-01T00:30:00+02:00": datetime(2024, 5, 31, 22, 30),
        "2024-02-29": datetime(2024, 2, 29),
        "": None,
    }
    for text, time in read.items():
        content = f"{CHANGES}1,{_cell(text)},stage_id,1\n"
        name = f"time {text or 'missing'}"
        yield MalformedExport(name, "deal_changes.csv", content, [(1, time, "stage_id", "1")])
    refused = [
        *("13.05.24", "13.05.24 09:00", "13.05.2024", "13/05/2024", "05/13/2024", "5/6/24"),
        *("24-05-13", "13-05-2024", "2024/05/13", "2024.05.13", "2024-5-3", "20240513"),
        *("20240513T090000", "20240513T090000Z", "2024-W20-1", "2024-134", "12024-05-13"),
        *("May 13, 2024", "13 May 2024", "13-May-24", "13. Mai 2024", "Mon, 13 May 2024 09:00 GMT"),
        *("2024-05-13 09:00 AM", "2024-05-13 9:00", "09:00", "2024-05-13 09", "2024-05-13T"),
        *("2024-05-13 09:00:00 UTC", "2024-05-13 09:00 UTC+02:00", "2024-05-13 09:00 GMT+2"),
        *("2024-05-13 09:00 IST", "2024-05-13 09:00 CST", "2024-05-13 09:00 Europe/Berlin"),
        *("2024-05-13T09:00:00+25", "2024-05-13T09:00:00+1", "2024-05-13T09:00:00,5"),
        *("1715590800", "1715590800000", "45425.375", "J2460444", "2024-05-13 BC", "-2024-05-13"),
        *("now", "today", "yesterday", "epoch", "infinity", "-infinity", "allballs"),
        *("0000-00-00", "0000-00-00 00:00:00", "2024-02-30", "2023-02-29", "2024-13-01"),
        *("2024-05-13T25:00:00", "2024-05-13 09:61", "NULL", "NaT", "-", " ", "#######"),
        *(" 2024-05-13", "2024-05-13 ", "'2024-05-13", '"2024-05-13"', "\xa02024-05-13"),
        *("2024-05-13\t09:00", "２０２４-05-13", "2024‑05‑13", "2024-05-13T09:00:00−05:00"),
    ]
    for text in refused:
        yield MalformedExport(
            f"time {text!r}",
            "deal_changes.csv",
            f"{CHANGES}{CHANGE}1,{_cell(text)},stage_id,1\n",
            f"deal_changes.csv line 3, column change_time: {_said(text)} is not a timestamp",
        )


IDS: dict[str, int | None] = {
    **dict.fromkeys(("5", "5.0", "5.00", "5.000000", "5.", "05", "0005", "+5", "05.0"), 5),
    **dict.fromkeys(('"5"', '"5.0"', "'5", "'5'", " 5 ", "\t5", "5\t", "5\n", "\xa05"), 5),
    **dict.fromkeys(("5\xa0", "\u202f5", "\u20075", "\ufeff5", "\u200b5", '"\t5\xa0"'), 5),
    "0": 0,
    "-5": -5,
    "": None,
    "123456789012345678.0": 123456789012345678,
    "9223372036854775807": 9223372036854775807,
}
NO_IDS = [
    *("5.5", "5.05", "5,0", "1.000", "1,000", "1.000.000", "1'000", "1 000", "1_000", "0x10"),
    *("5e0", "1.0E+05", "1e5", "0b1", "0o7", "5 5", "5-", "--5", "#5", "5a", "V", "five"),
    *("NULL", "None", "nan", "NaN", "inf", "\\N", "-", "True", "٥", "５", "²", "½"),
    *("99999999999999999999", "9223372036854775808", "=5", '="5"', "(5)", "{5}", "[5]"),
    *("5;", "5.0.0", ".0", ".", '""', "5\x1b[31m", "\u202e5", "e4b1c2d3-0000-4000-8000-00000"),
]


def _ids() -> Iterable[MalformedExport]:
    for text, number in IDS.items():
        content = f"{CHANGES}{_cell(text)},2024-05-01 08:00:00,stage_id,1\n"
        stored = (number, *STORED_CHANGE[1:])
        yield MalformedExport(f"id {text!r}", "deal_changes.csv", content, [stored])
    for text in NO_IDS:
        yield MalformedExport(
            f"id {text!r}",
            "deal_changes.csv",
            f"{CHANGES}{_cell(text)},2024-05-01 08:00:00,stage_id,1\n",
            f"deal_changes.csv line 2, column deal_id: {_said(text)} is not a bigint",
        )


def _values() -> Iterable[MalformedExport]:
    """A field's new value is an id as well, if the field is one of ids; and keys are keys."""
    at = datetime(2024, 5, 1)
    for field in ("stage_id", "user_id", "lost_reason", "\tSTAGE_ID\xa0"):
        for text in (
            "5.0",
            "05",
            '"5"',
            "5\xa0",
            "\t5",
            "5.5",
            "1.000",
            "5e0",
            "9" * 30,
            '"x"',
            "5 ü",
        ):
            value = "5" if text in ("5.0", "05", '"5"', "5\xa0", "\t5") else text
            yield MalformedExport(
                f"{field!r} {text!r}",
                "deal_changes.csv",
                f"{CHANGES}1,2024-05-01,{field},{_cell(text)}\n",
                [(1, at, field.strip(), value)],
            )
    for text in ("5.0", "05"):
        stored = [(1, at, "value", text)]
        content = f"{CHANGES}1,2024-05-01,value,{text}\n"
        yield MalformedExport(f"value {text}", "deal_changes.csv", content, stored)
    for name in ("Lead\xa0", "\ufeffLead", " Lead\t", "\u200bLead"):
        yield MalformedExport(
            f"name {name!r}", "stages.csv", f"{STAGES}1,{_cell(name)}\n", [(1, "Lead")]
        )


def _booleans() -> Iterable[MalformedExport]:
    header = "activity_id,type,assigned_to_user,deal_id,done,due_to\n"
    for text, done in {"True": True, "no": False, "1": True, "off": False, "": None}.items():
        content = f"{header}1,meeting,7,100,{text},2024-05-01\n"
        stored = (1, "meeting", 7, 100, done, datetime(2024, 5, 1))
        yield MalformedExport(f"done {text!r}", "activity.csv", content, [stored])
    for text in ("2", "-1", "1.0", "Ja", "erledigt", "o", "NULL", "tru e", "x", "✓"):
        content = f"{header}1,meeting,7,100,{text},2024-05-01\n"
        message = f"activity.csv line 2, column done: {_said(text)} is not a boolean"
        yield MalformedExport(f"done {text!r}", "activity.csv", content, message)


def _options() -> Iterable[MalformedExport]:
    read = ('[{"id": 1, "label": "Price"}]', '[{"id": "1", "label": "Price", "x": []}]', "[]")
    for text in (*read, ' [ {"id":1.0,"label":"ü\\u00fc"} ] ', '[{"id": true, "label": "Yes"}]'):
        content = f"{FIELDS}2,lost_reason,Lost reason,{_cell(text)}\n"
        stored = (2, "lost_reason", "Lost reason", json.loads(text))
        yield MalformedExport(f"options {text}", "fields.csv", content, [stored])
    for text in ("", "null"):
        content = f"{FIELDS}2,lost_reason,Lost reason,{text}\n"
        stored = (2, "lost_reason", "Lost reason", None)
        yield MalformedExport(f"options {text!r}", "fields.csv", content, [stored])
    no_json = ("[{'id': 1, 'label': 'Price'}]", '[{"id": 1,', "[1,]", "{id: 1}", "Price", "NaN")
    no_list = [
        *('{"1": "Price"}', "{}", '"Price"', "5", "true", '["Price"]', "[1]", "[null]", "[[]]")
    ]
    no_list += ('[{"id": 1}]', '[{"label": "Price"}]', '[{"id": 1, "name": "Price"}]')
    no_list += ('[{"id": 1, "label": ["Price"]}]', '[{"id": {"v": 1}, "label": "Price"}]')
    no_list += ('[{"ID": 1, "LABEL": "Price"}]', '"[{\\"id\\": 1, \\"label\\": \\"Price\\"}]"')
    for text in (*no_json, "[]]", '[{"id": 1 "label": "x"}]', "undefined", "\\u0000", "['a']"):
        yield _wrong_options(text, "JSON")
    for text in no_list:
        yield _wrong_options(text, "a list of options, each with id and label")


def _wrong_options(text: str, expected: str) -> MalformedExport:
    message = f"fields.csv line 2, column field_value_options: {_said(text)} is not {expected}"
    content = f"{FIELDS}2,lost_reason,Lost reason,{_cell(text)}\n"
    return MalformedExport(f"options {text}", "fields.csv", content, message)


def _names() -> Iterable[MalformedExport]:
    longest = "é" * LONGEST_NAME
    for name in (longest, "=1+1", "\x1b[31mLead", "\u202eLead", "Lead\tGeneration", "A\nB", "🙂"):
        content = f"{STAGES}1,{_cell(name)}\n"
        yield MalformedExport(f"name {name[:12]!r}", "stages.csv", content, [(1, name)])
    for length in (LONGEST_NAME + 1, 3_000, 1_000_000):
        content = f"{STAGES}1,Lead\n2,{'x' * length}\n"
        message = f'stages.csv line 3, column stage_name: "{"x" * 100}..." is not a text of at most'
        yield MalformedExport(
            f"name of {length}", "stages.csv", content, f"{message} {LONGEST_NAME} characters"
        )
    too_long = "x" * 1_000_000
    at_most = f"not a text of at most {LONGEST_NAME} characters"
    for file, column, row in (
        ("activity.csv", "type", f"1,{too_long},7,100,True,2024-05-01"),
        ("activity_types.csv", "name", f"1,{too_long},Yes,meeting"),
        ("activity_types.csv", "type", f"1,Meeting,Yes,{too_long}"),
        ("deal_changes.csv", "changed_field_key", f"1,2024-05-01,{too_long},1"),
        ("fields.csv", "field_key", f"1,{too_long},Name,"),
        ("fields.csv", "name", f"1,stage_id,{too_long},"),
        ("users.csv", "name", f"1,{too_long},a@example.org,2024-05-01"),
        ("users.csv", "email", f"1,A,{too_long},2024-05-01"),
    ):
        shown = "" if file == "users.csv" else f'"{"x" * 100}..." is '
        message = f"{file} line 2, column {column}: {shown}{at_most}"
        content = GOOD[file].partition("\n")[0] + f"\n{row}\n"
        yield MalformedExport(f"huge {file} {column}", file, content, message)
    free = f"{CHANGES}1,2024-05-01,note,{too_long}\n"
    stored = (1, datetime(2024, 5, 1), "note", too_long)
    yield MalformedExport("huge value", "deal_changes.csv", free, [stored])
    label = f"{FIELDS}2,lost_reason,R,{_cell(json.dumps([{'id': 1, 'label': too_long}]))}\n"
    message = 'fields.csv line 2, column field_value_options: "[{\\"id\\": 1, \\"label\\": \\"'
    message += "x" * 79 + '..." is not a list of options, each with id and label'
    yield MalformedExport("huge label", "fields.csv", label, message)


def _emails() -> Iterable[MalformedExport]:
    """An address in a wrong column is in no message."""
    for file, column, row, expected in (
        ("stages.csv", "stage_id", "ada@secret.example,Lead", "a bigint"),
        ("deal_changes.csv", "deal_id", "ada@secret.example,2024-05-01,user_id,1", "a bigint"),
        ("deal_changes.csv", "change_time", "1,ada@secret.example,user_id,1", "a timestamp"),
        ("activity.csv", "done", "1,meeting,7,1,ada@secret.example,2024-05-01", "a boolean"),
        ("fields.csv", "field_value_options", "1,a,b,ada@secret.example", "JSON"),
    ):
        content = GOOD[file].partition("\n")[0] + f"\n{row}\n"
        message = f'{file} line 2, column {column}: "***" is not {expected}'
        yield MalformedExport(f"address in {column} of {file}", file, content, message)


def _records() -> Iterable[MalformedExport]:
    """Quoting, line endings and columns of deal_changes."""
    fewer, more = "has fewer columns than the header", "has more columns than the header"
    broken = "a quote opens here and is never closed"
    quoting = "line 1: the header's quoting or line ending is broken"
    kept = [STORED_CHANGE]
    cases: dict[str, tuple[str | bytes, str | Rows]] = {
        "header only": (CHANGES, []),
        "header without a line end": (CHANGES.strip(), []),
        "no line end at the end": (CHANGES + CHANGE.strip(), kept),
        "CR LF": ((CHANGES + CHANGE).replace("\n", "\r\n"), kept),
        "CR LF in the header alone": (CHANGES.replace("\n", "\r\n") + CHANGE, kept),
        "LF in the header alone": (CHANGES + CHANGE.replace("\n", "\r\n"), kept),
        "CR LF and LF mixed": (CHANGES + CHANGE + CHANGE.replace("\n", "\r\n"), kept * 2),
        "everything quoted": (
            '"deal_id","change_time","changed_field_key","new_value"\n'
            '"100","2024-05-01 08:00:00","stage_id","1"\n',
            kept,
        ),
        "a line within a cell": (
            f'{CHANGES}1,2024-05-01,note,"a\nb"\n',
            [(1, datetime(2024, 5, 1), "note", "a\nb")],
        ),
        "a quote within a cell": (
            f'{CHANGES}1,2024-05-01,note,"a ""b"" c"\n',
            [(1, datetime(2024, 5, 1), "note", 'a "b" c')],
        ),
        "a quote within a cell, not doubled": (
            f'{CHANGES}1,2024-05-01,note,"a "b" c"\n',
            [(1, datetime(2024, 5, 1), "note", "a b c")],
        ),
        "a quote escaped by a backslash": (
            f'{CHANGES}1,2024-05-01,note,"a \\"b"\n',
            f"line 2: {broken}",
        ),
        "a quote never closed": (
            f'{CHANGES}{CHANGE}1,2024-05-01,note,"a\n{CHANGE}',
            f"line 3: {broken}",
        ),
        "CR alone": ((CHANGES + CHANGE).replace("\n", "\r"), quoting),
        "CR alone in one line": (
            f"{CHANGES}{CHANGE.strip()}\r{CHANGE}",
            "line 2: unquoted carriage return found in data",
        ),
        "cut after a comma": (CHANGES + CHANGE + "100,", f"line 3: {fewer}"),
        "cut within a time": (
            CHANGES + CHANGE + "100,2024-05-0",
            'line 3, column change_time: "2024-05-0" is not a timestamp',
        ),
        "cut before the last column": (
            CHANGES + CHANGE + "100,2024-05-01,stage_id",
            f"line 3: {fewer}",
        ),
        "a comma at the end": (CHANGES + CHANGE.replace("\n", ",\n"), f"line 2: {more}"),
        "a comma in a cell": (f"{CHANGES}1,2024-05-01,note,a,b\n", f"line 2: {more}"),
        "an empty line": (f"{CHANGES}{CHANGE}\n{CHANGE}", f"line 3: {fewer}"),
        "empty lines at the end": (f"{CHANGES}{CHANGE}\n\n", f"line 3: {fewer}"),
        "commas alone": (f"{CHANGES},,,\n", [(None, None, None, None)]),
        "a line of blanks": (f"{CHANGES}   \n", 'line 2, column deal_id: "   " is not a bigint'),
        "a comment": (
            f"{CHANGES}# exported today\n{CHANGE}",
            'line 2, column deal_id: "# exported today" is not a bigint',
        ),
        "a total at the end": (
            f"{CHANGES}{CHANGE}Total: 1\n",
            'line 3, column deal_id: "Total: 1" is not a bigint',
        ),
        "a second header": (
            CHANGES + CHANGE + CHANGES + CHANGE,
            'line 3, column deal_id: "deal_id" is not a bigint',
        ),
        "a second file behind the first": (
            f"{CHANGES}{CHANGE}\ufeff{CHANGES}",
            'line 3, column deal_id: "\ufeffdeal_id" is not a bigint',
        ),
        "an end-of-data mark": (
            f"{CHANGES}{CHANGE}\\.\n{CHANGE}",
            'line 3, column deal_id: "\\\\." is not a bigint',
        ),
        "semicolons in one row": (
            f"{CHANGES}100;2024-05-01;stage_id;1\n",
            'line 2, column deal_id: "100;2024-05-01;stage_id;1" is not a bigint',
        ),
        "a row twice": (CHANGES + CHANGE * 2, kept * 2),
        "NUL in a cell": (f"{CHANGES}1,2024-05-01,note,a\0b\n", "line 2 holds a NUL byte"),
        "NULs at the end": (CHANGES + CHANGE + 512 * "\0", "line 3 holds a NUL byte"),
        "a file of NULs": (512 * b"\0", "line 1 holds a NUL byte"),
        "NUL in the header": (CHANGES.replace("deal", "de\0al"), "line 1 holds a NUL byte"),
        "Latin-1": (f"{CHANGES}1,2024-05-01,note,zu früh\n".encode("latin-1"), "line 2 ~"),
        "Windows-1252": (f"{CHANGES}1,2024-05-01,note,5 €\n".encode("cp1252"), "line 2 ~"),
        "Shift JIS": (f"{CHANGES}1,2024-05-01,note,商談\n".encode("shift-jis"), "line 2 ~"),
        "Big5": (f"{CHANGES}1,2024-05-01,note,商談\n".encode("big5"), "line 2 ~"),
        "a character cut in two": (
            f"{CHANGES}1,2024-05-01,note,zu fr".encode() + b"\xc3",
            "line 2 ~",
        ),
        "an overlong character": (
            f"{CHANGES}1,2024-05-01,note,".encode() + b"\xc0\xaf\n",
            "line 2 ~",
        ),
        "a surrogate": (f"{CHANGES}1,2024-05-01,note,".encode() + b"\xed\xa0\x80\n", "line 2 ~"),
        "UTF-16": ((CHANGES + CHANGE).encode("utf-16"), "line 1 ~"),
        "UTF-16 without a mark": (
            (CHANGES + CHANGE).encode("utf-16-le"),
            "line 1 holds a NUL byte",
        ),
        "UTF-16, big end first": (
            (CHANGES + CHANGE).encode("utf-16-be"),
            "line 1 holds a NUL byte",
        ),
        "UTF-32": ((CHANGES + CHANGE).encode("utf-32"), "line 1 ~"),
        "a byte order mark": ((CHANGES + CHANGE).encode("utf-8-sig"), kept),
        "two byte order marks": ((f"\ufeff{CHANGES}{CHANGE}").encode("utf-8-sig"), kept),
        "EBCDIC": ((CHANGES + CHANGE).encode("cp500"), "line 1 ~"),
        "decomposed letters": (
            f"{CHANGES}1,2024-05-01,note,fru\u0308h\n",
            [(1, datetime(2024, 5, 1), "note", "fru\u0308h")],
        ),
    }
    for name, (content, expected) in cases.items():
        yield MalformedExport(name, "deal_changes.csv", content, _of("deal_changes.csv", expected))


def _headers() -> Iterable[MalformedExport]:
    row = "1,Lead\n"
    kept = [(1, "Lead")]
    quoting = "line 1: the header's quoting or line ending is broken"
    cases: dict[str, tuple[str, str | Rows]] = {
        "capitals": ("STAGE_ID,Stage_Name\n" + row, kept),
        "blanks around": (" stage_id , stage_name \n" + row, kept),
        "a tab around": ("stage_id,\tstage_name\n" + row, kept),
        "a no-break space around": ("stage_id,\xa0stage_name\n" + row, kept),
        "a zero-width space around": ("stage_id,\u200bstage_name\n" + row, kept),
        "another order": ("stage_name,stage_id\nLead,1\n", kept),
        "further columns": ("note,stage_id,stage_name,note\nx,1,Lead,y\n", kept),
        "a further column without a name": ("stage_id,stage_name,\n1,Lead,x\n", kept),
        "over two lines": ('"a\nb",stage_id,stage_name\nx,1,Lead\n', kept),
        "a blank instead of an underscore": (
            "stage id,stage_name\n" + row,
            "has no column stage_id",
        ),
        "a column missing": ("stage_id\n1\n", "has no column stage_name"),
        "a column twice": (
            "stage_id,stage_name,Stage_ID\n1,A,2\n",
            "has more than one column stage_id",
        ),
        "no header": (row, "has no column stage_id"),
        "a title above": ("Stages\n" + STAGES + row, "has no column stage_id"),
        "an empty line above": ("\n" + STAGES + row, "is empty"),
        "semicolons": ("stage_id;stage_name\n1;Lead\n", "is separated by semicolons, not commas"),
        "tabs": ("stage_id\tstage_name\n1\tLead\n", "is separated by tabs, not commas"),
        "bars": ("stage_id|stage_name\n1|Lead\n", "is separated by bars, not commas"),
        "sep": ("sep=,\n" + STAGES + row, "begins with sep=, instead of its header"),
        "sep in capitals": ("SEP=;\n" + STAGES + row, "begins with SEP=; instead of its header"),
        "single quotes": ("'stage_id','stage_name'\n1,'Lead'\n", "has no column stage_id"),
        "a web page": ("<!DOCTYPE html>\n<html></html>\n", "has no column stage_id"),
        "JSON": ('[{"stage_id": 1, "stage_name": "Lead"}]\n', "has no column stage_id"),
        "JSON lines": ('{"stage_id": 1, "stage_name": "Lead"}\n', "has no column stage_id"),
        "a message of an API": ('{"error":"unauthorized"}\n', "has no column stage_id"),
        "empty": ("", "is empty"),
        "blank": ("\r\n \r\n", "is empty"),
        "a byte order mark alone": ("\ufeff", "is empty"),
        "a quote never closed": ('stage_id,"stage_name\n' + row, quoting),
        "CR alone": ("stage_id,stage_name\r1,A\r", quoting),
    }
    for name, (content, expected) in cases.items():
        yield MalformedExport(f"header: {name}", "stages.csv", content, _of("stages.csv", expected))


def _folders() -> Iterable[MalformedExport]:
    stages = STAGES + "1,Lead\n"

    def replaced(make: Callable[[Path], object]) -> Callable[[Path], object]:
        def spoil(folder: Path) -> None:
            (folder / "stages.csv").unlink()
            make(folder / "stages.csv")

        return spoil

    def linked(path: Path) -> None:
        (path.parent / "elsewhere").write_text(stages)
        path.symlink_to(path.parent / "elsewhere")

    def compressed(path: Path) -> None:
        path.write_bytes(gzip.compress(stages.encode(), mtime=0))

    gone = "there is no stages.csv in FOLDER"
    cases: dict[str, tuple[Callable[[Path], object], str | Rows]] = {
        "a file missing": (lambda _: None, gone),
        "a directory": (Path.mkdir, gone),
        "a link": (linked, [(1, "Lead")]),
        "a link to nothing": (lambda path: path.symlink_to("nothing"), gone),
        "a link to itself": (lambda path: path.symlink_to(path), gone),
        "another ending": (lambda path: path.with_suffix(".txt").write_text(stages), gone),
        "compressed": (lambda path: compressed(path.with_suffix(".csv.gz")), gone),
        "compressed, with the old name": (compressed, "stages.csv line 1 holds a NUL byte"),
        "a zip with the old name": (
            lambda path: path.write_bytes(b"PK\x03\x04\x14\0\0\0\x08\0"),
            "stages.csv line 1 holds a NUL byte",
        ),
        "a name in capitals": (
            lambda path: path.with_name("STAGES.CSV").write_text(stages),
            [(1, "Lead")],
        ),
        "a name twice": (
            lambda path: [
                path.with_name(n).write_text(stages) for n in ("Stages.csv", "stages.csv")
            ],
            "FOLDER holds both Stages.csv and stages.csv",
        ),
        "a name with a blank": (
            lambda path: path.with_name("stages .csv").write_text(stages),
            gone,
        ),
        "a name with a number": (
            lambda path: path.with_name("stages (1).csv").write_text(stages),
            gone,
        ),
    }
    for name, (make, expected) in cases.items():
        yield MalformedExport(f"folder: {name}", "stages.csv", replaced(make), expected)


EXPORTS = tuple(
    export
    for kind in (
        _times,
        _ids,
        _values,
        _booleans,
        _options,
        _names,
        _emails,
        _records,
        _headers,
        _folders,
    )
    for export in kind()
)
