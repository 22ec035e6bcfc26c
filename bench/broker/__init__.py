"""How many events a second go through the broker."""
