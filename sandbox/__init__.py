"""Entra ID, Microsoft Graph contacts and Business Central contacts on localhost.

A server of its own (``python -m sandbox``) for trying and testing the sync
without a tenant; ``docs/sandbox.md`` describes it. It shares no code with
``sync_lib``, so that one wrong idea can't hide in both.
"""

from __future__ import annotations

from sandbox.runner import Sandbox

__all__ = ["Sandbox"]
