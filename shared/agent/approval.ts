/**
 * The extension with which a user approves a tool call, within the protocol (A2A section 7.6). It applies to
 * tools that the agent's definition lists under `confirm`. The task waits in auth-required, and its status
 * message contains a data part
 *
 *   {"<uri>": {"requests": [{"id", "tool", "arguments", "argumentsHash"}]}}
 *
 * The user answers with a message to the same task. Its metadata or one of its data parts contains
 *
 *   {"<uri>": {"decisions": [{"id", "argumentsHash", "approve": true | false, "reason"?}]}}
 *
 * A decision applies to that one call with those arguments, and to no other.
 */
import * as v from 'valibot';
import type { Json, JsonObject, Message, Part } from '../domain/message.ts';
import { canonicalHash } from './canonical-hash.ts';

export const approvalExtension = 'https://longhaul.dev/ext/approval/v1';

export interface ApprovalRequest {
  id: string;
  tool: string;
  arguments: JsonObject;
  argumentsHash: string;
}

const Decision = v.object({
  id: v.string(),
  argumentsHash: v.string(),
  approve: v.boolean(),
  reason: v.exactOptional(v.string()),
});
const Decisions = v.object({ decisions: v.array(Decision) });
export type Decision = v.InferOutput<typeof Decision>;

export function createApprovalRequest(id: string, tool: string, args: JsonObject): ApprovalRequest {
  return { id, tool, arguments: args, argumentsHash: canonicalHash({ tool, arguments: args }) };
}

export function createApprovalPart(requests: readonly ApprovalRequest[]): Part {
  const data = { [approvalExtension]: { requests: requests.map((request) => ({ ...request })) } };
  return { data, mediaType: 'application/json' };
}

export function isApprovalPart({ data }: Part): boolean {
  return parseDecisions(data) !== undefined;
}

/** Returns the decisions of a message, or undefined if it has no valid content of this extension. */
export function readDecisions({
  metadata,
  parts,
}: Pick<Message, 'metadata' | 'parts'>): Decision[] | undefined {
  const found = [metadata, ...parts.map(({ data }) => data)].map(parseDecisions);
  return found.some((decisions) => decisions !== undefined)
    ? found.flatMap((decisions) => decisions ?? [])
    : undefined;
}

function parseDecisions(value: Json | undefined): Decision[] | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const content = value[approvalExtension];
  return v.is(Decisions, content) ? content.decisions : undefined;
}
