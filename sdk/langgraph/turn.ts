/** The part of a turn that the nodes of a graph see. */
import type { RunnableConfig } from '@langchain/core/runnables';
import type { Turn } from '#services/worker/agent/agent.ts';

/** The key in the `configurable` of a config. */
const turnKey = 'longhaul_turn';

const fields = [
  'taskId',
  'contextId',
  'owner',
  'tenant',
  'number',
  'message',
  'references',
  'metadata',
  'definition',
  'acceptedOutputModes',
  'parentTaskId',
  'signal',
  'progress',
  'artifact',
  'openArtifact',
  'readHistory',
  'readFile',
  'reserveMemory',
] as const satisfies readonly (keyof Turn)[];

/**
 * The turn without steps and waits: nodes of a graph are recorded by its checkpointer, and wait with `interrupt`.
 */
export type GraphTurn = Pick<Turn, (typeof fields)[number]>;

export function toConfigurable(turn: Turn): Record<string, unknown> {
  const visible = Object.fromEntries(fields.map((field) => [field, turn[field]]));
  // LangChain may write a config to its traces.
  return { [turnKey]: { ...visible, toJSON: () => `[turn ${turn.number} of ${turn.taskId}]` } };
}

/**
 * Returns the turn that runs a node or a tool.
 *
 * @param config the second argument of the node or the tool
 * @throws {Error} if the graph does not run as an agent of `createGraphAgent`
 */
export function getTurn(config: RunnableConfig | undefined): GraphTurn {
  const turn = config?.configurable?.[turnKey] as GraphTurn | undefined;
  if (turn === undefined) throw new Error('The config has no turn: the graph does not run as an agent.');
  return turn;
}

/**
 * Returns a key that is the same each time that this node, or this call of a tool, runs for the same place in the thread. Pass
 * it to every service that the node changes: a node that was interrupted by a crash runs again.
 *
 * @param config the second argument of the node or the tool
 * @throws {Error} if the graph does not run as an agent of `createGraphAgent`
 */
export function getIdempotencyKey(config: RunnableConfig | undefined): string {
  const { taskId } = getTurn(config);
  const { toolCall } = (config ?? {}) as { toolCall?: { id?: string } };
  const { checkpoint_ns: path } = (config?.configurable ?? {}) as { checkpoint_ns?: string };
  return [taskId, path ?? '', toolCall?.id].filter((part) => part !== undefined).join('/');
}
