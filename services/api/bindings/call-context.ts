/**
 * The context of a call, made alike for every binding: version, extensions and tenant (A2A section 3.2.6), the caller,
 * and the signal that aborts when the caller has gone.
 */
import { A2A_VERSION_HEADER, HTTP_EXTENSION_HEADER, type AgentCard } from '@a2a-js/sdk';
import { LEGACY_HTTP_EXTENSION_HEADER } from '@a2a-js/sdk/compat/v0_3';
import { ExtensionSupportRequiredError } from '@a2a-js/sdk/errors';
import { ServerCallContext, validateVersion, type User } from '@a2a-js/sdk/server';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { admittedCaller } from '../limits/admission.ts';
import { setSignal, setTraceparent } from '../handler/caller.ts';
import { setCursor } from '../extensions/replay.ts';
import { webhookOptionsHeader } from '#shared/webhooks/options.ts';
import { setWebhookOptions } from '../extensions/webhooks/options.ts';

/** The version of clients that name none. */
const v03 = '0.3';

export interface CallParameters {
  /** As the client names it; empty or absent means 0.3. */
  version: string | undefined;
  extensions: readonly string[];
  tenant?: string | undefined;
  user?: User | undefined;
  /** The number of the last event that the client has seen. */
  cursor?: string | undefined;
  /** The header of that name. */
  webhookOptions?: string | undefined;
  /** W3C Trace Context. */
  traceparent?: string | undefined;
  signal: () => AbortSignal;
}

export function createCallContext(parameters: CallParameters): ServerCallContext {
  const { version, extensions, tenant, user, signal } = parameters;
  const context = new ServerCallContext({
    requestedVersion: readVersion(version),
    requestedExtensions: [...new Set(extensions)],
    ...(user !== undefined && { user }),
  });
  if (tenant !== undefined && tenant !== '') context.setTenant(tenant);
  setSignal(context, signal);
  setCursor(context, parameters.cursor);
  setTraceparent(context, parameters.traceparent);
  setWebhookOptions(context, parameters.webhookOptions);
  return context;
}

/** The context of an HTTP request, whichever binding it comes by. */
export function httpCallContext(
  request: FastifyRequest,
  reply: FastifyReply,
  tenant?: string,
): ServerCallContext {
  return createCallContext({
    version: getVersion(request),
    extensions: [
      ...splitList(headerOf(request, HTTP_EXTENSION_HEADER)),
      ...splitList(headerOf(request, LEGACY_HTTP_EXTENSION_HEADER)),
    ],
    tenant,
    user: admittedCaller(request),
    cursor: headerOf(request, 'last-event-id'),
    webhookOptions: headerOf(request, webhookOptionsHeader),
    traceparent: headerOf(request, 'traceparent'),
    signal: goneSignal(reply),
  });
}

/** Aborts when the caller has gone before the whole answer. Few calls ask for it, and to make one is dear. */
function goneSignal({ raw }: FastifyReply): () => AbortSignal {
  let gone: AbortController | undefined;
  return () => {
    if (gone !== undefined) return gone.signal;
    const made = (gone = new AbortController());
    // Of the response, not of the socket: that one lives on, and serves other requests.
    // After a whole answer nobody waits for the signal, and an abort is dear too: its reason is an error with a stack.
    const abort = () => {
      if (!raw.writableFinished) made.abort();
    };
    if (raw.closed) abort();
    else raw.once('close', abort);
    return made.signal;
  };
}

/** The version that an HTTP request names: in a header, or in the query instead (section 3.6.1). */
export function getVersion(request: FastifyRequest): string {
  const queried = (request.query as Record<string, unknown>)[A2A_VERSION_HEADER];
  return readVersion(
    headerOf(request, A2A_VERSION_HEADER) ?? (typeof queried === 'string' ? queried : undefined),
  );
}

/**
 * What a call by a binding must meet before anything is done for it.
 *
 * @throws {VersionNotSupportedError} where the card does not offer the version on this binding
 * @throws {ExtensionSupportRequiredError} where the card requires an extension that the client has not named
 */
export function createAdmit(card: AgentCard, binding: string): (context: ServerCallContext) => void {
  const required = (card.capabilities?.extensions ?? [])
    .filter((extension) => extension.required)
    .map(({ uri }) => uri);
  /** Versions that were found to be offered. */
  const offered = new Set<string>();
  return (context) => {
    const { requestedVersion, requestedExtensions = [] } = context;
    if (!offered.has(requestedVersion)) {
      validateVersion(requestedVersion, card, binding);
      offered.add(requestedVersion);
    }
    for (const uri of required) context.addActivatedExtension(uri);
    const missing = required.filter((uri) => !requestedExtensions.includes(uri));
    if (missing.length === 0) return;
    throw new ExtensionSupportRequiredError(
      `this agent requires extensions: send the header ${HTTP_EXTENSION_HEADER}: ${missing.join(',')}`,
    );
  };
}

export function isV03(context: ServerCallContext): boolean {
  return context.requestedVersion === v03;
}

/** Whether clients of 0.3 are served at all. */
export function supportsV03(card: AgentCard): boolean {
  return card.supportedInterfaces.some(({ protocolVersion }) => protocolVersion === v03);
}

/** Tells the client which extensions are active in the answer. */
export function echoExtensions(reply: FastifyReply, context: ServerCallContext): void {
  const active = context.activatedExtensions ?? [];
  if (active.length === 0) return;
  const name = isV03(context) ? LEGACY_HTTP_EXTENSION_HEADER : HTTP_EXTENSION_HEADER;
  void reply.header(name, active.join(','));
}

/** None is 0.3 (section 3.6.2); patch numbers play no part in which versions go together (section 3.6). */
function readVersion(version = ''): string {
  const trimmed = version.trim();
  return trimmed === '' ? v03 : (/^(\d+\.\d+)\.\d+$/.exec(trimmed)?.[1] ?? trimmed);
}

function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(',') : value;
}

function splitList(list: string | undefined): string[] {
  if (list === undefined) return [];
  return list
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}
