/** Entries of the audit log about calls: operations of A2A, and refusals of their scopes. */
import type { SendMessageRequest } from '@a2a-js/sdk';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { AuditEntry, AuditLog } from '#shared/runtime/audit.ts';
import type { AuthenticatedCaller } from '../auth/caller.ts';
import { ForbiddenError, UnauthenticatedError } from '../auth/errors.ts';
import { authenticatedCaller, clientAddress } from './call-state.ts';
import { isRefusal } from './errors.ts';
import type { Send, SendResult } from './send-message.ts';

type Target = AuditEntry['target'];

/** Runs an operation, and writes whether it has succeeded. Throws its errors. */
export async function auditOperation<T>(
  audit: AuditLog,
  context: ServerCallContext,
  { action, target }: { action: string; target: Target },
  run: () => Promise<T>,
): Promise<T> {
  let result: T;
  try {
    result = await run();
  } catch (error) {
    await auditFailure(audit, context, { action, target }, error);
    throw error;
  }
  await audit.writeWithOthers(toEntry(context, action, 'ok', undefined, target));
  return result;
}

function auditFailure(
  audit: AuditLog,
  context: ServerCallContext,
  { action, target }: { action: string; target: Target },
  error: unknown,
): Promise<void> {
  const outcome = isRefusal(error) ? 'refused' : 'failed';
  return audit.writeWithOthers(toEntry(context, action, outcome, getName(error), target));
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

/** Audits the sends of all bindings, and of reruns, like `auditOperation` but without a closure for each message. */
export function auditSends(audit: AuditLog, send: Send): Send {
  return async (request, context, shown) => {
    let result: SendResult;
    try {
      result = await send(request, context, shown);
    } catch (error) {
      const target = getSendTarget(request, request.message?.taskId || undefined);
      await auditFailure(audit, context, { action: 'SendMessage', target }, error);
      throw error;
    }
    const target = getSendTarget(request, result.taskId);
    await audit.writeWithOthers(toEntry(context, 'SendMessage', 'ok', undefined, target));
    return result;
  };
}

function getSendTarget({ configuration }: SendMessageRequest, taskId: string | undefined): Target {
  const webhook = configuration?.taskPushNotificationConfig;
  return { taskId, webhookHost: webhook && getHost(webhook.url) };
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
