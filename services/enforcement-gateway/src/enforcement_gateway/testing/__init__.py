"""A gateway as it is run, between the owners of both logs and an upstream."""
