"""The exchange of a client assertion for an access token."""
