/** Fills in the secrets of the definition of an MCP server. */
import { fillSecrets, type McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import { CredentialsError } from '../errors.ts';

/** @throws {CredentialsError} if a secret is not set */
export function fillServerSecrets(
  name: string,
  server: Pick<McpServerDefinition, 'headers' | 'env'>,
  getSecret: (name: string) => string | undefined,
): { headers: Record<string, string>; env: Record<string, string> } {
  const missing: string[] = [];
  const fill = (values: Record<string, string> = {}) =>
    Object.fromEntries(
      Object.entries(values).map(([key, value]) => [
        key,
        fillSecrets(value, getSecret, (secret) => missing.push(secret)),
      ]),
    );
  const filled = { headers: fill(server.headers), env: fill(server.env) };
  if (missing.length === 0) return filled;
  throw new CredentialsError(
    `The MCP server "${name}" needs credentials that this agent does not have: ${missing.join(', ')}. When its operator has set them, send any message to continue.`,
  );
}
