"""How something is measured, whatever it is."""
