/** The interface of a tool that the model may call, for MCP tools and tools in code. */
import type { FunctionCall, FunctionDeclaration } from '@google/genai';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import type { StepContext } from '../../agent.ts';

interface ToolHead {
  readonly declaration: FunctionDeclaration & { name: string };
  /** True: each call needs the user's approval. */
  readonly confirm?: boolean;
  /** True: not declared to the model, but calls that it has made before are answered. */
  readonly hidden?: boolean;
}

export interface Tool extends ToolHead {
  /** True: repeating a call is harmful, so a fenced "started" record precedes it (invariant 3). */
  readonly sideEffects?: boolean;
  /**
   * Set if calls may answer that their result is pending: how long it is waited for, and how much of it the model gets.
   * Each call then has a `callbackUrl`.
   */
  readonly later?: { seconds: number; maxChars: number };
  /** The MCP server that runs it. */
  readonly server?: string;
  /**
   * Called before each run of a call, and before clients learn about it.
   *
   * @throws {RetryableError | ParkedError | CredentialsError} if the call must wait
   */
  prepare?(): Promise<void>;
  /*   * The model gets the result, or the message of an error, unless that is one of shared/domain/errors.ts. The
   * call must end soon after the signal aborts.
   */
  call(
    args: JsonObject,
    context: ToolContext,
  ): Promise<Json | OutputWithFiles | PendingOutput | UnfinishedOutput>;
  /** Answers what a task asks with which its server has answered a call. */
  answerTask?(taskId: string, responses: JsonObject, signal: AbortSignal): Promise<void>;
}

/** Another agent: a call is a wait of the turn, not a step. */
export interface AgentCallTool extends ToolHead {
  /** Its name in the definition. */
  readonly agent: string;
  /** Longer text of an answer is cut. */
  readonly maxOutputChars: number;
}

export type DeclaredTool = Tool | AgentCallTool;

export interface ToolContext extends StepContext {
  /** Where the tool may send its result later. */
  callbackUrl?: string;
  /** Answers what an earlier call has asked. */
  answers?: { inputResponses: JsonObject; requestState?: string };
  /** Shows progress of the call to clients, at most once a second. */
  report?: (progress: string) => void;
}

/** A file that a tool returned. */
export type ToolFile = { mediaType: string; /** Base64. */ data: string; filename?: string };

/** The result of a tool that returns files: the model sees them and the user receives them. */
export class OutputWithFiles {
  readonly output: Json;
  readonly files: readonly ToolFile[];
  constructor(output: Json, files: readonly ToolFile[]) {
    this.output = output;
    this.files = files;
  }
}

/** The key of a result which says that the result is sent later, to the callback of the call. */
export const pendingKey = 'dev.longhaul/pending';

/** A tool sends its result later. */
export class PendingOutput {
  readonly isPending = true;
}

/** A call of an MCP tool that has not ended, as it is recorded: its server works on a task, or asks its user. */
export type UnfinishedCall = {
  server: string;
  /** The maximum length of the output. */
  maxChars: number;
  /** How long the result is waited for. */
  seconds: number;
  taskId?: string;
  /** The pause before the task is polled, as its server suggests. */
  pollSeconds?: number;
  /** The questions of the tool: requests for input of MCP. */
  requests?: JsonObject;
  requestState?: string;
};

export class UnfinishedOutput {
  readonly call: UnfinishedCall;
  constructor(call: UnfinishedCall) {
    this.call = call;
  }
}

export type ModelToolCall = FunctionCall & { name: string };

/** The response to a call, with the files that belong to it. */
export type ToolReply = { response: JsonObject; files?: ToolFile[] };
