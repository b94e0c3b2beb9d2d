/**
 * The types of the AI SDK that this adapter needs. They are written out, so that one adapter takes models and tools of
 * several versions of the SDK, and needs none of its packages itself. `npm run frameworks` compares them with the SDK's.
 */

/** A language model, of specification version 2, 3 or 4. */
export interface LanguageModelLike {
  readonly specificationVersion: string;
  readonly provider: string;
  readonly modelId: string;
  readonly supportedUrls?: unknown;
  doGenerate(options: never): PromiseLike<unknown>;
  doStream(options: never): PromiseLike<unknown>;
}

/** An embedding model, of specification version 2, 3 or 4. */
export interface EmbeddingModelLike {
  readonly specificationVersion: string;
  readonly provider: string;
  readonly modelId: string;
  readonly maxEmbeddingsPerCall?: unknown;
  readonly supportsParallelCalls?: unknown;
  doEmbed(options: never): PromiseLike<unknown>;
}

/** A tool of the AI SDK. Tools without `execute` are executed by the client. */
export interface ToolLike {
  execute?: ((input: never, options: never) => unknown) | undefined;
}

/** The options of a call of a model, as far as this adapter reads them. */
export interface CallOptions {
  prompt?: unknown;
  responseFormat?: { type: string };
  abortSignal?: AbortSignal | undefined;
  headers?: unknown;
  [setting: string]: unknown;
}

/** A part of a streamed response. Text, reasoning and the input of tools come in deltas of an id. */
export interface StreamPart {
  type: string;
  id?: string;
  delta?: string;
  [field: string]: unknown;
}

/** A part of the content of a response. */
export interface ContentPart {
  type: string;
  text?: string;
  toolCallId?: string;
  toolName?: string;
  input?: unknown;
  [field: string]: unknown;
}

export interface StreamResult {
  stream: ReadableStream<StreamPart>;
  [field: string]: unknown;
}

/** A message of the conversation, as `generateText` and `streamText` take it. */
export interface ModelMessageLike {
  role: string;
  content: string | readonly ContentPart[];
}

/** One call of the model, with the tool calls that followed it. */
export interface StepLike {
  text: string;
  content: readonly ContentPart[];
  finishReason: string;
}

/** The result of `generateText` or `streamText`, whose fields are promises if it is a stream. */
export interface RunResult {
  readonly steps: PromiseLike<readonly object[]> | readonly object[];
  readonly response: PromiseLike<object> | object;
  readonly files?: PromiseLike<readonly object[]> | readonly object[];
  readonly output?: unknown;
  readonly experimental_output?: unknown;
  consumeStream?(): PromiseLike<void>;
}

/** The input that `run` passes to the agent. */
export interface RunInput {
  /** The conversation so far, with the message of this turn. */
  // oxlint-disable-next-line typescript/no-explicit-any -- the type of its messages differs between versions of the SDK
  messages: any[];
  /** Aborts with the turn. */
  abortSignal: AbortSignal;
}

/** An agent of the AI SDK, such as a `ToolLoopAgent`, or a function that calls `generateText` or `streamText`. */
export type RunnableAgent =
  | { stream(input: RunInput): PromiseLike<RunResult> }
  | ((input: RunInput) => RunResult | PromiseLike<RunResult>);
