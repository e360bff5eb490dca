"""Words from which the seeded world is made. The persons and companies are invented."""

from __future__ import annotations

from sandbox.wire import words

FIRST_NAMES = words(
    "Sanne Daan Emma Sem Julia Lucas Lotte Bram Fleur Thijs Eva Ruben Anouk Jesse Femke Stijn Iris Lars "
    "Maud Niels Roos Pim Tess Koen Noor Gijs Saar Tijn Floor Joost Hanna Bas Lieke Teun Nina Wouter "
    "Merel Jelle Isa Sven"
)
PREFIXES = ("", "", "", "", "de", "van", "van der", "van den", "van de", "'t", "in 't", "ten", "ter", "de la")
SURNAMES = words(
    "Vries Jong Bakker Visser Smit Meijer Boer Mulder Groot Bos Vos Peters Hendriks Dekker Brink Dijk "
    "Kok Berg Laan Veen Hoek Linden Molen Wal Horst Heuvel Kuijper Postma Hoekstra Wouters Maas "
    "Verhoeven Koster Prins Blom Huisman Kramer Zijlstra Beek Steen"
)
COMPANY_WORDS = words(
    "Molenzicht Waterkant Duinrand Polderwerk Havenlicht Kaasmakerij Windvang Bloemenhof Dijkstaal "
    "Rietland Zandweg Koggeschip Veenhuis Tulpentuin Kanaalzicht Zilvermeeuw Oosterdok Graanhandel "
    "Klompenhuis Sluiswachter"
)
COMPANY_KINDS = (
    "BV",
    "Groep BV",
    "Techniek BV",
    "Advies",
    "Logistiek BV",
    "& Zonen",
    "Holding N.V.",
    "Bouw V.O.F.",
)
JOBS = (
    "Inkoper",
    "Directeur",
    "Verkoper",
    "Hoofd administratie",
    "Planner",
    "Projectleider",
    "Secretaris",
    "",
)
STREETS = (
    "Kade",
    "Dorpsstraat",
    "Molenweg",
    "Havenlaan",
    "Kerkplein",
    "Stationsweg",
    "Dijk",
    "Nieuwe Gracht",
)
# City, province, first two digits of the post code.
CITIES = (
    ("Amsterdam", "NH", "10"),
    ("Haarlem", "NH", "20"),
    ("Leiden", "ZH", "23"),
    ("Rotterdam", "ZH", "30"),
    ("Utrecht", "UT", "35"),
    ("Arnhem", "GE", "68"),
    ("Eindhoven", "NB", "56"),
    ("Maastricht", "LI", "62"),
    ("Zwolle", "OV", "80"),
    ("Groningen", "GR", "97"),
)
POST_CODES = {
    "1501 AB": ("Zaandam", "NH"),
    "7411 KT": ("Deventer", "OV"),
    "4381 EB": ("Vlissingen", "ZE"),
    "8911 BN": ("Leeuwarden", "FR"),
}
SALESPEOPLE = (
    ("AB", "Anna Bakker", "anna.bakker"),
    ("JV", "Joris Visser", "joris.visser"),
    ("LK", "Lieke Kok", "lieke.kok"),
    ("PM", "Pieter Mulder", "pieter.mulder"),
)
USERS = (
    ("Anna Bakker", "anna.bakker", "normal"),
    ("Joris Visser", "joris.visser", "normal"),
    ("Lieke Kok", "lieke.kok", "normal"),
    ("Pieter Mulder", "pieter.mulder", "normal"),
    ("Magazijn Balie", "magazijn", "no_mailbox"),
    ("Directie Bureau", "directie", "policy_denied"),
)
DOMAIN = "voorbeeld.example"
