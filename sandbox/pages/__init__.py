"""Two small pages, "Outlook" and "Business Central", on which a person plays the users of the sandbox."""
