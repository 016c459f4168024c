"""Where the flows read and write: blocks and a variable, saved once to Prefect's server and loaded by name.

``set_up.py`` saves those of the embedded cloud, as the environment names it. On real Google Cloud, save a
``GcpCredentials`` block in the place of :class:`EmulatorCredentials`; no flow changes.
"""

from __future__ import annotations

from typing import Any

from google.auth.credentials import AnonymousCredentials, Credentials
from prefect.variables import Variable
from prefect_gcp import GcpCredentials, GcsBucket
from prefect_sqlalchemy import ConnectionComponents, SqlAlchemyConnector
from sqlalchemy.engine import make_url

LAKE, DATABASE, SOURCE = "taxi-lake", "ny-taxi", "taxi_source"


class EmulatorCredentials(GcpCredentials):
    """Credentials for emulators, which ask for none. Google's clients find them by their environment variables."""

    _block_type_name = "GCP Emulator Credentials"

    def get_credentials_from_service_account(self) -> Credentials:
        """No credentials at all."""
        return AnonymousCredentials()


class LakeBucket(GcsBucket):
    """The lake's bucket, with credentials of either kind."""

    _block_type_name = "Taxi Lake Bucket"

    gcp_credentials: EmulatorCredentials | GcpCredentials


def lake() -> GcsBucket:
    """The lake's bucket; its credentials are also those for BigQuery."""
    block: GcsBucket = LakeBucket.load(LAKE)
    return block


def database() -> SqlAlchemyConnector:
    """The database ``ny_taxi``."""
    block: SqlAlchemyConnector = SqlAlchemyConnector.load(DATABASE)
    return block


def source() -> dict[str, Any]:
    """The source of the published files: its ``url`` and its ``layout``."""
    value = Variable.get(SOURCE)
    if not isinstance(value, dict):
        raise ValueError(f"the variable {SOURCE} is {value!r}; it must hold url and layout")
    return value


def save(*, project: str, bucket: str, postgres_url: str, source_url: str, layout: str) -> None:
    """Save all of them; those that are there are replaced."""
    credentials = EmulatorCredentials(project=project)
    LakeBucket(bucket=bucket, gcp_credentials=credentials).save(LAKE, overwrite=True)
    url = make_url(postgres_url)
    components = ConnectionComponents(
        driver="postgresql+psycopg",
        username=url.username,
        password=url.password,
        host=url.host,
        port=str(url.port),
        database=str(url.database),
    )
    SqlAlchemyConnector(connection_info=components).save(DATABASE, overwrite=True)
    Variable.set(SOURCE, {"url": source_url, "layout": layout}, overwrite=True)
