/** The types of the AI SDK's chats, as far as the transport needs them, written out as in ../types.ts. */
import type { Json } from '#shared/domain/message.ts';

/** A part of a `UIMessage`. Those of tools have the type `tool-NAME`, or `dynamic-tool`. */
export interface ChatPart {
  type: string;
  text?: string;
  /** The content of a file, usually a data URL. */
  url?: string;
  mediaType?: string;
  filename?: string | undefined;
  toolCallId?: string;
  state?: string;
  output?: unknown;
  errorText?: string | undefined;
  approval?: unknown;
}

/** A `UIMessage`. */
export interface ChatMessage {
  id: string;
  role: 'system' | 'user' | 'assistant';
  parts: readonly ChatPart[];
}

/** The `UIMessageChunk`s that the transport creates. */
export type ChatChunk =
  | { type: 'start'; messageId?: string; messageMetadata?: { taskId: string; contextId: string } }
  | { type: 'start-step' }
  | { type: 'reset-step' }
  | { type: 'finish-step' }
  | { type: 'text-start'; id: string }
  | { type: 'text-delta'; id: string; delta: string }
  | { type: 'text-end'; id: string }
  | { type: 'file'; url: string; mediaType: string }
  | { type: 'data-artifact'; id: string; data: Json }
  | { type: 'data-progress'; data: { text: string }; transient: true }
  | { type: 'tool-input-available'; toolCallId: string; toolName: string; input: unknown }
  | { type: 'tool-approval-request'; approvalId: string; toolCallId: string }
  | { type: 'tool-output-available'; toolCallId: string; output: unknown }
  | { type: 'tool-output-denied'; toolCallId: string }
  | { type: 'finish'; finishReason: 'stop' | 'tool-calls' }
  | { type: 'abort'; reason: string }
  | { type: 'error'; errorText: string };
