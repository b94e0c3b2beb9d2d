/** The ids of messages to other agents: the same each time that a message is sent. */
import { createHash } from 'node:crypto';
import type { Lease } from '#shared/db/turns/leases.ts';
import type { StepIdentity } from '../record.ts';

/** Returns a UUID (RFC 9562, version 8), because some agents accept no other ids. */
export function createMessageId({ taskId, turn }: Lease, { name, occurrence }: StepIdentity): string {
  const hash = createHash('sha256').update(`${taskId}/${turn}/${name}/${occurrence}`).digest();
  hash.writeUInt8((hash.readUInt8(6) % 16) + 0x80, 6);
  hash.writeUInt8((hash.readUInt8(8) % 64) + 0x80, 8);
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
