"""What the pages say in Dutch; in English they say it as the code does."""

from __future__ import annotations

import re

DUTCH = {
    "Sandbox": "Proefomgeving",
    "A simulated %s, with invented contacts: nothing here is real, and nothing leaves this machine.": (
        "Een nagebootst %s met verzonnen contacten: niets is hier echt, en niets verlaat deze computer."
    ),
    "See it work": "Zie het werken",
    "Open both pages side by side. Change a phone number on one of them and save it: the next run of the sync "
    "carries it to the other one, and the list there shows it by itself.": (
        "Open beide pagina's naast elkaar. Wijzig op de ene een telefoonnummer en sla het op: de volgende run van de "
        "synchronisatie brengt het naar de andere, en de lijst daar laat het vanzelf zien."
    ),
    "Outlook: the contact folders of a mailbox": "Outlook: de mappen met contactpersonen van een postvak",
    "Business Central: the contacts of a company": "Business Central: de contacten van een bedrijf",
    "Mailbox": "Postvak",
    "Folder": "Map",
    "Company": "Bedrijf",
    "Company (type)": "Bedrijf (soort)",
    "Person": "Persoon",
    "Type": "Soort",
    "Number": "Nummer",
    "Name": "Naam",
    "Show": "Tonen",
    "Search": "Zoeken",
    "New contact": "Nieuw contact",
    "Contact": "Contact",
    "First name": "Voornaam",
    "Middle name": "Tussenvoegsel",
    "Surname": "Achternaam",
    "Display name": "Weergavenaam",
    "Job title": "Functie",
    "E-mail": "E-mail",
    "Business phone": "Telefoon werk",
    "Mobile phone": "Mobiel",
    "Street": "Straat",
    "Street, line 2": "Straat, regel 2",
    "Postal code": "Postcode",
    "City": "Plaats",
    "State or province": "Provincie",
    "Country": "Land",
    "Web page": "Website",
    "Notes": "Notities",
    "Private": "Privé",
    "Privacy blocked": "Privacy geblokkeerd",
    "Salesperson": "Verkoper",
    "Save": "Opslaan",
    "Back": "Terug",
    "Delete": "Verwijderen",
    "Move to": "Verplaatsen naar",
    "Move": "Verplaatsen",
    "Changed just now": "Zojuist gewijzigd",
    "Nobody is here.": "Hier staat niemand.",
    "There are more contacts: search for others.": "Er zijn meer contacten: zoek naar andere.",
    "contacts": "contacten",
    "There is no mailbox.": "Er is geen postvak.",
    "There is no company.": "Er is geen bedrijf.",
    "This account has no mailbox.": "Dit account heeft geen postvak.",
    "That is not here any more.": "Dat is hier niet meer.",
    "There is no such page.": "Deze pagina bestaat niet.",
    "These pages are for the machine that the sandbox runs on.": (
        "Deze pagina's zijn voor de computer waarop de proefomgeving draait."
    ),
    "This request came from another site.": "Dit verzoek kwam van een andere site.",
}


def language_of(accepted: str) -> str:
    """Return ``nl`` or ``en``, whichever a browser names first."""
    found = re.findall(r"\b(nl|en)\b", accepted.lower())
    return found[0] if found else "en"


def translate(text: str, language: str) -> str:
    """Return a text in a language."""
    return DUTCH.get(text, text) if language == "nl" else text
