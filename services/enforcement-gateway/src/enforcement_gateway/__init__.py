"""Admits or denies one request from its own view, then forwards it."""
