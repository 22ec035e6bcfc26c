// The token endpoint of oidc-provider, doing the job of ours: client_credentials with
// private_key_jwt (RS256), JWT access tokens (ES256) by resource indicators. It keeps
// everything in memory, so that nothing is durable and no disk slows it down.
//
// Environment: PORT, CLIENT_ID, CLIENT_JWK (the public key of the one client).

import { generateKeyPairSync } from "node:crypto";

import Provider from "oidc-provider";

const { PORT, CLIENT_ID, CLIENT_JWK } = process.env;
const RESOURCE = "urn:tollgate:tracking-api";
const SCOPE = "tracking_api:write";

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const issuer = `http://127.0.0.1:${PORT}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: CLIENT_ID,
      grant_types: ["client_credentials"],
      id_token_signed_response_alg: "ES256", // never used, but it insists
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: "private_key_jwt",
      token_endpoint_auth_signing_alg: "RS256",
      jwks: { keys: [JSON.parse(CLIENT_JWK)] },
    },
  ],
  clientAuthMethods: ["private_key_jwt"],
  enabledJWA: {
    clientAuthSigningAlgValues: ["RS256"],
  },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      getResourceServerInfo: () => ({
        scope: SCOPE,
        accessTokenTTL: 86400,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
  jwks: {
    keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", alg: "ES256" }],
  },
  scopes: [SCOPE],
});

provider.listen(Number(PORT), "127.0.0.1");
