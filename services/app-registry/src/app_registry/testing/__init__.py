"""For tests of the app-registry alone."""
