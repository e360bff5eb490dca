"""When the app's credentials end."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sync_lib.errors import ConfigError
from sync_lib.operate.credentials import end_of, ending
from sync_lib.settings import Certificate, GraphSettings

TODAY = date(2026, 3, 2)


def settings(**values: object) -> GraphSettings:
    return GraphSettings("", "tenant", "client", **values)  # type: ignore[arg-type]


def certificate(last: datetime) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "contact sync")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(last - timedelta(days=365)).not_valid_after(last)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return Certificate("unused", pem.decode())


def test_the_end_of_a_certificate_is_read_from_it():
    """P2: also where a secret beside it, which is not used, has a date of its own."""
    last = datetime(2026, 3, 20, 9, tzinfo=UTC)
    found = ending("graph", settings(certificate=certificate(last), secret_expires="2030-01-01"), TODAY)
    assert found
    assert (found.certificate, found.on, found.days) == (True, date(2026, 3, 20), 18)


@pytest.mark.parametrize(("last", "days"), [("2026-04-01", 30), ("2026-04-02", None), ("2026-03-01", -1)])
def test_a_secret_is_warned_of_from_thirty_days_before(last, days):
    """P2: and after its end."""
    found = ending("graph", settings(client_secret="s", secret_expires=last), TODAY)
    assert (found.days if found else None) == days


def test_without_a_date_nobody_knows():
    """P2: no API shows an app when its secret ends."""
    assert end_of(settings(client_secret="s")) is None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"client_secret": "s", "secret_expires": "1 May"}, "secret_expires is '1 May'"),
        ({"certificate": Certificate("x", "no pem")}, "The certificate cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(values, says):
    """P2: with what it takes."""
    with pytest.raises(ConfigError, match=says):
        end_of(settings(**values))
