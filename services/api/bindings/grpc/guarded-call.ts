/**
 * Guards every admitted call on the server side of grpc-js:
 *
 *   headers ──▶ credentials (call-admission.ts) ──▶ message (bounded in time and bytes) ──▶ handler ──▶ answer (bounded in time)
 *
 * A large message waits for its turn before it is decoded.
 */
import { constants, type ServerHttp2Stream } from 'node:http2';
import {
  Metadata,
  ServerInterceptingCall,
  status as Status,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { Logger } from '#shared/runtime/log.ts';
import type { AuthenticatedCaller } from '../../auth/caller.ts';
import { getLimitKey } from '../../limits/admission.ts';
import type { ByteRates } from '#shared/runtime/byte-rates.ts';
import type { Receipt, Receiving } from '../../limits/receiving.ts';
import { maxSmallBodyBytes } from '../../http/body.ts';
import { minLargeBytes, type LargeWork } from '#shared/runtime/large-work.ts';
import { countRefusal } from '../../limits/refusals.ts';
import { getAdmittedCall } from './call-admission.ts';
import { decodeRequest } from './decode.ts';
import { setRetryAfter, toStatus } from './errors.ts';

export interface GuardParts {
  receiving: Receiving;
  /** Undefined: no limit. */
  byteRates?: ByteRates | undefined;
  largeWork: LargeWork;
  /** Time for the client to send its message, in milliseconds. */
  receiveMs: number;
  /** Time for the client to take one message, in milliseconds. */
  sendMs: number;
  log: Logger;
}

/** The facts about an admitted call that the services need. */
export interface Admission {
  caller: AuthenticatedCaller;
  getAddress: () => string;
  /** Resolves when the client has taken the last message, or the call has ended. */
  untilTaken: () => Promise<void>;
  /** Adds to the status when the client may repeat the call, which the SDK's services do not. */
  failed: (error: unknown) => void;
}

type Listener = Parameters<ServerInterceptingCall['start']>[0];

/** By the metadata of the call, which grpc-js passes on unchanged. */
const admissions = new WeakMap<Metadata, Admission>();

/** @throws {Error} if the call was not admitted */
export function getAdmission({ metadata }: { metadata: Metadata }): Admission {
  const admission = admissions.get(metadata);
  if (admission === undefined) throw new Error('The call was not admitted');
  return admission;
}

export function createGuard(parts: GuardParts): ServerInterceptor {
  return ({ path }, call) => new GuardedCall(call, parts, path);
}

/** Whether a method sends a message to an agent, which may be large, in A2A 1.0 and 0.3. */
function sends(path: string): boolean {
  return path.endsWith('/SendMessage') || path.endsWith('/SendStreamingMessage');
}

class GuardedCall extends ServerInterceptingCall {
  readonly #parts: GuardParts;
  readonly #path: string;
  /** Requests of the method have a few short fields. */
  readonly #isSmall: boolean;
  readonly #stream: ServerHttp2Stream;
  #receiving: NodeJS.Timeout | undefined;
  /** Undefined once the call is complete or refused. */
  #receipt: Receipt | undefined;
  #received = 0;
  #limitKey = '';
  /** The error of the operation. */
  #error: unknown;
  /** Set while the client has not taken the last message. */
  #sending: { timer: NodeJS.Timeout; taken: PromiseWithResolvers<void> } | undefined;

  constructor(call: ServerInterceptingCallInterface, parts: GuardParts, path: string) {
    super(call);
    this.#parts = parts;
    this.#path = path;
    this.#isSmall = !sends(path);
    // The only way to the stream: grpc-js offers none to reset it.
    this.#stream = (call as unknown as { stream: ServerHttp2Stream }).stream;
    this.#stream.once('finish', () => this.#stopReceiving());
  }

  override start(listener: Listener): void {
    this.#receiving = setTimeout(() => this.#endReceipt(), this.#parts.receiveMs);
    super.start({
      onReceiveMetadata: (metadata) => this.#receive(metadata, listener),
      onReceiveMessage: (message: unknown) => {
        const isLarge = Buffer.isBuffer(message) && message.length >= minLargeBytes;
        if (isLarge) void this.#decodeInTurn(message, listener);
        else this.#decode(message, listener);
      },
      onReceiveHalfClose: () => {
        this.#stopReceiving();
        listener.onReceiveHalfClose();
      },
      onCancel: () => {
        this.#stopReceiving();
        this.#stopSending();
        listener.onCancel();
      },
    });
  }

  override sendMessage(message: unknown, callback: () => void): void {
    const timer = setTimeout(() => {
      countRefusal('slow_reader');
      this.#stream.close(constants.NGHTTP2_CANCEL);
    }, this.#parts.sendMs);
    this.#sending = { timer, taken: Promise.withResolvers() };
    super.sendMessage(message, () => {
      this.#stopSending();
      callback();
    });
  }

  override sendStatus(status: Parameters<ServerInterceptingCallInterface['sendStatus']>[0]): void {
    const metadata = status.metadata ?? new Metadata();
    setRetryAfter(metadata, this.#error);
    super.sendStatus({ ...status, metadata });
  }

  #receive(metadata: Metadata, listener: Listener): void {
    const { caller, getAddress } = getAdmittedCall(this.#stream);
    this.#limitKey = getLimitKey(caller, getAddress);
    try {
      this.#receipt = this.#parts.receiving.open(this.#limitKey);
    } catch (error) {
      this.sendStatus(toStatus(this.#parts.log, error));
      return;
    }
    if (caller !== undefined) {
      admissions.set(metadata, {
        caller,
        getAddress,
        untilTaken: async () => this.#sending?.taken.promise,
        failed: (error) => (this.#error = error),
      });
    }
    this.#stream.on('data', (chunk: Buffer) => this.#count(chunk.length));
    listener.onReceiveMetadata(metadata);
  }

  async #decodeInTurn(message: Buffer, listener: Listener): Promise<void> {
    await this.#parts.largeWork.start(this.#limitKey);
    if (!this.#stream.closed) this.#decode(message, listener);
  }

  #decode(message: unknown, listener: Listener): void {
    let request: unknown;
    try {
      request = decodeRequest(this.#path, message);
    } catch (error) {
      const isRefused = error instanceof RequestMalformedError;
      this.#stopReceiving();
      this.sendStatus(
        isRefused
          ? { code: Status.INVALID_ARGUMENT, details: error.message }
          : { code: Status.INTERNAL, details: 'Error deserializing request' },
      );
      return;
    }
    listener.onReceiveMessage(request);
  }

  #count(bytes: number): void {
    if (this.#receipt === undefined) return;
    this.#received += bytes;
    this.#parts.byteRates?.charge(this.#limitKey, bytes);
    if (this.#isSmall && this.#received > maxSmallBodyBytes) {
      this.#stopReceiving();
      const details = `The request is larger than ${maxSmallBodyBytes} bytes: only requests that send a message may be larger`;
      this.sendStatus({ code: Status.RESOURCE_EXHAUSTED, details });
      return;
    }
    try {
      this.#receipt.add(bytes);
    } catch (error) {
      this.#stopReceiving();
      this.sendStatus(toStatus(this.#parts.log, error));
    }
  }

  #endReceipt(): void {
    countRefusal('receive_timeout');
    this.#stopReceiving();
    const details = `The request did not arrive within ${this.#parts.receiveMs / 1000} s`;
    this.sendStatus({ code: Status.DEADLINE_EXCEEDED, details });
  }

  #stopReceiving(): void {
    clearTimeout(this.#receiving);
    this.#receipt?.close();
    this.#receipt = undefined;
  }

  #stopSending(): void {
    clearTimeout(this.#sending?.timer);
    this.#sending?.taken.resolve();
    this.#sending = undefined;
  }
}
