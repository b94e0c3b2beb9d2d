/**
 * Audits HTTP requests that are not operations of A2A: every request of a method that changes something, every refusal of a
 * credential's scope, and reads of what belongs to others. A route that is added later is audited by default.
 */
import type { FastifyInstance, FastifyRequest, onSendHookHandler } from 'fastify';
import type { AuditEntry, AuditLog } from '#shared/runtime/audit.ts';
import type { AuthenticatedCaller } from '../auth/caller.ts';
import { restPath } from '../bindings/rest/rest.ts';
import { describeActor } from '../handler/audit.ts';
import { findAdmittedCaller } from '../limits/admission.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `operation`: its binding audits it. `read`: a read that is audited. */
    audit?: 'operation' | 'read';
  }
}

export type AuditDetails = NonNullable<AuditEntry['details']>;

const maxOwnerChars = 256;
const readMethods = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Details that handlers add to the entries about their requests. */
const addedDetails = new WeakMap<FastifyRequest, AuditDetails>();

/** Adds details to the entry about a request. */
export function addAuditDetails(request: FastifyRequest, details: AuditDetails): void {
  addedDetails.set(request, { ...addedDetails.get(request), ...details });
}

/** Applies to all routes that are registered after this call. */
export function registerAudit(app: FastifyInstance, audit: AuditLog): void {
  // Per route: a hook of the whole server would run for every operation too.
  app.addHook('onRoute', (route) => {
    const { audit: kind } = route.config ?? {};
    if (kind === 'operation') return;
    const path = toPattern(route.url);
    const writeEntry: onSendHookHandler = (request, reply, payload, done) => {
      auditRequest(audit, {
        method: request.method,
        path,
        status: reply.statusCode,
        isReadAudited: kind === 'read',
        owner: getNamedOwner(request.query),
        caller: findAdmittedCaller(request),
        address: request.ip,
        details: addedDetails.get(request),
        ...getTarget(request),
      });
      done(null, payload);
    };
    route.onSend = [writeEntry, ...[route.onSend ?? []].flat()];
  });
}

export interface AuditedRequest extends Pick<AuditEntry, 'tenant' | 'address' | 'target'> {
  method: string;
  path: string;
  /** That of the answer. */
  status: number;
  isReadAudited: boolean;
  /** The owner that an operator names. */
  owner: string | undefined;
  caller: AuthenticatedCaller | undefined;
  /** Counts and names that belong to the action. */
  details: AuditDetails | undefined;
}

/** Writes an entry about a request, if it is one of those that are audited. */
export function auditRequest(audit: AuditLog, request: AuditedRequest): void {
  const { method, path, status, isReadAudited, owner, caller, address, tenant, target } = request;
  const isChange = !readMethods.has(method);
  if (!isChange && !isReadAudited && owner === undefined && status !== 403) return;
  const details = { ...(owner !== undefined && { owner }), ...request.details };
  audit.write({
    action: `${method} ${path}`,
    result: status < 400 ? 'ok' : status < 500 ? 'refused' : 'failed',
    reason: status < 400 ? undefined : status,
    ...describeActor(caller),
    address,
    ...(tenant !== undefined && { tenant }),
    target,
    details: Object.keys(details).length === 0 ? undefined : details,
  });
}

/** Operators name the owner whose data they read or change. */
function getNamedOwner(query: unknown): string | undefined {
  const { owner } = (query ?? {}) as Record<string, unknown>;
  return typeof owner === 'string' ? owner.slice(0, maxOwnerChars) : undefined;
}

/** Routes of extensions exist with and without a tenant. */
function toPattern(url: string): string {
  return url.replace(restPath, '').replace(/^\/:tenant(?=\/)/, '');
}

/** The tokens of callbacks are credentials. */
function getTarget({ params }: FastifyRequest): { tenant?: string; target?: Record<string, string> } {
  const { tenant, token: _token, ...target } = (params ?? {}) as Record<string, string>;
  return { ...(tenant !== undefined && { tenant }), target };
}
