/**
 * The extension by which a user approves, in-band, a call of a tool that the agent's definition marks `confirm`
 * (A2A section 7.6). The task waits in auth-required; the message of its status has a data part
 *
 *   {"<uri>": {"requests": [{"id", "tool", "arguments", "argumentsHash"}]}}
 *
 * and is answered by a message to the same task that has, in a data part or in its metadata,
 *
 *   {"<uri>": {"decisions": [{"id", "argumentsHash", "approve": true | false, "reason"?}]}}
 *
 * A decision holds for that one call with those arguments and for no other.
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

export function approvalRequest(id: string, tool: string, args: JsonObject): ApprovalRequest {
  return { id, tool, arguments: args, argumentsHash: canonicalHash({ tool, arguments: args }) };
}

export function approvalPart(requests: readonly ApprovalRequest[]): Part {
  const data = { [approvalExtension]: { requests: requests.map((request) => ({ ...request })) } };
  return { data, mediaType: 'application/json' };
}

export function isApprovalPart({ data }: Part): boolean {
  return decisionsOf(data) !== undefined;
}

/** The decisions in a message; undefined where it has none of this extension's form. */
export function decisionsIn({
  metadata,
  parts,
}: Pick<Message, 'metadata' | 'parts'>): Decision[] | undefined {
  const found = [metadata, ...parts.map(({ data }) => data)].flatMap((value) => decisionsOf(value) ?? []);
  const any = decisionsOf(metadata) !== undefined || parts.some(isApprovalPart);
  return any ? found : undefined;
}

function decisionsOf(value: Json | undefined): Decision[] | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const content = value[approvalExtension];
  return v.is(Decisions, content) ? content.decisions : undefined;
}
