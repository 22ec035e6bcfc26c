"""The write side: administrators command, every decision becomes an event."""
