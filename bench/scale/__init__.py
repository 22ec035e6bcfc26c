"""How what a gateway knows grows: entities by the million, in one process."""
