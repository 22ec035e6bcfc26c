"""The admin API: one module for each resource."""
