"""`tollgate token`: mint an access token exactly as a client does."""

import asyncio
import time
import uuid
from pathlib import Path

import aiohttp
import click
import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tollgate.cli.stack import Demo, Stack, required

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFE = 60
"""Seconds: what the SDKs use and the most that the issuer accepts (RFC 7523 §3)."""

EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384"}


@click.command()
@click.option("--issuer-url", envvar="TOLLGATE_ISSUER_URL")
@click.option("--client-id", envvar="TOLLGATE_CLIENT_ID", help="The id of the app.")
@click.option("--kid", envvar="TOLLGATE_KID", help="The id of the key.")
@click.option(
    "--private-key",
    "key_path",
    envvar="TOLLGATE_PRIVATE_KEY",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM file of the private key.",
)
@click.option("--scope", help="Space-separated; all of the app's if left out.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer.")
@click.pass_obj
def token(
    stack: Stack,
    *,
    issuer_url: str | None,
    client_id: str | None,
    kid: str | None,
    key_path: Path | None,
    scope: str | None,
    as_json: bool,
) -> None:
    """Mint an access token with a private key, and print it."""
    demo = stack.demo or Demo()
    issuer = required(issuer_url or stack.issuer_url, "--issuer-url").rstrip("/")
    app = required(client_id or demo.client_id, "--client-id")
    key_id = required(kid or demo.kid, "--kid")
    path = required(
        str(key_path) if key_path else demo.private_key_path, "--private-key"
    )
    assertion = _assertion(Path(path), issuer=issuer, client_id=app, kid=key_id)
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    if scope is not None:
        form["scope"] = scope
    answer = asyncio.run(_post(f"{issuer}/token", form))
    click.echo(msgspec.json.encode(answer) if as_json else answer["access_token"])


def _assertion(path: Path, *, issuer: str, client_id: str, kid: str) -> str:
    """A client assertion (RFC 7523 §3) signed with the key at `path`."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise click.ClickException(f"{path} is not a private key in PEM") from None
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = "RS256"
    elif (
        isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in EC_ALGORITHMS
    ):
        algorithm = EC_ALGORITHMS[key.curve.name]
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = "EdDSA"
    else:
        raise click.ClickException(f"{path} is not a key that can be used here")
    now = int(time.time())
    return jwt.encode(
        {
            "iss": client_id,
            "sub": client_id,
            "aud": issuer,
            "iat": now - 5,
            "exp": now - 5 + ASSERTION_LIFE,
            "jti": str(uuid.uuid4()),
        },
        key,
        algorithm,
        headers={"kid": kid},
    )


async def _post(url: str, form: dict[str, str]) -> dict[str, object]:
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=form) as answer,
        ):
            body: dict[str, object] = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise click.ClickException(
            f"the issuer cannot be reached or understood ({type(error).__name__})"
        ) from None
    if answer.status != 200:  # noqa: PLR2004
        raise click.ClickException(
            f"the issuer answered {answer.status}: {body.get('error')}:"
            f" {body.get('error_description')}"
        )
    return body
