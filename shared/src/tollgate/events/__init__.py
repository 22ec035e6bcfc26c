"""The published language: every event of every log, defined once."""
