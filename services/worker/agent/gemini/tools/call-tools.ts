/**
 * Runs the calls of one reply concurrently, each as a durable step. The errors of a tool go to the model,
 * which may correct itself. Errors about the turn itself (lease, abort, parking, credentials) end the turn.
 * Calls that only the user can resolve are left pending.
 */
import { FatalError, LeaseLostError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { inSpan } from '#shared/runtime/spans.ts';
import { CredentialsError } from '../../errors.ts';
import type { PartnerWaits } from '../../partner-waits.ts';
import { NotRecordedError, type LoopTurn } from '../conversation/recorded-turn.ts';
import { askUser, getQuestion } from './ask-user.ts';
import { createCallProgress } from './call-progress.ts';
import { awaitResult, type LaterResult, type LaterResults, type OpenResult } from './later-results.ts';
import { callAgent, type AgentAnswer, type AgentQuestion } from './call-agent.ts';
import {
  PendingOutput,
  UnfinishedOutput,
  type AgentCallTool,
  type DeclaredTool,
  type ModelToolCall,
  type Tool,
  type ToolContext,
  type ToolReply,
  type UnfinishedCall,
} from './tool.ts';
import { answerTool, awaitUnfinished, toReply } from './unfinished-calls.ts';

/** A call to make. `approved`: it may run even if its tool needs the user's approval. */
export interface ToolCallRequest {
  call: ModelToolCall;
  approved: boolean;
  /** Continues a call of another agent, which waits for this answer. */
  answer?: AgentAnswer | undefined;
}

/** Why a call waits for the user; see conversation/pending-calls.ts. `agent`: also a tool that asks. */
export type PendingReason = 'ask' | 'confirm' | 'retry' | 'agent';

/** `asked`: what another agent waits for, if that is the reason. */
export type ToolCallOutcome =
  | (ToolReply & { ms: number })
  | { pending: PendingReason; asked?: AgentQuestion };

export interface CallBounds {
  /** Aborts when the working time is used up. */
  deadline: AbortSignal;
  /** Appended to the progress message: which reply of the model asks for the calls. */
  round: string;
  partnerWaits: PartnerWaits;
  later: LaterResults;
}

/** Returns the outcomes in the order of the calls. */
export async function callTools(
  turn: LoopTurn,
  calls: readonly ToolCallRequest[],
  tools: readonly DeclaredTool[],
  bounds: CallBounds,
): Promise<ToolCallOutcome[]> {
  const open: (OpenResult | undefined)[] = [];
  for (const request of calls) open.push(await openResult(turn, request, tools, bounds.later));
  // Each call starts its step before the next one does, so the steps are in the order of the calls.
  const running = calls.map((request, index) =>
    callTool(turn, request, tools, {
      ...bounds,
      open: open[index],
      taskName: bounds.later.nameTask(request.call.name),
    }),
  );
  // Waits for all of them, so that no call outlives the turn.
  const settled = await Promise.allSettled(running);
  for (const result of settled) if (result.status === 'rejected') throw result.reason;
  return Promise.all(running);
}

/** Opens the callback of a call whose tool may send its result later, unless the call waits for the user first. */
async function openResult(
  turn: LoopTurn,
  { call, approved }: ToolCallRequest,
  tools: readonly DeclaredTool[],
  later: LaterResults,
): Promise<OpenResult | undefined> {
  const tool = findTool(call.name, tools);
  if (tool === undefined || 'agent' in tool || (tool.confirm === true && !approved)) return undefined;
  return later.open(turn, tool);
}

function findTool(name: string, tools: readonly DeclaredTool[]): DeclaredTool | undefined {
  return tools.find(({ declaration }) => declaration.name === name);
}

interface OneCallBounds extends CallBounds {
  open: OpenResult | undefined;
  /** The name of the wait, if the call is answered with a task. */
  taskName: string;
  /** Answers what an earlier call has asked. */
  answers?: ToolContext['answers'];
}

async function callTool(
  turn: LoopTurn,
  { call, approved, answer }: ToolCallRequest,
  tools: readonly DeclaredTool[],
  bounds: OneCallBounds,
): Promise<ToolCallOutcome> {
  const { name, args = {} } = call;
  if (name === askUser.name) {
    if (getQuestion(call) !== undefined) return { pending: 'ask' };
    return {
      response: { error: 'Not asked: the question is missing. Set "question" to a non-empty string.' },
      ms: 0,
    };
  }
  const tool = findTool(name, tools);
  if (tool?.confirm === true && !approved) return { pending: 'confirm' };
  const calledAt = performance.now();
  try {
    if (tool !== undefined && 'agent' in tool)
      return await waitForAgent(turn, tool, args as JsonObject, answer);
    const answers =
      answer?.tool && (await answerTool(turn, bounds.taskName, answer.tool, answer.parts, tools));
    if (answers !== undefined && 'asked' in answers) return { pending: 'agent', asked: answers.asked };
    if (answers !== undefined && 'response' in answers) return { ...answers, ms: 0 };
    const { later, unfinished, ...reply } = await callInStep(turn, call, tool, tools, { ...bounds, answers });
    if (unfinished !== undefined) {
      const ended = await awaitUnfinished(turn, bounds.taskName, unfinished);
      return 'asked' in ended ? { pending: 'agent', asked: ended.asked } : { ...ended, ms: reply.ms };
    }
    if (later === undefined) return reply;
    const result = await awaitResult(turn, later, bounds.open);
    return { ...result, ms: reply.ms };
  } catch (error) {
    if (error instanceof NotRecordedError) return { pending: 'retry' };
    const server = tool !== undefined && 'server' in tool ? tool.server : undefined;
    if (error instanceof RetryableError && server !== undefined) bounds.partnerWaits.parked(server, calledAt);
    throw error;
  }
}

async function waitForAgent(
  turn: LoopTurn,
  tool: AgentCallTool,
  args: JsonObject,
  answer: AgentAnswer | undefined,
): Promise<ToolCallOutcome> {
  const reply = await callAgent(turn, tool, args, answer);
  // The time of a wait is not working time.
  return 'asked' in reply ? { pending: 'agent', asked: reply.asked } : { ...reply, ms: 0 };
}

/** `later`: set if the result is pending. `unfinished`: set if the server works on a task, or asks its user. */
type RecordedReply = ToolReply & { ms: number; later?: LaterResult; unfinished?: UnfinishedCall };

async function callInStep(
  turn: LoopTurn,
  call: ModelToolCall,
  tool: Tool | undefined,
  tools: readonly DeclaredTool[],
  { deadline, round, partnerWaits, open, answers }: OneCallBounds,
): Promise<RecordedReply> {
  const { name, args = {} } = call;
  const input = { name, args: args as JsonObject };
  return turn.step(
    `tool:${name}`,
    async (step) => {
      // Checked within the step: a finished call stays recorded even if its server no longer has the tool.
      if (tool === undefined) return { response: { error: describeUnknownTool(name, tools) }, ms: 0 };
      return partnerWaits.during({ partner: describe(tool) }, async (heard) => {
        await tool.prepare?.();
        heard();
        await turn.progress(`Calling ${name} …${round}`);
        const startedAt = performance.now();
        const signal = AbortSignal.any([step.signal, deadline]);
        const { report, close } = createCallProgress(turn, name);
        const context = {
          ...step,
          signal,
          ...(open && { callbackUrl: open.callback.url }),
          ...(answers && { answers }),
          report: (progress: string) => {
            heard();
            report(progress);
          },
        };
        try {
          const reply = await inToolSpan(call, () => run(tool, input.args, context, open));
          if (tool.server !== undefined && !('error' in reply.response)) partnerWaits.answered(tool.server);
          return { ...reply, ms: Math.round(performance.now() - startedAt) };
        } finally {
          await close();
        }
      });
    },
    { input, ...(tool?.sideEffects !== undefined && { sideEffects: tool.sideEffects }) },
  );
}

async function run(
  tool: Tool,
  args: JsonObject,
  step: ToolContext,
  open: OpenResult | undefined,
): Promise<Omit<RecordedReply, 'ms'>> {
  try {
    const result = await tool.call(args, step);
    if (result instanceof PendingOutput) {
      if (open === undefined) throw new Error('The result of the tool is pending, but it got no callback.');
      return { response: {}, later: open.later };
    }
    if (result instanceof UnfinishedOutput) return { response: {}, unfinished: result.call };
    return toReply(result);
  } catch (error) {
    // After an abort, its reason (the turn is lost or out of time) replaces the error of the tool.
    step.signal.throwIfAborted();
    if (concernsTurn(error)) throw error;
    return { response: { error: describeError(error) } };
  }
}

function describe({ declaration, server }: Tool): string {
  return `the tool ${declaration.name}${server === undefined ? '' : ` of the MCP server "${server}"`}`;
}

function describeUnknownTool(name: string, tools: readonly DeclaredTool[]): string {
  const visible = tools.filter(({ hidden }) => hidden !== true);
  const declared = visible.map(({ declaration }) => declaration.name).join(', ') || 'none';
  return `The function ${name} is not declared (declared functions: ${declared}).`;
}

function concernsTurn(error: unknown): boolean {
  return [LeaseLostError, FatalError, RetryableError, ParkedError, CredentialsError].some(
    (kind) => error instanceof kind,
  );
}

function describeError(error: unknown): Json {
  return (error instanceof Error ? error.message : String(error)).slice(0, maxErrorChars);
}

const maxErrorChars = 2000;

/** Runs a tool in a span under OpenTelemetry's semantic conventions for generative AI. */
async function inToolSpan<T extends ToolReply>(
  { id, name }: ModelToolCall,
  run: () => Promise<T>,
): Promise<T> {
  const attributes = {
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': name,
    'gen_ai.tool.type': 'function',
    ...(id !== undefined && { 'gen_ai.tool.call.id': id }),
  };
  return inSpan(`execute_tool ${name}`, { attributes }, async (span) => {
    const reply = await run();
    // A tool's error goes to the model and does not end the turn, so the span is where operators see it.
    if ('error' in reply.response) span.setAttribute('error.type', 'tool_error');
    return reply;
  });
}
