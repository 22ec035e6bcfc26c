"""The ways to get an access token: one module for each grant type."""
