"""The demo workspace: an owner, and an app that may send events to one source.

Made once, through the same commands and requests as everybody's. Every step is
remembered, and can be repeated: a run that was killed in the middle is gone on with.
"""

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from local_stack.admin_api import AdminApi, ApiRefused, admin_api
from local_stack.failures import CannotStart
from local_stack.memory import Demo, Owner, write_private
from local_stack.rabbitmq_definitions import APP_REGISTRY
from local_stack.supervisor import Stack

_RSA_BITS = 2048  # RS256 is all that the official SDKs sign with


class _NewOwner(msgspec.Struct):
    workspace_id: str
    access_token: str


async def seed(stack: Stack) -> None:
    """Make what the memory of the stack does not hold yet."""
    memory = stack.memory
    if memory.owner is None:
        memory.owner = await _make_owner(stack)
        stack.remember()
        stack.progress.tell("demo workspace", "made, with an owner")
    if memory.demo is None:
        private_key = stack.local / "state" / "demo" / "private_key.pem"
        nonce = memory.secret("seed")
        stack.remember()
        try:
            async with admin_api(stack.addresses.registry, memory.owner.token) as api:
                memory.demo = await _make_demo(api, private_key, nonce)
        except ApiRefused as refusal:
            raise CannotStart(f"the demo workspace cannot be made: {refusal}") from None
        stack.remember()
        stack.progress.tell("demo workspace", "one app connected to one source")


async def _make_owner(stack: Stack) -> Owner:
    printed = await stack.run_command(
        APP_REGISTRY,
        "create-owner",
        "--workspace=Demo",
        "--name=Demo Owner",
        "--email=owner@example.com",
        "--add",  # a run that was killed here made the workspace and lost the token
    )
    made = msgspec.json.decode(printed, type=_NewOwner)
    return Owner(workspace_id=made.workspace_id, token=made.access_token)


async def _make_demo(api: AdminApi, private_key: Path, nonce: str) -> Demo:
    """`nonce` makes a repeated step the same step, not a second one."""
    public_key = _ensure_key(private_key)
    source = await api.call(
        "POST",
        "/v1/sources",
        {"name": "Demo server", "type": "python"},
        idempotency_key=f"{nonce}-source",
    )
    write_key = await api.call(
        "POST",
        f"/v1/sources/{source['id']}/write-keys",
        {},
        idempotency_key=f"{nonce}-write-key",
    )
    app = await api.call(
        "POST",
        "/v1/oauth-apps",
        {
            "name": "Demo app",
            "public_key": {"name": "first", "pem": public_key},
            "token_lifetime": "1d",
            "scopes": ["tracking_api:write"],
        },
        idempotency_key=f"{nonce}-app",
    )
    await api.call(
        "PUT", f"/v1/sources/{source['id']}/oauth-app", {"app_id": app["id"]}
    )
    await api.call(
        "PUT", f"/v1/sources/{source['id']}/enforcement", {"mode": "enforce"}
    )
    return Demo(
        source_id=source["id"],
        write_key=write_key["write_key"],
        client_id=app["id"],
        kid=app["keys"][0]["kid"],
        private_key_path=str(private_key),
    )


def _ensure_key(path: Path) -> str:
    """The public half, in PEM, of the key at `path`, which is made if missing."""
    if path.exists():
        key = load_pem_private_key(path.read_bytes(), password=None)
    else:
        key = rsa.generate_private_key(65537, _RSA_BITS)
        # PKCS#8, the only form that the Node.js SDK reads.
        write_private(
            path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    return (
        key.public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
