/**
 * MCP servers in a definition. One that names a `command` is started as a child process and spoken to over its stdio;
 * one that names a `url` is spoken to over streamable HTTP. Values of `env` and `headers` may name secrets as
 * `${env:NAME}`: they are filled in by the worker when it connects, and never stored with the definition.
 */
import * as v from 'valibot';
import { AnyText, atLeast, atMost, byName, closed, Count, listOf, Text, Url, Whole } from './fields.ts';
import type { Problem } from './problems.ts';

/** Names of tools as their server has them; `*` stands for anything. */
const Patterns = listOf(Text);

const McpServer = closed({
  command: v.exactOptional(Text),
  args: v.exactOptional(listOf(AnyText)),
  env: v.exactOptional(byName(AnyText)),
  /** The working directory of the command. */
  cwd: v.exactOptional(Text),
  url: v.exactOptional(Url),
  headers: v.exactOptional(byName(AnyText)),
  /** Left out: all tools of the server. */
  allow: v.exactOptional(Patterns),
  /** Counts more than `allow`. */
  deny: v.exactOptional(Patterns),
  /** Each call of these waits for the user's approval. */
  confirm: v.exactOptional(Patterns),
  /** For one call, and for the list of tools. */
  timeoutSeconds: v.optional(v.pipe(Count, atMost(86_400)), 60),
  /** What a tool returns beyond this is cut off before the model sees it. */
  maxOutputChars: v.optional(v.pipe(Whole, atLeast(100)), 50_000),
});

export type McpServerDefinition = v.InferOutput<typeof McpServer>;

/** By name: letters, digits and "_", because it may become the beginning of the name of a tool. */
export const McpServers = v.optional(byName(McpServer), {});

const SECRET = /\$\{env:([A-Za-z_]\w*)\}/g;

/** What the schema cannot say. */
export function mcpContradictions(servers: Record<string, McpServerDefinition>): Problem[] {
  const problems: Problem[] = [];
  for (const [name, server] of Object.entries(servers)) {
    const about = (field: string, message: string) =>
      problems.push({
        path: ['mcpServers', name, field],
        key: true,
        message: `mcpServers.${name}${field === '' ? '' : `.${field}`}: ${message}`,
      });
    if (!/^[A-Za-z]\w{0,31}$/.test(name)) {
      about('', 'the name of a server is a letter, then up to 31 letters, digits and "_"');
    }
    if ((server.command === undefined) === (server.url === undefined)) {
      about('', 'set either command (a process) or url (streamable HTTP)');
      continue;
    }
    const foreign = server.url === undefined ? (['headers'] as const) : (['args', 'env', 'cwd'] as const);
    for (const field of foreign) {
      if (server[field] !== undefined) {
        about(field, `goes with ${server.url === undefined ? 'url' : 'command'} only`);
      }
    }
    for (const field of ['env', 'headers'] as const) {
      for (const [key, value] of Object.entries(server[field] ?? {})) {
        if (value.replaceAll(SECRET, '').includes('${')) {
          about(field, `${key} has a "\${" that is not of the form \${env:NAME}`);
        }
      }
    }
  }
  return problems;
}

/** Fills in the secrets of a value; `missing` is told each name that has none. */
export function fillSecrets(
  value: string,
  secretOf: (name: string) => string | undefined,
  missing: (name: string) => void,
): string {
  return value.replaceAll(SECRET, (_, name: string) => {
    const secret = secretOf(name);
    if (secret === undefined) missing(name);
    return secret ?? '';
  });
}
