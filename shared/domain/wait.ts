/** Waits: steps of a turn that end without a worker, at a time or by a call. */
import type { Json, JsonObject } from './message.ts';

/** The stored form of a wait. */
export type Wait =
  | { kind: 'sleep' }
  /** `schema`: the JSON Schema of the answer. */
  | { kind: 'callback'; schema?: JsonObject }
  /** `group`: the children; `needed`: how many of them must have ended. */
  | { kind: 'children'; group: string; needed: number }
  /**
   * A call of the model that runs at Google: it is polled when the wait is due. `interaction`: its id, once Gemini's
   * webhook or a poll has reported it. `streams`: its turn polls it, because it reads its stream. Others are polled apart
   * from their turns. `cursor`: how much of its stream is stored.
   */
  | { kind: 'model'; interaction?: string; streams?: true; cursor?: StreamCursor }
  | AgentWait;

/** How much of the stream of a call is stored. Another run of the turn continues after it. */
export interface StreamCursor {
  /** The id of the last event that is stored. */
  event: string;
  /** Characters of the reply in its artifact. */
  chars: number;
}

/** Precedes the name of an MCP server in a wait for a task of its tools. */
export const toolTaskPrefix = 'mcp:';
/** Precedes the name of a tool in the name of that wait. */
export const toolWaitPrefix = 'task:';

/** A call of another A2A agent, or a task of an MCP server: it is polled when the wait is due. */
export interface AgentWait {
  kind: 'agent';
  /** Its name in the definition; that of an MCP server with `toolTaskPrefix`. */
  agent: string;
  /** The secret that its notifications must have. Absent: it sends none. */
  secret?: string;
  /** The task that the other agent has created. Absent: the message may not have been sent yet. */
  task?: string;
  /** The task that a notification has named before `task` was recorded. */
  reported?: string;
  /** The task waits for the answer of our caller. */
  asks?: true;
  /** The agent has asked for no request before this time, in ISO 8601. */
  busyUntil?: string;
  /** The conversation of the other agent: as the message names it, then as its answer does. For gateways. */
  context?: string;
  /** The task of the other agent that the message continues. For gateways. */
  continues?: string;
  /** How much of the other task our clients have got. For gateways, from the first record. */
  shown?: ShownOutput;
}

/** How much of the output of another agent's task is stored in ours. Another run of the turn continues after it. */
export interface ShownOutput {
  /** The hash of its last status message. */
  status?: string;
  /** By the id of the artifact in our task. */
  artifacts: Record<string, ShownArtifact>;
  /** Our ids, by those of the other agent, if they differ. */
  ids?: Record<string, string>;
  /** Follows the ids of this task, so that they differ from those of earlier tasks of the other agent. */
  suffix?: string;
  /** Our ids of the artifacts of a task that was lost. They are given to those of its successor. */
  lost?: string[];
  /** How often the message was sent again because its task was lost. */
  resends?: number;
}

/** `hash`: of the content that is stored: so many parts, of whose last text so many characters. */
export interface ShownArtifact {
  parts: number;
  chars: number;
  hash: string;
  /** The hash of its name, description and metadata. */
  head: string;
  closed?: true;
}

/** How a callback ended. */
export type CallbackResult = { status: 'answered'; body: Json } | { status: 'timed_out' };

/** The longest wait: 366 days. */
export const maxWaitSeconds = 366 * 86_400;

/** The most that the answer to a callback may contain, in bytes of JSON. */
export const maxAnswerBytes = 256 * 1024;

/**
 * The key in the metadata of a status message under which a waiting task lists its waits
 * (docs/develop/waits.md).
 */
export const waitsExtension = 'https://longhaul.dev/ext/waits/v1';

/** The path of the address that answers a callback, on the front door. */
export const callbacksPath = '/callbacks';

export function createCallbackUrl(publicUrl: string, token: string): string {
  return `${publicUrl}${callbacksPath}/${token}`;
}

/** The path of the address that the notifications of other agents call, on the front door. */
export const agentNotificationsPath = `${callbacksPath}/agents`;

/** @param token names the wait */
export function createAgentNotificationUrl(publicUrl: string, token: string): string {
  return `${publicUrl}${agentNotificationsPath}/${token}`;
}

/** The path of the address that Gemini's webhooks call, on the front door. */
export const geminiWebhooksPath = '/gemini/webhooks';

/** @param token names the wait */
export function createGeminiWebhookUrl(publicUrl: string, token: string): string {
  return `${publicUrl}${geminiWebhooksPath}/${token}`;
}

/** The key in `user_metadata` under which a webhook that is registered for a project names the wait by its token. */
export const webhookTokenKey = 'longhaul_token';

/**
 * Returns after how many seconds a call at Google is polled again: after half of its age, from 2 to 60 s. An hour takes
 * about 70 polls.
 */
export function getPollSeconds(ageSeconds: number): number {
  return Math.min(pollSeconds.longest, Math.max(pollSeconds.shortest, ageSeconds / 2));
}

/** The time between two polls. */
export const pollSeconds = { shortest: 2, longest: 60 } as const;

/** The same for the task of another agent: from 10 s to 5 minutes if it also sends notifications. */
export function getAgentPollSeconds(ageSeconds: number, notifies: boolean): number {
  return notifies ? Math.min(300, Math.max(10, ageSeconds / 2)) : getPollSeconds(ageSeconds);
}

/** The step that records whether a call waits in a batch, as `{ queued }`, with the occurrence of its wait. */
export const batchStep = 'batch';

/** The step that records a call at Google as `{ id }`, with the occurrence of its wait. */
export const interactionStep = 'interaction';
