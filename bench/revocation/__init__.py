"""How soon a revocation is known at every gateway."""
