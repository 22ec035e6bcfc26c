"""Mints, revokes and introspects access tokens."""
