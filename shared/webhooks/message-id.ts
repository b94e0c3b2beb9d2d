/**
 * The `webhook-id` of Standard Webhooks: the same for all attempts at one event of one config, so that receivers drop
 * repeats. It is a hash, because the id of a config is a text of its caller: an id with a dot in it would let the signed
 * text `<id>.<timestamp>.<body>` be read in two ways.
 */
import { hash } from 'node:crypto';

/** 132 bits: ids of different events do not collide, even if callers choose the ids of configs for that. */
const hashChars = 22;

/** @param seq the number of the event within its task; negative for a test */
export function getMessageId({
  taskId,
  configId,
  seq,
}: {
  taskId: string;
  configId: string;
  seq: number;
}): string {
  const key = JSON.stringify([taskId, configId, seq]);
  return `msg_${hash('sha256', key, 'base64url').slice(0, hashChars)}`;
}
