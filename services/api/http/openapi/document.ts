/**
 * The OpenAPI 3.1 document of the front door, from the tables that serve its routes: the fields that requests are checked
 * against, the routes of A2A and of extensions, and the schemes of the agent card.
 */
import type { AgentCard } from '@a2a-js/sdk';
import { restPath } from '../../bindings/rest/rest.ts';
import { toReadablePath } from '../../bindings/rest/routes.ts';
import { listA2aOperations } from './a2a/operations.ts';
import { listExtensionOperations } from './extensions.ts';
import { tags, type Operation } from './operation.ts';
import { otherOperations } from './other-routes.ts';
import { collectComponents } from './schema.ts';
import { toOpenApiSecurity } from './security.ts';
import { listV03Operations } from './v03/operations.ts';

export type ProtocolVersion = '1.0' | '0.3';

export interface DocumentParts {
  card: AgentCard;
  publicUrl: string;
  /** The routes of the server, as `GET /path/:parameter`. */
  routes: readonly string[];
  /** The version of A2A: the bodies of its operations differ. */
  version: ProtocolVersion;
}

const current = new Map([
  ...listA2aOperations(restPath),
  ...listExtensionOperations(restPath),
  ...otherOperations,
]);

export function createOpenApi({ card, publicUrl, routes, version }: DocumentParts): object {
  const operations = version === '1.0' ? current : listV03Operations(restPath);
  const paths: Record<string, Record<string, Operation>> = {};
  const used = new Set<string>();
  for (const route of routes) {
    const { method, path } = split(route);
    const operation = operations.get(`${method} ${path}`);
    if (operation === undefined) continue;
    (paths[path] ??= {})[method.toLowerCase()] = operation;
    used.add(operation.tags[0]);
  }
  const { securitySchemes, security } = toOpenApiSecurity(card);
  return {
    openapi: '3.1.1',
    info: {
      title: card.name,
      version: card.version,
      description: `${card.description}\n\nThe HTTP interface of this agent${version === '1.0' ? '' : ', of its operations in A2A 0.3'}: https://a2a-protocol.org`,
    },
    servers: [{ url: publicUrl }],
    tags: Object.entries(tags)
      .filter(([name]) => used.has(name))
      .map(([name, description]) => ({ name, description })),
    security,
    paths,
    components: {
      ...collectComponents(paths),
      ...(security.length > 0 && { securitySchemes }),
    },
  };
}

function split(route: string): { method: string; path: string } {
  const [method = '', url = ''] = route.split(' ', 2);
  return { method, path: toReadablePath(url) };
}
