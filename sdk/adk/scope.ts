/** The turn that a piece of ADK runs in. Agents, models and tools are shared by all turns of a worker; this is not. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { StepContext, Turn } from '#services/worker/agent/agent.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import type { SavedArtifact } from './entries.ts';

/** A call of a tool, as its code sees it. */
export interface ToolCall extends StepContext {
  /** Accepts one POST of JSON: the result of a long-running tool. Undefined for other tools. */
  readonly callbackUrl: string | undefined;
}

export interface Scope {
  readonly turn: Turn;
  /** Distinguishes what runs side by side. */
  readonly path: string;
  /** The steps so far, by what they are. */
  readonly counts: Map<string, number>;
  /** The call of a tool, which is a step of its own. */
  readonly call?: ToolCall;
  /** Gets the artifacts that the call saves: they are recorded with it. */
  readonly saved?: SavedArtifact[];
  /** Follows what a recorded call has saved. */
  readonly restoreArtifact: (saved: SavedArtifact) => void;
  /** Ends the run of ADK, which turns errors into events. */
  readonly fail: (error: unknown) => void;
  /** Remembers why a model call has failed: ADK may continue without it. */
  readonly modelFailed: (error: unknown) => void;
}

const storage = new AsyncLocalStorage<Scope>();

export function getScope(): Scope | undefined {
  return storage.getStore();
}

export function runInScope<T>(scope: Scope, run: () => T): T {
  return storage.run(scope, run);
}

/** Adds to the path of what runs side by side. */
export function joinPath({ path }: Scope, ...more: (string | undefined)[]): string {
  return [path, ...more].filter((part) => part !== undefined && part !== '').join('/');
}

/**
 * Returns what identifies the next step of a name on a path, however fast other paths are: `matchInput` of a step.
 *
 * @param name of the agent, the tool or the node
 */
export function nextStep(
  { counts }: Scope,
  kind: string,
  name: string,
  path: string,
): { input: JsonObject; matchInput: true } {
  const key = JSON.stringify([kind, name, path]);
  const number = (counts.get(key) ?? 0) + 1;
  counts.set(key, number);
  return { input: { name, path, number }, matchInput: true };
}

/** Runs what may fail for a reason of the turn itself, and ends the run of ADK then. */
export async function endRunOnError<T>(scope: Scope, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    scope.fail(error);
    throw error;
  }
}

/**
 * Returns the turn that runs this code.
 *
 * @throws {Error} outside of an agent of `createAdkAgent`
 */
export function getTurn(): Turn {
  const scope = getScope();
  if (scope === undefined)
    throw new Error('No turn runs here: the code does not run in an agent of createAdkAgent.');
  return scope.turn;
}

/**
 * Returns the call of the tool that runs this code.
 *
 * @throws {Error} outside of a tool
 */
export function getToolCall(): ToolCall {
  const call = getScope()?.call;
  if (call === undefined) throw new Error('No call of a tool runs here.');
  return call;
}

/**
 * Runs a function once and records its result, for nodes of a workflow and for callbacks. In a tool it only runs the function,
 * because a call of a tool is a step.
 *
 * @param name the same each time that the turn runs. Branches that run side by side need different names
 * @returns the result, which must be JSON
 * @throws {Error} outside of an agent of `createAdkAgent`
 */
export async function step<T extends Json | void>(
  name: string,
  run: (step: StepContext) => Promise<T>,
): Promise<T> {
  const scope = getScope();
  if (scope === undefined)
    throw new Error('No turn runs here: the code does not run in an agent of createAdkAgent.');
  if (scope.call !== undefined) return run(scope.call);
  return scope.turn.step(`node:${name}`, run, nextStep(scope, 'node', name, scope.path));
}
