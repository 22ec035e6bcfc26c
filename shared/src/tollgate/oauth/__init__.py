"""OAuth 2.0 and JOSE building blocks, under their RFC names."""
