/** Sends the HTTP request of a task to its target, with the headers that Cloud Tasks adds. */
import { status } from '@grpc/grpc-js';
import { Agent, request } from 'undici';
import type { TokenIssuer } from '../emulator/oidc.ts';
import type { CloudTask } from './task.ts';

export interface DispatchOutcome {
  readonly code: status;
  readonly message: string;
  /** Undefined if no response arrived. */
  readonly httpStatus: number | undefined;
}

export class TargetClient {
  readonly #agent = new Agent({ connections: 256, pipelining: 1 });
  readonly #tokens: TokenIssuer;

  constructor(tokens: TokenIssuer) {
    this.#tokens = tokens;
  }

  /** Makes one attempt. Connection errors and timeouts are returned as outcomes, not thrown. */
  async call(task: CloudTask, queueId: string): Promise<DispatchOutcome> {
    const { url, method, body } = task.request;
    try {
      const headers = await this.#headers(task, queueId);
      const response = await request(url, {
        dispatcher: this.#agent,
        method: method as 'POST',
        headers,
        body: body ?? null,
        headersTimeout: task.dispatchDeadlineMs,
        bodyTimeout: task.dispatchDeadlineMs,
      });
      await response.body.dump();
      return toOutcome(response.statusCode);
    } catch (error) {
      const timedOut = error instanceof Error && /Timeout/.test(error.name) && !/Connect/.test(error.name);
      return {
        code: timedOut ? status.DEADLINE_EXCEEDED : status.UNAVAILABLE,
        message: error instanceof Error ? error.message : String(error),
        httpStatus: undefined,
      };
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #headers(task: CloudTask, queueId: string): Promise<Record<string, string>> {
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(task.request.headers)) {
      const lower = name.toLowerCase();
      if (!/^(host|content-length|user-agent|connection|x-google-.*|x-appengine-.*)$/.test(lower)) {
        headers[lower] = value;
      }
    }
    if (task.request.body !== undefined) headers['content-type'] ??= 'application/octet-stream';
    const { oidc } = task.request;
    if (oidc !== undefined) {
      headers['authorization'] = `Bearer ${await this.#tokens.token(oidc.email, oidc.audience)}`;
    }
    headers['user-agent'] = 'Google-Cloud-Tasks';
    headers['x-cloudtasks-queuename'] = queueId;
    headers['x-cloudtasks-taskname'] = task.name.slice(task.name.lastIndexOf('/') + 1);
    headers['x-cloudtasks-taskretrycount'] = String(task.dispatches - 1);
    headers['x-cloudtasks-taskexecutioncount'] = String(task.executions);
    headers['x-cloudtasks-tasketa'] = String(task.scheduledAt / 1000);
    return headers;
  }
}

const codes: Record<number, status> = {
  400: status.INVALID_ARGUMENT,
  401: status.UNAUTHENTICATED,
  403: status.PERMISSION_DENIED,
  404: status.NOT_FOUND,
  409: status.ABORTED,
  429: status.RESOURCE_EXHAUSTED,
  499: status.CANCELLED,
  500: status.INTERNAL,
  501: status.UNIMPLEMENTED,
  503: status.UNAVAILABLE,
  504: status.DEADLINE_EXCEEDED,
};

function toOutcome(httpStatus: number): DispatchOutcome {
  const success = httpStatus >= 200 && httpStatus <= 299;
  const code = success ? status.OK : (codes[httpStatus] ?? status.UNKNOWN);
  return {
    code,
    message: success ? '' : `${status[code]}(${code}): HTTP status code ${httpStatus}`,
    httpStatus,
  };
}
