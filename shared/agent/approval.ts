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
 * A decision applies to that one call with those arguments, and to no other. A plain "yes" or "no" as the text of the
 * message decides a call that is pending alone.
 */
import * as v from 'valibot';
import { textOf, type Json, type JsonObject, type Message, type Part } from '../domain/message.ts';
import { approvalExtension } from './approval-extension.ts';
import { canonicalHash } from './canonical-hash.ts';

export { approvalExtension };

export type ApprovalRequest = {
  id: string;
  tool: string;
  arguments: JsonObject;
  argumentsHash: string;
};

const Text = v.string('must be a string');
const Decision = v.object(
  {
    id: Text,
    argumentsHash: Text,
    approve: v.boolean('must be true or false'),
    reason: v.exactOptional(Text),
  },
  ({ expected }) => (expected === 'Object' ? 'must be an object' : 'is missing'),
);
const Decisions = v.object({ decisions: v.array(Decision, 'must be a list of decisions') }, ({ expected }) =>
  expected === 'Object' ? 'must be an object with decisions' : 'is missing',
);
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

const approvals = ['yes', 'y', 'ok', 'okay', 'approve', 'approved'];
const refusals = ['no', 'n', 'refuse', 'refused', 'reject', 'rejected', 'deny', 'denied'];

/**
 * Returns whether a message approves or refuses in one plain word: its only content, in any case, perhaps with a full
 * stop or an exclamation mark. Undefined: neither.
 */
export function readPlainDecision(parts: readonly Part[]): boolean | undefined {
  if (parts.some(({ text }) => text === undefined)) return undefined;
  const word = textOf(parts)
    .trim()
    .toLowerCase()
    .replace(/[.!]+$/, '');
  if (approvals.includes(word)) return true;
  return refusals.includes(word) ? false : undefined;
}

/**
 * Returns what a message decides about one call; undefined: nothing, or it decides the call with other arguments.
 *
 * @param alone no other call is pending, so a plain word decides this one
 */
export function findDecision(
  message: Pick<Message, 'metadata' | 'parts'>,
  { id, argumentsHash }: Pick<ApprovalRequest, 'id' | 'argumentsHash'>,
  alone: boolean,
): Pick<Decision, 'approve' | 'reason'> | undefined {
  const decisions = readDecisions(message);
  if (decisions !== undefined) {
    return decisions.find((decision) => decision.id === id && decision.argumentsHash === argumentsHash);
  }
  const approve = alone ? readPlainDecision(message.parts) : undefined;
  return approve === undefined ? undefined : { approve };
}

/**
 * Returns the text that asks for the approval of calls.
 *
 * @param pending the number of calls that are pending. Default: these
 */
export function askForApproval(requests: readonly ApprovalRequest[], pending = requests.length): string {
  const listed = requests.map(({ tool, arguments: args }) => `- ${tool} ${JSON.stringify(args)}`);
  const how =
    pending === 1
      ? `Reply "yes" or "no", or decide with the extension ${approvalExtension}.`
      : `Decide each call with the extension ${approvalExtension}.`;
  return `The agent asks for your approval to call:\n${listed.join('\n')}\nIt makes no call until you approve. ${how}`;
}

/** Whether JSON of a message belongs to this extension, even if it is not valid. */
export function hasApprovalContent(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, approvalExtension);
}

/** Returns the field and the problem of content that is not valid; undefined: it is valid, or there is none. */
export function findApprovalProblem(value: unknown): string | undefined {
  if (!hasApprovalContent(value)) return undefined;
  const content = (value as JsonObject)[approvalExtension];
  const issue = v.safeParse(Decisions, content).issues?.[0];
  if (issue === undefined) return undefined;
  const path = v.getDotPath(issue);
  return `["${approvalExtension}"]${path === null ? '' : `.${path}`} ${issue.message}`;
}

function parseDecisions(value: Json | undefined): Decision[] | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const content = value[approvalExtension];
  return v.is(Decisions, content) ? content.decisions : undefined;
}
