"""What all tables share: their ``MetaData``, and the kinds of their columns.

Conventions: times are UTC text of 24 characters (``2026-03-02T09:15:04.123Z``), so that text order is time order on
both databases; "" stands for blank; JSON is stored as text and never searched by SQL.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    String,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite only numbers rows by itself in a column of type INTEGER; PostgreSQL gets room for more than 2^31 rows.
RowId = BigInteger().with_variant(Integer, "sqlite")

Time = String(24)


def blank(name: str, kind: type[Text] | String = Text) -> Column[str]:
    """Return a text column that holds "" where nothing is said."""
    return Column(name, kind, nullable=False, server_default="")
