"""The gateway under test, between real logs and a stand-in upstream."""
