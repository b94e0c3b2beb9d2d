/**
 * A client of pg that leaves few buffers of large messages to V8, which counts them when it decides whether to collect the
 * whole heap:
 *
 *   sent       freed once it is sent
 *   received   pg gets it whole. pg itself collects a message in buffers that it doubles: for 8 MB it allocates 32 MB
 */
import type { Duplex } from 'node:stream';
import { Client, type ClientConfig } from 'pg';

/** A byte for the kind, and four for the length, which excludes only the kind (PostgreSQL documentation, section 54.1). */
const headerBytes = 5;
const dataRow = 'D'.charCodeAt(0);

/** A server that is not PostgreSQL may name any length. After a longer message, pg collects those of the connection. */
const maxMessageBytes = 64 * 1024 * 1024;
/** Smaller buffers are left to V8. */
const minFreedBytes = 64 * 1024;

type Take = (messages: Buffer) => void;

/** The part of a socket that pg uses once it has connected. */
interface Source {
  on(event: string, listener: (...args: never[]) => void): unknown;
}

/** The part of a connection of pg that this client changes. */
interface Connection {
  readonly stream: Duplex;
  attachListeners(source: Source): void;
  _send(message: Buffer): boolean;
}

export class LargeMessageClient extends Client {
  constructor(config?: string | ClientConfig) {
    super(config);
    const { connection } = this as unknown as { connection: Connection };
    const attach = connection.attachListeners.bind(connection);
    connection.attachListeners = (source) => attach(joinMessages(source));
    const send = connection._send.bind(connection);
    connection._send = (message) => {
      const { stream } = connection;
      if (!isFreed(message) || !stream.writable) return send(message);
      // pg has allocated the buffer for this message. After an error, the socket may still have it.
      return stream.write(message, (error) => {
        if (error === null || error === undefined) free(message);
      });
    };
  }
}

function joinMessages(source: Source): Source {
  return {
    on: (event, listener) =>
      source.on(event, event === 'data' ? createMessageJoiner(listener as Take) : listener),
  };
}

/** Returns a function that takes chunks of any size, and passes on what has arrived of whole messages. */
export function createMessageJoiner(take: Take): Take {
  /** The message that has not arrived whole. */
  let message: Buffer | undefined;
  let received = 0;
  /** The start of a header. */
  let head: Buffer | undefined;
  let isPassing = false;

  return (data) => {
    if (isPassing) {
      take(data);
      return;
    }
    let offset = 0;
    if (message !== undefined) {
      offset = data.copy(message, received);
      received += offset;
      const isWhole = received === message.length;
      if (isWhole) take(message);
      // Only the strings of a row leave this buffer: pg makes them at once.
      if (isWhole && message[0] === dataRow && isFreed(message)) free(message);
      if (isWhole) message = undefined;
      if (offset === data.length) {
        // The stream has allocated it for this chunk.
        if (data.length === data.buffer.byteLength) free(data);
        return;
      }
    }
    const chunk = head === undefined ? data : Buffer.concat([head, data]);
    head = undefined;
    const start = offset;
    while (chunk.length - offset >= headerBytes) {
      const bytes = 1 + chunk.readUInt32BE(offset + 1);
      if (bytes > maxMessageBytes) {
        isPassing = true;
        take(chunk.subarray(start));
        return;
      }
      if (chunk.length - offset < bytes) {
        message = Buffer.allocUnsafe(bytes);
        received = chunk.copy(message, 0, offset);
        break;
      }
      offset += bytes;
    }
    if (message === undefined && offset < chunk.length) head = chunk.subarray(offset);
    if (offset > start) take(chunk.subarray(start, offset));
  };
}

/** Buffers that are shorter than half of Node's pool share its memory. */
function isFreed({ length }: Buffer): boolean {
  return length >= Math.max(minFreedBytes, Buffer.poolSize / 2);
}

/** Frees memory that nothing else uses, instead of leaving it to a collection. */
function free({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
