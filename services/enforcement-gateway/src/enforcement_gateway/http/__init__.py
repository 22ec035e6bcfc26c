"""The data port: HTTP/1.1 as strict as a gate must read it."""
