/** How callers authenticate, as the agent card tells them (A2A section 4.5): from the configuration that is applied. */
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import { apiKeyHeader } from './api-keys.ts';

/** The fields of an agent card, in JSON form. Any one of the schemes is enough. */
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
          description: 'A key that you were given',
        },
      },
    ]);
  }
  for (const [index, { issuer, audience, jwksUrl }] of (config.jwt ?? []).entries()) {
    const description = `A token of ${issuer} for the audience ${audience.join(' or ')}`;
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
    const description = `An ID token of Google for the audience ${config.cloudRunIam.audience.join(' or ')}, of an account that may invoke the service`;
    schemes.push([
      'googleIdToken',
      { httpAuthSecurityScheme: { scheme: 'Bearer', bearerFormat: 'JWT', description } },
    ]);
  }
  return {
    securitySchemes: Object.fromEntries(schemes),
    securityRequirements: schemes.map(([name]) => ({ schemes: { [name]: { list: [] } } })),
  };
}
