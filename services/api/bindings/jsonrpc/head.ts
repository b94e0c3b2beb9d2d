/**
 * Reads the start of a request: the members before its parameters. Most clients write the method there, so a large
 * request of a method with small ones is refused by its first bytes, before the rest is received and parsed.
 */
import type { IncomingMessage } from 'node:http';
import { maxSmallBodyBytes } from '../../http/body.ts';

/** The methods whose requests may be large, in A2A 1.0 and 0.3. */
export const sendMethods: ReadonlySet<string> = new Set([
  'SendMessage',
  'SendStreamingMessage',
  'message/send',
  'message/stream',
]);

export const tooLargeText = `The body is larger than ${maxSmallBodyBytes} bytes: only requests that send a message may be larger`;

const maxHeadBytes = 4096;

/** A member with a scalar value, and the comma after it (RFC 8259). */
const member =
  /\s*("(?:[^"\\]|\\.)*")\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)\s*,/y;

/** Whether a request starts as an array: a batch of JSON-RPC. `\s` includes a byte order mark. */
export function startsBatch(bytes: Buffer): boolean {
  return /^\s*\[/.test(bytes.toString('utf8', 0, maxHeadBytes));
}

/** Returns the members before the first one that is an object or an array. The last member of a name counts. */
export function readHead(bytes: Buffer): Readonly<Record<string, unknown>> {
  const text = bytes.toString('utf8', 0, maxHeadBytes);
  const start = /^\s*\{/.exec(text);
  const head: Record<string, unknown> = {};
  if (start === null) return head;
  member.lastIndex = start[0].length;
  for (let found = member.exec(text); found !== null; found = member.exec(text)) {
    const [, name = '', value = ''] = found;
    try {
      head[JSON.parse(name) as string] = JSON.parse(value);
    } catch {
      break;
    }
  }
  return head;
}

/** Whether the requests of a method may only be small. False for what is not a method. */
export function isSmallMethod(method: unknown): boolean {
  return typeof method === 'string' && method !== '' && !sendMethods.has(method);
}

/**
 * Resolves to the first bytes of a body, which stay in the message for the reader of the body; undefined: the client has
 * left.
 */
export function peekBody(raw: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const look = (): void => {
      raw.off('close', leave);
      const bytes = raw.read() as Buffer | null;
      if (bytes !== null) raw.unshift(bytes);
      resolve(bytes ?? undefined);
    };
    const leave = (): void => {
      raw.off('readable', look);
      resolve(undefined);
    };
    raw.once('readable', look);
    raw.once('close', leave);
  });
}
