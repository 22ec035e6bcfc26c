"""Logs for the cases: what would take days to come about, made in seconds."""
