/** `longhaul/ai-sdk`: agents of the AI SDK whose calls of models and tools are durable (docs/frameworks/ai-sdk.md). */
export { clientToolsKey, type ClientToolCall, type ClientToolResult } from './ai-sdk/run/client-tools.ts';
export { durable, type Durable } from './ai-sdk/durable.ts';
export type { DurableMiddleware } from './ai-sdk/model/middleware.ts';
export type { ToolOptions } from './ai-sdk/tools.ts';
export type {
  EmbeddingModelLike,
  LanguageModelLike,
  RunInput,
  RunnableAgent,
  RunResult,
  ToolLike,
} from './ai-sdk/types.ts';
