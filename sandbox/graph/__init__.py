"""Microsoft Graph: users, contact folders and contacts, with delta queries."""
