/** Common parts of the jobs of the load. */
import { randomUUID } from 'node:crypto';
import { getPercentile } from '../percentile.ts';
import type { JobResult, RequestTemplate } from './jobs.ts';

/** Milliseconds since 1970, with fractions. */
export const now = (): number => performance.timeOrigin + performance.now();

export function fill({ path, headers, body }: RequestTemplate, task: string) {
  return {
    path: path.replace('%TASK%', task),
    headers: headers['mcp-name'] === '%TASK%' ? { ...headers, 'mcp-name': task } : headers,
    body: body?.replace('%TASK%', task).replace('%NEW%', randomUUID()) ?? null,
  };
}

export function summarise(latencies: readonly number[]): JobResult['latencies'] {
  const sorted = latencies.toSorted((a, b) => a - b);
  return {
    count: sorted.length,
    p50: getPercentile(sorted, 0.5) ?? 0,
    p99: getPercentile(sorted, 0.99) ?? 0,
  };
}
