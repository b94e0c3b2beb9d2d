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
  const write = (entry: Pick<AuditEntry, 'result' | 'reason' | 'target'>): Promise<void> =>
    audit.writeWithOthers({ action, ...describeCall(context), ...entry });
  let result: T;
  try {
    result = await run();
  } catch (error) {
    await write({
      result: isRefusal(error) ? 'refused' : 'failed',
      reason: getName(error),
      target: getTarget(undefined),
    });
    throw error;
  }
  await write({ result: 'ok', target: getTarget(result) });
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
  audit.write({ action, result: 'refused', reason: error.name, ...describeCall(context) });
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
  const { isAuthenticated, userName, keyLabel, issuer } = caller;
  return { owner: isAuthenticated ? userName : 'anonymous', keyLabel, issuer };
}

function describeCall(context: ServerCallContext): Partial<AuditEntry> {
  return {
    ...describeActor(authenticatedCaller.get(context)),
    tenant: context.tenant,
    address: clientAddress.get(context)?.(),
  };
}

function getName(error: unknown): string {
  return error instanceof Error ? error.name : 'Error';
}
