"""Independent clients of Microsoft Graph must work against the sandbox as against the service.

They were written by people who know the real service and not this project:
what they can't read, the sandbox has wrong.
"""

from __future__ import annotations

import asyncio
import warnings

import pytest

# Their warnings about Python and about each other are none of ours.
pytestmark = pytest.mark.filterwarnings("ignore")
MAILBOX = "sanne@voorbeeld.example"

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import httpx
    from kiota_abstractions.authentication import AuthenticationProvider
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from kiota_abstractions.headers_collection import HeadersCollection
    from msgraph import GraphRequestAdapter, GraphServiceClient
    from msgraph.generated.models.contact import Contact
    from msgraph.generated.models.contact_folder import ContactFolder
    from msgraph.generated.models.email_address import EmailAddress
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError
    from msgraph.generated.models.physical_address import PhysicalAddress
    from msgraph.generated.models.single_value_legacy_extended_property import (
        SingleValueLegacyExtendedProperty,
    )
    from msgraph_core import PageIterator
    from O365 import Account
    from O365.connection import MSGraphProtocol
    from O365.utils.token import MemoryTokenBackend


class Token(AuthenticationProvider):
    def __init__(self, token):
        self.token = token

    async def authenticate_request(self, request, additional_authentication_context=None):
        request.headers.try_add("Authorization", f"Bearer {self.token}")


def with_sdk(sim, work):
    """Run a coroutine function with Microsoft's SDK pointed at the sandbox."""

    async def run():
        async with httpx.AsyncClient(timeout=20) as http:
            adapter = GraphRequestAdapter(Token(sim.token("graph")), client=http)
            adapter.base_url = sim.info()["graph_root"]
            return await work(GraphServiceClient(request_adapter=adapter), adapter)

    return asyncio.run(run())


def configured(**headers):
    values = HeadersCollection()
    for name, value in headers.items():
        values.add(name.replace("_", "-"), value)
    return RequestConfiguration(headers=values)


def new_contact(number):
    return Contact(
        given_name="Sanne",
        surname=f"Vries{number:02d}",
        email_addresses=[EmailAddress(name="Sanne", address=f"s{number}@molenzicht.example")],
        business_phones=["+31 20 555 01 10"],
        business_address=PhysicalAddress(street="Kade 4\r\nUnit B", city="Zaandam", country_or_region="NL"),
    )


def test_msgraph_sdk_keeps_contacts(sim, contact_key):
    async def work(client, adapter):
        user = client.users.by_user_id(MAILBOX)
        folder = await user.contact_folders.post(ContactFolder(display_name="Business Central"))
        contacts = user.contact_folders.by_contact_folder_id(folder.id).contacts
        body = new_contact(1)
        body.single_value_extended_properties = [
            SingleValueLegacyExtendedProperty(id=contact_key, value="co|1")
        ]
        made = await contacts.post(body)
        assert made.created_date_time.tzinfo is not None
        assert made.display_name == "Sanne Vries01"
        assert made.home_address.city is None
        change = Contact(
            job_title="Inkoper", email_addresses=[EmailAddress(address="nieuw@molenzicht.example")]
        )
        changed = await user.contacts.by_contact_id(made.id).patch(change)
        assert (changed.job_title, changed.given_name) == ("Inkoper", "Sanne")
        assert [item.address for item in changed.email_addresses] == ["nieuw@molenzicht.example"]
        listed = await contacts.get()
        assert [item.id for item in listed.value] == [made.id]
        await user.contacts.by_contact_id(made.id).delete()
        assert (await contacts.get()).value == []
        with pytest.raises(ODataError) as caught:
            await user.contact_folders.post(ContactFolder(display_name="Business Central"))
        assert caught.value.error.code == "ErrorFolderExists"
        assert caught.value.response_status_code == 409
        assert caught.value.error.inner_error.request_id

    with_sdk(sim, work)
    counted = sim.counters()["app"]["graph"]
    assert (counted["contacts_created"], counted["contacts_updated"], counted["contacts_deleted"]) == (
        1,
        1,
        1,
    )


def test_msgraph_sdk_walks_pages_and_a_delta(sim):
    async def work(client, adapter):
        user = client.users.by_user_id(MAILBOX)
        for number in range(25):
            await user.contacts.post(new_contact(number))
        seen = []
        iterator = PageIterator(await user.contacts.get(), adapter)
        await iterator.iterate(lambda item: seen.append(item.surname) is None)
        assert sorted(seen) == [f"Vries{number:02d}" for number in range(25)]
        delta = user.contact_folders.by_contact_folder_id("Contacts").contacts.delta
        prefer = configured(Prefer='odata.maxpagesize=10, IdType="ImmutableId"')
        page, items = await delta.get(prefer), []
        while True:
            items += page.value
            if page.odata_delta_link:
                break
            page = await delta.with_url(page.odata_next_link).get(prefer)
        assert len({item.id for item in items}) == 25
        await user.contacts.by_contact_id(items[0].id).delete()
        later = await delta.with_url(page.odata_delta_link).get(prefer)
        assert [item.id for item in later.value] == [items[0].id]
        assert later.value[0].additional_data["@removed"] == {"reason": "deleted"}

    with_sdk(sim, work)


def test_msgraph_sdk_lists_users(sim):
    async def work(client, adapter):
        users = await client.users.get()
        return [user.user_principal_name for user in users.value]

    assert MAILBOX in with_sdk(sim, work)


@pytest.fixture
def o365(sim):
    """An account of the O365 library, whose requests go to the sandbox with a token of ours."""

    info = sim.info()
    protocol = MSGraphProtocol()
    protocol.service_url = f"{info['graph_root']}/"
    account = Account(
        (info["client_id"], info["client_secret"]),
        protocol=protocol,
        auth_flow_type="credentials",
        tenant_id=info["tenant_id"],
        token_backend=MemoryTokenBackend(),
        requests_delay=0,
    )
    account.con.session = account.con.get_session()
    account.con.session.headers["Authorization"] = f"Bearer {sim.token('graph')}"
    yield account
    account.con.session.close()


def test_o365_keeps_contacts(sim, o365):
    book = o365.address_book(resource=MAILBOX)
    folder = book.create_child_folder("Business Central")
    contact = folder.new_contact()
    contact.name, contact.surname = "Sanne", "de Vries"
    contact.emails.add("s.devries@molenzicht.example")
    assert contact.save()
    contact.job_title = "Inkoper"
    assert contact.save()
    listed = list(folder.get_contacts())
    assert [(item.full_name, item.job_title) for item in listed] == [("Sanne de Vries", "Inkoper")]
    assert listed[0].main_email == "s.devries@molenzicht.example"
    assert book.get_folder(folder_name="Business Central").folder_id == folder.folder_id
    assert listed[0].delete()
    assert list(folder.get_contacts()) == []
