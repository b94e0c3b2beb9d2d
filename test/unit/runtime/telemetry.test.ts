/** Telemetry without a collector: configuration, loading of the SDK, trace contexts, documented metrics. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { trace } from '@opentelemetry/api';
import { MovingMean, desiredConcurrency } from '#shared/domain/concurrency.ts';
import { EnvReader, type Environment } from '#shared/runtime/config/env-reader.ts';
import { readTelemetry, type TelemetryConfig } from '#shared/runtime/config/telemetry.ts';
import { gauges, instruments } from '#shared/runtime/instruments.ts';
import { createLogger } from '#shared/runtime/log.ts';
import { activeTraceparent, toContext, inSpan, createLinks } from '#shared/runtime/spans.ts';
import { startTelemetry } from '#shared/runtime/telemetry.ts';

const log = createLogger('test', 'silent');
const { cache } = createRequire(import.meta.url);
const sdkModules = (): string[] =>
  Object.keys(cache).filter((file) => /@opentelemetry\/(sdk|exporter|resources|otlp)/.test(file));

function read(env: Environment): TelemetryConfig {
  const reader = new EnvReader(env);
  const config = readTelemetry(reader);
  reader.check();
  return config;
}

describe('telemetry', () => {
  test('loads the OpenTelemetry SDK only if an endpoint is configured', async () => {
    const telemetry = await startTelemetry('test', read({}), log);
    await inSpan('nothing', {}, async () => instruments.acceptDuration.record(1));
    assert.equal(activeTraceparent(), null);
    await telemetry.close();
    assert.deepEqual(sdkModules(), []);

    // Nothing listens on this address: the export fails, and close() still resolves.
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_METRICS_EXPORTER: 'none' };
    const exporting = await startTelemetry('test', read(env), log);
    assert.ok(sdkModules().length > 0);
    await exporting.close();
  });

  test('enables each signal by its endpoint, and disables all by one switch', () => {
    const both = { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://telemetry.googleapis.com' };
    const on = (env: Environment): boolean[] => {
      const { traces, metrics, google } = read(env);
      return [traces, metrics, google];
    };
    assert.deepEqual(on({}), [false, false, false]);
    assert.deepEqual(on(both), [true, true, true]);
    assert.deepEqual(on({ ...both, OTEL_METRICS_EXPORTER: 'none' }), [true, false, true]);
    assert.deepEqual(on({ ...both, OTEL_SDK_DISABLED: 'true' }), [false, false, false]);
    assert.deepEqual(on({ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://c:1/v1/metrics' }), [
      false,
      true,
      false,
    ]);
  });

  test('reports unsupported settings by name', () => {
    assert.throws(
      () => read({ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' }),
      /OTEL_EXPORTER_OTLP_ENDPOINT/,
    );
    assert.throws(() => read({ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }), /must be one of http\/protobuf/);
    assert.throws(() => read({ OTEL_TRACES_SAMPLER: 'sometimes' }), /OTEL_TRACES_SAMPLER must be one of/);
    assert.throws(() => read({ OTEL_TRACES_SAMPLER_ARG: '2' }), /OTEL_TRACES_SAMPLER_ARG must be/);
  });
});

describe('spans', () => {
  test('accepts only trace contexts in the W3C format', () => {
    const ids = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
    const good = `00-${ids.join('-')}-01`;
    const parseSpan = (traceparent: string | undefined) => trace.getSpanContext(toContext(traceparent));
    assert.deepEqual(
      [parseSpan(good)?.traceId, parseSpan(good)?.spanId, parseSpan(good)?.traceFlags],
      [...ids, 1],
    );
    assert.equal(parseSpan(`01-${ids.join('-')}-00-more`)?.traceFlags, 0);
    const zeros = `00-${'0'.repeat(32)}-${'0'.repeat(16)}-01`;
    for (const bad of [
      undefined,
      '',
      'x',
      zeros,
      good.toUpperCase(),
      `ff${good.slice(2)}`,
      good.slice(0, -1),
      `${good}x`,
    ]) {
      assert.equal(parseSpan(bad), undefined, bad);
    }
    assert.equal(createLinks(good, good, null, undefined, 'x').length, 1);
    fc.assert(fc.property(fc.string({ maxLength: 2000 }), (text) => createLinks(text).length === 0));
  });
});

describe('metrics', () => {
  test('documents each metric with its unit, and no other', async () => {
    const guide = await readFile(new URL('../../../docs/operate/observability.md', import.meta.url), 'utf8');
    const documented = [...guide.matchAll(/^\| `((?:longhaul|gen_ai)\.[\w.]+)` \|/gm)].map(
      ([, name]) => name,
    );
    const known = [...Object.values(instruments), ...Object.values(gauges)].map(({ name }) => name);
    assert.deepEqual(new Set(documented), new Set(known));
    assert.equal(documented.length, known.length);
    for (const { name, unit } of Object.values(gauges))
      assert.ok(guide.includes(`\`${name}\` | ${unit} |`), name);
  });
});

describe('concurrency', () => {
  test('desires few slots for short waiting turns, and one for each long turn', () => {
    assert.equal(desiredConcurrency({ running: 7, waiting: 0, meanSeconds: 5 }), 7);
    assert.equal(desiredConcurrency({ running: 7, waiting: 600, meanSeconds: 1 }), 17);
    assert.equal(desiredConcurrency({ running: 0, waiting: 600, meanSeconds: 3600 }), 600);
    assert.equal(desiredConcurrency({ running: 0, waiting: 3, meanSeconds: undefined }), 3);
    assert.equal(desiredConcurrency({ running: 0, waiting: 1, meanSeconds: 0.001 }), 1);
  });

  test('weights each new value of a moving mean with one tenth', () => {
    const mean = new MovingMean();
    assert.equal(mean.value, undefined);
    for (const seconds of [10, 20]) mean.add(seconds);
    assert.equal(mean.value, 11);
  });
});
