"""The event loop of a worker, and how octets come in and go out on it (ADR 34)."""
