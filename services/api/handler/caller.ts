/** Who calls, as the rest of the front door knows it (invariant 9). */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { Caller } from '#shared/db/tasks/read.ts';
import { checkId } from './validate/message.ts';

/** The owner of what callers without credentials make, where none are asked for. */
const anonymous = 'anonymous';

/** @throws {RequestMalformedError} for a tenant that is not a name */
export function getCaller(context: ServerCallContext): Caller {
  const { user, tenant = '' } = context;
  checkId('tenant', tenant, false);
  return {
    tenant,
    owner: user?.isAuthenticated === true ? user.userName : anonymous,
  };
}

const signalKey = 'longhaul.signal';
const tagKey = 'longhaul.entityTag';
const eventKey = 'longhaul.event';
const traceKey = 'longhaul.traceparent';

/** The signal that aborts when the caller has gone. */
export function getSignal(context: ServerCallContext): AbortSignal {
  const signal = context.state.get(signalKey);
  return typeof signal === 'function' ? (signal as () => AbortSignal)() : new AbortController().signal;
}

/** @param signal is asked for it each time, and gives the same */
export function setSignal(context: ServerCallContext, signal: () => AbortSignal): void {
  context.state.set(signalKey, signal);
}

/** The span of the caller's own that this call belongs to, as it was sent. */
export function getTraceparent(context: ServerCallContext): string | undefined {
  const traceparent = context.state.get(traceKey);
  return typeof traceparent === 'string' ? traceparent : undefined;
}

export function setTraceparent(context: ServerCallContext, traceparent: string | undefined): void {
  if (traceparent !== undefined) context.state.set(traceKey, traceparent);
}

/**
 * The number of the event that a stream has just yielded. The stream sets it before each yield and the binding reads
 * it after, to give the event its id: the transport of the SDK passes payloads only.
 */
export function getStreamedEvent(context: ServerCallContext): number | undefined {
  const seq = context.state.get(eventKey);
  return typeof seq === 'number' ? seq : undefined;
}

export function setStreamedEvent(context: ServerCallContext, seq: number): void {
  context.state.set(eventKey, seq);
}

/** The entity tag of the task that an operation has read, for the bindings that have a place for it. */
export function getEntityTag(context: ServerCallContext): string | undefined {
  const tag = context.state.get(tagKey);
  return typeof tag === 'string' ? tag : undefined;
}

export function setEntityTag(context: ServerCallContext, tag: string): void {
  context.state.set(tagKey, tag);
}
