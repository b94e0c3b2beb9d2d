/**
 * Runs an agent or a workflow of ADK as an agent: model calls and calls of tools are steps of the turn, also those of agents
 * below, and the session is that of the context.
 *
 *   sessions of earlier turns ─▶ run: model ─▶ tools ─▶ model … ─▶ what the session has gained is recorded ─▶ outcome
 */
import {
  App,
  Runner,
  StreamingMode,
  type BaseMemoryService,
  type BasePlugin,
  type RunConfig,
  type RunnableNode,
} from '@google/adk';
import type { Agent, Turn, TurnOutcome } from '#services/worker/agent/agent.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { TurnArtifacts } from './artifacts.ts';
import type { SessionRecord } from './entries.ts';
import { TurnOutput } from './output.ts';
import { toGeminiPart, type Content } from './parts.ts';
import { DurablePlugin } from './plugin.ts';
import { findRequests, toAnswer, toRequestOutcome } from './requests.ts';
import { runInScope, type Scope } from './scope.ts';
import { readRecords, restoreSessions, sessionStep, TurnSessions, type EarlierRecord } from './sessions.ts';

export interface AdkAgentOptions extends Pick<Agent, 'version' | 'compatibleWith' | 'definition'> {
  /** More plugins. Those of an `App` are used too. */
  plugins?: BasePlugin[];
  memoryService?: BaseMemoryService;
  /** Default: models stream. */
  runConfig?: RunConfig;
}

/** @param root an agent, a workflow or another node, or an `App` with one */
export function createAdkAgent(root: RunnableNode | App, options: AdkAgentOptions = {}): Agent {
  const { version, compatibleWith, definition } = options;
  return {
    ...(version !== undefined && { version }),
    ...(compatibleWith !== undefined && { compatibleWith }),
    ...(definition !== undefined && { definition }),
    run: (turn) => runTurn(root, options, turn),
  };
}

async function runTurn(root: RunnableNode | App, options: AdkAgentOptions, turn: Turn): Promise<TurnOutcome> {
  const app = getName(root);
  const records = await readRecords(turn);
  const content: Content = { role: 'user', parts: [] };
  for (const part of turn.message.parts) content.parts?.push(await toGeminiPart(turn, part));
  const requests = findOpenRequests(turn, records, app);
  const answer = requests.length === 0 ? { content } : toAnswer(requests, turn.message, content);
  if ('remark' in answer) {
    // Nothing has happened in the session.
    await turn.step(sessionStep, async () => ({ states: {}, entries: [], artifacts: [] }));
    return toRequestOutcome(requests, answer.remark);
  }
  const sessions = new TurnSessions(turn.owner, turn.contextId);
  const artifacts = new TurnArtifacts(turn);
  for (const { record } of records) artifacts.restoreEarlier(record?.artifacts ?? []);
  await restoreSessions(turn, { sessions, app, records: records.filter(({ record }) => !isEmpty(record)) });
  const output = await runAdk(root, { options, turn, app, sessions, artifacts, content: answer.content });
  const recorded = (await turn.step(sessionStep, async () => ({
    ...(await sessions.toRecord(turn)),
    artifacts: artifacts.entries,
  }))) as SessionRecord;
  const open = findRequests(recorded.entries, app);
  if (open.length > 0) return toRequestOutcome(open);
  await output.finish(app);
  return { state: 'TASK_STATE_COMPLETED' };
}

function getName(root: RunnableNode | App): string {
  const { name } = root as { name?: unknown };
  return typeof name === 'string' && name !== '' ? name : 'agent';
}

/** A turn whose message decided nothing has changed nothing. */
function isEmpty(record: SessionRecord | undefined): boolean {
  return record !== undefined && record.entries.length === 0;
}

function findOpenRequests(turn: Turn, records: readonly EarlierRecord[], app: string) {
  const last = records.findLast(({ record }) => record !== undefined && !isEmpty(record));
  return last?.taskId === turn.taskId ? findRequests(last.record?.entries ?? [], app) : [];
}

interface AdkRun {
  options: AdkAgentOptions;
  turn: Turn;
  app: string;
  sessions: TurnSessions;
  artifacts: TurnArtifacts;
  content: Content;
}

/** @throws the error of the turn, or of a model, which ADK has turned into an event */
async function runAdk(
  root: RunnableNode | App,
  { options, turn, app, sessions, artifacts, content }: AdkRun,
): Promise<TurnOutput> {
  const { plugins = [], memoryService, runConfig } = options;
  const stop = new AbortController();
  const failed: { turn?: unknown; model?: unknown } = {};
  const scope: Scope = {
    turn,
    path: '',
    counts: new Map<string, number>(),
    restoreArtifact: (saved) => artifacts.restore(saved),
    fail: (error) => {
      failed.turn ??= error;
      stop.abort(error);
    },
    modelFailed: (error) => {
      failed.model = error;
    },
  };
  const runner = new Runner({
    ...(root instanceof App ? { app: root } : { appName: app, agent: root }),
    plugins: [new DurablePlugin(), ...plugins],
    sessionService: sessions,
    artifactService: artifacts,
    ...(memoryService !== undefined && { memoryService }),
  });
  const output = new TurnOutput(turn);
  await runInScope(scope, async () => {
    const events = runner.runAsync({
      userId: turn.owner,
      sessionId: turn.contextId,
      newMessage: content,
      runConfig: { streamingMode: StreamingMode.SSE, ...runConfig },
      abortSignal: AbortSignal.any([turn.signal, stop.signal]),
    });
    for await (const event of events) {
      const { errorCode, errorMessage, content: said } = event;
      if (errorCode !== undefined && said === undefined) {
        if (failed.turn === undefined && failed.model === undefined) {
          const text = `The agent has failed with ${errorCode}: ${errorMessage ?? 'no message'}`;
          // If the code has changed, this says so.
          await turn.step('failed', async () => text);
          throw new FatalError(text);
        }
        throw failed.turn ?? failed.model;
      }
      failed.model = undefined;
      output.write(event);
    }
  }).catch((error: unknown) => {
    throw failed.turn ?? failed.model ?? error;
  });
  if (failed.turn !== undefined) throw failed.turn as Error;
  turn.signal.throwIfAborted();
  return output;
}
