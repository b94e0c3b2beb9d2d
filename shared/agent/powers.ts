/**
 * The powers of a definition over the machine and the secrets of a worker: it can load modules, start processes, and send
 * the values of variables. Definitions are stored in the database. Access to it must not give access to the workers, so these
 * powers come only from the files that a worker is configured with.
 */
import { canonicalHash } from './canonical-hash.ts';
import type { AgentDefinition } from './definition.ts';
import { toRemoteAgent, upstreamName } from './gateway.ts';
import type { McpServerDefinition } from './mcp-servers.ts';

/** The fields of a definition that give it powers. */
export type PowerfulPart = Pick<AgentDefinition, 'mcpServers' | 'agents' | 'toolModules' | 'a2a'>;

/** Identifies powers: two are equal if they have the same key. */
export type Powers = ReadonlySet<string>;

export function getPowers(definitions: readonly PowerfulPart[]): Powers {
  return new Set(definitions.flatMap(listPowers).map(({ key }) => key));
}

/** Returns the powers of a definition beyond the allowed ones, as phrases without values of variables. */
export function findForeignPowers(definition: PowerfulPart, allowed: Powers): string[] {
  return listPowers(definition)
    .filter(({ key }) => !allowed.has(key))
    .map(({ text }) => text);
}

function listPowers({ mcpServers, agents, toolModules, a2a }: PowerfulPart): { key: string; text: string }[] {
  const called = a2a === undefined ? agents : { [upstreamName]: toRemoteAgent(a2a) };
  return [
    ...toolModules.map((path) => ({ key: `module ${path}`, text: `the tool module ${path}` })),
    ...Object.entries(mcpServers).flatMap(([name, server]) => {
      const text = describePower(name, server);
      return text === undefined ? [] : [{ key: `server ${hashConnection(server)}`, text }];
    }),
    ...Object.entries(called).flatMap(([name, { url, card, auth, headers, googleIdentity }]) => {
      const credentials = findVariables([auth ?? '', ...Object.values(headers ?? {})]);
      if (googleIdentity !== undefined) credentials.push('an identity token of Google');
      if (credentials.length === 0) return [];
      const key = `agent ${canonicalHash({ url, card, auth, headers, googleIdentity })}`;
      return [{ key, text: `${credentials.join(', ')} for the agent ${name}` }];
    }),
  ];
}

/** Undefined: the server is a URL that gets no secrets. */
function describePower(name: string, { command, headers = {} }: McpServerDefinition): string | undefined {
  if (command !== undefined) return `the command ${command} of the MCP server ${name}`;
  const variables = findVariables(Object.values(headers));
  return variables.length === 0
    ? undefined
    : `${variables.join(', ')} in the headers of the MCP server ${name}`;
}

function findVariables(values: readonly string[]): string[] {
  return [...new Set(values.flatMap((value) => value.match(/\$\{env:\w+\}/g) ?? []))];
}

/** Everything that decides what runs and where secrets go: a variable may change what a command does. */
function hashConnection({ command, args, cwd, env, url, headers }: McpServerDefinition): string {
  return canonicalHash({ command, args, cwd, env, url, headers });
}
