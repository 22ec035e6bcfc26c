"""An issuer in the test's own process, between stand-ins for its neighbours."""
