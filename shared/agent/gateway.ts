/**
 * A definition whose whole behavior is another A2A agent (docs/develop/gateway.md): `a2a` says how it is reached. Skills and
 * modes may be left out: they come from the card of the other agent.
 */
import * as v from 'valibot';
import type { JsonObject } from '../domain/message.ts';
import { canonicalHash } from './canonical-hash.ts';
import { atLeast, atMost, Integer, list, strictMapping, Text } from './fields.ts';
import type { Problem } from './problems.ts';
import {
  CallSeconds,
  checkConnection,
  connectionFields,
  RemoteAgents,
  type RemoteAgentDefinition,
} from './remote-agents.ts';

const Gateway = strictMapping({
  ...connectionFields,
  /** The ids of the skills of its card that ours lists. Default: all. */
  skills: v.exactOptional(list(Text)),
  timeoutSeconds: CallSeconds,
  /** How often a message is sent again because the agent has lost its task. */
  resends: v.optional(v.pipe(Integer, atLeast(0), atMost(10)), 2),
});

export type GatewayDefinition = v.InferOutput<typeof Gateway>;

export const OptionalGateway = v.exactOptional(Gateway);

/** The name of the agent behind a gateway, in steps, waits and errors. */
export const upstreamName = 'upstream';

/** Fills in what a gateway may leave out: an empty list comes from the card of the other agent. */
export function withGatewayDefaults(value: object): object {
  return { instruction: unused, skills: [], inputModes: [], outputModes: [], ...value };
}

/** A required text that has no meaning for a gateway. */
const unused = 'none';

export function hasGateway(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'a2a');
}

/** The fields of a definition that are about a model and its tools. */
const modelFields = [
  'instruction',
  'model',
  'tools',
  'mcpServers',
  'agents',
  'toolModules',
  'responseSchema',
  'history',
  'prices',
  'quotas',
] as const;
const modelLimits = [
  'modelCalls',
  'toolCalls',
  'workSeconds',
  'backgroundSeconds',
  'tokens',
  'cost',
  'ownerTokensPerDay',
  'ownerCostPerDay',
] as const;

type Fields = Record<string, unknown> & { limits: Record<string, unknown> };

/**
 * Checks a definition with `a2a`: what has no effect is refused.
 *
 * @param defaults the values of fields that were left out
 */
export function checkGateway(gateway: GatewayDefinition, definition: object, defaults: object): Problem[] {
  const [given, empty] = [definition as Fields, defaults as Fields];
  const differs = (a: unknown, b: unknown): boolean => canonicalHash(a ?? null) !== canonicalHash(b ?? null);
  const report = (path: string[]): Problem => ({
    path,
    key: true,
    message: `${path.join('.')}: has no effect next to a2a, whose agent has its own model and tools (remove one of them)`,
  });
  return [
    ...checkConnection(['a2a'], gateway),
    ...modelFields.filter((field) => differs(given[field], empty[field])).map((field) => report([field])),
    ...modelLimits
      .filter((field) => differs(given.limits[field], empty.limits[field]))
      .map((field) => report(['limits', field])),
  ];
}

export function toRemoteAgent(gateway: GatewayDefinition): RemoteAgentDefinition {
  const { resends: _resends, skills: _skills, ...connection } = gateway;
  // Only a model reads the answers of an agent as text.
  return { ...connection, maxOutputChars: Number.MAX_SAFE_INTEGER };
}

/** Returns the gateway of a stored definition; undefined if it has none. */
export function readGateway(stored: JsonObject): GatewayDefinition | undefined {
  const { success, output } = v.safeParse(OptionalGateway, stored['a2a']);
  return success ? output : undefined;
}

/** Returns the agents that a stored definition calls, perhaps of an older version, by name and with their defaults. */
export function readRemoteAgents(stored: JsonObject): Record<string, RemoteAgentDefinition> {
  const gateway = readGateway(stored);
  if (gateway !== undefined) return { [upstreamName]: toRemoteAgent(gateway) };
  const { success, output } = v.safeParse(RemoteAgents, stored['agents']);
  return success ? output : {};
}
