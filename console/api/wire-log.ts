/** The calls of this session, newest last, for the agent screen. Nothing is stored, and no header is kept. */
import { signal } from '@preact/signals';

export interface WireEntry {
  id: number;
  at: number;
  method: string;
  path: string;
  request: string | undefined;
  /** Undefined while the call has no answer; 0: it failed. */
  status: number | undefined;
  ms: number | undefined;
  response: string | undefined;
}

export interface LoggedCall {
  answered(status: number): void;
  finish(body: string): void;
  fail(reason: string): void;
}

const longestLog = 200;
const longestBody = 20_000;

export const wireLog = signal<readonly WireEntry[]>([]);
let count = 0;

export function logCall(method: string, path: string, request: string | undefined): LoggedCall {
  const start = performance.now();
  const id = (count += 1);
  const entry: WireEntry = {
    id,
    at: Date.now(),
    method,
    path,
    request: request?.slice(0, longestBody),
    status: undefined,
    ms: undefined,
    response: undefined,
  };
  wireLog.value = [...wireLog.peek().slice(1 - longestLog), entry];
  const change = (values: Partial<WireEntry>): void => {
    wireLog.value = wireLog.peek().map((known) => (known.id === id ? { ...known, ...values } : known));
  };
  const ms = (): number => Math.round(performance.now() - start);
  return {
    answered: (status) => change({ status, ms: ms() }),
    finish: (body) => change({ response: body.slice(0, longestBody) }),
    fail: (reason) => change({ status: 0, ms: ms(), response: reason }),
  };
}
