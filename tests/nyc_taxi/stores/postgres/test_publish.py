"""Publishing in Postgres, on a real server: what is newer stays, and nobody waits long for a lock."""

from __future__ import annotations

import logging
import re
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowSkipException

from comparison.statements import Load
from local.cloud.settings import REPOSITORY
from nyc_taxi.common.sql import SQL_DIR
from nyc_taxi.registry.datasets import ZONES
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.stores.postgres import statement
from nyc_taxi.stores.postgres.publish import CLOCK_AHEAD, OVERTAKEN, PublishOperator
from nyc_taxi.stores.postgres.statement import LockedError, LockingStatementOperator
from nyc_taxi.stores.postgres.store import PostgresStore
from nyc_taxi.stores.store import StoredMonth
from tests.nyc_taxi.stores.postgres.conftest import FILE, Database
from tests.waiting import wait_until

EARLIER = "2026-01-02T03:04:05.000006+00:00"
LATER = "2026-01-02T03:04:05.000007+00:00"
LATEST = "2026-01-02T03:04:05.000008+00:00"
TRIP = "postgres/publish/trip.sql"


def _run(sql: str, operator: type[LockingStatementOperator] = LockingStatementOperator) -> dict[str, str]:
    """Execute the operator on the database of ``ny_taxi``; returns the XComs that it pushed."""
    pushed: dict[str, str] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    rows = {"rows": "3"} if operator is PublishOperator else {}
    operator(task_id="x", conn_id="ny_taxi", sql=sql, **rows).execute({"ti": ti})  # type: ignore[typeddict-item]
    return pushed


def _now(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat(timespec="microseconds")


def _publish(load: Load) -> None:
    _run(load.render(TRIP), PublishOperator)


# Newest wins


def test_a_run_that_was_overtaken_is_skipped_and_says_so(database: Database) -> None:
    older = database.stage("older", 1, rows=3, downloaded_at=EARLIER)
    _publish(database.stage("newer", 2, rows=4, downloaded_at=LATER))

    with pytest.raises(AirflowSkipException) as skipped:
        _publish(older)

    assert str(skipped.value) == (
        f"{OVERTAKEN}: green_trips_2021_01 was made from the download of {LATER}, this run's is of {EARLIER}. "
        "The published rows stay. To load what the source has now, start a new run."
    )
    assert database.days() == [(2, 4)]
    _run(older.render("postgres/clean/staging.sql"))
    assert database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'") == []


@pytest.mark.parametrize(
    ("published", "own"),
    [
        (EARLIER, LATER),
        (EARLIER, EARLIER),
        ("", EARLIER),
        (LATER, ""),
        ("2026-01-02T09:00:00.000000+09:00", "2026-01-02T01:00:00.000000+00:00"),
    ],
    ids=["newer", "same", "published unknown", "own unknown", "other time zone"],
)
def test_every_other_run_replaces_the_month(database: Database, published: str, own: str) -> None:
    _publish(database.stage("first", 1, rows=3, downloaded_at=published))
    _publish(database.stage("second", 2, rows=4, downloaded_at=own))
    assert database.days() == [(2, 4)]


def test_after_a_clock_that_was_ahead_the_time_of_the_publish_decides(database: Database) -> None:
    stopped = database.stage("stopped", 1, rows=2, downloaded_at=_now())
    _publish(database.stage("ahead", 2, rows=3, downloaded_at=_now(hours=1)))
    with pytest.raises(AirflowSkipException, match=OVERTAKEN):
        _publish(stopped)
    assert database.days() == [(2, 3)]
    _publish(database.stage("back", 3, rows=4, downloaded_at=_now()))
    assert database.days() == [(3, 4)]


def test_a_mark_that_was_removed_keeps_nothing_out(database: Database) -> None:
    """As docs/operations.md says it: only the comment goes, the rows stay."""
    _publish(database.stage("first", 1, rows=3, downloaded_at=LATER))
    database.rows("COMMENT ON TABLE green_trips_2021_01 IS NULL")
    assert database.days() == [(1, 3)]
    _publish(database.stage("second", 2, rows=4, downloaded_at=EARLIER))
    assert database.days() == [(2, 4)]


def test_a_comment_of_somebody_else_is_no_mark(database: Database) -> None:
    _publish(database.stage("first", 1, rows=3))
    database.rows(f"COMMENT ON TABLE green_trips_2021_01 IS E'ours\\ndownloaded at {LATER}'")
    _publish(database.stage("second", 2, rows=4, downloaded_at=EARLIER))
    assert database.days() == [(2, 4)]


def test_the_mark_is_no_part_of_what_the_month_was_made_from(database: Database) -> None:
    load = database.stage("first", 1, rows=3, downloaded_at=EARLIER)
    database.rows(f"COMMENT ON TABLE {load.postgres_staging_table} IS 'x.csv.gz etag=1'")
    _publish(load)
    stored = PostgresStore(lambda: psycopg.connect(database.url)).find(FILE)
    assert stored is not None
    assert (stored.made_from, stored.rows) == ("x.csv.gz etag=1", 3)
    [(comment,)] = database.rows("SELECT obj_description('green_trips_2021_01'::regclass)")
    assert f"\ndownloaded at {EARLIER}\n" in comment


# The source has a version again that the store still has


def _store(database: Database) -> PostgresStore:
    return PostgresStore(lambda: psycopg.connect(database.url))


def _find(database: Database, file: PublishedFile = FILE) -> StoredMonth:
    stored = _store(database).find(file)
    assert stored is not None
    return stored


def _seen(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _comment(database: Database, table: str = "green_trips_2021_01") -> list[str]:
    [(comment,)] = database.rows(f"SELECT obj_description('{table}'::regclass)")
    return str(comment).splitlines()


def test_a_run_that_was_stopped_is_overtaken_by_a_later_look_at_the_source(database: Database) -> None:
    """The source had A, then B, and has A again. The run with B is stopped before it publishes."""
    first = database.stage("A", 1, rows=3, downloaded_at=EARLIER)
    database.rows(f"COMMENT ON TABLE {first.postgres_staging_table} IS 'x.csv.gz etag=A'")
    _publish(first)
    stopped = database.stage("B", 2, rows=4, downloaded_at=LATER)
    before = _find(database)

    assert _store(database).confirm(FILE, before, _seen(LATEST))

    with pytest.raises(AirflowSkipException, match=f"was made from the download of {re.escape(LATEST)}, this run's is"):
        _publish(stopped)
    assert database.days() == [(1, 3)]
    assert _find(database) == before
    published_at = _comment(database)[2]
    assert _comment(database) == [
        f"published from {first.postgres_staging_table}",
        f"downloaded at {LATEST}",
        published_at,
        "x.csv.gz etag=A",
    ]
    _publish(database.stage("C", 5, rows=5, downloaded_at=_now()))
    assert database.days() == [(5, 5)]


@pytest.mark.parametrize("mark", [LATER, ""])
def test_the_mark_is_raised_and_never_lowered(database: Database, mark: str) -> None:
    _publish(database.stage("A", 1, rows=3, downloaded_at=mark))
    for seen in (EARLIER, LATEST, LATER):
        assert _store(database).confirm(FILE, _find(database), _seen(seen))
        highest = max(mark, EARLIER) if seen == EARLIER else LATEST
        assert [line for line in _comment(database) if "downloaded" in line] == [f"downloaded at {highest}"]


def test_a_month_that_was_replaced_since_the_look_is_not_confirmed(database: Database) -> None:
    _publish(database.stage("A", 1, rows=3, downloaded_at=EARLIER))
    seen = _find(database)
    _publish(database.stage("B", 2, rows=4, downloaded_at=LATER))
    comment = _comment(database)
    assert not _store(database).confirm(FILE, seen, _seen(LATEST))
    assert _comment(database) == comment
    for change in ("COMMENT ON TABLE green_trips_2021_01 IS 'ours'", "DROP TABLE green_trips_2021_01"):
        database.rows(change)
        assert not _store(database).confirm(FILE, seen, _seen(LATEST))


def test_a_publish_and_a_look_take_turns(database: Database) -> None:
    """The look begins before the publish has committed, and then finds another month than it has looked at."""
    _publish(database.stage("A", 1, rows=3, downloaded_at=EARLIER))
    seen, newer = _find(database), database.stage("B", 2, rows=4, downloaded_at=LATER)
    with ThreadPoolExecutor() as pool:
        with database.connect() as one, one.transaction():
            one.execute(newer.render(TRIP).encode())
            running = pool.submit(_store(database).confirm, FILE, seen, _seen(LATEST))
            wait_until(lambda: _waiting(database) == ["advisory"], "the look waits for its turn")
        assert running.result(30) is False
    assert f"downloaded at {LATER}" in _comment(database)


def test_a_look_does_not_wait_for_readers_and_names_who_holds_the_month(database: Database) -> None:
    _publish(database.stage("A", 1, rows=3, downloaded_at=EARLIER))
    seen, reader = _find(database), _idle_reader(database, "green_trips")
    assert _store(database).confirm(FILE, seen, _seen(LATER))
    reader.execute("LOCK TABLE green_trips_2021_01 IN SHARE MODE")
    held = rf"^public.green_trips_2021_01 is locked by pid {reader.info.backend_pid} "
    with pytest.raises(psycopg.errors.LockNotAvailable, match=held):
        _store(database).confirm(FILE, seen, _seen(LATEST))


def test_a_lookup_is_confirmed_as_well(database: Database) -> None:
    stopped = _zones(database, "B", "B", LATER)
    _run(_zones(database, "A", "A", EARLIER).render("postgres/publish/lookup.sql"), PublishOperator)
    assert _store(database).confirm(ZONES.file(), _find(database, ZONES.file()), _seen(LATEST))
    with pytest.raises(AirflowSkipException, match=OVERTAKEN):
        _run(stopped.render("postgres/publish/lookup.sql"), PublishOperator)
    assert database.rows('SELECT "Zone" FROM taxi_zones') == [("A",)]


# The clock of the whole machine was ahead


def _set_ahead(database: Database, hours: int) -> None:
    """Let the marks be those of a server whose clock was ahead."""
    lines = _comment(database)
    shifted = [
        f"{line[:-32]}{(_seen(line[-32:]) + timedelta(hours=hours)).isoformat(timespec='microseconds')}"
        if " at 20" in line
        else line
        for line in lines
    ]
    assert shifted != lines
    database.rows(f"COMMENT ON TABLE green_trips_2021_01 IS '{chr(10).join(shifted)}'")


def test_a_mark_that_is_later_than_now_keeps_nothing_out(database: Database) -> None:
    _publish(database.stage("ahead", 1, rows=3, downloaded_at=_now()))
    _set_ahead(database, 3)
    _publish(database.stage("set back", 2, rows=4, downloaded_at=_now()))
    assert database.days() == [(2, 4)]


def test_a_mark_that_is_later_than_now_is_replaced_by_a_later_look(database: Database) -> None:
    _publish(database.stage("ahead", 1, rows=3, downloaded_at=_now()))
    _set_ahead(database, 3)
    stopped = database.stage("stopped", 2, rows=4, downloaded_at=_now())
    assert _store(database).confirm(FILE, _find(database), datetime.now(UTC))
    with pytest.raises(AirflowSkipException, match=OVERTAKEN):
        _publish(stopped)
    assert database.days() == [(1, 3)]


def test_no_mark_is_written_that_is_later_than_now(database: Database) -> None:
    """Otherwise a worker whose clock is ahead would keep out the right ones until they have caught up."""
    _publish(database.stage("ahead", 1, rows=3, downloaded_at=_now(hours=1)))
    for confirm in (False, True):
        if confirm:
            assert _store(database).confirm(FILE, _find(database), datetime.now(UTC) + timedelta(hours=2))
        [mark] = [line for line in _comment(database) if line.startswith("downloaded at ")]
        assert timedelta() <= datetime.now(UTC) - _seen(mark.removeprefix("downloaded at ")) < timedelta(minutes=5)


# The clock of the run's own worker was ahead when it downloaded


def test_a_run_whose_clock_was_ahead_does_not_replace_what_may_be_newer(database: Database) -> None:
    started, ahead = _now(), _now(hours=1)
    older = database.stage("older", 1, rows=3, downloaded_at=ahead, run_started_at=started)
    mark = _now()
    _publish(database.stage("newer", 2, rows=4, downloaded_at=mark))
    with pytest.raises(AirflowSkipException) as skipped:
        _publish(older)
    assert str(skipped.value) == (
        f"{CLOCK_AHEAD}: green_trips_2021_01 was made from the download of {mark}; this run started at {started}, and "
        f"its download is of {ahead}, which is later than now. The published rows stay. To load what the source has "
        "now, start a new run."
    )
    assert database.days() == [(2, 4)]
    _publish(database.stage("back", 3, rows=5, downloaded_at=_now(), run_started_at=_now()))
    assert database.days() == [(3, 5)]


@pytest.mark.parametrize("started", [{"hours": -1}, {"hours": 1}, None], ids=["before", "ahead too", "unknown"])
@pytest.mark.parametrize("kind", ["month", "lookup"])
def test_only_a_start_after_the_newest_download_tells_that_a_run_is_newer(
    database: Database, kind: str, started: dict[str, float] | None
) -> None:
    def publish(name: str, day: int, downloaded_at: str, run_started_at: str) -> None:
        if kind == "month":
            _publish(database.stage(name, day, rows=3, downloaded_at=downloaded_at, run_started_at=run_started_at))
        else:
            load = _zones(database, name, f"zone {day}", downloaded_at, run_started_at)
            _run(load.render("postgres/publish/lookup.sql"), PublishOperator)

    def published() -> int:
        if kind == "month":
            [(day, _)] = database.days()
        else:
            [(name,)] = database.rows('SELECT "Zone" FROM taxi_zones')
            day = int(name.removeprefix("zone "))
        return int(day)

    publish("published", 1, _now(), _now())
    with pytest.raises(AirflowSkipException, match=CLOCK_AHEAD):
        publish("skipped", 2, _now(hours=2), "" if started is None else _now(**started))
    assert published() == 1
    publish("started later", 3, _now(hours=2), _now())
    assert published() == 3


@pytest.mark.parametrize("comment", ["NULL", "'ours'"])
def test_a_run_whose_clock_was_ahead_replaces_rows_whose_download_is_not_known(
    database: Database, comment: str
) -> None:
    _publish(database.stage("first", 1, rows=3, downloaded_at=_now()))
    database.rows(f"COMMENT ON TABLE green_trips_2021_01 IS {comment}")
    _publish(database.stage("second", 2, rows=4, downloaded_at=_now(hours=1)))
    assert database.days() == [(2, 4)]


def test_a_retry_after_a_publish_by_a_clock_that_was_ahead_does_nothing_more(database: Database) -> None:
    """The mark is the time of the publish, which is later than the start of the run."""
    load = database.stage("first", 1, rows=3, downloaded_at=_now(hours=1), run_started_at=_now())
    lookup = _zones(database, "first", "new", _now(hours=1), _now())
    for _ in range(2):
        _publish(load)
        _run(lookup.render("postgres/publish/lookup.sql"), PublishOperator)
    assert database.days() == [(1, 3)]
    assert database.rows('SELECT "Zone" FROM taxi_zones') == [("new",)]


@pytest.mark.parametrize("newer_is_first", [True, False])
def test_two_publishes_at_once_take_turns(database: Database, newer_is_first: bool) -> None:
    """The second begins before the first has committed, when the comment still names the month's old download."""
    _publish(database.stage("old", 1, rows=1, downloaded_at="2020-01-01T00:00:00.000000+00:00"))
    newer = database.stage("newer", 3, rows=3, downloaded_at=LATER)
    older = database.stage("older", 2, rows=2, downloaded_at=EARLIER)
    first, second = (newer, older) if newer_is_first else (older, newer)
    with ThreadPoolExecutor() as pool:
        with database.connect() as one, one.transaction():
            one.execute(first.render(TRIP).encode())
            running = pool.submit(_publish, second)
            wait_until(lambda: _waiting(database) == ["advisory"], "the second publish waits for its turn")
        if newer_is_first:
            with pytest.raises(AirflowSkipException, match=OVERTAKEN):
                running.result(120)
        else:
            running.result(120)
    assert database.days() == [(3, 3)]


def test_a_publish_that_was_killed_after_its_commit_does_nothing_more_and_says_so(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(PublishOperator, "log", logging.getLogger("publish"))
    caplog.set_level(logging.INFO, "publish")
    # A server that hides what is less than an error still tells what was published.
    database.rows(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET client_min_messages = error', current_database()); END $$"
    )
    load = database.stage("first", 1, rows=3, downloaded_at=EARLIER)
    said = []
    for _ in range(2):
        caplog.clear()
        _publish(load)
        said.append(caplog.messages[-1])
    assert database.days() == [(1, 3)]
    assert re.fullmatch(r"End of publish: 3 rows, 0\.0 MB, 100%, [0-9.]+ s, [0-9,]+ rows/s, [0-9.,]+ MB/s", said[0])
    assert said[1] == "This run has published its rows before, and they are still there: nothing was done"


def test_the_end_of_a_publish_of_zones_has_its_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(PublishOperator, "log", logging.getLogger("publish"))
    caplog.set_level(logging.INFO, "publish")
    load = Load(file=ZONES.file(), run="zones")
    for name in ("create/lookup_table", "load/lookup_staging"):
        database.rows(load.render(f"postgres/{name}.sql"))
    _run(load.render("postgres/publish/lookup.sql"), PublishOperator)
    assert caplog.messages[-1].startswith("End of publish: 3 rows, 0.0 MB, 100%, ")


def test_a_publish_that_was_killed_after_its_commit_and_then_overtaken_is_skipped(database: Database) -> None:
    load = database.stage("first", 1, rows=3, downloaded_at=EARLIER)
    _publish(load)
    _publish(database.stage("second", 2, rows=4, downloaded_at=LATER))
    with pytest.raises(AirflowSkipException, match=OVERTAKEN):
        _publish(load)
    assert database.days() == [(2, 4)]


def test_a_staging_table_that_is_gone_is_an_error(database: Database) -> None:
    load = database.stage("first", 1, rows=3, downloaded_at=EARLIER)
    database.rows(f"DROP TABLE {load.postgres_staging_table}")
    with pytest.raises(psycopg.errors.RaiseException, match="does not exist: clear the whole run"):
        _publish(load)


def test_the_statement_raises_the_error_that_the_operator_looks_for() -> None:
    text = (SQL_DIR / "postgres" / "marks.sql").read_text().replace("''", "'")
    for error in (OVERTAKEN, CLOCK_AHEAD):
        assert f"'{error}: " in text


def _zones(database: Database, run: str, name: str, downloaded_at: str, run_started_at: str = "") -> Load:
    load = Load(file=ZONES.file(), run=run, downloaded_at=downloaded_at, run_started_at=run_started_at)
    database.rows(load.render("postgres/create/lookup_table.sql"))
    database.rows(load.render("postgres/load/lookup_staging.sql"))
    database.rows(f"INSERT INTO {load.postgres_staging_table} (\"Zone\") VALUES ('{name}')")
    return load


def test_an_older_lookup_does_not_replace_a_newer_one(database: Database) -> None:
    older = _zones(database, "older", "old", EARLIER)
    _run(_zones(database, "newer", "new", LATER).render("postgres/publish/lookup.sql"), PublishOperator)
    with pytest.raises(AirflowSkipException, match=OVERTAKEN):
        _run(older.render("postgres/publish/lookup.sql"), PublishOperator)
    assert database.rows('SELECT "Zone" FROM taxi_zones') == [("new",)]
    _run(_zones(database, "newest", "newest", LATER).render("postgres/publish/lookup.sql"), PublishOperator)
    assert database.rows('SELECT "Zone" FROM taxi_zones') == [("newest",)]


def test_readers_of_a_lookup_do_not_hold_it_up(database: Database) -> None:
    load = _zones(database, "first", "new", EARLIER)
    _idle_reader(database, "taxi_zones")
    _run(load.render("postgres/publish/lookup.sql"), PublishOperator)
    assert database.rows('SELECT "Zone" FROM taxi_zones') == [("new",)]


# Locks


def test_an_idle_reader_makes_a_publish_give_up_and_is_named(
    database: Database, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = _Reads(database, [(1, 3)])
    monkeypatch.setattr(statement, "PAUSES", (1,))
    monkeypatch.setattr(statement, "time", SimpleNamespace(sleep=lambda pause: pauses.append(pause) or reads.go_on()))
    _publish(database.stage("first", 1, rows=3))
    load = database.stage("second", 2, rows=4)
    reader = _idle_reader(database, "green_trips")
    with ThreadPoolExecutor() as pool:
        running = pool.submit(_publish, load)
        reads.repeat(running)
        error = running.exception()

    assert isinstance(error, LockedError)
    assert str(error).startswith(
        f"public.green_trips is locked by pid {reader.info.backend_pid} (user postgres, application a notebook, "
        "idle in transaction, transaction since 20"
    )
    assert " UTC, query since 20" in str(error)
    assert str(error).count("pid ") == 1, "readers that wait behind the publish are not to blame"
    assert "Nothing was changed, after 2 tries." in str(error)
    assert pauses == [1], "readers got through in between"
    assert database.days() == [(1, 3)]
    reader.rollback()
    _publish(load)
    assert database.days() == [(2, 4)]


@pytest.mark.parametrize("table", ["green_trips", "green_trips_2021_01"])
def test_a_publish_goes_on_when_the_reader_has_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    _publish(database.stage("first", 1, rows=3))
    load = database.stage("second", 2, rows=4)
    reader = _idle_reader(database, table)
    monkeypatch.setattr(statement, "time", SimpleNamespace(sleep=lambda seconds: reader.rollback()))
    _publish(load)
    assert database.days() == [(2, 4)]


def test_no_lock_is_held_while_the_server_waits_for_the_client(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client may be stopped right after the statement: it is committed by then."""
    load = database.stage("first", 1, rows=3)
    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "commit", lambda self: pytest.fail("the client had to commit"))
        _publish(load)
    assert database.days() == [(1, 3)]


def test_a_new_month_does_not_wait_for_readers_of_the_others(database: Database) -> None:
    load = database.stage("first", 1, rows=3)
    _idle_reader(database, "green_trips")
    _publish(load)
    assert database.days() == [(1, 3)]


def test_who_had_to_wait_for_a_publish_is_not_to_blame(database: Database) -> None:
    """Such readers get their lock as soon as the wait is given up, maybe long before the server looks for holders."""
    database.rows("CREATE SCHEMA own; CREATE TABLE own.t ()")
    holder = _idle_reader(database, "own.t")
    slow = WAIT.replace("THEN\n    RAISE", "THEN\n    PERFORM pg_sleep(0.5);\n    RAISE")
    assert slow != WAIT
    with ThreadPoolExecutor() as pool:
        publish = pool.submit(database.connect().execute, slow.encode())
        wait_until(lambda: _waiting(database) == ["relation"], "the publish waits")
        behind = pool.submit(_idle_reader, database, "own.t")
        error = publish.exception()
    assert isinstance(error, psycopg.errors.LockNotAvailable)
    behind.result().rollback()
    holder.rollback()
    assert re.findall(r"\bpid (\d+)", str(error)) == [str(holder.info.backend_pid)]


def test_the_state_of_other_users_sessions_is_said_to_be_invisible(database: Database) -> None:
    """pg_stat_activity hides it from roles without pg_read_all_stats, but for the user and the application."""
    role = f"loader_{database.url[-8:]}"
    database.rows(f"CREATE ROLE {role}; CREATE SCHEMA own AUTHORIZATION {role}")
    database.rows(f"SET ROLE {role}; CREATE TABLE own.t ()")
    holder = _idle_reader(database, "own.t")
    try:
        with pytest.raises(psycopg.errors.LockNotAvailable) as error:
            database.connect().execute(f"SET ROLE {role}; {WAIT}".encode())
    finally:
        holder.rollback()
        database.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert error.value.diag.message_primary == (
        f"own.t is locked by pid {holder.info.backend_pid} (user postgres, application a notebook, "
        f"state not visible to {role})"
    )


def test_a_new_column_does_not_wait_for_readers_either(
    database: Database, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statement, "PAUSES", ())
    load = database.stage("first", 1, rows=3)
    _publish(load)
    database.rows("ALTER TABLE green_trips DROP COLUMN trip_type")
    reader = _idle_reader(database, "green_trips_2021_01")
    with pytest.raises(LockedError, match=rf"^green_trips_2021_01 is locked by pid {reader.info.backend_pid} "):
        _run(load.render("postgres/create/trip_table.sql"))
    reader.rollback()
    _run(load.render("postgres/create/trip_table.sql"))
    assert database.rows("SELECT count(trip_type) FROM green_trips") == [(0,)]


def test_a_table_that_exists_is_not_locked(database: Database) -> None:
    load = database.stage("first", 1, rows=3)
    with database.connect() as holder, holder.transaction():
        holder.execute("LOCK TABLE green_trips IN ACCESS SHARE MODE")
        _run(load.render("postgres/create/trip_table.sql"))


def test_staging_tables_are_dropped_without_waiting_for_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statement, "PAUSES", ())
    load = database.stage("first", 1, rows=3)
    reader = _idle_reader(database, load.postgres_staging_table)
    with pytest.raises(
        LockedError, match=rf"^{load.postgres_staging_table} is locked by pid {reader.info.backend_pid} "
    ):
        _run(load.render("postgres/clean/staging.sql"))
    reader.rollback()
    _run(load.render("postgres/clean/staging.sql"))
    assert database.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'") == []


@pytest.mark.parametrize("path", sorted(SQL_DIR.glob("postgres/*/*.sql")), ids=lambda path: path.name)
def test_no_statement_waits_for_a_strong_lock_without_a_limit(path: Any) -> None:
    """Statements that take one are below a wait with a limit, in the same file."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("--"))
    strong = [
        word for word in ("DROP TABLE", "ATTACH", "ADD COLUMN", "pg_advisory_xact_lock", "DELETE") if word in text
    ]
    limits = [word for word in ("lock_table(", "take_turn(", "lock_timeout") if word in text]
    assert bool(strong) <= bool(limits), strong


def test_waits_for_a_lock_are_as_short_as_the_page_says() -> None:
    limits = re.findall(r"lock_timeout = '(\w+)'", (SQL_DIR / "postgres" / "locks.sql").read_text())
    assert limits == ["2s", "10s"], "for a table, behind which readers wait, and for a turn"
    assert "A wait for a table's lock ends after 2 seconds" in (REPOSITORY / "docs" / "design.md").read_text()


WAIT = Load(file=FILE, run="x").render_text(
    """
    {%- from "postgres/locks.sql" import lock_table, lock_variables, name_holders %}
    DO $x$
    DECLARE
        {{- lock_variables() }}
    BEGIN
        {{- lock_table("own.t", "ACCESS EXCLUSIVE") }}
    {{- name_holders() }}
    END $x$
    """
)


def _idle_reader(database: Database, table: str) -> psycopg.Connection:
    """Return a session that has read the table, and has gone idle within its transaction."""
    reader = database.connect(application_name="a notebook")
    reader.autocommit = False
    reader.execute(f"SELECT count(*) FROM {table}".encode())
    return reader


class _Reads:
    """Readers that come one after another, and what each of them must find."""

    def __init__(self, database: Database, days: list[tuple[int, int]]) -> None:
        self._database, self._days = database, days
        self._number = 0

    def repeat(self, running: Future[None]) -> None:
        """Read until ``running`` is done."""
        while not running.done():
            assert self._database.days() == self._days
            self._number += 1

    def go_on(self) -> None:
        """Wait until the reader that waits now, and one more, have got through."""
        before = self._number
        wait_until(lambda: self._number >= before + 2, "readers get through")


def _waiting(database: Database) -> list[str]:
    return [kind for (kind,) in database.rows("SELECT locktype FROM pg_locks WHERE NOT granted")]
