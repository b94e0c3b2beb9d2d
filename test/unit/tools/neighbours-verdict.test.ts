/** The verdict of `npm run load -- neighbours` on measurements, and the limits that it holds them against. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readMemoryLimit } from '../../tools/load/neighbours/measured/memory-limits.ts';
import type { Operation, PhaseReport } from '../../tools/load/neighbours/samples.ts';
import type { ScenarioResult } from '../../tools/load/neighbours/scenario.ts';
import type { ServiceUsage } from '../../tools/load/neighbours/measured/service.ts';
import { findExceeded } from '../../tools/load/neighbours/verdict.ts';

function createPhase(p99: number, more: Partial<PhaseReport> = {}): PhaseReport {
  const latency = { count: 100, p50: 5, p99 };
  const latencies: Record<Operation, typeof latency> = {
    send: latency,
    task: latency,
    get: latency,
    webhook: latency,
  };
  const stages: PhaseReport['stages'] = { accepted: latency, claimed: latency, completed: latency };
  return { latencies, stages, unanswered: 0, tasksLost: 0, webhooksLost: 0, ...more };
}

function createResult(alone: PhaseReport, hostile: PhaseReport): ScenarioResult {
  const createUsage = (): ServiceUsage => ({ peakMib: 200, limitMib: 512, crashes: [] });
  return {
    rows: [6],
    good: { phases: { alone, hostile }, errors: {} },
    services: { api: createUsage(), worker: createUsage(), dispatcher: createUsage() },
    counts: {},
    loadBefore: 0,
  };
}

describe('verdict on a measured owner', () => {
  test('ignores an increase of up to 50 ms', () => {
    assert.deepEqual(findExceeded(createResult(createPhase(10), createPhase(60))), []);
  });

  test('allows twice the latency, and three times that of webhooks', () => {
    const exceeded = findExceeded(createResult(createPhase(100), createPhase(250)));
    assert.deepEqual(exceeded, ['p99 of send', 'p99 of task', 'p99 of get']);
  });

  test('allows any latency next to an owner that is not hostile', () => {
    const result = { ...createResult(createPhase(100), createPhase(900)), rows: [0] };
    assert.deepEqual(findExceeded(result), []);
  });

  test('names tasks that are not completed and unanswered requests', () => {
    const hostile = createPhase(10, { tasksLost: 2, unanswered: 1 });
    assert.deepEqual(findExceeded(createResult(createPhase(10), hostile)), [
      '1 requests unanswered',
      '2 tasks not completed',
    ]);
  });

  test('names services that ended or exceeded their memory', () => {
    const result = createResult(createPhase(10), createPhase(10));
    result.services.api.peakMib = 513;
    result.services.worker.crashes.push('out of heap');
    assert.deepEqual(findExceeded(result), ['api over 512 MiB', 'worker ended 1 times']);
  });

  test('names a condition of the row that does not hold', () => {
    const result = {
      ...createResult(createPhase(10), createPhase(10)),
      rows: [8],
      counts: { 8: { 'calls held': 101 } },
    };
    assert.deepEqual(findExceeded(result), ['not: at most 100 waiting calls are held']);
  });
});

test('the memory limits are those of the manifests', () => {
  const limits = (['api', 'worker', 'dispatcher'] as const).map((kind) => readMemoryLimit(kind).mib);
  assert.deepEqual(limits, [512, 1024, 512]);
});
