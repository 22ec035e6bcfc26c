"""The way to the tracking API, and its answer back."""
