"""What goes wrong in a CRM warehouse: one small fault each, and which test has to see it.

`test_corruptions.py` seeds each fault into good data; `python tests/support/corruptions.py` writes
the table of docs/corruptions.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

PAGE = Path(__file__).resolve().parents[2] / "docs" / "corruptions.md"


class Stage(Enum):
    """Where a fault is seeded, and what has to notice it."""

    FILES = "an export, before `funnel load` and `funnel run`"
    SEED = "a file of `seeds/`, before `funnel run`"
    RAW = "the raw tables, before `funnel run`"
    DAILY = "the daily tables, before `funnel run`"
    BUILT = "built tables and views, before `funnel test --full`"
    VERIFIED = "raw rows of long ago and the tables of deals, before `funnel verify`"


@dataclass(frozen=True)
class Edit:
    """A change of a CSV file.

    Args:
        file: Its name.
        change: Gets the text, returns what is there instead; bytes where it is no UTF-8.
    """

    file: str
    change: Callable[[str], str | bytes]


@dataclass(frozen=True)
class Corruption:
    """One fault.

    Args:
        name: A few words, unique.
        sentence: What happened, for people.
        stage: Where it is seeded.
        fault: The statements that make it, every table found without its schema; or the edit.
        caught_by: All of these see it: data tests by name, or what else stops it (`funnel load: `
            and `funnel run: ` with the message; `funnel verify: `, `freshness: ` and `index: ` with
            a table; `constraint: ` with a column). * stands for any text: all tests that match.
        severity: error, which keeps `monthly_stats` as it was, or warn.
    """

    name: str
    sentence: str
    stage: Stage
    fault: str | Edit
    caught_by: tuple[str, ...]
    severity: Literal["error", "warn"] = "error"


def _refused(
    name: str, sentence: str, file: str, change: Callable[[str], str | bytes], message: str
) -> Corruption:
    """Return a fault of an export that the loader refuses, with what it says."""
    caught_by = (f"funnel load: {message}",)
    return Corruption(name, sentence, Stage.FILES, Edit(file, change), caught_by)


def _drift(name: str, sentence: str, fault: str, *tables: str) -> Corruption:
    """Return a fault by which these tables are not what the raw rows give."""
    caught_by = tuple(f"funnel verify: {table}" for table in tables)
    return Corruption(name, sentence, Stage.VERIFIED, fault, caught_by)


def _goal(name: str, sentence: str, lines: str) -> Corruption:
    """Return a fault of the goals."""
    caught_by = ("assert_goals_are_well_formed",)
    change = Edit("goals.csv", lambda text: f"{text}{lines}\n")
    return Corruption(name, sentence, Stage.SEED, change, caught_by, "warn")


def _replacing(old: str, new: str, times: int = -1) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, times)


_EXPORTS = (
    _refused(
        "truncated file",
        "The export of the deal changes stopped in the middle of a line.",
        "deal_changes.csv",
        lambda text: text[: text.rindex(",stage_id")],
        "deal_changes.csv line * has fewer columns than the header",
    ),
    _refused(
        "quote left open",
        "A cell's quote is opened and never closed.",
        "stages.csv",
        _replacing("Closing", '"Closing'),
        "stages.csv line *: a quote opens here and is never closed",
    ),
    _refused(
        "comma in a stage's name",
        "A cell with a comma is not quoted.",
        "stages.csv",
        _replacing("Closing", "Closing, won"),
        "stages.csv line * has more columns than the header",
    ),
    _refused(
        "empty file",
        "The export of the users failed and left an empty file.",
        "users.csv",
        lambda _: "",
        "users.csv is empty",
    ),
    _refused(
        "headers swapped",
        "Two names of the header changed places.",
        "deal_changes.csv",
        _replacing("deal_id,change_time", "change_time,deal_id"),
        "deal_changes.csv line *, column change_time: * is not a timestamp",
    ),
    _refused(
        "header missing",
        "The first line was cut off.",
        "deal_changes.csv",
        lambda text: text.partition("\n")[2],
        "deal_changes.csv has no column deal_id",
    ),
    _refused(
        "column renamed",
        "The API calls a column otherwise since last night.",
        "stages.csv",
        _replacing("stage_name", "name"),
        "stages.csv has no column stage_name",
    ),
    _refused(
        "semicolons",
        "A spreadsheet saved the file with semicolons.",
        "deal_changes.csv",
        _replacing(",", ";"),
        "deal_changes.csv is separated by semicolons, not commas",
    ),
    _refused(
        "wrong encoding",
        "A spreadsheet saved the file in Latin-1.",
        "stages.csv",
        lambda text: text.replace("Closing", "Clôture").encode("latin-1"),
        "stages.csv line * is not UTF-8",
    ),
    _refused(
        "done in words",
        "Whether an activity is done comes as a word of the user's language.",
        "activity.csv",
        _replacing(",True,", ",erledigt,"),
        "activity.csv line *, column done: * is not a boolean",
    ),
    _refused(
        "dates of another country",
        "Days come as 31/12/2024.",
        "deal_changes.csv",
        _replacing("2024-12-31 ", "31/12/2024 "),
        "deal_changes.csv line *, column change_time: * is not a timestamp",
    ),
    _refused(
        "decimal ids",
        "A script has read the ids as numbers with a point, and computed with them.",
        "deal_changes.csv",
        _replacing(",2024-12-", ".5,2024-12-"),
        "deal_changes.csv line *, column deal_id: * is not a bigint",
    ),
    _refused(
        "broken JSON",
        "The options of a field end in the middle.",
        "fields.csv",
        _replacing('}]"', '"'),
        "fields.csv line *, column field_value_options: * is not JSON",
    ),
)

_SEEDS = (
    Corruption(
        "step with two names",
        "Two rows of the definition name one step differently.",
        Stage.SEED,
        Edit("funnel_steps.csv", lambda text: text + "stage,Inbound,,1,Inbound Leads,1\n"),
        ("assert_every_funnel_step_has_one_definition",),
    ),
    Corruption(
        "name of two steps",
        "Two steps bear one name.",
        Stage.SEED,
        Edit("funnel_steps.csv", _replacing("6,Closing", "6,Negotiation")),
        ("assert_every_funnel_step_has_one_definition",),
    ),
    Corruption(
        "duplicate step",
        "A row of the definition is there twice.",
        Stage.SEED,
        Edit("funnel_steps.csv", lambda text: text + "stage,Closing,,6,Closing,8\n"),
        ("funnel_steps_is_unique",),
    ),
    Corruption(
        "stage in two spellings",
        "The definition maps a stage twice, in capitals as well.",
        Stage.SEED,
        Edit("funnel_steps.csv", lambda text: text + "stage,CLOSING,,6,Closing,8\n"),
        ("assert_every_funnel_step_has_one_definition",),
    ),
    Corruption(
        "pipeline misspelt",
        "A row of the definition names a pipeline that the account has not.",
        Stage.SEED,
        Edit("funnel_steps.csv", lambda text: text + "stage,Closing,Slaes,6,Closing,8\n"),
        ("assert_pipelines_are_known",),
    ),
    Corruption(
        "type in two spellings",
        "The definition maps an activity type twice, in capitals as well.",
        Stage.SEED,
        Edit("funnel_steps.csv", lambda text: text + "activity,Meeting,,2.1,Sales Call 1,3\n"),
        ("assert_every_funnel_step_has_one_definition",),
    ),
    Corruption(
        "step lost",
        "A row of the definition was deleted, but its months are counted.",
        Stage.SEED,
        Edit("funnel_steps.csv", _replacing("stage,Closing,,6,Closing,8\n", "")),
        ("deal_staging_keeps_its_volume",),
    ),
    Corruption(
        "step renumbered",
        "A spreadsheet turned step 2.1 into 2.10.",
        Stage.SEED,
        Edit("funnel_steps.csv", _replacing(",2.1,", ",2.10,")),
        ("activity_staging_keeps_its_volume",),
    ),
    Corruption(
        "source type misspelt",
        "A row of the definition is of the type stages, which is none.",
        Stage.SEED,
        Edit("funnel_steps.csv", _replacing("stage,Closing", "stages,Closing")),
        ("assert_the_definition_is_complete",),
    ),
    Corruption(
        "step without a number",
        "A row of the definition has no step.",
        Stage.SEED,
        Edit("funnel_steps.csv", _replacing("Closing,,6,", "Closing,,,")),
        ("assert_the_definition_is_complete",),
    ),
    _goal("goal of the middle of a month", "A goal begins on the 15th.", "2024-05-15,1,100"),
    _goal("goal of no step", "A goal is of a step that the funnel has not.", "2024-05-01,2.10,100"),
    _goal("goal of nothing", "A goal names no measure.", "2024-05-01,,100"),
    _goal("goal of zero", "A goal is 0, where none was meant.", "2024-05-01,1,0"),
    _goal("win rate in per cent", "A goal for the win rate is 25.", "2024-05-01,win_rate,25"),
    _goal("goal set twice", "A month has two goals.", "2024-05-01,1,100\n2024-05-01,1,120"),
)

_RAW = (
    Corruption(
        "export cut short",
        "The export of the deal changes ends at the end of a line, half-way through the month.",
        Stage.FILES,
        Edit("deal_changes.csv", lambda text: text[: text.index("\n", text.index(",2024-12-1"))]),
        ("deal_staging_keeps_its_volume",),
    ),
    Corruption(
        "export without rows",
        "The export of the deal changes holds its header only.",
        Stage.FILES,
        Edit("deal_changes.csv", lambda text: text.partition("\n")[0]),
        ("freshness: deal_changes",),
    ),
    Corruption(
        "garbled stage names",
        "An export was encoded twice: an accent came out as two other letters.",
        Stage.FILES,
        Edit("stages.csv", _replacing("Negotiation", "NÃ©gotiation")),
        ("assert_stages_and_types_are_in_the_funnel", "deal_staging_keeps_its_volume"),
    ),
    Corruption(
        "null deal ids",
        "The loader lost the deal of a day's changes.",
        Stage.RAW,
        """
        update deal_changes set deal_id = null
        where change_time >= '2024-12-02' and change_time < '2024-12-03'
        """,
        ("source_not_null_pipedrive_raw_deal_changes_deal_id",),
    ),
    Corruption(
        "null times",
        "The loader lost the time of a day's changes.",
        Stage.RAW,
        """
        update deal_changes set change_time = null
        where change_time >= '2024-12-02' and change_time < '2024-12-03'
        """,
        ("source_not_null_pipedrive_raw_deal_changes_change_time",),
    ),
    Corruption(
        "null field keys",
        "The loader lost which field changed.",
        Stage.RAW,
        """
        update deal_changes set changed_field_key = null
        where change_time >= '2024-12-02' and change_time < '2024-12-03'
        """,
        ("source_not_null_pipedrive_raw_deal_changes_changed_field_key",),
    ),
    Corruption(
        "null activity type",
        "A type of activity has no key.",
        Stage.RAW,
        "insert into activity_types (id, name, active) values (9, 'Lunch', true)",
        ("source_not_null_pipedrive_raw_activity_types_type",),
    ),
    Corruption(
        "null keys of activities",
        "The loader lost the type of a day's activities.",
        Stage.RAW,
        "update activity set type = null where cast(due_to as date) = '2024-12-03'",
        ("assert_no_event_is_unknown",),
        "warn",
    ),
    Corruption(
        "null due dates",
        "The loader lost when a day's activities are due.",
        Stage.RAW,
        "update activity set due_to = null where cast(due_to as date) = '2024-12-03'",
        ("source_not_null_pipedrive_raw_activity_due_to",),
        "warn",
    ),
    Corruption(
        "null field key in fields",
        "A field has no key.",
        Stage.RAW,
        "update fields set field_key = null where field_key = 'lost_reason'",
        ("source_not_null_pipedrive_raw_fields_field_key",),
    ),
    Corruption(
        "null stage id",
        "A stage has no id.",
        Stage.RAW,
        "update stages set stage_id = null where stage_name = 'Closing'",
        ("source_not_null_pipedrive_raw_stages_stage_id",),
    ),
    Corruption(
        "activities without a deal",
        "The integration with the calendar no longer sets the deal.",
        Stage.RAW,
        "update activity set deal_id = null where due_to >= '2024-12-28'",
        ("not_null_activity_staging_deal_id",),
        "warn",
    ),
    Corruption(
        "field key renamed",
        "The API calls the field stage_id otherwise since a day of the month.",
        Stage.RAW,
        """
        update deal_changes set changed_field_key = 'stage'
        where changed_field_key = 'stage_id' and change_time >= '2024-12-30'
        """,
        ("deal_changes_fields_are_known",),
        "warn",
    ),
    Corruption(
        "whitespace around keys",
        "A loader pads the names of fields.",
        Stage.RAW,
        """
        update deal_changes set changed_field_key = 'stage_id\u00a0'
        where change_time >= '2024-12-30'
        """,
        ("deal_changes_fields_are_known",),
        "warn",
    ),
    Corruption(
        "doubled load",
        "The rows of the last days were loaded twice.",
        Stage.RAW,
        "insert into deal_changes select * from deal_changes where change_time >= '2024-12-20'",
        ("deal_changes_is_loaded_once",),
        "warn",
    ),
    Corruption(
        "doubled activities",
        "The activities were loaded twice.",
        Stage.RAW,
        "insert into activity select * from activity",
        ("activity_is_loaded_once",),
        "warn",
    ),
    Corruption(
        "stage ids swapped in stages",
        "Two stages changed ids in the list of stages.",
        Stage.RAW,
        "update stages set stage_id = 9 - stage_id where stage_id in (4, 5)",
        ("assert_stage_names_agree",),
        "warn",
    ),
    Corruption(
        "stage ids swapped in deal changes",
        "Two stages changed ids in the changes of the month.",
        Stage.RAW,
        """
        update deal_changes set new_value = case new_value when '4' then '5' else '4' end
        where changed_field_key = 'stage_id' and new_value in ('4', '5')
            and change_time >= '2024-12-01'
        """,
        ("assert_deals_go_forward",),
        "warn",
    ),
    Corruption(
        "stage renamed",
        "A stage got a new name in Pipedrive that the definition does not know.",
        Stage.RAW,
        """
        update stages set stage_name = 'Commercial Talks' where stage_name = 'Negotiation';
        update fields set field_value_options =
            replace(cast(field_value_options as text), 'Negotiation', 'Commercial Talks')::jsonb;
        """,
        ("assert_stages_and_types_are_in_the_funnel", "deal_staging_keeps_its_volume"),
    ),
    Corruption(
        "stage reused",
        "A stage got the name of another one, and its deals are counted there.",
        Stage.RAW,
        "update stages set stage_name = 'Closing' where stage_name = 'Negotiation'",
        ("assert_stage_names_agree", "deal_staging_keeps_its_volume"),
    ),
    Corruption(
        "new stage",
        "Somebody added a stage to the pipeline.",
        Stage.RAW,
        """
        insert into stages (stage_id, stage_name) values (11, 'Legal Review');
        insert into deal_changes (deal_id, change_time, changed_field_key, new_value)
        values (41001, '2024-12-30 10:00', 'stage_id', '11');
        """,
        ("assert_stages_and_types_are_in_the_funnel",),
        "warn",
    ),
    Corruption(
        "stage deleted",
        "A stage is in no list any more, but deals went there.",
        Stage.RAW,
        """
        delete from stages where stage_name = 'On Hold';
        update fields set field_value_options = field_value_options - 9
        where field_key = 'stage_id';
        """,
        ("assert_no_event_is_unknown",),
        "warn",
    ),
    Corruption(
        "stage listed twice",
        "One stage has two names.",
        Stage.RAW,
        "insert into stages (stage_id, stage_name) values (10, 'Paused')",
        ("assert_every_value_has_one_name", "assert_stage_names_agree"),
        "warn",
    ),
    Corruption(
        "option listed twice",
        "A lost reason has two labels.",
        Stage.RAW,
        """
        update fields set field_value_options = field_value_options || '[{"id": 1, "label": "A"}]'
        where field_key = 'lost_reason'
        """,
        ("assert_every_value_has_one_name",),
        "warn",
    ),
    Corruption(
        "options that are no list",
        "The labels of the lost reasons come as an object.",
        Stage.RAW,
        """
        update fields set field_value_options = '{"1": "Customer Not Ready"}'
        where field_key = 'lost_reason'
        """,
        ("assert_no_event_is_unknown",),
        "warn",
    ),
    Corruption(
        "broken JSON in the warehouse",
        "Another loader lands options as text, and one of them is cut off.",
        Stage.RAW,
        """
        drop view field_options cascade;
        alter table fields alter field_value_options type text;
        update fields set field_value_options = '[{"id": 1, "lab' where field_key = 'stage_id';
        """,
        ("field_options_is_unique",),
    ),
    Corruption(
        "types emptied",
        "The list of activity types is empty.",
        Stage.RAW,
        "delete from activity_types",
        ("assert_no_event_is_unknown",),
        "warn",
    ),
    Corruption(
        "type recoded",
        "The calendar writes another key for meetings.",
        Stage.RAW,
        "update activity set type = 'mtg' where type = 'meeting' and due_to >= '2024-12-01'",
        ("assert_no_event_is_unknown", "activity_staging_keeps_its_volume"),
    ),
    Corruption(
        "types mixed up",
        "The calendar writes the key of meetings for follow-up calls as well.",
        Stage.RAW,
        """
        update activity set type = 'meeting', done = true
        where type in ('follow_up', 'after_close_call') and due_to >= '2024-12-01'
        """,
        ("assert_no_step_leaves_its_history",),
        "warn",
    ),
    Corruption(
        "users removed",
        "The list of users is empty.",
        Stage.RAW,
        "delete from users",
        ("assert_references_are_known",),
        "warn",
    ),
    Corruption(
        "orphaned deals",
        "The activities belong to deals of another account.",
        Stage.RAW,
        "update activity set deal_id = deal_id + 5000000 where due_to >= '2024-12-01'",
        ("assert_activities_belong_to_known_deals",),
        "warn",
    ),
    Corruption(
        "deals of nobody",
        "The loader writes deal 0 where there is none.",
        Stage.RAW,
        "update activity set deal_id = 0 where deal_id is null",
        ("assert_no_event_is_impossible",),
        "warn",
    ),
    Corruption(
        "deal changes emptied",
        "A failed load left the deal changes empty.",
        Stage.RAW,
        "truncate deal_changes",
        ("freshness: deal_changes",),
    ),
    Corruption(
        "activities emptied",
        "A failed load left the activities empty.",
        Stage.RAW,
        "truncate activity",
        ("freshness: activity",),
    ),
    Corruption(
        "last days missing",
        "The loader writes, but nothing that happened in the last ten days.",
        Stage.RAW,
        """
        delete from deal_changes where change_time >= '2024-12-21';
        delete from activity where due_to >= '2024-12-21';
        """,
        ("*_is_recent", "*_staging_keeps_its_volume"),
    ),
    Corruption(
        "half a month's load",
        "Every second change of the month was lost.",
        Stage.RAW,
        "delete from deal_changes where change_time >= '2024-12-01' and deal_id % 2 = 0",
        ("deal_staging_keeps_its_volume",),
    ),
    Corruption(
        "increment as the whole",
        "The loader replaced all deal changes by those of the last day.",
        Stage.RAW,
        "delete from deal_changes where change_time < '2024-12-30'",
        ("deal_staging_keeps_its_volume",),
    ),
    Corruption(
        "activities not done",
        "The flag of done activities is no longer filled.",
        Stage.RAW,
        "update activity set done = null where due_to >= '2024-12-01'",
        ("activity_staging_keeps_its_volume",),
    ),
    Corruption(
        "stage moves lost",
        "The changes of one stage are missing for the month.",
        Stage.RAW,
        """
        delete from deal_changes
        where changed_field_key = 'stage_id' and new_value = '5' and change_time >= '2024-12-01'
        """,
        ("deal_staging_keeps_its_volume",),
    ),
    Corruption(
        "moved in bulk",
        "An import has put all new deals into Proposal/Quote Preparation.",
        Stage.RAW,
        """
        insert into deal_changes (deal_id, change_time, changed_field_key, new_value)
        select deal_id, change_time + interval '1 hour', 'stage_id', '4'
        from deal_changes
        where changed_field_key = 'add_time' and change_time >= '2024-12-01'
        """,
        ("assert_enough_deals_progress", "assert_no_step_leaves_its_history"),
        "warn",
    ),
    Corruption(
        "time zone shifted",
        "The loader writes local times as UTC.",
        Stage.RAW,
        """
        update deal_changes set change_time = change_time + interval '7 hours'
        where change_time >= '2024-12-01'
        """,
        ("assert_time_of_day_has_not_shifted",),
        "warn",
    ),
    Corruption(
        "time zone of activities shifted",
        "The loader writes local times of activities as UTC.",
        Stage.RAW,
        "update activity set due_to = due_to + interval '7 hours' where due_to >= '2024-12-01'",
        ("assert_time_of_day_has_not_shifted",),
        "warn",
    ),
    Corruption(
        "days and months swapped",
        "The loader takes 5 December for 12 May.",
        Stage.RAW,
        """
        update deal_changes
        set change_time = make_date(2024, cast(extract(day from change_time) as integer), 12)
            + cast(change_time as time)
        where change_time >= '2024-12-01' and change_time < '2024-12-13'
        """,
        ("deal_staging_keeps_its_volume",),
    ),
    Corruption(
        "year 2099",
        "Changes are dated far in the future.",
        Stage.RAW,
        """
        update deal_changes set change_time = '2099-01-01'
        where cast(change_time as date) = '2024-12-03'
        """,
        ("assert_no_event_is_impossible",),
        "warn",
    ),
    Corruption(
        "epoch",
        "Times that could not be read came as 1 January 1970.",
        Stage.RAW,
        """
        update deal_changes set change_time = '1970-01-01'
        where cast(change_time as date) = '2024-12-03'
        """,
        ("assert_no_event_is_impossible",),
        "warn",
    ),
    Corruption(
        "stale deal changes",
        "The loader of the deal changes has been down for two days.",
        Stage.RAW,
        "update deal_changes set _loaded_at = _loaded_at - interval '2 days'",
        ("freshness: deal_changes",),
    ),
    Corruption(
        "stale activities",
        "The loader of the activities has been down for two days.",
        Stage.RAW,
        "update activity set _loaded_at = _loaded_at - interval '2 days'",
        ("freshness: activity",),
    ),
    Corruption(
        "done as text",
        "Another loader lands the flag of done activities as text.",
        Stage.RAW,
        "drop view activity_staging cascade; alter table activity alter done type text",
        ("funnel run: column pipedrive_raw.activity.done is a text, funnel needs a boolean",),
    ),
    Corruption(
        "times with a time zone",
        "Another loader lands times with a time zone.",
        Stage.RAW,
        """
        drop view deal_staging, deal_pipelines cascade;
        alter table deal_changes alter change_time type timestamptz;
        """,
        ("funnel run: column pipedrive_raw.deal_changes.change_time is a timestamp with *",),
    ),
    Corruption(
        "deal ids as text",
        "Another loader lands deal ids as text.",
        Stage.RAW,
        "drop view activity_staging cascade; alter table activity alter deal_id type text",
        ("funnel run: column pipedrive_raw.activity.deal_id is a text, funnel needs a bigint",),
    ),
    Corruption(
        "stages of another account",
        "The deal changes are of another account than the stages.",
        Stage.RAW,
        """
        update deal_changes set new_value = '90' || new_value
        where changed_field_key = 'stage_id'
        """,
        ("assert_stage_events_are_known",),
    ),
    Corruption(
        "load times as text",
        "Another loader writes its load times as numbers in a text.",
        Stage.RAW,
        """
        drop view deal_staging cascade;
        alter table deal_changes alter _loaded_at drop default;
        alter table deal_changes alter _loaded_at type text using '1732000000.5';
        """,
        ("funnel run: column pipedrive_raw.deal_changes._loaded_at is a text, *",),
    ),
    Corruption(
        "load times without a zone",
        "Another loader writes its load times in local time.",
        Stage.RAW,
        "drop view activity_staging cascade; alter table activity alter _loaded_at type timestamp",
        ("funnel run: column pipedrive_raw.activity._loaded_at has no time zone",),
    ),
    Corruption(
        "types of another loader",
        "Another loader lands ids and flags of all raw tables as text, and plain dbt reads them.",
        Stage.BUILT,
        """
        drop schema pipedrive_staging cascade;
        alter table activity alter deal_id type text;
        alter table activity_types alter active type text;
        alter table deal_changes alter deal_id type text;
        alter table fields alter id type text;
        alter table pipelines alter name type integer using 1;
        alter table stages alter stage_id type text;
        alter table users alter id type text;
        """,
        ("*_has_declared_types",),
    ),
    Corruption(
        "column dropped",
        "A migration of the loader dropped a column.",
        Stage.RAW,
        "alter table deal_changes drop new_value cascade",
        ("funnel run: table pipedrive_raw.deal_changes has no column new_value",),
    ),
    Corruption(
        "table dropped",
        "A migration of the loader dropped a table.",
        Stage.RAW,
        "drop table stages cascade",
        ("funnel run: schema pipedrive_raw has no table stages",),
    ),
    Corruption(
        "e-mail as a type's name",
        "Somebody pasted an address into the name of an activity type.",
        Stage.RAW,
        "update activity_types set name = 'ask jo@example.com' where type = 'follow_up'",
        ("activity_kpis_holds_no_address",),
    ),
    Corruption(
        "e-mail as a stage's name",
        "Somebody pasted an address into a stage's name.",
        Stage.RAW,
        "update stages set stage_name = 'ask jo@example.com' where stage_name = 'On Hold'",
        ("deal_kpis_holds_no_address",),
    ),
    Corruption(
        "e-mail as a pipeline's name",
        "Somebody pasted an address into a pipeline's name.",
        Stage.RAW,
        "update pipelines set name = 'ask jo@example.com' where name = 'Sales'",
        ("pipeline_stages_holds_no_address",),
    ),
    Corruption(
        "second pipeline",
        "A new pipeline has a stage that is called like a step of the old one.",
        Stage.RAW,
        "insert into stages (stage_id, stage_name, pipeline_id) values (77, 'Negotiation', 2)",
        ("assert_pipelines_share_no_step",),
        severity="warn",
    ),
)

_DAILY = (
    Corruption(
        "negative count",
        "A count of an old day is below 0.",
        Stage.DAILY,
        "update daily_deal_stats set new_deals_count = -1 where date = '2024-03-05'",
        ("daily_deal_stats_new_deals_count_is_in_range",),
    ),
    Corruption(
        "more new deals than deals",
        "On an old day more deals are new than there are.",
        Stage.DAILY,
        """
        update daily_activity_stats set new_deals_count = deals_count + 1
        where date = '2024-03-05'
        """,
        ("daily_activity_stats_new_deals_count_is_in_range",),
    ),
    Corruption(
        "KPI lost from the grid",
        "A day of the past lacks a KPI.",
        Stage.DAILY,
        "delete from daily_deal_stats where date = '2024-03-05' and kpi_name = 'Negotiation'",
        ("daily_deal_stats_grid_is_complete",),
    ),
    Corruption(
        "activity lost from the grid",
        "A day of the past lacks an activity.",
        Stage.DAILY,
        "delete from daily_activity_stats where date = '2024-03-05' and kpi_name = 'Sales Call 1'",
        ("daily_activity_stats_grid_is_complete",),
    ),
    Corruption(
        "history emptied",
        "The daily tables were truncated, and a run counts the latest month only.",
        Stage.DAILY,
        "truncate daily_activity_stats, daily_deal_stats",
        ("assert_no_month_is_lost",),
    ),
    Corruption(
        "first months lost",
        "Somebody deleted the oldest days.",
        Stage.DAILY,
        """
        delete from daily_activity_stats where date < '2023-07-01';
        delete from daily_deal_stats where date < '2023-07-01';
        """,
        ("assert_no_month_is_lost",),
    ),
    Corruption(
        "row twice",
        "Somebody inserted rows of a day again.",
        Stage.DAILY,
        "insert into daily_deal_stats select * from daily_deal_stats where date = '2024-03-05'",
        ("index: daily_deal_stats",),
    ),
    Corruption(
        "rows twice without the index",
        "The index was dropped, and a restore inserted days again.",
        Stage.BUILT,
        """
        do $$ declare name text; begin
            for name in select indexname from pg_indexes where tablename like 'daily%stats' loop
                execute format('drop index pipedrive_analytics.%I', name);
            end loop;
        end $$;
        insert into daily_deal_stats select * from daily_deal_stats where date = '2024-03-05';
        insert into daily_activity_stats
        select * from daily_activity_stats where date = '2024-03-05';
        """,
        (
            "daily_activity_stats_is_unique",
            "daily_deal_stats_is_unique",
        ),
    ),
    Corruption(
        "field unknown to the daily table",
        "Rows of the daily table name a field that is none.",
        Stage.DAILY,
        """
        update daily_deal_stats set field = 'stage'
        where field = 'stage_id' and date = '2024-03-05'
        """,
        ("daily_deal_stats_fields_are_known",),
    ),
    Corruption(
        "day in the future",
        "A month that has not begun was counted.",
        Stage.DAILY,
        """
        insert into daily_deal_stats
        select cast(date + interval '80 years' as date), field, kpi_name, funnel_step, 0, 0
        from daily_deal_stats where date >= '2024-03-01' and date < '2024-04-01'
        """,
        ("assert_no_day_is_in_the_future",),
    ),
    Corruption(
        "old definition",
        "A month was counted before the definition changed.",
        Stage.DAILY,
        """
        update daily_deal_stats set funnel_step = '5.1'
        where kpi_name = 'Negotiation' and date < '2024-04-01'
        """,
        ("assert_steps_are_those_of_the_definition",),
    ),
    Corruption(
        "days missing",
        "A day of an old month is gone from both daily tables.",
        Stage.BUILT,
        """
        delete from daily_deal_stats where date = '2024-03-05';
        delete from daily_activity_stats where date = '2024-03-05';
        """,
        ("daily_*_grid_is_complete", "*_has_every_day", "*_adds_up_to_months"),
    ),
    Corruption(
        "months missing",
        "A month is gone from one daily table.",
        Stage.BUILT,
        "delete from daily_deal_stats where date >= '2024-03-01' and date < '2024-04-01'",
        (
            "assert_both_branches_have_the_same_days",
            "daily_deal_stats_has_every_day",
            "daily_deal_stats_adds_up_to_months",
        ),
    ),
    Corruption(
        "month to date wrong",
        "A deal of this month is counted on two days.",
        Stage.BUILT,
        """
        update daily_deal_stats set new_deals_count = deals_count
        where date >= '2024-12-01'
        """,
        ("assert_processed_months_are_counted_exactly",),
    ),
)


def _retyped(condition: str, new_type: str) -> str:
    """Put a view that casts columns in the place of every built table and view that has such."""
    return f"""
        do $$ declare found record; begin
            for found in
                select
                    table_schema as schema_name,
                    table_name as name,
                    table_name || '_before' as other_name,
                    string_agg(
                        case when {condition}
                            then format('cast(%1$I as {new_type}) as %1$I', column_name)
                            else quote_ident(column_name)
                        end, ', ' order by ordinal_position
                    ) as columns
                from information_schema.columns
                where table_schema ~ '^pipedrive_(staging|analytics|reporting)'
                group by table_schema, table_name
                having bool_or({condition})
            loop
                execute format('alter table %I.%I rename to %I',
                    found.schema_name, found.name, found.other_name);
                execute format('create view %I.%I as select %s from %I.%I', found.schema_name,
                    found.name, found.columns, found.schema_name, found.other_name);
            end loop;
        end $$
        """


_BUILT = (
    Corruption(
        "dropped month",
        "A month was deleted from the report.",
        Stage.BUILT,
        "delete from monthly_stats where month = '2024-03-01'",
        ("assert_monthly_stats_is_the_sum_of_its_branches",),
    ),
    Corruption(
        "report emptied",
        "The report is empty.",
        Stage.BUILT,
        "truncate monthly_stats",
        ("assert_monthly_stats_is_the_sum_of_its_branches",),
    ),
    Corruption(
        "everything emptied",
        "All built tables are empty.",
        Stage.BUILT,
        """
        truncate monthly_stats, monthly_activity_stats, monthly_deal_stats, daily_activity_stats,
            daily_deal_stats
        """,
        ("*_has_every_day",),
        "warn",
    ),
    Corruption(
        "month twice",
        "A month is in the report twice.",
        Stage.BUILT,
        "insert into monthly_stats select * from monthly_stats where month = '2024-03-01'",
        (
            "monthly_stats_is_unique",
            "assert_every_month_has_every_step",
        ),
    ),
    Corruption(
        "step missing",
        "A month of the report lacks a step.",
        Stage.BUILT,
        "delete from monthly_stats where month = '2024-03-01' and funnel_step = '4'",
        ("assert_every_month_has_every_step",),
    ),
    Corruption(
        "step unknown",
        "A step of the report is in no definition.",
        Stage.BUILT,
        """
        update monthly_stats set funnel_step = '10'
        where month = '2024-03-01' and funnel_step = '9'
        """,
        ("assert_steps_are_named_as_defined",),
    ),
    Corruption(
        "monthly off by one",
        "A count of the report is one too high.",
        Stage.BUILT,
        """
        update monthly_stats set deals_count = deals_count + 1
        where month = '2024-03-01' and funnel_step = '4'
        """,
        ("assert_monthly_stats_is_the_sum_of_its_branches",),
    ),
    Corruption(
        "report not built again",
        "Days and months were corrected, the report was not.",
        Stage.BUILT,
        """
        update daily_deal_stats
        set deals_count = deals_count + 1, new_deals_count = new_deals_count + 1
        where date = '2024-03-05' and kpi_name = 'Negotiation';
        update monthly_deal_stats
        set deals_count = deals_count + 1, deal_days_count = deal_days_count + 1
        where month = '2024-03-01' and kpi_name = 'Negotiation';
        """,
        ("assert_monthly_stats_is_the_sum_of_its_branches",),
    ),
    Corruption(
        "more deals than deal-days",
        "Counts are above what they may reach.",
        Stage.BUILT,
        """
        update monthly_stats set deals_count = deal_days_count + 1 where month = '2024-03-01';
        update monthly_deal_stats set deals_count = deal_days_count + 1 where month = '2024-03-01';
        update monthly_activity_stats set deals_count = deal_days_count + 1
        where month = '2024-03-01';
        """,
        ("monthly_*_deals_count_is_in_range",),
    ),
    Corruption(
        "branch off by one",
        "A monthly table differs from its days.",
        Stage.BUILT,
        """
        update monthly_deal_stats set deal_days_count = deal_days_count + 1
        where month = '2024-03-01';
        update monthly_activity_stats set deal_days_count = deal_days_count + 1
        where month = '2024-03-01';
        """,
        ("*_adds_up_to_months",),
    ),
    Corruption(
        "branch row twice",
        "Months of the monthly tables are there twice.",
        Stage.BUILT,
        """
        insert into monthly_deal_stats select * from monthly_deal_stats where month = '2024-03-01';
        insert into monthly_activity_stats
        select * from monthly_activity_stats where month = '2024-03-01';
        """,
        (
            "monthly_activity_stats_is_unique",
            "monthly_deal_stats_is_unique",
        ),
    ),
    Corruption(
        "branches swapped",
        "The report was made of one branch twice.",
        Stage.BUILT,
        """
        update monthly_stats set deals_count = swapped.deals_count
        from monthly_stats as swapped
        where monthly_stats.month = swapped.month
            and (monthly_stats.funnel_step, swapped.funnel_step) in (('2.1', '2'), ('3.1', '3'))
        """,
        ("assert_monthly_stats_is_the_sum_of_its_branches",),
    ),
    Corruption(
        "wrong granularity",
        "A month of the report is named by its last day.",
        Stage.BUILT,
        "update monthly_stats set month = '2024-03-31' where month = '2024-03-01'",
        ("assert_monthly_stats_is_the_sum_of_its_branches",),
    ),
    Corruption(
        "columns in another order",
        "The report's columns changed places.",
        Stage.BUILT,
        """
        create table monthly_stats_moved as
        select kpi_name, month, funnel_step, deals_count, step_order, deal_days_count
        from monthly_stats;
        drop table monthly_stats;
        alter table monthly_stats_moved set schema pipedrive_reporting;
        alter table pipedrive_reporting.monthly_stats_moved rename to monthly_stats;
        """,
        ("monthly_stats_columns_are_in_order",),
    ),
    Corruption(
        "column added",
        "The report has a column more.",
        Stage.BUILT,
        "alter table monthly_stats add conversion numeric",
        ("monthly_stats_columns_are_in_order",),
    ),
    Corruption(
        "staging twice",
        "Somebody edited views of KPIs and pipelines, and a join doubles their rows.",
        Stage.BUILT,
        """
        do $$ declare name text; begin
            foreach name in array
                array['activity_kpis', 'deal_kpis', 'deal_pipelines', 'pipeline_stages']
            loop
                execute format('alter view %I rename to %I', name, name || '_before');
                execute format(
                    'create table pipedrive_staging.%1$I as'
                    ' select * from %2$I union all select * from %2$I', name, name || '_before'
                );
            end loop;
        end $$
        """,
        (
            "deal_kpis_is_unique",
            "deal_pipelines_is_unique",
            "unique_activity_kpis_activity_type",
            "unique_pipeline_stages_stage_id",
        ),
    ),
    Corruption(
        "wrong types",
        "All columns of built tables and views became text of limited length.",
        Stage.BUILT,
        """
        do $$ declare found record; begin
            for found in
                select
                    quote_ident(table_schema) || '.' || quote_ident(table_name) as name,
                    table_name || '_before' as other_name,
                    string_agg(quote_ident(column_name) || ' varchar(80)', ', ') as columns
                from information_schema.columns
                where table_schema ~ '^pipedrive_(staging|analytics|reporting)'
                group by table_schema, table_name
            loop
                execute format('alter table %s rename to %I', found.name, found.other_name);
                execute format('create table %s (%s)', found.name, found.columns);
            end loop;
        end $$
        """,
        ("assert_*_its_types", "assert_*_their_types"),
    ),
    Corruption(
        "days as timestamps",
        "Somebody edited models, and a day or month became a timestamp: date_trunc without a cast.",
        Stage.BUILT,
        _retyped("data_type = 'date'", "timestamp"),
        (
            "assert_staging_keeps_its_types",
            "assert_daily_tables_keep_their_types",
            "assert_monthly_tables_keep_their_types",
            "assert_the_report_keeps_its_types",
            "assert_tables_of_deals_keep_their_types",
            "assert_marts_keep_their_types",
        ),
    ),
    Corruption(
        "timestamps with a zone",
        "Somebody edited models, and UTC timestamps were taken for those of the session's zone.",
        Stage.BUILT,
        _retyped("data_type = 'timestamp without time zone'", "timestamp with time zone"),
        (
            "assert_staging_keeps_its_types",
            "assert_tables_of_deals_keep_their_types",
            "assert_marts_keep_their_types",
        ),
    ),
    Corruption(
        "counts as decimals",
        "Somebody edited models, and a count became a decimal number: a sum of counts.",
        Stage.BUILT,
        _retyped("data_type = 'bigint' and column_name ~ '_(count|wins)$'", "numeric"),
        (
            "assert_daily_tables_keep_their_types",
            "assert_monthly_tables_keep_their_types",
            "assert_the_report_keeps_its_types",
            "assert_marts_keep_their_types",
        ),
    ),
    Corruption(
        "amounts as floats",
        "Somebody edited models, and values, shares and durations became inexact: percentiles are.",
        Stage.BUILT,
        _retyped("data_type = 'numeric'", "double precision"),
        (
            "assert_tables_of_deals_keep_their_types",
            "assert_marts_keep_their_types",
        ),
    ),
    Corruption(
        "whole days as decimals",
        "Somebody edited models, and ages in days and positions are no longer integers.",
        Stage.BUILT,
        _retyped("data_type = 'integer'", "numeric"),
        (
            "assert_the_report_keeps_its_types",
            "assert_tables_of_deals_keep_their_types",
            "assert_marts_keep_their_types",
        ),
    ),
    Corruption(
        "steps as numbers",
        "An import made numbers of the steps.",
        Stage.BUILT,
        _retyped("column_name = 'funnel_step'", "numeric"),
        ("assert_*_its_types", "assert_*_their_types"),
    ),
    Corruption(
        "e-mail in the report",
        "A KPI of the report is an address.",
        Stage.BUILT,
        """
        update monthly_stats set kpi_name = 'jo@example.com'
        where month = '2024-03-01' and step_order = 1
        """,
        ("assert_steps_are_named_as_defined",),
    ),
    Corruption(
        "step misspelt",
        "A step of the report has another name than in the definition.",
        Stage.BUILT,
        """
        update monthly_stats set kpi_name = 'Closings'
        where month = '2024-03-01' and step_order = 8
        """,
        ("assert_steps_are_named_as_defined",),
    ),
    Corruption(
        "positions swapped",
        "Two steps of the report changed positions.",
        Stage.BUILT,
        "update monthly_stats set step_order = 15 - step_order where step_order in (7, 8)",
        ("assert_steps_are_named_as_defined",),
    ),
    Corruption(
        "visits lost",
        "The second visits of deals are gone.",
        Stage.BUILT,
        "delete from deal_stage_visits where visit_number = 2",
        ("assert_deals_are_where_their_visits_lead",),
    ),
    Corruption(
        "deals elsewhere",
        "The states of deals say another stage than their visits.",
        Stage.BUILT,
        "update deal_states set current_kpi_name = 'Closing' where status = 'open'",
        ("assert_deals_are_where_their_visits_lead",),
    ),
    Corruption(
        "deals set back",
        "Deals that were won seem never to have left the first step.",
        Stage.BUILT,
        "update deal_states set furthest_step_order = 1 where status = 'won'",
        ("assert_conversion_only_falls",),
    ),
    Corruption(
        "owner off by one",
        "The month of an owner has a deal too few.",
        Stage.BUILT,
        """
        update monthly_stats_by_owner set deals_count = deals_count - 1
        where month = '2024-12-01' and funnel_step = '1' and deals_count > 0
        """,
        ("assert_owners_add_up_to_monthly_stats",),
    ),
    Corruption(
        "winning step renumbered",
        "The step that wins a deal has got another number.",
        Stage.BUILT,
        "update funnel_steps set funnel_step = '7.1' where funnel_step = '7'",
        ("assert_won_step_is_a_step",),
        "warn",
    ),
    Corruption(
        "options twice in staging",
        "Somebody edited a view of the staging area, and a join doubles its rows.",
        Stage.BUILT,
        """
        alter view field_options rename to field_options_once;
        create view pipedrive_staging.field_options as
        select * from field_options_once union all select * from field_options_once;
        """,
        ("field_options_is_unique",),
    ),
    Corruption(
        "rows twice in staging",
        "Somebody edited the views of the staging area, and a join doubles events.",
        Stage.BUILT,
        """
        alter view deal_staging rename to deal_staging_once;
        create view pipedrive_staging.deal_staging as
        select * from deal_staging_once union all select * from deal_staging_once;
        """,
        ("deal_staging_keeps_its_volume",),
    ),
    Corruption(
        "activities lost in staging",
        "Somebody edited a view of the staging area, and a join loses the activities of one type.",
        Stage.BUILT,
        """
        alter view activity_staging rename to activity_staging_complete;
        create view pipedrive_staging.activity_staging as
        select * from activity_staging_complete where activity_type <> 'sc_2';
        """,
        ("activity_staging_keeps_its_volume",),
    ),
    Corruption(
        "deals lost in staging",
        "Somebody edited a view of the staging area, and a join loses deals.",
        Stage.BUILT,
        """
        alter view deal_staging rename to deal_staging_before;
        create view pipedrive_staging.deal_staging as
        select
            nullif(deal_id, (select max(deal_id) from deal_changes)) as deal_id,
            field, new_value, kpi_name, funnel_step, change_time, date
        from deal_staging_before;
        """,
        ("not_null_deal_staging_deal_id",),
    ),
    Corruption(
        "reason twice",
        "A typed reason stands in its table twice.",
        Stage.BUILT,
        "insert into lost_reasons (lost_reason, label) values ('rain', 'Rain'), ('rain', 'rain')",
        ("lost_reasons_is_unique",),
    ),
    Corruption(
        "count emptied",
        "Somebody set a count of the report to null.",
        Stage.BUILT,
        "update monthly_stats set deals_count = null where month = '2024-03-01'",
        ("constraint: monthly_stats.deals_count",),
    ),
)

_VERIFIED = (
    _drift(
        "statuses deleted",
        "The raw rows of old wins and losses were deleted.",
        """
        delete from deal_changes
        where changed_field_key = 'status' and change_time < '2024-06-01'
        """,
        "deal_closings",
        "deal_first_statuses",
        "deal_stage_visits",
        "deal_states",
    ),
    _drift(
        "values deleted",
        "The raw rows of old values were deleted.",
        "delete from deal_changes where changed_field_key = 'value' and change_time < '2024-06-01'",
        "deal_values",
    ),
    _drift(
        "owners deleted",
        "The raw rows of old changes of owner were deleted.",
        """
        delete from deal_changes
        where changed_field_key = 'user_id' and change_time < '2024-06-01'
        """,
        "deal_stage_visits",
        "deal_states",
        "monthly_stats_by_owner",
    ),
    _drift(
        "deals merged",
        "Two deals were merged long ago: the changes of one now bear the number of the other.",
        """
        update deal_changes set deal_id = (select min(deal_id) from deal_changes)
        where deal_id = (select max(deal_id) from deal_changes where change_time < '2024-06-01')
        """,
        "deal_stage_visits",
        "deal_states",
        "deal_steps",
    ),
    _drift(
        "stage moved in time",
        "A stage was entered a month later than the raw rows said before.",
        """
        update deal_changes set change_time = change_time + interval '1 month'
        where changed_field_key = 'stage_id' and change_time < '2024-04-01' and deal_id % 5 = 0
        """,
        "deal_stage_visits",
        "deal_steps",
        "daily_deal_stats",
    ),
    _drift(
        "value typed over",
        "Somebody multiplied the stored values of deals by ten.",
        "update deal_values set value = value * 10 where deal_id % 5 = 0",
        "deal_values",
    ),
    _drift(
        "visits of another owner",
        "The visits of deals bear the owner of today.",
        "update deal_stage_visits set owner_id = -1 where deal_id % 5 = 0",
        "deal_stage_visits",
    ),
    _drift(
        "visits without days",
        "The days that deals spent in a stage are all 0.",
        "update deal_stage_visits set days_in_stage = 0 where deal_id % 5 = 0",
        "deal_stage_visits",
    ),
    _drift(
        "losses forgotten",
        "Closings of deals that were lost are gone.",
        "delete from deal_closings where outcome = 'lost' and deal_id % 5 = 0",
        "deal_closings",
    ),
    _drift(
        "wins turned into losses",
        "Closings say lost where the deal was won.",
        "update deal_closings set outcome = 'lost' where outcome = 'won' and deal_id % 5 = 0",
        "deal_closings",
    ),
    _drift(
        "steps reached earlier",
        "Deals seem to have entered their steps a day before.",
        """
        update deal_steps set first_entered_at = first_entered_at - interval '1 day'
        where deal_id % 5 = 0
        """,
        "deal_steps",
    ),
    _drift(
        "deals of another owner",
        "Deals bear an owner whom no raw row names.",
        "update deal_states set owner_id = -1 where deal_id % 5 = 0",
        "deal_states",
    ),
    _drift(
        "a month of deals forgotten",
        "Deals seem to have had no event in a month.",
        "delete from deal_months where month = '2024-03-01'",
        "deal_months",
    ),
    _drift(
        "events of a deal forgotten",
        "The events of deals end before their last ones.",
        "delete from deal_events where is_last and deal_id % 5 = 0",
        "deal_events",
    ),
    _drift(
        "first status forgotten",
        "Deals seem to have no recorded status.",
        "delete from deal_first_statuses where deal_id % 5 = 0",
        "deal_first_statuses",
    ),
    _drift(
        "owners of a month mixed up",
        "The numbers of a month stand beside the wrong owner.",
        "update monthly_stats_by_owner set owner_id = null where month = '2024-03-01'",
        "monthly_stats_by_owner",
    ),
)

CORRUPTIONS = (*_EXPORTS, *_SEEDS, *_RAW, *_DAILY, *_BUILT, *_VERIFIED)


def page() -> str:
    """Return docs/corruptions.md: its introduction as it is, and a table for each stage."""
    lines = [PAGE.read_text(encoding="utf-8").partition("\n## ")[0]]
    for stage in Stage:
        corruptions = [corruption for corruption in CORRUPTIONS if corruption.stage is stage]
        lines += [
            f"\n## {len(corruptions)} seeded into {stage.value}\n",
            "| fault | noticed by | severity |",
            "|---|---|---|",
        ]
        lines += [
            f"| **{corruption.name}**: {corruption.sentence} "
            f"| {'<br>'.join(_describe(catcher) for catcher in corruption.caught_by)} "
            f"| {corruption.severity} |"
            for corruption in corruptions
        ]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _describe(caught_by: str) -> str:
    kind, separator, target = caught_by.partition(": ")
    return f"`{kind}` {target}" if separator else f"`{kind}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
