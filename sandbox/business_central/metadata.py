"""What the API says about itself: its entity sets and their types."""

from __future__ import annotations

from sandbox.business_central.query import page_of
from sandbox.wire import Call

EDM = {
    "guid": "Edm.Guid",
    "bool": "Edm.Boolean",
    "datetime": "Edm.DateTimeOffset",
    "date": "Edm.Date",
    "integer": "Edm.Int64",
}


_USER = ("userName", "displayName", "state", "authenticationEmail")


def entity_sets(call: Call) -> dict[str, dict[str, str]]:
    """Return the entity sets of an API: name -> property -> type."""
    contact = {name: EDM.get(field.kind, "Edm.String") for name, field in page_of(call).fields.items()}
    named = dict.fromkeys(("code", "displayName"), "Edm.String")
    is_extended = call.notes.get("profile") == "extended"
    user = {"userSecurityId": "Edm.Guid", **dict.fromkeys(_USER, "Edm.String")}
    return {
        "companies": {"id": "Edm.Guid", "name": "Edm.String", "displayName": "Edm.String"},
        "contacts": contact,
        "countriesRegions": {"id": "Edm.Guid", **named},
        "salespeoplePurchasers": {"id": "Edm.Guid", **named, "email": "Edm.String"},
        **({"users": user} if is_extended else {}),
    }


def csdl(sets: dict[str, dict[str, str]]) -> str:
    """Return the metadata document of entity sets: name -> property -> type."""
    types, entries = "", ""
    for name, properties in sets.items():
        kind = {"companies": "company", "countriesRegions": "countryRegion"}.get(name, name.removesuffix("s"))
        listed = "".join(f'<Property Name="{each}" Type="{edm}"/>' for each, edm in properties.items())
        types += f'<EntityType Name="{kind}"><Key><PropertyRef Name="id"/></Key>{listed}</EntityType>'
        entries += f'<EntitySet Name="{name}" EntityType="Microsoft.NAV.{kind}"/>'
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        '<Schema Namespace="Microsoft.NAV" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
        f'{types}<EntityContainer Name="NAV">{entries}</EntityContainer></Schema>'
        "</edmx:DataServices></edmx:Edmx>"
    )
