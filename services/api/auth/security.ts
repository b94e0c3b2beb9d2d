/**
 * The security schemes of the agent card (A2A section 4.5), derived from the authentication settings in
 * force.
 */
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import { apiKeyHeader } from './api-keys.ts';

/** Returns fields of an agent card in JSON form. A caller needs one of the schemes. */
export function toSecurity(config: AuthConfig): {
  securitySchemes: Record<string, object>;
  securityRequirements: object[];
} {
  const schemes: [string, object][] = [];
  if (config.apiKeys !== undefined) {
    schemes.push([
      'apiKey',
      {
        apiKeySecurityScheme: {
          location: 'header',
          name: apiKeyHeader,
          description: 'An API key issued by the operator',
        },
      },
    ]);
  }
  for (const [index, { issuer, audience, jwksUrl }] of (config.jwt ?? []).entries()) {
    const description = `A token issued by ${issuer} for the audience ${audience.join(' or ')}`;
    schemes.push([
      index === 0 ? 'oidc' : `oidc${index + 1}`,
      jwksUrl === undefined
        ? {
            openIdConnectSecurityScheme: {
              openIdConnectUrl: `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
              description,
            },
          }
        : { httpAuthSecurityScheme: { scheme: 'Bearer', bearerFormat: 'JWT', description } },
    ]);
  }
  if (config.cloudRunIam !== undefined) {
    const description = `A Google ID token for the audience ${config.cloudRunIam.audience.join(' or ')}, from an account that may invoke the service`;
    schemes.push([
      'googleIdToken',
      { httpAuthSecurityScheme: { scheme: 'Bearer', bearerFormat: 'JWT', description } },
    ]);
  }
  if (config.googleOAuth !== undefined) {
    const description = `An access token of a Google account with the scope openid, for the client ${config.googleOAuth.audience.join(' or ')}`;
    schemes.push([
      'googleOAuth',
      {
        oauth2SecurityScheme: {
          description,
          flows: {
            authorizationCode: {
              authorizationUrl: 'https://accounts.google.com/o/oauth2/v2/auth',
              tokenUrl: 'https://oauth2.googleapis.com/token',
              scopes: { openid: 'Identifies the account' },
            },
          },
        },
      },
    ]);
  }
  return {
    securitySchemes: Object.fromEntries(schemes),
    securityRequirements: schemes.map(([name]) => ({ schemes: { [name]: { list: [] } } })),
  };
}
