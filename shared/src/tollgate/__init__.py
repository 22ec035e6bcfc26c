"""tollgate: the parts that its services share. No business rules of a service."""
