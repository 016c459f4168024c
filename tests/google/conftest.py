"""A service account's key, and an environment that leads to no emulator and to nobody's credentials."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ACCOUNT = "taxi@team-project.iam.gserviceaccount.com"
NOT_SET = (
    *("STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS"),
    *("CLOUDSDK_CONFIG", "CLOUDSDK_CORE_PROJECT", "GCLOUD_PROJECT"),
)


@pytest.fixture(scope="package")
def key() -> dict[str, str]:
    """A key of a service account, made for the tests."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": "project-of-the-key",
        "private_key_id": "1",
        "private_key": private.decode(),
        "client_email": ACCOUNT,
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }


@pytest.fixture
def no_emulators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what leads to an emulator or to the user's own credentials."""
    for name in NOT_SET:
        monkeypatch.delenv(name, raising=False)
