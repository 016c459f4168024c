"""The blocks and the variable that say where the flows read and write; flows load them by name from the server.

``set_up.py`` saves those of the embedded cloud, from environment variables. On real Google Cloud, save a
``GcpCredentials`` block instead of :class:`EmulatorCredentials`; no flow changes.
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
    """Anonymous credentials for the emulators, which Google's clients find through environment variables."""

    _block_type_name = "GCP Emulator Credentials"

    def get_credentials_from_service_account(self) -> Credentials:
        """Anonymous credentials."""
        return AnonymousCredentials()


class LakeBucket(GcsBucket):
    """The lake's bucket, with emulator or real credentials."""

    _block_type_name = "Taxi Lake Bucket"

    gcp_credentials: EmulatorCredentials | GcpCredentials


def lake() -> GcsBucket:
    """Load the lake's bucket; its credentials are also used for BigQuery."""
    block: GcsBucket = LakeBucket.load(LAKE)
    return block


def database() -> SqlAlchemyConnector:
    """Load the connection to the database ``ny_taxi``."""
    block: SqlAlchemyConnector = SqlAlchemyConnector.load(DATABASE)
    return block


def source() -> dict[str, Any]:
    """Load the source of the published files: its ``url`` and ``layout``."""
    value = Variable.get(SOURCE)
    if not isinstance(value, dict):
        raise ValueError(f"the variable {SOURCE} is {value!r}; set it to an object with url and layout")
    return value


def save(*, project: str, bucket: str, postgres_url: str, source_url: str, layout: str) -> None:
    """Save all blocks and the variable; existing ones are replaced."""
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
