/** The messages to other agents: the same each time that a message is sent. */
import { createHash } from 'node:crypto';
import { hopsExtension, readHops } from '#shared/agent/hops.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import type { JsonObject, Part } from '#shared/domain/message.ts';
import { createAgentNotificationUrl, type AgentWait } from '#shared/domain/wait.ts';
import type { CallOptions } from '../../agent/agent.ts';
import type { RemoteMessage } from '../../agent/remote/agent.ts';
import type { StepIdentity } from '../record.ts';

interface Sender {
  lease: Lease;
  /** Metadata of the request that created our task. */
  metadata: JsonObject;
  publicUrl: string | undefined;
}

/** The fields that a gateway passes on next to the parts of a message. */
export interface RelayedMessage extends Pick<RemoteMessage, 'more' | 'acceptedOutputModes'> {
  requestMetadata: JsonObject;
}

export function createMessage(
  { lease, metadata, publicUrl }: Sender,
  identity: StepIdentity,
  call: CallOptions & Partial<RelayedMessage> & { message: Part[] | string; wait: AgentWait; token: string },
): RemoteMessage {
  const { message, taskId, contextId, wait, token, more, acceptedOutputModes } = call;
  return {
    messageId: createMessageId(lease, identity),
    parts: typeof message === 'string' ? [{ text: message }] : message,
    taskId,
    contextId,
    metadata: { ...call.requestMetadata, [hopsExtension]: (readHops(metadata) ?? 0) + 1 },
    more,
    acceptedOutputModes,
    notify:
      publicUrl !== undefined && wait.secret !== undefined
        ? { url: createAgentNotificationUrl(publicUrl, token), secret: wait.secret }
        : undefined,
  };
}

/** Returns what is needed to look for the task of a message that was sent. */
export function createSoughtMessage(
  call: Pick<Lease, 'taskId' | 'turn'> &
    Pick<StepIdentity, 'name' | 'occurrence'> & { continues: string | null; context: string | null },
): RemoteMessage {
  const { continues, context } = call;
  return {
    messageId: createMessageId(call, call),
    taskId: continues ?? undefined,
    contextId: context ?? undefined,
    parts: [],
    metadata: {},
    notify: undefined,
  };
}

/** Returns a UUID (RFC 9562, version 8), because some agents accept no other ids. */
function createMessageId(
  { taskId, turn }: Pick<Lease, 'taskId' | 'turn'>,
  { name, occurrence }: Pick<StepIdentity, 'name' | 'occurrence'>,
): string {
  const hash = createHash('sha256').update(`${taskId}/${turn}/${name}/${occurrence}`).digest();
  hash.writeUInt8((hash.readUInt8(6) % 16) + 0x80, 6);
  hash.writeUInt8((hash.readUInt8(8) % 64) + 0x80, 8);
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** Returns why no call may follow; undefined: it may. */
export function findHopsProblem({
  metadata,
  maxHops,
}: Pick<Sender, 'metadata'> & { maxHops: number }): string | undefined {
  const hops = readHops(metadata);
  if (hops === undefined) {
    return `Not called: the metadata "${hopsExtension}" of this task must be a whole number from 0, not ${JSON.stringify(metadata[hopsExtension])}.`;
  }
  if (hops < maxHops) return undefined;
  return `Not called: this task was started by ${hops} calls from agent to agent, and limits.hops allows ${maxHops}.`;
}
