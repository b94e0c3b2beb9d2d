/** The security schemes of a card in the form of OpenAPI, after which those of A2A are modelled (A2A section 4.5). */
import { AgentCard } from '@a2a-js/sdk';

/** A scheme of a card in JSON: one of these. */
interface CardScheme {
  apiKeySecurityScheme?: { location: string; name: string; description?: string };
  httpAuthSecurityScheme?: { scheme: string; bearerFormat?: string; description?: string };
  openIdConnectSecurityScheme?: { openIdConnectUrl: string; description?: string };
  oauth2SecurityScheme?: { flows: object; description?: string };
  mtlsSecurityScheme?: { description?: string };
}

interface CardJson {
  securitySchemes?: Record<string, CardScheme>;
  securityRequirements?: { schemes?: Record<string, { list?: string[] }> }[];
}

export function toOpenApiSecurity(card: AgentCard): {
  securitySchemes: Record<string, object>;
  /** A caller needs one of them; empty: none. */
  security: Record<string, string[]>[];
} {
  const { securitySchemes = {}, securityRequirements = [] } = AgentCard.toJSON(card) as CardJson;
  return {
    securitySchemes: Object.fromEntries(
      Object.entries(securitySchemes).map(([name, scheme]) => [name, toScheme(scheme)]),
    ),
    security: securityRequirements.map(({ schemes = {} }) =>
      Object.fromEntries(Object.entries(schemes).map(([name, { list = [] }]) => [name, list])),
    ),
  };
}

function toScheme(scheme: CardScheme): object {
  const { apiKeySecurityScheme: key, httpAuthSecurityScheme: http } = scheme;
  if (key !== undefined) {
    const { location, ...rest } = key;
    return { type: 'apiKey', in: location, ...rest };
  }
  if (http !== undefined) return { type: 'http', ...http, scheme: http.scheme.toLowerCase() };
  if (scheme.openIdConnectSecurityScheme !== undefined) {
    return { type: 'openIdConnect', ...scheme.openIdConnectSecurityScheme };
  }
  if (scheme.oauth2SecurityScheme !== undefined) return { type: 'oauth2', ...scheme.oauth2SecurityScheme };
  return { type: 'mutualTLS', ...scheme.mtlsSecurityScheme };
}
