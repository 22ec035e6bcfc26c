"""A whole tollgate on one machine: servers, services and a stand-in upstream."""
