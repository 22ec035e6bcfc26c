"""HTTP building blocks: typed bodies, problems, request ids, health."""
