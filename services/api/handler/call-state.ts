/**
 * Typed state of one call. It travels in the SDK's call context, from the binding that receives the call to
 * the operation that runs it, and back.
 */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { AuthenticatedCaller } from '../auth/caller.ts';

export interface CallState<T> {
  get(context: ServerCallContext): T | undefined;
  /** Setting undefined does nothing. */
  set(context: ServerCallContext, value: T | undefined): void;
}

/** @param key unique among all call states */
export function createCallState<T>(key: `longhaul.${string}`): CallState<T> {
  return {
    get: (context) => context.state.get(key) as T | undefined,
    set: (context, value) => {
      if (value !== undefined) context.state.set(key, value);
    },
  };
}

/**
 * Returns the controller that aborts when the client disconnects, or when its credential ends: the same each time. Created
 * on first use.
 */
export const callController = createCallState<() => AbortController>('longhaul.controller');

/** The caller with the scopes of its credential. */
export const authenticatedCaller = createCallState<AuthenticatedCaller>('longhaul.caller');

/** Returns the address of the client, as the rule for trusted proxies determines it. */
export const clientAddress = createCallState<() => string>('longhaul.address');

/** The `traceparent` of the client's own span, as sent (W3C Trace Context). */
export const traceparent = createCallState<string>('longhaul.traceparent');

/**
 * The number of the event that a stream has just yielded. The stream sets it before each yield, and the
 * binding reads it afterwards as the id of the event: the SDK's transport passes payloads only.
 */
export const streamedEvent = createCallState<number>('longhaul.event');

/**
 * True once a stream yields the event that closes it. Set and read like `streamedEvent`: A2A 0.3 marks that
 * event as final, and only the stream knows which one it is.
 */
export const streamCloses = createCallState<boolean>('longhaul.streamCloses');

/** The entity tag of the task that an operation has read, for bindings that can send one. */
export const entityTag = createCallState<string>('longhaul.entityTag');

/** Waits until the event loop is free for the next step of a large answer (`shared/runtime/large-work.ts`). */
export const nextStep = createCallState<() => Promise<void>>('longhaul.nextStep');

/** The `Last-Event-ID` of the client, as sent: a header over HTTP, metadata over gRPC. */
export const lastEventId = createCallState<string>('longhaul.lastEventId');

/** Adds warnings about the request to the answer of the call, for bindings that can. */
export const warnClient = createCallState<(warnings: readonly string[]) => void>('longhaul.warnClient');

/** Returns the controller of the call. */
export function getController(context: ServerCallContext): AbortController {
  return callController.get(context)?.() ?? new AbortController();
}

/** Ends everything that waits for the signal of the call. */
export function abortCall(context: ServerCallContext): void {
  getController(context).abort();
}

/** Returns the signal that aborts when the call has to end: its client disconnects, or its credential ends. */
export function getSignal(context: ServerCallContext): AbortSignal {
  return getController(context).signal;
}
