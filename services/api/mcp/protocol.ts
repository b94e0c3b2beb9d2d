/** Names of MCP, and the shapes of its tasks that the SDK does not have: SEP-2663, and the experimental ones of 2025-11-25. */
import type { CallToolResult } from '@modelcontextprotocol/server';
import type { TaskStatus } from '#shared/domain/events.ts';
import type { Artifact, JsonObject } from '#shared/domain/message.ts';

export const mcpPath = '/mcp';

export const tasksExtension = 'io.modelcontextprotocol/tasks';
export const clientCapabilitiesKey = 'io.modelcontextprotocol/clientCapabilities';
export const serverInfoKey = 'io.modelcontextprotocol/serverInfo';
export const subscriptionIdKey = 'io.modelcontextprotocol/subscriptionId';
export const relatedTaskKey = 'io.modelcontextprotocol/related-task';
/** In `_meta` of a call: calls with the same key start one task. Ours, because MCP has none. */
export const idempotencyKeyMeta = 'dev.longhaul/idempotencyKey';

/** The capabilities that a request declares. */
export interface ClientCapabilities {
  elicitation?: { form?: object; url?: object } | null;
  extensions?: Record<string, unknown>;
}

export function declaresTasks(capabilities: ClientCapabilities | undefined): boolean {
  const declared = capabilities?.extensions?.[tasksExtension];
  return typeof declared === 'object' && declared !== null;
}

/** Whether the client shows forms. An empty capability is that of revisions before `url` (MCP, client/elicitation). */
export function showsForms(capabilities: ClientCapabilities | undefined): boolean {
  const { elicitation } = capabilities ?? {};
  return (
    elicitation !== undefined &&
    elicitation !== null &&
    (elicitation.form !== undefined || elicitation.url === undefined)
  );
}

export type McpTaskStatus = 'working' | 'input_required' | 'completed' | 'cancelled' | 'failed';

/** A request for input of the user, in the form of revision 2026-07-28. */
export interface ElicitationRequest {
  method: 'elicitation/create';
  params: { mode: 'form'; message: string; requestedSchema: JsonObject };
}

/** SEP-2663, "Tasks". */
export interface McpTask {
  taskId: string;
  status: McpTaskStatus;
  statusMessage?: string;
  createdAt: string;
  lastUpdatedAt: string;
  /** Milliseconds from `createdAt`; null: unlimited. */
  ttlMs: number | null;
  pollIntervalMs: number;
}

/** SEP-2663, "Task Status": what `tasks/get` returns. */
export interface DetailedMcpTask extends McpTask {
  inputRequests?: Record<string, ElicitationRequest>;
  result?: CallToolResult;
}

/** MCP 2025-11-25, basic/utilities/tasks. */
export interface LegacyMcpTask extends Omit<McpTask, 'ttlMs' | 'pollIntervalMs'> {
  ttl: number | null;
  pollInterval: number;
}

/** A task in the JSON form of A2A 1.0, as the operations return it: without empty lists. */
export interface TaskJson {
  id: string;
  contextId: string;
  status: TaskStatus;
  artifacts?: Artifact[];
  metadata?: JsonObject;
}
