"""The schema's history. ``env.py`` and ``versions/`` are run by Alembic, never imported."""
