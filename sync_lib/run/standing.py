"""What a profile depends on beside the contacts of both sides: its settings, and whether its company was read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection

from sync_lib.errors import ProfileError
from sync_lib.fields import categories
from sync_lib.fields.filters import to_written
from sync_lib.fields.normal_forms import NORMALISER_VERSION
from sync_lib.model import CompanyResult
from sync_lib.store.companies import CompanyRow
from sync_lib.store.profiles.rows import Profile

#: The Connection points elsewhere: what the profile says of it is the same.
MOVED = "environment_changed"


class CompanyHeldError(ProfileError):
    """The profile's company is held by a stop rule (rules 8.3); this is no failure."""


def unread_company(profile: Profile, result: CompanyResult | None) -> ProfileError | None:
    """Return why a profile cannot be worked on in a run that did not read its company, or None where it did.

    Args:
        profile: The profile, of a company that is known.
        result: What became of the company in the run; None: nobody read it.
    """
    if result is not None and result.state == "held":
        return CompanyHeldError(result.reason, result.message)
    if result is not None and result.reason == MOVED:
        return ProfileError(MOVED, result.message)
    if result is None or result.state != "done":
        return ProfileError(
            "company_not_read",
            f"The company {profile.company_name!r} could not be read in this run.",
            remedy=result.message if result else "See the task extract_business_central.",
        )
    return None


def digest_of_settings(
    profile: Profile, field_profile: str, company: CompanyRow, left_out: Collection[str]
) -> str:
    """Return the digest of all settings that a comparison depends on.

    Args:
        profile: The profile.
        field_profile: Which fields of BC are read.
        company: Its company, with region and countries.
        left_out: Contacts of BC that persons leave out of its folder.
    """
    values = [
        # One group as it was before there were several: an upgrade is no change of settings.
        to_written(profile.filter),
        profile.direction,
        profile.salesperson_code,
        profile.language,
        [profile.deleted_in_outlook, profile.deleted_in_bc, profile.left_scope, profile.blank_in_bc],
        field_profile,
        NORMALISER_VERSION,
        [company.phone_region, company.countries],
    ]
    if left_out:
        values.append(sorted(left_out))
    if profile.categories != categories.DEFAULT:
        values.append({"categories": profile.categories})
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
