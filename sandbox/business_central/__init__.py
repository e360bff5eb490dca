"""Business Central: companies and their contacts, over API v2.0 and an API of a table of its own."""
