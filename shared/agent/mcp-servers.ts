/**
 * MCP servers in a definition. A server with a `command` runs as a child process over stdio; one with a `url`
 * is reached by streamable HTTP. Values of `env` and `headers` may refer to secrets as `${env:NAME}`. The
 * worker fills them in when it connects; they are never stored with the definition.
 */
import * as v from 'valibot';
import {
  AnyText,
  atLeast,
  atMost,
  choice,
  mapping,
  strictMapping,
  Count,
  Flag,
  list,
  Text,
  Url,
  Integer,
} from './fields.ts';
import type { JsonObject } from '../domain/message.ts';
import type { Problem } from './problems.ts';

/** Names of tools as the server defines them. `*` matches any characters. */
const Patterns = list(Text);

const McpServer = strictMapping({
  command: v.exactOptional(Text),
  args: v.exactOptional(list(AnyText)),
  env: v.exactOptional(mapping(AnyText)),
  /** The working directory of the command. */
  cwd: v.exactOptional(Text),
  url: v.exactOptional(Url),
  headers: v.exactOptional(mapping(AnyText)),
  /** `google`: the model's side calls the server, with its headers (docs/develop/gemini.md). Default: the worker. */
  calledBy: v.exactOptional(choice(['worker', 'google'])),
  /** Default: all tools of the server. */
  allow: v.exactOptional(Patterns),
  /** Takes precedence over `allow`. */
  deny: v.exactOptional(Patterns),
  /** Each call of these tools needs the user's approval. */
  confirm: v.exactOptional(Patterns),
  /** These tools get the URL of a callback, and may answer that their result is pending. */
  pending: v.exactOptional(Patterns),
  /** The limit for a pending result, and for a task of the server. At most 366 days. Default: a day. */
  pendingSeconds: v.exactOptional(v.pipe(Count, atMost(366 * 86_400))),
  /** The limit for one call, and for the list of tools. Progress of a call starts it again. */
  timeoutSeconds: v.optional(v.pipe(Count, atMost(86_400)), 60),
  /** The limit for a call that reports progress. */
  maxSeconds: v.optional(v.pipe(Count, atMost(86_400)), 3600),
  /** True: while the server is unavailable, its tools are left out. Default: tasks that need them wait. */
  optional: v.exactOptional(Flag),
  /** False: its tools may not ask the user of the task. */
  elicitation: v.exactOptional(Flag),
  /** Longer output of a tool is cut before the model sees it. */
  maxOutputChars: v.optional(v.pipe(Integer, atLeast(100)), 50_000),
});

export type McpServerDefinition = v.InferOutput<typeof McpServer>;

/** By name. Names are letters, digits and "_", because they may become the prefix of a tool's name. */
export const McpServers = v.optional(mapping(McpServer), {});

/** Returns the servers of a stored definition, perhaps of an older version, with their defaults. */
export function readMcpServers(stored: JsonObject): Record<string, McpServerDefinition> {
  const { success, output } = v.safeParse(McpServers, stored['mcpServers']);
  return success ? output : {};
}

const SECRET = /\$\{env:([A-Za-z_]\w*)\}/g;

/** Checks the rules that the schema cannot express. */
export function checkMcpServers(servers: Record<string, McpServerDefinition>): Problem[] {
  const problems: Problem[] = [];
  for (const [name, server] of Object.entries(servers)) {
    const report = (field: string, message: string) =>
      problems.push({
        path: ['mcpServers', name, field],
        key: true,
        message: `mcpServers.${name}${field === '' ? '' : `.${field}`}: ${message}`,
      });
    if (!/^[A-Za-z]\w{0,31}$/.test(name)) {
      report(
        '',
        'the name of the server is not valid (expected a letter, then up to 31 letters, digits or "_")',
      );
    }
    if ((server.command === undefined) === (server.url === undefined)) {
      report('', 'must have either command (a process) or url (streamable HTTP)');
      continue;
    }
    const misplaced = server.url === undefined ? (['headers'] as const) : (['args', 'env', 'cwd'] as const);
    for (const field of misplaced) {
      if (server[field] !== undefined) {
        report(field, `is accepted only with ${server.url === undefined ? 'url' : 'command'}`);
      }
    }
    if (isCalledByGoogle(server)) checkGoogleServer(server, report);
    for (const field of ['env', 'headers'] as const) {
      for (const [key, value] of Object.entries(server[field] ?? {})) {
        const problem = findSecretProblem(value);
        if (problem !== undefined) report(field, `${key} ${problem}`);
      }
    }
  }
  return problems;
}

export function isCalledByGoogle({ calledBy }: Pick<McpServerDefinition, 'calledBy'>): boolean {
  return calledBy === 'google';
}

/** Google reaches servers with TLS alone, takes names of tools, and calls them without asking. */
function checkGoogleServer(
  server: McpServerDefinition,
  report: (field: string, message: string) => unknown,
): void {
  if (server.url?.startsWith('https:') !== true) report('calledBy', 'Google calls a url with https alone');
  if (server.allow?.some((name) => name.includes('*')) === true)
    report('allow', 'Google accepts names of tools without * (list them)');
  for (const field of ['deny', 'confirm', 'pending', 'pendingSeconds', 'optional'] as const) {
    if (server[field] !== undefined)
      report(field, 'is for servers that the worker calls (remove it, or calledBy)');
  }
}

/** Returns what is wrong with the references to secrets in a value. */
export function findSecretProblem(value: string): string | undefined {
  return value.replaceAll(SECRET, '').includes('${')
    ? 'has an invalid "${" (expected ${env:NAME})'
    : undefined;
}

/** Returns the names of the secrets that servers refer to and that are not set, each once. */
export function findMissingSecrets(
  servers: Record<string, McpServerDefinition>,
  getSecret: (name: string) => string | undefined,
): string[] {
  const missing = new Set<string>();
  for (const { env, headers } of Object.values(servers)) {
    for (const value of Object.values({ ...env, ...headers })) {
      fillSecrets(value, getSecret, (name) => missing.add(name));
    }
  }
  return [...missing];
}

/** Fills in the secrets of a value. Calls `missing` with the name of each secret that is not set. */
export function fillSecrets(
  value: string,
  getSecret: (name: string) => string | undefined,
  missing: (name: string) => void,
): string {
  return value.replaceAll(SECRET, (_, name: string) => {
    const secret = getSecret(name);
    if (secret === undefined) missing(name);
    return secret ?? '';
  });
}
