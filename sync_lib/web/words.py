"""Plain words for everything that the sync writes down as a code: reasons with a remedy, causes, states, actions.

All pages take their words from here (the filters ``reason``, ``remedy`` and ``said``), so that a code means the same
everywhere. A test holds that every reason of the code is here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sync_lib.web.language import msg


@dataclass(frozen=True, slots=True)
class Reason:
    """What a reason means, in one sentence without its full stop, and what a person can do about it."""

    means: str
    remedy: str


#: What a contact is called of which neither name nor address is stored.
PRIVATE_CONTACT = msg("a private contact")

_NOTHING = msg("Nothing to do.")
_NEXT_RUN = msg("Nothing to do: the next run looks after it.")
_DECIDE = msg("Open the plan, look at what would happen, then approve or reject it.")
_ASK_AGAIN = msg("If it is wanted after all, open it under To decide and ask again.")
_BY_HAND = msg("Delete it in Outlook by hand if it is not wanted.")

#: Of a whole profile or company.
_PROFILE = {
    "mailbox_not_found": Reason(
        msg("Microsoft 365 knows no such mailbox"),
        msg("Correct the mailbox of the profile, or give the user an Exchange licence."),
    ),
    "mailbox_access_denied": Reason(
        msg("The app may not open this mailbox"),
        msg("Add the mailbox to the group that the access rules name, and wait up to 30 minutes."),
    ),
    "permission_missing": Reason(
        msg("The app lacks a permission"), msg("Grant the permission in Entra ID, with admin consent.")
    ),
    "company_not_found": Reason(
        msg("Business Central lists no company of that name to the app"),
        msg("Correct the company of the profile, or give the app access to it in Business Central."),
    ),
    "company_access_denied": Reason(
        msg("Business Central does not let the app read the contacts of this company"),
        msg(
            "Give the app its permission sets for this company, on its card in Microsoft Entra Applications."
        ),
    ),
    "mailbox_replaced": Reason(
        msg("Another account has the address of this mailbox now"),
        msg("Say on the page of the profile whether it is the same colleague; else switch the profile off."),
    ),
    "second_folder": Reason(
        msg("The mailbox has a second folder of this profile, which is not synced"),
        msg("Say on the page of the profile whether to go back to it, or to leave it."),
    ),
    "profile_ending": Reason(
        msg("The profile ends, and something of that is left to the next run"),
        msg("Nothing to do: a day after it was asked for it ends whatever is left."),
    ),
    "profile_ended": Reason(msg("The profile has ended"), _NOTHING),
    "environment_changed": Reason(
        msg("The Connection points to another environment than the company was first read from"),
        msg("Point it back; or, if the company has moved there for good, accept that by the command."),
    ),
    "extended_page_missing": Reason(
        msg("Business Central does not answer on the page that the project's extension adds"),
        msg("Install the extension and give the app its permission set, or read the standard fields only."),
    ),
    "company_not_read": Reason(
        msg("The company could not be read in this run"),
        msg("The page of the run says what the company could not be read for, and what to do about it."),
    ),
    "folder_taken": Reason(
        msg("The Outlook folder belongs to another profile or company, or another folder has its name"),
        msg("Choose another folder name in the profile."),
    ),
    "filter_invalid": Reason(
        msg("The filter cannot be understood"),
        msg("Correct the filter in the profile; it shows the position of the error."),
    ),
    "categories_invalid": Reason(
        msg("A category of the profile needs a field that is not read from Business Central"),
        msg("Change the categories in the profile, or connect with the field profile that reads the field."),
    ),
    "busy": Reason(msg("Another run is working on this profile"), _NOTHING),
    "unexpected_error": Reason(
        msg("An error in the program"), msg("Report it, with the log of the task that failed.")
    ),
    "no_outcome": Reason(
        msg("Its task ended without an outcome"),
        msg("Look at the task in Airflow, and clear it to run it again."),
    ),
    "request_refused": Reason(
        msg("The run was asked for something that there is not"),
        msg("Start another one: what the error itself says names what is wrong."),
    ),
    "plan_failed": Reason(
        msg("The run could not be planned, so nothing was synced"),
        msg("Look at the log of the run's first task in Airflow, and clear that task to run it again."),
    ),
    "find_work_failed": Reason(
        msg("The run could not find out which profiles have work"),
        msg("Look at the log of the task that failed in Airflow, and clear it to run it again."),
    ),
    "tasks_failed": Reason(
        msg("Tasks of the run failed, though no profile did"),
        msg("Look at the logs of the tasks that failed in Airflow, and clear them to run them again."),
    ),
    "service_away": Reason(
        msg("Outlook or Business Central did not answer"),
        msg("Nothing to do at first: it is tried again. If it stays, look at the health of the service."),
    ),
    "bc_count_dropped": Reason(
        msg("Business Central lists less than half of the contacts that it had"),
        msg("Check in Business Central whether they are really gone, then accept the new number."),
    ),
    "bc_count_rejected": Reason(
        msg("Business Central lists far fewer contacts, and a person did not accept the new number"),
        msg(
            "The company waits until the number changes. If it is right after all, open it under To decide and ask "
            "again."
        ),
    ),
    "ServiceError": Reason(
        msg("A service answered with an error, or not at all"),
        msg("Nothing to do at first: it is tried again. If it stays, look at the health of the service."),
    ),
    "InterceptedError": Reason(
        msg("Something on the way answered in place of a service"),
        msg("Ask who runs the network: a proxy or firewall must let the workers through to Microsoft."),
    ),
    "AccessDeniedError": Reason(
        msg("The app was refused, perhaps not by the service itself"),
        msg("Ask who runs the network: a proxy or firewall must let the workers through to Microsoft."),
    ),
    "ThrottledError": Reason(msg("A service asks for a long pause"), _NEXT_RUN),
    "AuthError": Reason(
        msg("The app cannot log in to Microsoft 365"),
        msg(
            "Check whether its client secret or certificate has ended; if so, make a new one in Entra ID and put it "
            "into Airflow's Connection. Otherwise check tenant id and client id there."
        ),
    ),
    "ConfigError": Reason(msg("A setting is missing or wrong"), msg("The message says which; correct it.")),
}

#: Of a whole contact.
_CONTACT = {
    "name_missing": Reason(msg("The contact has no name"), msg("Fill in a name.")),
    "email_missing": Reason(msg("The contact has no e-mail address"), msg("Fill in an e-mail address.")),
    "email_invalid": Reason(
        msg("The first e-mail address is not a valid one"), msg("Correct the e-mail address.")
    ),
    "invalid": Reason(
        msg("Name or e-mail address is missing or wrong in Business Central"),
        msg("Correct name or e-mail address in Business Central."),
    ),
    "duplicate_email_in_bc": Reason(
        msg("Another person in Business Central with this e-mail address is synced already"),
        msg("Merge the two in Business Central, or change one of the addresses."),
    ),
    "duplicate_email_in_outlook": Reason(
        msg("Another contact of the folder is tied to the person with this e-mail address already"),
        msg("Delete one of the two in Outlook."),
    ),
    "privacy_blocked": Reason(msg("The contact is blocked for privacy in Business Central"), _NOTHING),
    "outside_filter": Reason(
        msg("The person is in Business Central, but outside the filter of the profile"),
        msg("Widen the filter if the contact is wanted; else nothing."),
    ),
    "company_contact": Reason(
        msg("The e-mail address belongs to a company in Business Central, not to a person"),
        msg("Give the person an e-mail address of their own."),
    ),
    "copy_of_coupled": Reason(
        msg("This is a copy of a contact that is synced already"),
        msg("Delete the copy, or give it a name and an e-mail address of its own."),
    ),
    "private_in_outlook": Reason(
        msg("Its owner flagged the contact private in Outlook: nothing of it goes to Business Central"),
        msg("Nothing to do, or the owner takes the flag away."),
    ),
    "foreign_key": Reason(
        msg("The contact was copied here from the folder of another company"),
        msg("Nothing to do, or make the contact anew by hand."),
    ),
    "orphan_key": Reason(
        msg("Its contact in Business Central is gone, and no other one has its e-mail address"),
        msg("Delete it in Outlook, or make the contact in Business Central again."),
    ),
    "stay_away": Reason(
        msg("Deleted in Outlook, and the profile says that it stays so"),
        msg("It comes back when Business Central changes it, or when somebody syncs it now from its page."),
    ),
    "left_out": Reason(
        msg("A person left this contact out of the folder"),
        msg("Nothing to do; or take it back on the page of the contact."),
    ),
    "deleted_in_bc_kept": Reason(msg("Deleted in Business Central; kept in Outlook"), _BY_HAND),
    "left_scope_kept": Reason(msg("No longer in the filter; kept in Outlook"), _BY_HAND),
    "deleted_in_bc_edited_in_outlook": Reason(
        msg("Deleted in Business Central, but edited in Outlook since; kept"), _BY_HAND
    ),
    "left_scope_edited_in_outlook": Reason(
        msg("No longer in the filter, but edited in Outlook since; kept"), _BY_HAND
    ),
    "created_outside_filter": Reason(
        msg("A colleague made it in Outlook; the filter does not hold it, and it syncs nevertheless"),
        _NOTHING,
    ),
}

#: Of one field; the contact syncs.
_FIELD = {
    "too_long": Reason(
        msg("The text is longer than the field in Business Central"), msg("Shorten the text in Outlook.")
    ),
    "letters_in_phone": Reason(
        msg("Business Central takes no letters in phone numbers"), msg("Correct the phone number in Outlook.")
    ),
    "unknown_country": Reason(
        msg("No country of that name is known"),
        msg("Correct the country in Outlook, or add it in Business Central."),
    ),
    "countries_not_read": Reason(
        msg("The app may not read Business Central's table of countries: the country waits"),
        msg("Let the app read the table Country/Region in Business Central."),
    ),
    "company_not_unique": Reason(
        msg("No company in Business Central has exactly this name, or several have"),
        msg("Correct the company name in Outlook, or make the company in Business Central."),
    ),
    "too_many_lines": Reason(
        msg("Business Central has two address lines"), msg("Use two lines for the street in Outlook.")
    ),
    "no_free_slot": Reason(
        msg("All places for this address or number hold the colleague's own"),
        msg("Remove one of them in Outlook."),
    ),
    "differs": Reason(msg("The direction of the profile lets both sides differ"), _NOTHING),
}

#: Of what the guard holds.
_HELD = {
    "too_many_deletes": Reason(msg("More contacts would be deleted in Outlook than the limit"), _DECIDE),
    "too_many_overwrites": Reason(msg("More values would be replaced than the limit"), _DECIDE),
    "too_many_creates": Reason(
        msg("More contacts would be made in Business Central than the limit"), _DECIDE
    ),
    "first_sync_of_users_folder": Reason(
        msg("The folder was there before the sync: its contacts may be private"), _DECIDE
    ),
    "folder_suddenly_empty": Reason(msg("A folder that held many synced contacts is empty"), _DECIDE),
    "too_many_company_writes": Reason(
        msg("More would be written to one company than the limit of an hour"), _DECIDE
    ),
    "staging_database_restored": Reason(
        msg("The staging database is older than the Outlook folder"), _DECIDE
    ),
    "bc_went_back": Reason(
        msg("Business Central shows an older state than it did before, as after a restore"), _DECIDE
    ),
    "company_moved": Reason(
        msg("The company was moved to another environment, and this is the first plan after it"), _DECIDE
    ),
    "rejected_by_person": Reason(msg("A person rejected it"), _ASK_AGAIN),
    "no_longer_planned": Reason(
        msg("It was held, and the next comparison did not ask for it any more"), _NOTHING
    ),
}

#: Of what a person wanted undone, and is not.
_UNDO = {
    "changed_since": Reason(
        msg("Somebody changed it since"),
        msg("Nothing to do: the newer value is kept. Change it by hand if it is wrong."),
    ),
    "out_since": Reason(
        msg("The profile does not sync this contact any more: it is outside the filter now, or no person"),
        msg(
            "Widen the filter if the contact is wanted in Outlook, then undo it again; or change it by hand."
        ),
    ),
    "gone_since": Reason(
        msg("The contact, or its item in Outlook, is not there any more"),
        msg("Nothing to do: there is nothing that a value could go back to."),
    ),
    "back_already": Reason(
        msg("The contact is in Outlook again already"),
        msg("Nothing to do."),
    ),
    "one_way": Reason(
        msg("The profile writes to one side only, so both cannot be put back"),
        msg("Change it in the system that the profile takes its values from."),
    ),
    "would_be_made_again": Reason(
        msg("The next run would make the contact in Outlook again, since Business Central has it"),
        msg("Narrow the filter of the profile; the contact then leaves Outlook by itself."),
    ),
    "never_deleted_in_bc": Reason(
        msg("The contact was made in Business Central, and nothing is ever deleted there"),
        msg("Delete it in Business Central if it is not wanted."),
    ),
}

#: Of a single action; the next run looks after all of these by itself.
_ACTION = {
    "version_mismatch": Reason(msg("Somebody edited the contact at the same moment"), _NEXT_RUN),
    "no_answer": Reason(msg("The service gave no answer"), _NEXT_RUN),
    "no_answer_yet": Reason(msg("An earlier request for this contact is still open"), _NEXT_RUN),
    "not_carried_out": Reason(msg("A request without an answer turned out not to be carried out"), _NEXT_RUN),
    "late_create": Reason(
        msg("An earlier request was carried out late, when the contact was tied to another item already"),
        _NOTHING,
    ),
    "settled": Reason(msg("It is known now what became of an earlier request"), _NOTHING),
    "superseded": Reason(msg("Planned by a run that was stopped, and planned anew"), _NOTHING),
    "throttled": Reason(msg("The service asks for a long pause"), _NEXT_RUN),
    "access_denied": Reason(
        msg("The service refused the app while it was writing"),
        msg("Check the mailbox of the profile and the permissions of the app."),
    ),
    "depends_on_outlook": Reason(
        msg("Business Central was not written, since the Outlook side failed"), _NEXT_RUN
    ),
    "not_looked_up": Reason(
        msg("Business Central did not say whether it has this contact already, so it was not made"), _NEXT_RUN
    ),
    "refused_in_a_row": Reason(
        msg("The service refused twenty of the same kind in a row, so the rest was left for the next run"),
        msg("Look at what was refused: the cause is the same. The next run tries again."),
    ),
    "folder_missing": Reason(msg("The Outlook folder was gone while the run was writing"), _NEXT_RUN),
    "found_in_bc": Reason(
        msg("The contact was found in Business Central; it was tied to it instead"), _NOTHING
    ),
    "created_by_other_profile": Reason(
        msg("Another profile made the same contact in Business Central; it was tied to it instead"), _NOTHING
    ),
    "claimed_by_other_profile": Reason(
        msg("Another profile is making the same contact in Business Central"), _NEXT_RUN
    ),
    "nothing_to_write": Reason(msg("Nothing of the change could be written"), _NOTHING),
    "refused_by_outlook": Reason(
        msg("Outlook refused the contact"), msg("Look at the contact in Outlook for unusual values.")
    ),
    "refused_by_business_central": Reason(
        msg("Business Central refused the contact"),
        msg("Look at the contact for values that Business Central does not take."),
    ),
}

_TRIED_AGAIN = msg(
    "Nothing to do at first: it is tried again. If it stays, ask whoever looks after the service."
)

#: Codes of services for what a person can fix; every such change is tried again.
_PASSING = {
    "ErrorAccessDenied": Reason(
        msg("The app may not write in this mailbox"),
        msg("Check the permissions of the app. It is tried again."),
    ),
    "ErrorQuotaExceeded": Reason(
        msg("The mailbox is full"), msg("Make room in the mailbox. It is tried again.")
    ),
}

REASONS = _PROFILE | _CONTACT | _FIELD | _HELD | _UNDO | _ACTION | _PASSING


#: What is as its owner, or the profile, chose.
_CHOSEN = frozenset({"private_in_outlook", "left_out", "stay_away", "deleted_in_bc_kept", "left_scope_kept"})


def needs_nobody(code: str) -> bool:
    """Return whether there is nothing to do about a reason: it is as it should be, or passes by itself."""
    return reason_of(code).remedy in (_NOTHING, _NEXT_RUN)


def is_to_do(code: str) -> bool:
    """Return whether somebody has to look after a reason: nobody chose it, and it does not pass by itself."""
    return code not in _CHOSEN and not needs_nobody(code)


def reason_of(code: str) -> Reason:
    """Return the words for a reason; a service's own code stands for itself."""
    return REASONS.get(code) or Reason(
        code,
        msg(
            "This is the service's own code: the message beside it, or Microsoft's documentation, says more."
        ),
    )


def is_for_the_team(code: str) -> bool:
    """Return whether what is to be done takes a page of the data team's, so that a colleague has to ask them."""
    return reason_of(code).remedy in (_DECIDE, _ASK_AGAIN)


#: Short words for all other codes.
WORDS = {
    # States of a profile in a run, and what the overview makes of them.
    "planned": msg("waiting"),
    "running": msg("running"),
    "done": msg("good"),
    "success": msg("good"),
    "skipped": msg("skipped"),
    "held": msg("held"),
    "failed": msg("failed"),
    "never": msg("never synced"),
    "off": msg("switched off"),
    # Types of a contact in Business Central.
    "Person": msg("person"),
    "Company": msg("company"),
    # Modes, directions, sides.
    "incremental": msg("incremental"),
    "full": msg("full"),
    "both": msg("both directions"),
    "to_outlook": msg("to Outlook"),
    "to_business_central": msg("to Business Central"),
    "business_central": msg("Business Central"),
    "outlook": msg("Outlook"),
    # Outcomes of a contact.
    "created": msg("created"),
    "updated": msg("updated"),
    "deleted": msg("deleted"),
    "coupled": msg("tied together"),
    "unchanged": msg("unchanged"),
    "rejected": msg("not synced"),
    "conflict": msg("conflict"),
    "unknown": msg("without an answer"),
    # Of a change whose outcome is not there yet.
    "sending": msg("sent, no answer yet"),
    "would_be": msg("planned only"),
    # States of a hold.
    "hold_open": msg("waits"),
    "hold_approved": msg("approved"),
    "hold_rejected": msg("rejected"),
    "hold_superseded": msg("superseded"),
    "hold_applied": msg("carried out"),
    # States of an undo.
    "undo_open": msg("asked for"),
    "undo_done": msg("done"),
    "undo_withdrawn": msg("withdrawn"),
    # States of a coupling.
    "tie_active": msg("active"),
    "tie_pinned": msg("active, whatever the filter says"),
    "tie_released": msg("released"),
    "tie_away": msg("away"),
    # Actions of a plan.
    "create_outlook": msg("create in Outlook"),
    "update_outlook": msg("update in Outlook"),
    "delete_outlook": msg("delete in Outlook"),
    "create_business_central": msg("create in Business Central"),
    "update_business_central": msg("update in Business Central"),
    "couple": msg("tie together"),
    "untie": msg("take off key and category"),
    # Why an action is planned.
    "new_in_bc": msg("new in Business Central"),
    "new_in_outlook": msg("new in Outlook"),
    "changed_in_bc": msg("changed in Business Central"),
    "changed_in_outlook": msg("changed in Outlook"),
    "first_match": msg("first match of two contacts"),
    "fill": msg("blank in Business Central, filled in Outlook"),
    "overwrite_with_blank": msg("blank in Business Central"),
    "restored_from_bc": msg("restored from Business Central"),
    "deleted_in_outlook": msg("deleted in Outlook"),
    "changed_in_bc_while_away": msg("changed in Business Central while it was away from Outlook"),
    "no_longer_away": msg("the profile lets nothing stay away any more"),
    "deleted_in_bc": msg("deleted in Business Central"),
    "left_scope": msg("no longer in the filter"),
    "left_out": msg("left out by a person"),
    "wished": msg("a person wanted it synced at once"),
    "privacy_blocked": msg("blocked for privacy in Business Central"),
    "profile_ended": msg("the profile has ended"),
    "returned": msg("came back from Deleted Items"),
    "late_create": msg("made late, when the contact was tied to another item already"),
    "undo": msg("a person wanted it back as it was"),
    "key": msg("found by its key"),
    "email": msg("found by its e-mail address"),
    "key_missing": msg("its key was missing"),
    "categories": msg("the profile gives it other categories"),
}

#: The mapped fields of a contact.
FIELDS = {
    "name": msg("name"),
    "email": msg("e-mail address"),
    "job_title": msg("job title"),
    "company_name": msg("company name"),
    "phone": msg("business phone"),
    "mobile_phone": msg("mobile phone"),
    "home_page": msg("web page"),
    "street": msg("street"),
    "city": msg("city"),
    "county": msg("county"),
    "post_code": msg("post code"),
    "country": msg("country"),
    "first_name": msg("first name"),
    "middle_name": msg("middle name"),
    "surname": msg("surname"),
    "initials": msg("initials"),
    "email2": msg("second e-mail address"),
    "categories": msg("categories"),
}

#: What else is shown of a contact.
FACTS = {
    "number": msg("contact number"),
    "type": msg("type"),
    "salesperson": msg("salesperson code"),
    "territory": msg("territory code"),
}


def field_of(name: str) -> str:
    """Return the word for a field of a contact; "" stays blank, an unknown one stands for itself."""
    return FIELDS.get(name) or FACTS.get(name, name)


def word_of(code: str) -> str:
    """Return the short word for a state, mode, outcome, action or cause; an unknown code stands for itself."""
    return WORDS.get(code, code)
