"""Every refusal of the app-registry, and how it reads over HTTP."""

from collections.abc import Mapping
from types import MappingProxyType

from app_registry.domain import errors
from tollgate.errors import DomainError
from tollgate.http.problems import ProblemType
from tollgate.oauth.public_keys import InvalidPublicKey, PrivateKeyPasted

REFUSALS: Mapping[type[DomainError], ProblemType] = MappingProxyType(
    {
        errors.NotAuthenticated: ProblemType(
            "not-authenticated",
            401,
            "You are not known here",
            "Send `Authorization: Bearer tg_…`, or an OAuth access token with the "
            "scope `public_api:read_write`. It may have expired or been revoked.",
        ),
        errors.NotPermitted: ProblemType(
            "not-permitted",
            403,
            "Your roles do not allow this",
            "Ask an owner of the workspace for another role, or to do it.",
        ),
        errors.VersionDiffers: ProblemType(
            "version-differs",
            412,
            "It has changed since you read it",
            "Read it again, look at what is different, and send the new ETag.",
        ),
        errors.IdempotencyKeyReused: ProblemType(
            "idempotency-key-reused",
            422,
            "The Idempotency-Key belongs to another request",
            "Use a fresh key for each command, and the same only to repeat it.",
        ),
        errors.NoSuchWorkspace: ProblemType(
            "no-such-workspace", 404, "No such workspace", "Check the id."
        ),
        errors.NoSuchMember: ProblemType(
            "no-such-member", 404, "No such member", "`GET /v1/members` lists them."
        ),
        errors.NoSuchAccessToken: ProblemType(
            "no-such-access-token",
            404,
            "No such access token",
            "`GET /v1/access-tokens` lists them; a revoked one is gone.",
        ),
        errors.NoSuchSource: ProblemType(
            "no-such-source", 404, "No such source", "`GET /v1/sources` lists them."
        ),
        errors.NoSuchWriteKey: ProblemType(
            "no-such-write-key",
            404,
            "No such write key",
            "The source tells which write keys it has.",
        ),
        errors.NoSuchApp: ProblemType(
            "no-such-oauth-app",
            404,
            "No such OAuth app",
            "`GET /v1/oauth-apps` lists them.",
        ),
        errors.NoSuchKey: ProblemType(
            "no-such-key", 404, "No such key", "The app tells which keys it has."
        ),
        errors.UnacceptableName: ProblemType(
            "unacceptable-name",
            422,
            "The name cannot be used",
            "1 to 100 characters on one line, without control characters and without "
            "white space at either end.",
        ),
        errors.UnacceptableEmail: ProblemType(
            "unacceptable-email",
            422,
            "The email address cannot be used",
            "Send one address, such as `olga@example.com`.",
        ),
        errors.UnacceptableRoles: ProblemType(
            "unacceptable-roles",
            422,
            "The roles cannot be given",
            "At least one role, none twice; owners and members are so for the whole "
            "workspace.",
        ),
        errors.LastOwner: ProblemType(
            "last-owner",
            409,
            "The workspace would have no owner",
            "Make another member an owner first.",
        ),
        errors.UnacceptableExpiry: ProblemType(
            "unacceptable-expiry",
            422,
            "The expiry cannot be used",
            "Give a moment in the future, or none.",
        ),
        errors.UnknownSourceType: ProblemType(
            "unknown-source-type",
            422,
            "No such type of source",
            "`GET /v1/source-types` lists them.",
        ),
        errors.UnacceptableWriteKey: ProblemType(
            "unacceptable-write-key",
            422,
            "The write key cannot be used",
            "8 to 128 printable ASCII characters without a colon; or send none, and "
            "one is made.",
        ),
        errors.WriteKeyTaken: ProblemType(
            "write-key-taken",
            409,
            "The write key is taken",
            "A write key belongs to one source for good, also after it was deleted.",
        ),
        errors.TooManyWriteKeys: ProblemType(
            "too-many-write-keys",
            409,
            "The source has as many write keys as it can",
            "Delete one that is not used any more.",
        ),
        errors.SourceStillConnected: ProblemType(
            "source-still-connected",
            409,
            "The source is connected to an OAuth app",
            "Turn enforcement off, disconnect the app, then delete the source.",
        ),
        errors.SourceTypeWithoutOAuth: ProblemType(
            "source-type-without-oauth",
            422,
            "Sources of this type cannot use OAuth",
            "`GET /v1/source-types` tells which can. A setting adds server types.",
        ),
        errors.SourceHasAnotherApp: ProblemType(
            "source-has-another-app",
            409,
            "The source is connected to another OAuth app",
            "Disconnect that one first.",
        ),
        errors.SourceHasNoApp: ProblemType(
            "source-has-no-app",
            409,
            "The source is not connected to an OAuth app",
            "Connect one, then set the enforcement.",
        ),
        errors.EnforcementStillOn: ProblemType(
            "enforcement-still-on",
            409,
            "The source still enforces OAuth",
            "Set its enforcement to `off` first.",
        ),
        errors.UnacceptableScopes: ProblemType(
            "unacceptable-scopes",
            422,
            "The scopes cannot be given",
            "One or more of `tracking_api:write`, `functions:write` and "
            "`public_api:read_write`.",
        ),
        errors.UnknownTokenLifetime: ProblemType(
            "unknown-token-lifetime",
            422,
            "Tokens cannot live that long",
            "One of `1d`, `2d`, `3d`, `1w`, `2w`, `3w`, `30d`.",
        ),
        errors.TooManyKeys: ProblemType(
            "too-many-keys",
            409,
            "The app has two keys already",
            "Delete one of them: two are for replacing the one by the other.",
        ),
        errors.KeyAlreadyHeld: ProblemType(
            "key-already-held", 409, "The app has this key", "It needs no second time."
        ),
        errors.AppStillConnected: ProblemType(
            "oauth-app-still-connected",
            409,
            "Sources are connected to the app",
            "Disconnect all of them first.",
        ),
        errors.NameNotConfirmed: ProblemType(
            "name-not-confirmed",
            422,
            "The name of the app was not given again",
            "Send its exact name as `confirm_name`.",
        ),
        InvalidPublicKey: ProblemType(
            "invalid-public-key",
            422,
            "The public key cannot be used",
            "PEM of an RSA key of 2048 bits or more, of P-256, P-384 or Ed25519.",
        ),
        PrivateKeyPasted: ProblemType(
            "private-key-pasted",
            422,
            "That is a private key",
            "Consider it exposed: make a new pair, and send only the public half. It "
            "was neither stored nor logged.",
        ),
    }
)
