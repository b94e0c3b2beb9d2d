/** Tools that the client executes: how a task asks for their results, and how the client sends them. */
import type { Json } from '#shared/domain/message.ts';

/**
 * The key of a data part. The status message of a task in input-required has `{"calls": ClientToolCall[]}` under it, and
 * the client's answer `{"results": ClientToolResult[]}`.
 */
export const clientToolsKey = 'https://longhaul.dev/ext/client-tools/v1';

export interface ClientToolCall {
  toolCallId: string;
  toolName: string;
  input: Json;
}

/** The output of a tool, or the message of its error, for the model. */
export type ClientToolResult = { toolCallId: string; output: Json } | { toolCallId: string; error: string };
