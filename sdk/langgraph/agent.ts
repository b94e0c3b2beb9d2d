/**
 * Runs a graph of LangGraph as an agent: each turn continues the thread of its context, from the last checkpoint.
 *
 *   message ─▶ input, or the answer to an interrupt ─▶ nodes ─▶ completed, or an interrupt: input-required
 *                                   ▲                    │
 *                                   └── crash: the turn runs again from the last checkpoint; tasks that have ended do not
 */
import { Command } from '@langchain/langgraph';
import type { RunnableConfig } from '@langchain/core/runnables';
import type { Agent, Turn, TurnOutcome } from '#services/worker/agent/agent.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { AnswerHandler } from './answer.ts';
import { RecordBarrier } from './barrier.ts';
import { toHumanMessage } from './input.ts';
import { readPending, readTasks, resumeChannel, toOutcome, toResumption } from './interrupts.ts';
import { complete, createAnswer } from './output.ts';
import { openRecord, type GraphRecord } from './record.ts';
import { assertShape, getShape } from './shape.ts';
import { toConfigurable } from './turn.ts';

/** The part of a compiled graph that all supported versions have. */
export interface CompiledGraph {
  nodes: Record<string, unknown>;
  checkpointer?: unknown;
  withConfig(config: RunnableConfig): CompiledGraph;
  stream(input: unknown, options: object): Promise<AsyncIterable<unknown>>;
  getState(config: RunnableConfig): Promise<GraphState>;
}

interface GraphState {
  values: unknown;
  next: readonly string[];
  tasks: readonly { id: string }[];
}

export interface GraphAgentOptions extends Pick<Agent, 'version' | 'compatibleWith' | 'definition'> {
  /** Returns the input of the graph for a new message. Default: `{ messages: [the message] }`. */
  input?: (turn: Turn) => unknown;
  /**
   * Returns how the turn ends for the values of a graph that has ended. Default: completed, with what the models have said as
   * its artifact.
   */
  output?: (values: never, turn: Turn) => TurnOutcome | Promise<TurnOutcome>;
  /** More values that nodes find in the `configurable` of their config. */
  configurable?: (turn: Turn) => Record<string, unknown>;
  /** The most supersteps of one run. Default: that of the graph. */
  recursionLimit?: number;
}

/** @param graph a compiled graph. Its turns use the checkpointer of their record in place of its own */
export function createGraphAgent(graph: CompiledGraph, options: GraphAgentOptions = {}): Agent {
  const { version, compatibleWith, definition } = options;
  return {
    ...(version !== undefined && { version }),
    ...(compatibleWith !== undefined && { compatibleWith }),
    ...(definition !== undefined && { definition }),
    run: (turn) => runTurn(graph, options, turn),
  };
}

interface GraphRun {
  app: CompiledGraph;
  config: RunnableConfig;
  options: GraphAgentOptions;
  turn: Turn;
  record: GraphRecord;
  answer: AnswerHandler;
}

async function runTurn(graph: CompiledGraph, options: GraphAgentOptions, turn: Turn): Promise<TurnOutcome> {
  const log = turn.openLog();
  const failure: GraphRecord['failure'] = {};
  const shape = getShape(graph.nodes);
  const answer = createAnswer(turn, log, failure);
  const record = await openRecord(turn, log, { answer, shape, failure });
  const isUnderWay = record.own.length > 0 || record.pending.length > 0;
  if (isUnderWay && record.shape !== undefined) assertShape(shape, record.shape);
  const app = graph.withConfig({});
  app.checkpointer = record.saver;
  const configurable = {
    ...options.configurable?.(turn),
    ...toConfigurable(turn),
    thread_id: record.thread,
  };
  const run: GraphRun = { app, config: { configurable }, options, turn, record, answer };
  const start = await getStart(run);
  if ('outcome' in start) return start.outcome;
  const atRest = await isAtRest(run);
  for (const text of getTexts(record, atRest)) answer.say(text);
  if (!atRest) await follow(run, start.input);
  return getOutcome(run);
}

/** Returns the input of the graph: null continues from the last checkpoint. */
async function getStart({
  app,
  config,
  options,
  turn,
  record: { own, pending },
}: GraphRun): Promise<{ input: unknown } | { outcome: TurnOutcome }> {
  const [first] = pending;
  if (first !== undefined) {
    const resumption = toResumption(first, turn.message);
    if ('remark' in resumption) return { outcome: toOutcome(first, resumption.remark) };
    // LangGraph keeps the answer with what the task writes next. Until then, it must be given again.
    const isTaken = own.some(
      (entry) =>
        'task' in entry &&
        (entry.task === first.task || entry.writes.some(([, channel]) => channel === resumeChannel)),
    );
    return { input: isTaken ? null : new Command({ resume: { [first.id]: resumption.value } }) };
  }
  if (own.some((entry) => 'values' in entry)) return { input: null };
  // The graph has stopped at a breakpoint.
  if (turn.number > 1 && (await app.getState(config)).next.length > 0) return { input: null };
  const input =
    options.input === undefined ? { messages: [await toHumanMessage(turn)] } : await options.input(turn);
  return { input };
}

/** Whether an earlier run of this turn has come to an interrupt, and only the end of the turn is missing. */
async function isAtRest({ app, config, record: { saver, thread, own } }: GraphRun): Promise<boolean> {
  if (own.length === 0 || (await readPending(saver, thread)).length === 0) return false;
  const tasks = await readTasks(saver, thread);
  const state = await app.getState(config);
  const noted = new Set(own.flatMap((entry) => ('task' in entry ? [entry.task] : [])));
  return state.tasks.every(({ id }) => {
    const task = tasks.get(id);
    return task !== undefined && noted.has(id) && (task.ended || task.interrupted.length > 0);
  });
}

/** Tasks that were interrupted run again, and say again what they have said. */
function getTexts({ own }: GraphRecord, atRest: boolean): string[] {
  return own.flatMap((entry) =>
    'task' in entry && (atRest || entry.writes.some(([index]) => index >= 0)) ? (entry.texts ?? []) : [],
  );
}

async function follow(
  { app, config, options, turn, answer, record: { failure, saver } }: GraphRun,
  input: unknown,
): Promise<void> {
  const { recursionLimit } = options;
  const barrier = new RecordBarrier(async () => {
    await saver.settled();
    if (failure.error !== undefined) throw failure.error as Error;
  });
  try {
    const stream = await app.stream(input, {
      ...config,
      callbacks: [answer, barrier],
      signal: turn.signal,
      // A checkpoint is recorded before the next superstep starts.
      durability: 'sync',
      // Nothing reads the stream: other modes would copy values of the graph after each superstep.
      streamMode: 'custom',
      ...(recursionLimit !== undefined && { recursionLimit }),
    });
    for await (const _chunk of stream);
  } catch (error) {
    throw failure.error ?? toTurnError(error);
  }
  if (failure.error !== undefined) throw failure.error as Error;
}

/** The same graph would fail again. */
function toTurnError(error: unknown): unknown {
  const { lc_error_code: code } = (error ?? {}) as { lc_error_code?: unknown };
  const isFinal =
    code === 'GRAPH_RECURSION_LIMIT' ||
    code === 'INVALID_CONCURRENT_GRAPH_UPDATE' ||
    code === 'INVALID_GRAPH_NODE_RETURN_VALUE';
  return isFinal && error instanceof Error ? new FatalError(error.message) : error;
}

async function getOutcome({
  app,
  config,
  options,
  turn,
  answer,
  record: { saver, thread },
}: GraphRun): Promise<TurnOutcome> {
  const [first] = await readPending(saver, thread);
  if (first !== undefined) return toOutcome(first);
  const { values, next } = await app.getState(config);
  if (next.length > 0) {
    return {
      state: 'TASK_STATE_INPUT_REQUIRED',
      message: `The graph has stopped before ${next.join(', ')}. Any message continues it.`,
    };
  }
  return options.output === undefined
    ? complete(turn, answer, values)
    : options.output(values as never, turn);
}
