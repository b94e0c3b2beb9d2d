/**
 * Admits calls: authenticates the caller, applies its rate limit, and lets callers take turns. All bindings share it. Over
 * HTTP it runs before every route except those whose path is public: /.well-known/ (the agent card and its keys), /health/,
 * /callbacks/ (whose URLs contain a secret), /gemini/webhooks (which Google signs), /openapi.json and /console (without any
 * content of callers) and / (which leads there). A route that is added later is protected by default. It runs before the
 * body or the message is read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import { callbacksPath, geminiWebhooksPath } from '#shared/domain/wait.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { consolePath } from '../console/path.ts';
import { openApiPath } from '../http/openapi/path.ts';
import type { AuthenticatedCaller, RequestHeaders } from '../auth/caller.ts';
import { UnauthenticatedError } from '../auth/errors.ts';
import type { Authenticate } from '../auth/authenticate.ts';
import { RetryLaterError, TooManyRequestsError, UnverifiableCredentialError } from '../handler/errors.ts';
import type { AuthFailures } from './auth-failures.ts';
import { toAddressKey } from './client-address.ts';
import { hasBody, leaveUnread } from '../http/unread-body.ts';
import { minLargeBytes, type LargeWork } from '#shared/runtime/large-work.ts';
import { FairStarts } from './fair-starts.ts';
import type { Receipt, Receiving } from './receiving.ts';
import { countRefusal } from './refusals.ts';
import { minChargedBytes, type ByteRates } from '#shared/runtime/byte-rates.ts';
import type { TokenBuckets } from './token-buckets.ts';

/**
 * @param getAddress returns the address of the client, which distinguishes callers without a name
 * @throws {UnauthenticatedError | RetryLaterError}
 */
export type Admit = (headers: RequestHeaders, getAddress: () => string) => Promise<AuthenticatedCaller>;

export interface AdmissionParts {
  authenticate: Authenticate;
  failures: AuthFailures;
  /** Undefined: no rate limit. */
  buckets: TokenBuckets | undefined;
  /** Undefined: no limit on the bytes per second. */
  byteRates?: ByteRates | undefined;
  log: Logger;
}

/** Requests that are admitted in one iteration of the event loop. Callers take turns. */
const startsPerIteration = 16;

export function createAdmission({ authenticate, failures, buckets, byteRates, log }: AdmissionParts): Admit {
  const starts = new FairStarts<string>({ perIteration: startsPerIteration });
  return async (headers, getAddress) => {
    try {
      failures.check(headers, getAddress);
    } catch (error) {
      await failures.hold();
      throw error;
    }
    let caller: AuthenticatedCaller;
    try {
      caller = await authenticate(headers);
    } catch (error) {
      if (error instanceof UnauthenticatedError || error instanceof UnverifiableCredentialError) {
        failures.recordFailure(getAddress(), error.message);
      }
      if (error instanceof RetryLaterError) log.warn({ err: error }, 'credentials could not be verified');
      throw error;
    }
    if (caller.isAuthenticated) failures.recordSuccess(headers, caller);
    const key = getLimitKey(caller, getAddress);
    const wait = buckets?.take(key) ?? 0;
    if (buckets !== undefined && wait > 0) {
      countRefusal('request_rate', key);
      throw new TooManyRequestsError(
        `Too many requests: a caller may send ${buckets.perMinute} in a minute. Try again in ${wait} s`,
        wait,
      );
    }
    const byteWait = byteRates?.check(key) ?? 0;
    if (byteRates !== undefined && byteWait > 0) {
      countRefusal('byte_rate', key);
      throw new TooManyRequestsError(
        `Too many bytes: a caller may send and get ${byteRates.perSecond} in a second. Try again in ${byteWait} s`,
        byteWait,
      );
    }
    await new Promise<void>((resolve) => starts.add(key, { start: resolve }));
    return caller;
  };
}

/**
 * Returns the name under which the requests of a caller are counted.
 *
 * @param caller undefined if the call needs no credentials
 */
export function getLimitKey(caller: AuthenticatedCaller | undefined, getAddress: () => string): string {
  return caller?.isAuthenticated ? caller.userName : `address ${toAddressKey(getAddress())}`;
}

const admitted = Symbol('admitted caller');
const receipt = Symbol('receipt of the body');
type AdmittedRequest = FastifyRequest & { [admitted]?: AuthenticatedCaller };
type ReceivedMessage = IncomingMessage & { [receipt]?: Receipt };

/** The body of a refused request is read up to this length, so that its connection can be used again. */
const maxReadBytes = 64 * 1024;

/** Methods whose bodies are not read. */
const methodsWithoutBody = new Set(['GET', 'HEAD']);

/** Protects the routes that are registered after this call. */
export function registerAdmission(
  app: FastifyInstance,
  admit: Admit,
  receiving: Receiving,
  byteRates: ByteRates | undefined,
  largeWork: LargeWork,
): void {
  const admitRequest = async (request: AdmittedRequest, reply: FastifyReply): Promise<void> => {
    const getAddress = (): string => request.ip;
    const raw: ReceivedMessage = request.raw;
    const sentLength = request.headers['content-length'];
    const length = Number(sentLength ?? 0);
    let caller: AuthenticatedCaller;
    try {
      caller = await admit(request.headers, getAddress);
    } catch (error) {
      if (length > maxReadBytes || sentLength === undefined) leaveUnread(raw);
      throw error;
    }
    request[admitted] = caller;
    // A client that has left meanwhile sends no more, and ends no receipt.
    if (reply.raw.closed) return;
    // A body that is too large is not received: it is refused by its length.
    if (!hasBody(raw) || methodsWithoutBody.has(request.method) || length > request.routeOptions.bodyLimit)
      return;
    const key = getLimitKey(caller, getAddress);
    const opened = receiving.open(key, length);
    byteRates?.charge(key, length);
    raw[receipt] = opened;
    reply.raw.on('close', endReceiptOfResponse);
    if (sentLength === undefined) countChunks(raw, opened);
  };
  app.addHook('onRoute', (route) => {
    if (!isPublic(route)) route.onRequest = [admitRequest, ...[route.onRequest ?? []].flat()];
  });
  if (byteRates !== undefined) {
    app.addHook('onSend', (request: AdmittedRequest, _reply, payload, done) => {
      const isWhole = typeof payload === 'string' || Buffer.isBuffer(payload);
      const caller = request[admitted];
      if (
        caller !== undefined &&
        (isWhole ? payload.length >= minChargedBytes : payload instanceof Readable)
      ) {
        const key = getLimitKey(caller, () => request.ip);
        if (isWhole) byteRates.charge(key, Buffer.byteLength(payload));
        else chargePieces(payload as Readable, (bytes) => byteRates.charge(key, bytes));
      }
      done(null, payload);
    });
  }
  app.addHook('preHandler', (request: AdmittedRequest, _reply, done) => {
    const { raw, body } = request;
    const caller = request[admitted];
    if (caller === undefined || !Buffer.isBuffer(body) || body.length < minLargeBytes) {
      endReceipt(raw);
      done();
      return;
    }
    const start = (): void => {
      endReceipt(raw);
      done();
    };
    // Counts as being received until it is parsed.
    void largeWork.start(getLimitKey(caller, () => request.ip)).then(start);
  });
}

/** Charges an answer that is sent in pieces: a stream of events, or a file. Small events are not charged. */
function chargePieces(answer: Readable, charge: (bytes: number) => void): void {
  const push = answer.push.bind(answer);
  answer.push = (piece: string | Buffer | null, encoding?: BufferEncoding) => {
    if (piece !== null) charge(Buffer.byteLength(piece));
    return push(piece, encoding);
  };
}

/** Counts a body without a length as it arrives. The parser of bodies resumes the message. */
function countChunks(raw: IncomingMessage, opened: Receipt): void {
  raw.on('data', (chunk: Buffer) => {
    try {
      opened.add(chunk.length);
    } catch {
      // Too late for an answer that the client would read.
      raw.destroy();
    }
  });
  raw.pause();
}

/** Ends the receipt of a body: it is complete, or its rest will be dropped and never be in memory. */
export function endReceipt(raw: IncomingMessage): void {
  (raw as ReceivedMessage)[receipt]?.close();
}

/** One listener for all responses: a closure for each would cost as much as the receipt. */
function endReceiptOfResponse(this: ServerResponse): void {
  endReceipt(this.req);
}

/** Returns undefined if the request was not admitted: its route is public, or it was refused. */
export function findAdmittedCaller(request: FastifyRequest): AuthenticatedCaller | undefined {
  return (request as AdmittedRequest)[admitted];
}

/** @throws {Error} if the route of the request is public */
export function getAdmittedCaller(request: FastifyRequest): AuthenticatedCaller {
  const caller = findAdmittedCaller(request);
  if (caller === undefined) throw new Error(`${request.url} was not admitted`);
  return caller;
}

function isPublic({ url: path, method }: Pick<RouteOptions, 'url' | 'method'>): boolean {
  // The root serves the card, and operations by POST.
  if (path === '/') return ![method].flat().includes('POST');
  if ([consolePath, geminiWebhooksPath, openApiPath].includes(path)) return true;
  const prefixes = [
    '/.well-known/',
    '/health/',
    `${callbacksPath}/`,
    `${geminiWebhooksPath}/`,
    `${consolePath}/`,
  ];
  return prefixes.some((prefix) => path.startsWith(prefix));
}
