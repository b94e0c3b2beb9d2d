/**
 * Creates the context of a call, the same way for every binding: version, extensions and tenant (A2A section
 * 3.2.6), the caller, and the signal that aborts when the client disconnects.
 */
import { A2A_VERSION_HEADER, HTTP_EXTENSION_HEADER, type AgentCard } from '@a2a-js/sdk';
import { LEGACY_HTTP_EXTENSION_HEADER } from '@a2a-js/sdk/compat/v0_3';
import { ExtensionSupportRequiredError } from '@a2a-js/sdk/errors';
import { ServerCallContext, validateVersion } from '@a2a-js/sdk/server';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AuthenticatedCaller } from '../auth/caller.ts';
import { getAdmittedCaller } from '../limits/admission.ts';
import {
  authenticatedCaller,
  callController,
  clientAddress,
  lastEventId,
  traceparent,
} from '../handler/call-state.ts';
import { webhookOptionsHeader } from '#shared/webhooks/extension.ts';
import { setWebhookOptions } from '../extensions/webhooks/options.ts';

/** The version of clients that do not name one. */
const v03 = '0.3';

export interface CallParameters {
  /** The version sent by the client; empty or undefined means 0.3. */
  version: string | undefined;
  extensions: readonly string[];
  tenant?: string | undefined;
  user?: AuthenticatedCaller | undefined;
  /** The value of `Last-Event-ID`. */
  lastEventId?: string | undefined;
  /** The value of the header with webhook options. */
  webhookOptions?: string | undefined;
  /** W3C Trace Context. */
  traceparent?: string | undefined;
  /** Returns the address of the client. */
  address?: (() => string) | undefined;
  /** Aborted when the client disconnects. */
  controller: () => AbortController;
}

export function createCallContext(parameters: CallParameters): ServerCallContext {
  const { version, extensions, tenant, user, controller } = parameters;
  const context = new ServerCallContext({
    requestedVersion: parseVersion(version),
    requestedExtensions: [...new Set(extensions)],
    ...(user !== undefined && { user }),
  });
  if (tenant !== undefined && tenant !== '') context.setTenant(tenant);
  callController.set(context, controller);
  authenticatedCaller.set(context, user);
  clientAddress.set(context, parameters.address);
  lastEventId.set(context, parameters.lastEventId);
  traceparent.set(context, parameters.traceparent);
  setWebhookOptions(context, parameters.webhookOptions);
  return context;
}

/** Creates the context of an HTTP request. */
export function createHttpCallContext(
  request: FastifyRequest,
  reply: FastifyReply,
  tenant?: string,
): ServerCallContext {
  return createCallContext({
    version: getVersion(request),
    extensions: [
      ...splitList(getHeader(request, HTTP_EXTENSION_HEADER)),
      ...splitList(getHeader(request, LEGACY_HTTP_EXTENSION_HEADER)),
    ],
    tenant,
    user: getAdmittedCaller(request),
    address: () => request.ip,
    lastEventId: getHeader(request, 'last-event-id'),
    webhookOptions: getHeader(request, webhookOptionsHeader),
    traceparent: getHeader(request, 'traceparent'),
    controller: createDisconnectController(reply),
  });
}

/**
 * Returns a getter for the controller that aborts if the client disconnects before it has the whole response. The
 * controller is created on first use: it is costly and rarely needed.
 */
export function createDisconnectController({ raw }: FastifyReply): () => AbortController {
  let controller: AbortController | undefined;
  return () => {
    if (controller !== undefined) return controller;
    const created = (controller = new AbortController());
    // Listens to the response, not the socket: the socket stays open and serves other requests. A complete
    // response aborts nothing: the reason of an abort is an error with a stack, which is costly too.
    const abort = () => {
      if (!raw.writableFinished) created.abort();
    };
    if (raw.closed) abort();
    else raw.once('close', abort);
    return created;
  };
}

/** Returns the version that an HTTP request names in a header or, instead, in the query (section 3.6.1). */
export function getVersion(request: FastifyRequest): string {
  // A request whose path cannot be parsed has no query.
  const queried = (request.query as Record<string, unknown> | null)?.[A2A_VERSION_HEADER];
  return parseVersion(
    getHeader(request, A2A_VERSION_HEADER) ?? (typeof queried === 'string' ? queried : undefined),
  );
}

/**
 * Returns the check that each call must pass before anything else.
 *
 * @throws {VersionNotSupportedError} if the card does not offer the version on this binding
 * @throws {ExtensionSupportRequiredError} if the card requires an extension that the client has not requested
 */
export function createProtocolCheck(card: AgentCard, binding: string): (context: ServerCallContext) => void {
  const required = (card.capabilities?.extensions ?? [])
    .filter((extension) => extension.required)
    .map(({ uri }) => uri);
  /** Versions that have passed validation. */
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

/** Whether the agent serves clients of 0.3. */
export function supportsV03(card: AgentCard): boolean {
  return card.supportedInterfaces.some(({ protocolVersion }) => protocolVersion === v03);
}

/** Adds the header that lists the extensions that are active in the response. */
export function echoExtensions(reply: FastifyReply, context: ServerCallContext): void {
  const active = context.activatedExtensions ?? [];
  if (active.length === 0) return;
  const name = isV03(context) ? LEGACY_HTTP_EXTENSION_HEADER : HTTP_EXTENSION_HEADER;
  void reply.header(name, active.join(','));
}

/**
 * An empty version is 0.3 (section 3.6.2). Patch numbers do not affect compatibility (section 3.6) and are
 * dropped.
 */
function parseVersion(version = ''): string {
  const trimmed = version.trim();
  return trimmed === '' ? v03 : (/^(\d+\.\d+)\.\d+$/.exec(trimmed)?.[1] ?? trimmed);
}

function getHeader(request: FastifyRequest, name: string): string | undefined {
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
