/** A collector for tests: receives OTLP over HTTP as protobuf, and lists the received spans and metrics. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { fileURLToPath } from 'node:url';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import type { Cleanup } from '../../cleanup.ts';
import { listen } from '../../network/listen.ts';

export type Value = string | number | boolean | Value[];

export interface ReceivedSpan {
  service: string;
  name: string;
  kind: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  attributes: Record<string, Value>;
  links: { traceId: string; spanId: string }[];
  failed: boolean;
}

export interface ReceivedMetric {
  service: string;
  name: string;
  unit: string;
  kind: 'gauge' | 'sum' | 'histogram';
}

export interface OtlpReceiver {
  /** Value of `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  readonly metrics: readonly ReceivedMetric[];
  readonly headers: readonly IncomingHttpHeaders[];
  /** Resolves when `condition` holds; it is checked after each request. Rejects after `boundMs` (60 s). */
  until(condition: () => boolean, boundMs?: number): Promise<void>;
}

interface AnyValue {
  value: 'stringValue' | 'boolValue' | 'intValue' | 'doubleValue' | 'arrayValue';
  arrayValue?: { values: AnyValue[] };
  [kind: string]: unknown;
}
type Attributes = { key: string; value: AnyValue }[];
interface Resource {
  attributes: Attributes;
}
interface WireSpan {
  traceId: Buffer;
  spanId: Buffer;
  parentSpanId: Buffer;
  name: string;
  kind: string;
  attributes: Attributes;
  links: { traceId: Buffer; spanId: Buffer }[];
  status: { code: string } | null;
}
interface WireMetric {
  name: string;
  unit: string;
  gauge: object | null;
  sum: object | null;
  histogram: object | null;
}

const file = fileURLToPath(new URL('./otlp.proto', import.meta.url));
const options = { longs: Number, enums: String, defaults: true, arrays: true, oneofs: true };
const collector = loadSync(file, options)['otlp.Collector'] as ServiceDefinition;

export async function startOtlpReceiver(t: Cleanup): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const metrics: ReceivedMetric[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const pendingChecks = new Set<() => void>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      headers.push(request.headers);
      const body = Buffer.concat(chunks);
      if (request.url === '/v1/traces') spans.push(...parseSpans(body));
      if (request.url === '/v1/metrics') metrics.push(...parseMetrics(body));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
      for (const check of pendingChecks) check();
    });
  });
  const url = await listen(t, server);
  return {
    url,
    spans,
    metrics,
    headers,
    until: (condition, boundMs = 60_000) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          pendingChecks.delete(check);
          const received = [...spans.map(({ name }) => name), ...new Set(metrics.map(({ name }) => name))];
          reject(new Error(`the condition is not met after ${boundMs} ms; received: ${received.join(', ')}`));
        }, boundMs);
        const check = (): void => {
          if (!condition()) return;
          clearTimeout(timer);
          pendingChecks.delete(check);
          resolve();
        };
        pendingChecks.add(check);
        check();
      }),
  };
}

function parseSpans(body: Buffer): ReceivedSpan[] {
  const { resourceSpans } = collector['Traces']!.requestDeserialize(body) as {
    resourceSpans: { resource: Resource; scopeSpans: { spans: WireSpan[] }[] }[];
  };
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap((scope) =>
      scope.spans.map((span) => ({
        service: getService(resource),
        name: span.name,
        kind: span.kind,
        traceId: span.traceId.toString('hex'),
        spanId: span.spanId.toString('hex'),
        parentSpanId: span.parentSpanId.toString('hex'),
        attributes: toRecord(span.attributes),
        links: span.links.map(({ traceId, spanId }) => ({
          traceId: traceId.toString('hex'),
          spanId: spanId.toString('hex'),
        })),
        failed: span.status?.code === 'ERROR',
      })),
    ),
  );
}

function parseMetrics(body: Buffer): ReceivedMetric[] {
  const { resourceMetrics } = collector['Metrics']!.requestDeserialize(body) as {
    resourceMetrics: { resource: Resource; scopeMetrics: { metrics: WireMetric[] }[] }[];
  };
  return resourceMetrics.flatMap(({ resource, scopeMetrics }) =>
    scopeMetrics.flatMap((scope) =>
      scope.metrics.map(({ name, unit, gauge, sum }) => ({
        service: getService(resource),
        name,
        unit,
        kind: gauge !== null ? 'gauge' : sum !== null ? 'sum' : 'histogram',
      })),
    ),
  );
}

function getService(resource: Resource): string {
  return String(toRecord(resource.attributes)['service.name']);
}

function toRecord(attributes: Attributes): Record<string, Value> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, toValue(value)]));
}

function toValue(any: AnyValue): Value {
  return any.value === 'arrayValue'
    ? (any.arrayValue?.values ?? []).map(toValue)
    : (any[any.value] as Exclude<Value, Value[]>);
}
