/** Entries of the audit log about calls: operations of A2A, and refusals of their scopes. */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { AuditEntry, AuditLog } from '#shared/runtime/audit.ts';
import type { AuthenticatedCaller } from '../auth/caller.ts';
import { ForbiddenError, UnauthenticatedError } from '../auth/errors.ts';
import { authenticatedCaller, clientAddress } from './call-state.ts';
import { isRefusal } from './errors.ts';
import type { Send } from './send-message.ts';

type Target = AuditEntry['target'];

/** Runs an operation, and writes whether it has succeeded. Throws its errors. */
export async function auditOperation<T>(
  audit: AuditLog,
  context: ServerCallContext,
  { action, getTarget }: { action: string; getTarget: (result: T | undefined) => Target },
  run: () => Promise<T>,
): Promise<T> {
  let result: T;
  try {
    result = await run();
  } catch (error) {
    const outcome = isRefusal(error) ? 'refused' : 'failed';
    await audit.writeWithOthers(toEntry(context, action, outcome, getName(error), getTarget(undefined)));
    throw error;
  }
  await audit.writeWithOthers(toEntry(context, action, 'ok', undefined, getTarget(result)));
  return result;
}

/** Writes that a call was refused, because of its credential. */
export function auditRefusal(
  audit: AuditLog,
  context: ServerCallContext,
  action: string,
  error: unknown,
): void {
  if (!(error instanceof ForbiddenError || error instanceof UnauthenticatedError)) return;
  audit.write(toEntry(context, action, 'refused', error.name, undefined));
}

/** Audits the sends of all bindings, and of reruns. */
export function auditSends(audit: AuditLog, send: Send): Send {
  return (request, context, shown) => {
    const webhook = request.configuration?.taskPushNotificationConfig;
    const getTarget = (result: { taskId: string } | undefined): Target => ({
      taskId: result?.taskId ?? (request.message?.taskId || undefined),
      webhookHost: webhook && getHost(webhook.url),
    });
    return auditOperation(audit, context, { action: 'SendMessage', getTarget }, () =>
      send(request, context, shown),
    );
  };
}

/** The path of a webhook may be a secret. */
export function getHost(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).host : undefined;
}

/** Fields about a caller, for entries of all kinds. */
export function describeActor(caller: AuthenticatedCaller | undefined): Partial<AuditEntry> {
  if (caller === undefined) return {};
  const { keyLabel, issuer } = caller;
  return { owner: getOwner(caller), keyLabel, issuer };
}

/** One literal: every accepted message is audited, and spreading parts of entries would take as long as writing them. */
function toEntry(
  context: ServerCallContext,
  action: string,
  result: AuditEntry['result'],
  reason: string | undefined,
  target: Target,
): AuditEntry {
  const caller = authenticatedCaller.get(context);
  return {
    action,
    result,
    reason,
    owner: caller && getOwner(caller),
    tenant: context.tenant,
    keyLabel: caller?.keyLabel,
    issuer: caller?.issuer,
    address: clientAddress.get(context)?.(),
    target,
  };
}

function getOwner({ isAuthenticated, userName }: AuthenticatedCaller): string {
  return isAuthenticated ? userName : 'anonymous';
}

function getName(error: unknown): string {
  return error instanceof Error ? error.name : 'Error';
}
