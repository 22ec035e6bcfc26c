"""What the streams of the registry log are called."""

import hashlib


def workspace_stream(workspace_id: str) -> str:
    return f"workspace-{workspace_id}"


def member_stream(member_id: str) -> str:
    return f"member-{member_id}"


def access_token_stream(token_id: str) -> str:
    return f"access_token-{token_id}"


def source_stream(source_id: str) -> str:
    return f"source-{source_id}"


def write_key_stream(write_key: str) -> str:
    """Named by a hash: a write key may hold any printable character."""
    return f"write_key-{hashlib.sha256(write_key.encode()).hexdigest()}"


def app_stream(app_id: str) -> str:
    return f"oauth_app-{app_id}"
