"""What a page is to the app and its navigation."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter


@dataclass(frozen=True, slots=True)
class Page:
    """A page in the navigation.

    Attributes:
        name: Of its module, its templates and its catalogue.
        path: Its address below the mount.
        title: Marked text, shown in the navigation.
        router: Its routes, with full paths. They need nothing for protection: the app asks for permission to read
            (GET) or to edit (all else) and refuses other sites.
        in_navigation: False for a page that only other pages lead to.
    """

    name: str
    path: str
    title: str
    router: APIRouter
    in_navigation: bool = True
