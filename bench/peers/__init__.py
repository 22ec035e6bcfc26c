"""What we are measured beside: how each is had, and how it is set up."""
