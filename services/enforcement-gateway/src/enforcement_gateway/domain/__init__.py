"""What the gateway decides, and why; knows neither sockets nor clocks."""
