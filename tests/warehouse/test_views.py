"""Views are replaced in place: what reads them stays."""

from homes import Funnel

STAGING = (
    *("run", "--source-dt", "2024-12-31", "--no-tests", "--no-freshness"),
    *("--select", "funnel_steps", "--select", "path:models/staging"),
)


def views(funnel: Funnel) -> list[tuple[object, ...]]:
    return funnel.query(
        "select viewname, definition from pg_views"
        " where schemaname = 'pipedrive_staging' order by viewname"
    )


def test_what_reads_a_view_outlives_its_replacement(demo: Funnel, empty: Funnel) -> None:
    empty.done("load", str(demo.home / "demo"))
    empty.done(*STAGING)
    built = views(empty)
    empty.query("create view public.reader as select * from pipedrive_staging.deal_kpis")
    try:
        empty.done(*STAGING)
        assert empty.query("select count(*) > 0 from public.reader") == [(True,)]
        assert views(empty) == built
    finally:
        empty.query("drop view if exists public.reader")


def test_a_view_with_other_columns_is_replaced_as_well(demo: Funnel, empty: Funnel) -> None:
    empty.done("load", str(demo.home / "demo"))
    empty.done(*STAGING)
    built = views(empty)
    empty.query("drop view pipedrive_staging.field_options cascade")
    empty.query("create view pipedrive_staging.field_options as select 1 as label, 2 as other")
    empty.done(*STAGING)
    assert views(empty) == built


def test_a_table_in_the_place_of_a_view_is_replaced(demo: Funnel, empty: Funnel) -> None:
    empty.done("load", str(demo.home / "demo"))
    empty.done(*STAGING)
    built = views(empty)
    empty.query("drop view pipedrive_staging.field_options cascade")
    empty.query("create table pipedrive_staging.field_options (label text)")
    empty.done(*STAGING)
    assert views(empty) == built
