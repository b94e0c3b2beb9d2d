/**
 * The metadata of MCP as a protected resource of OAuth (RFC 9728): which authorization servers issue its tokens. It is
 * served in the mode `jwt`, and named by each refusal (RFC 9728, section 5.1), so that hosts can sign their users in.
 */
import type { AgentCard } from '@a2a-js/sdk';
import type { FastifyInstance } from 'fastify';
import type { AuthConfig } from '#shared/runtime/config/auth.ts';
import type { UnauthenticatedError } from '../auth/errors.ts';
import { mcpPath } from './protocol.ts';

const wellKnown = '/.well-known/oauth-protected-resource';
const cacheControl = 'public, max-age=60';

export interface OAuthParts {
  auth: AuthConfig;
  publicUrl: string;
  getFullCard: () => AgentCard;
}

export function registerOAuthMetadata(
  app: FastifyInstance,
  { auth, publicUrl, getFullCard }: OAuthParts,
): void {
  if (auth.jwt === undefined) return;
  const { name, documentationUrl } = getFullCard();
  const body = JSON.stringify({
    resource: `${publicUrl}${mcpPath}`,
    authorization_servers: auth.jwt.map(({ issuer }) => issuer),
    bearer_methods_supported: ['header'],
    resource_name: name,
    ...(documentationUrl && { resource_documentation: documentationUrl }),
  });
  // Clients look below the path of the resource first (RFC 9728, section 3.1).
  for (const path of [`${wellKnown}${mcpPath}`, wellKnown]) {
    app.get(path, (_request, reply) =>
      reply.header('cache-control', cacheControl).header('content-type', 'application/json').send(body),
    );
  }
}

/** Adds the address of the metadata to the challenges for bearer tokens. */
export function toChallenges({ auth, publicUrl }: Pick<OAuthParts, 'auth' | 'publicUrl'>) {
  const { origin, pathname } = new URL(publicUrl);
  const base = `${origin}${pathname.replace(/\/$/, '')}`;
  return ({ challenges }: UnauthenticatedError): readonly string[] =>
    auth.jwt === undefined
      ? challenges
      : challenges.map((challenge) =>
          challenge.startsWith('Bearer ')
            ? `${challenge}, resource_metadata="${base}${wellKnown}${mcpPath}"`
            : challenge,
        );
}
