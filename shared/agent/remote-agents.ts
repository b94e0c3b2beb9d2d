/**
 * Other A2A agents in a definition, by name. Values of `auth` and `headers` may refer to secrets as `${env:NAME}`. The
 * worker fills them in when it calls; they are never stored with the definition.
 */
import * as v from 'valibot';
import {
  AnyText,
  atLeast,
  atMost,
  Count,
  Flag,
  Integer,
  list,
  mapping,
  strictMapping,
  Text,
  Url,
} from './fields.ts';
import { findSecretProblem, fillSecrets } from './mcp-servers.ts';
import type { Problem } from './problems.ts';

/** How an agent is reached. */
export const connectionFields = {
  /** The base URL. Credentials are sent to its origin only. */
  url: v.exactOptional(Url),
  /** The URL of the card. Default: `/.well-known/agent-card.json` below `url`. */
  card: v.exactOptional(Url),
  /** The value of the header `Authorization`. Without a scheme, `Bearer` precedes it. */
  auth: v.exactOptional(Text),
  headers: v.exactOptional(mapping(AnyText)),
  /**
   * Sends an identity token of Google in `Authorization`, for an agent on Cloud Run: for the origin of the agent, or for
   * this audience.
   */
  googleIdentity: v.exactOptional(v.union([v.literal(true), Url], 'must be true, or the URL of an audience')),
};

/** The limit for one call, from the first attempt to send it. At most 366 days. */
export const CallSeconds = v.optional(v.pipe(Count, atMost(366 * 86_400)), 86_400);

const RemoteAgent = strictMapping({
  ...connectionFields,
  /** The ids of the skills that the model learns about. Default: all of the card. */
  skills: v.exactOptional(list(Text)),
  /** Each call needs the user's approval. */
  confirm: v.exactOptional(Flag),
  timeoutSeconds: CallSeconds,
  /** Longer text of an answer is cut before the model sees it. */
  maxOutputChars: v.optional(v.pipe(Integer, atLeast(100)), 50_000),
});

export type RemoteAgentDefinition = v.InferOutput<typeof RemoteAgent>;

export type RemoteConnectionDefinition = Pick<RemoteAgentDefinition, keyof typeof connectionFields>;

export const RemoteAgents = v.optional(mapping(RemoteAgent), {});

/** Checks the rules that the schema cannot express. */
export function checkRemoteAgents(agents: Record<string, RemoteAgentDefinition>): Problem[] {
  const problems: Problem[] = [];
  for (const [name, agent] of Object.entries(agents)) {
    const path = ['agents', name];
    if (!/^[A-Za-z]\w{0,31}$/.test(name)) {
      problems.push({
        path,
        key: true,
        message: `agents.${name}: the name of the agent is not valid (expected a letter, then up to 31 letters, digits or "_")`,
      });
    }
    problems.push(...checkConnection(path, agent));
  }
  return problems;
}

/** @param path of the agent in the definition */
export function checkConnection(
  path: readonly string[],
  { url, card, auth, headers = {}, googleIdentity }: RemoteConnectionDefinition,
): Problem[] {
  const problems: Problem[] = [];
  const report = (field: string | undefined, message: string) => {
    const fields = [...path, ...(field === undefined ? [] : [field])];
    problems.push({ path: fields, key: true, message: `${fields.join('.')}: ${message}` });
  };
  if (url === undefined && card === undefined)
    report(undefined, 'must have url (of the agent) or card (the URL of its card)');
  for (const [field, value] of Object.entries({ url, card })) {
    if (value !== undefined && !URL.canParse(value)) report(field, `"${value}" is not a URL`);
  }
  const authProblem = auth === undefined ? undefined : findSecretProblem(auth);
  if (authProblem !== undefined) report('auth', authProblem);
  for (const [key, value] of Object.entries(headers)) {
    const problem = findSecretProblem(value);
    if (problem !== undefined) report('headers', `${key} ${problem}`);
  }
  if (auth !== undefined && googleIdentity !== undefined)
    report('googleIdentity', 'excludes auth: both are the header Authorization');
  return problems;
}

/** Returns the headers of requests to an agent. Calls `missing` with the name of each secret that is not set. */
export function createAgentHeaders(
  { auth, headers = {} }: RemoteConnectionDefinition,
  getSecret: (name: string) => string | undefined,
  missing: (name: string) => void,
): Record<string, string> {
  const fill = (value: string): string => fillSecrets(value, getSecret, missing);
  const filled = Object.fromEntries(Object.entries(headers).map(([key, value]) => [key, fill(value)]));
  if (auth === undefined) return filled;
  const credentials = fill(auth);
  return {
    ...filled,
    authorization: /\s/.test(credentials.trim()) ? credentials : `Bearer ${credentials.trim()}`,
  };
}

/** Returns the names of the secrets that agents refer to and that are not set, each once. */
export function findMissingAgentSecrets(
  agents: Record<string, RemoteConnectionDefinition>,
  getSecret: (name: string) => string | undefined,
): string[] {
  const missing = new Set<string>();
  for (const agent of Object.values(agents))
    createAgentHeaders(agent, getSecret, (name) => missing.add(name));
  return [...missing];
}
