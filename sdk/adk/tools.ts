/**
 * Calls of tools as steps. The effects of a tool on its context (state, artifacts, transfer, approval) are recorded with its
 * result, and repeated when the turn runs again.
 */
import {
  isAgentTool,
  NodeTool,
  type BaseTool,
  type Context,
  type EventActions,
  type RunAsyncToolRequest,
} from '@google/adk';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { toJson, type SavedArtifact } from './entries.ts';
import {
  endRunOnError,
  getScope,
  joinPath,
  nextStep,
  runInScope,
  type Scope,
  type ToolCall,
} from './scope.ts';

const durable = new WeakSet<BaseTool>();

/** How long a long-running tool is waited for: the default of `turn.callback`. */
const defaultPendingSeconds = 7 * 86_400;

type Recorded = {
  result?: Json;
  error?: { name: string; message: string };
  actions: JsonObject;
  saved?: SavedArtifact[];
  /** The tool sends its result to its callback. */
  pending?: true;
};

/** Replaces `runAsync` of a tool, which outside of turns runs as before. */
export function makeDurable(tool: BaseTool): void {
  if (durable.has(tool)) return;
  durable.add(tool);
  const run = tool.runAsync.bind(tool);
  tool.runAsync = async (request) => {
    const scope = getScope();
    if (scope === undefined || scope.call !== undefined) return run(request);
    if (runsSteps(tool)) {
      const path = joinPath(scope, request.toolContext.invocationContext.branch, tool.name);
      return runInScope({ ...scope, path }, () => run(request));
    }
    if (await waitsForApproval(tool, request)) return run(request);
    return runInStep(scope, tool, run, request);
  };
}

/** Agents and nodes as tools run steps of their own. */
function runsSteps(tool: BaseTool): boolean {
  return isAgentTool(tool) || tool instanceof NodeTool;
}

/** Whether the call only asks for an approval, or was refused: the tool does not run. */
async function waitsForApproval(
  tool: BaseTool,
  { args, toolContext }: RunAsyncToolRequest,
): Promise<boolean> {
  if (toolContext.toolConfirmation !== undefined) return !toolContext.toolConfirmation.confirmed;
  try {
    return await tool.checkRequireConfirmation(args, toolContext);
  } catch {
    // The arguments are not valid: the call fails in the same way.
    return false;
  }
}

async function runInStep(
  scope: Scope,
  tool: BaseTool,
  run: BaseTool['runAsync'],
  { args, toolContext }: RunAsyncToolRequest,
): Promise<unknown> {
  const { turn } = scope;
  const path = joinPath(scope, toolContext.invocationContext.branch);
  const callback = tool.isLongRunning
    ? await endRunOnError(scope, () =>
        turn.callback(path === '' ? `result:${tool.name}` : `result:${tool.name}@${path}`, {
          timeoutSeconds: defaultPendingSeconds,
        }),
      )
    : undefined;
  let hasRun = false;
  const recorded = await endRunOnError(scope, () =>
    turn.step(
      `tool:${tool.name}`,
      async (step) => {
        hasRun = true;
        const call = createCall(step, callback?.url);
        const outcome = await runCall(scope, call, () => run({ args, toolContext }));
        step.signal.throwIfAborted();
        const result: Recorded = { ...outcome, actions: toJson({ ...toolContext.actions }) as JsonObject };
        if (call.isCallbackUsed()) result.pending = true;
        return result;
      },
      { ...nextStep(scope, 'tool', tool.name, path), sideEffects: true },
    ),
  );
  const { result, error, actions, saved = [], pending } = recorded as Recorded;
  if (!hasRun) {
    repeat(actions, toolContext);
    for (const artifact of saved) scope.restoreArtifact(artifact);
  }
  if (error !== undefined) throw Object.assign(new Error(error.message), { name: error.name });
  if (pending !== true || callback === undefined) return result;
  if (result !== undefined && result !== null) await turn.progress(`${tool.name}: ${JSON.stringify(result)}`);
  const answer = await endRunOnError(scope, async () => callback.result);
  return answer.status === 'answered'
    ? answer.body
    : { error: `The tool did not send its result within ${defaultPendingSeconds} s.` };
}

type StepCall = ToolCall & { isCallbackUsed: () => boolean };

function createCall(
  { idempotencyKey, signal }: Pick<ToolCall, 'idempotencyKey' | 'signal'>,
  url: string | undefined,
): StepCall {
  let isUsed = false;
  return {
    idempotencyKey,
    signal,
    get callbackUrl() {
      isUsed = true;
      return url;
    },
    isCallbackUsed: () => isUsed && url !== undefined,
  };
}

async function runCall(
  scope: Scope,
  call: ToolCall,
  run: () => Promise<unknown>,
): Promise<Pick<Recorded, 'result' | 'error' | 'saved'>> {
  const saved: SavedArtifact[] = [];
  try {
    const result = await runInScope({ ...scope, call, saved }, run);
    return { ...(result !== undefined && { result: toJson(result) }), ...(saved.length > 0 && { saved }) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { error: { name, message }, ...(saved.length > 0 && { saved }) };
  }
}

/** Does to the context of a call what the recorded run has done. */
function repeat({ stateDelta = {}, ...actions }: JsonObject, context: Context): void {
  context.state.update(stateDelta as Record<string, unknown>);
  const target = context.actions as unknown as Record<keyof EventActions, unknown>;
  for (const [field, value] of Object.entries(actions) as [keyof EventActions, Json][]) {
    target[field] =
      typeof value === 'object' && !Array.isArray(value) ? { ...(target[field] as object), ...value } : value;
  }
}
