/**
 * Serves the OpenAPI document at `/openapi.json`, to everyone like the agent card: it has nothing of any caller, and no
 * secrets. `?A2A-Version=0.3`, or the header, selects the operations of A2A 0.3.
 */
import { A2A_VERSION_HEADER, type AgentCard } from '@a2a-js/sdk';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { supportsV03 } from '../../bindings/call-context.ts';
import { addVary } from '../headers.ts';
import { createDocument, sendDocument, type StaticDocument } from '../static-document.ts';
import { openApiPath } from './path.ts';

interface OpenApiParts {
  /** Returns the current card: that of a gateway changes. */
  getCard: () => AgentCard;
  publicUrl: string;
}

/** Describes the routes that are registered after this call. */
export function registerOpenApi(app: FastifyInstance, { getCard, publicUrl }: OpenApiParts): void {
  const routes: string[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    routes.push(...[method].flat().map((each) => `${each} ${url}`));
  });

  let documents: { of: AgentCard; byVersion: Map<string, StaticDocument> } | undefined;
  app.get(openApiPath, async (request, reply): Promise<FastifyReply> => {
    const card = getCard();
    if (documents?.of !== card) documents = { of: card, byVersion: new Map() };
    const version = namesV03(request) && supportsV03(card) ? '0.3' : '1.0';
    // Loaded with the first request: the start of the service does not wait for it.
    const { createOpenApi } = await import('./document.ts');
    const { byVersion } = documents;
    const known =
      byVersion.get(version) ?? createDocument(createOpenApi({ card, publicUrl, routes, version }));
    byVersion.set(version, known);
    addVary(reply, A2A_VERSION_HEADER);
    return sendDocument(request, reply, known);
  });
}

/** Unlike a call, a request without a version is not one of 0.3. */
function namesV03({ headers, query }: FastifyRequest): boolean {
  const named =
    headers[A2A_VERSION_HEADER.toLowerCase()] ?? (query as Record<string, unknown>)[A2A_VERSION_HEADER];
  return typeof named === 'string' && /^0\.3(\.|$)/.test(named);
}
