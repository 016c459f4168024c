"""The routes of the page. Each requires a login and shows only datasets whose DAGs the user may read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.responses import FileResponse

from nyc_taxi.months_page import runs, trips
from nyc_taxi.months_page.looks import Look, Looks, first_line
from nyc_taxi.months_page.overview import compare, months_of
from nyc_taxi.registry.columns import Layout
from nyc_taxi.registry.datasets import DATASETS
from nyc_taxi.registry.model import ContractError, Dataset, LookupDataset, PublishedFile, TripDataset
from nyc_taxi.registry.months import LAST_MIRRORED, Month, MonthError
from nyc_taxi.stores import STORES, connect
from nyc_taxi.stores.store import MissingMonthError

Answer = TypeVar("Answer")

STATIC = Path(__file__).with_name("static")
MOST_QUESTIONS = 8
_FILES = {"months.js": "text/javascript", "months.css": "text/css"}
# A page of this origin may load nothing from elsewhere, and only this origin may show it in a frame.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

# FastAPI's own pages (/docs, /openapi.json) would answer without a login.
app = FastAPI(title="Months", dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)
_looks = Looks(connect)
_asking = threading.BoundedSemaphore(MOST_QUESTIONS)


@app.get("/")
def page() -> FileResponse:
    """The page itself."""
    return FileResponse(STATIC / "index.html", media_type="text/html", headers=_HEADERS)


@app.get("/static/{name}")
def static(name: str) -> FileResponse:
    """Its script and its style sheet."""
    if name not in _FILES:
        raise HTTPException(404, f"there is no {name!r}")
    return FileResponse(STATIC / name, media_type=_FILES[name], headers=_HEADERS)


@app.get("/api/overview")
def overview(user: GetUserDep, session: SessionDep, response: Response, again: bool = False) -> dict[str, Any]:
    """All months of all datasets in all stores; with ``again``, every store is looked at anew."""
    response.headers.update(_HEADERS)
    datasets = _readable(user)
    found = runs.runs_of(session, {id_: dataset for dataset in datasets for id_ in runs.dag_ids(dataset).values()})
    return {
        "stores": [store.name for store in STORES],
        "datasets": [_overview_of(dataset, user, found, again=again) for dataset in datasets],
    }


@app.get("/api/months/{dataset}/{month}")
def month_in_stores(dataset: str, month: str, user: GetUserDep, session: SessionDep) -> dict[str, Any]:
    """One month in each store: what it has, and the newest run that loaded it."""
    file = _file(dataset, month, user)
    ids = runs.dag_ids(file.dataset)
    found = runs.runs_of(session, dict.fromkeys(ids.values(), file.dataset))
    stored = {name: _looks.read(name, file.dataset).months.get(file.month) for name in ids}
    return {
        "stores": {
            name: {"run": found[dag_id].newest.get(file.month), "stored": stored[name]} for name, dag_id in ids.items()
        }
    }


@app.get("/api/runs/{dag_id}/{run_id:path}")
def month_of_run(dag_id: str, run_id: str, user: GetUserDep, session: SessionDep) -> dict[str, str | None]:
    """The dataset and the month of a run; the month is empty for a dataset without months, null if none can be told."""
    for dataset in _readable(user):
        if dag_id in runs.dag_ids(dataset).values():
            if not isinstance(dataset, TripDataset):
                return {"dataset": dataset.name, "month": ""}
            month = runs.month_of(session, dag_id, run_id)
            return {"dataset": dataset.name, "month": None if month is None else str(month)}
    raise HTTPException(404, f"{dag_id!r} is no DAG of a dataset that you may read")


@app.get("/api/months/{dataset}/{month}/trips")
def trips_of_month(dataset: str, month: str, user: GetUserDep) -> trips.Profile:
    """Trips a day, the busiest zones, and the shares of nulls and refunds; from BigQuery."""
    return _from_warehouse(trips.profile, _file(dataset, month, user))


@app.get("/api/months/{dataset}/{month}/rows")
def first_rows(dataset: str, month: str, user: GetUserDep) -> trips.Rows:
    """The first rows of the month in BigQuery."""
    return _from_warehouse(trips.first_rows, _file(dataset, month, user))


def _overview_of(dataset: Dataset, user: Any, found: Mapping[str, runs.Runs], *, again: bool) -> dict[str, Any]:
    ids = runs.dag_ids(dataset)
    of_store = {name: found[dag_id] for name, dag_id in ids.items()}
    looks = {name: _looks.read(name, dataset, changed_at=one.changed_at, again=again) for name, one in of_store.items()}
    months = months_of(dataset, looks.values(), of_store.values(), today=datetime.now(UTC).date())
    return {
        "name": dataset.name,
        "title": dataset.title,
        "monthly": isinstance(dataset, TripDataset),
        "published": _published(dataset),
        "dag_ids": ids,
        "loads": {store.name: store.loaded_from for store in STORES},
        "may_run": {name: _may("POST", dag_id, user) for name, dag_id in ids.items()},
        "looks": {
            name: {"at": look.at, "answered": look.answered, "error": look.error, "running": look.running}
            for name, look in looks.items()
        },
        "months": {str(month or ""): _cells(month, looks, of_store) for month in months},
    }


def _published(dataset: Dataset) -> dict[str, str]:
    """Which months the TLC and its mirror have, in words; none for a dataset without months."""
    if not isinstance(dataset, TripDataset):
        return {}
    first = dataset.first_month
    return {"tlc": f"since {first[Layout.TLC]}", "mirror": f"from {first[Layout.MIRROR]} to {LAST_MIRRORED}"}


def _cells(month: Month | None, looks: Mapping[str, Look], of_store: Mapping[str, runs.Runs]) -> dict[str, Any]:
    """What each store has of a month, and the state of its newest run."""
    cells = {}
    for store in STORES:
        here, run = looks[store.name].months.get(month), of_store[store.name].newest.get(month)
        cells[store.name] = {
            "rows": here.rows if here else None,
            "state": compare(store, month, looks),
            "run": {"run_id": run.run_id, "state": run.state} if run else None,
        }
    return cells


def _readable(user: Any) -> list[Dataset]:
    """The datasets of whose DAGs the user may read everything that the page shows: the DAGs and their runs."""
    permitted = get_auth_manager().get_authorized_dag_ids(user=user)
    return [
        dataset
        for dataset in DATASETS.values()
        if all(id_ in permitted and _may("GET", id_, user) for id_ in runs.dag_ids(dataset).values())
    ]


def _may(method: Literal["GET", "POST"], dag_id: str, user: Any) -> bool:
    """Whether the user may read (GET) or start (POST) runs of a DAG."""
    return get_auth_manager().is_authorized_dag(
        method=method, access_entity=DagAccessEntity.RUN, details=DagDetails(id=dag_id), user=user
    )


def _file(name: str, month: str, user: Any) -> PublishedFile:
    """Return the file that a path names; a dataset without months has ``-`` for the month.

    Raises:
        HTTPException: 404, if there is none, or the user may not read its DAGs.
    """
    dataset = next((one for one in _readable(user) if one.name == name), None)
    try:
        if isinstance(dataset, TripDataset):
            return dataset.file(Month.parse(month))
        if isinstance(dataset, LookupDataset):
            return dataset.file()
    except (MonthError, ContractError) as error:
        raise HTTPException(404, str(error)) from error
    raise HTTPException(404, f"there is no dataset {name!r} that you may read")


def _from_warehouse(ask: Callable[[PublishedFile], Answer], file: PublishedFile) -> Answer:
    """Ask BigQuery, and turn what goes wrong there into an answer with the reason."""
    # Threads that wait for BigQuery are Airflow's own, of which there are some forty.
    if not _asking.acquire(blocking=False):
        raise HTTPException(503, "BigQuery is still busy with earlier questions; try again")
    try:
        return ask(file)
    except MissingMonthError as error:
        raise HTTPException(404, str(error)) from error
    except Exception as error:  # any failure of the client: the page stays usable without BigQuery
        raise HTTPException(503, first_line(error)) from error
    finally:
        _asking.release()
