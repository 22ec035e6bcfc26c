"""What the gateway reads of a body, and nothing more."""
