/** A collector for tests: takes OTLP over HTTP as protobuf, and keeps what came in a form that is easy to look at. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { loadSync, type ServiceDefinition } from '@grpc/proto-loader';
import type { Cleanup } from '../processes/processes.ts';

export type Value = string | number | boolean | Value[];

export interface SpanSeen {
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

export interface MetricSeen {
  service: string;
  name: string;
  unit: string;
  kind: 'gauge' | 'sum' | 'histogram';
}

export interface OtlpReceiver {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly url: string;
  readonly spans: readonly SpanSeen[];
  readonly metrics: readonly MetricSeen[];
  readonly headers: readonly IncomingHttpHeaders[];
  /** Resolves once what was received is as wanted. */
  until(wanted: () => boolean, boundMs?: number): Promise<void>;
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
  const spans: SpanSeen[] = [];
  const metrics: MetricSeen[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const waiting = new Set<() => void>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      headers.push(request.headers);
      const body = Buffer.concat(chunks);
      if (request.url === '/v1/traces') spans.push(...spansIn(body));
      if (request.url === '/v1/metrics') metrics.push(...metricsIn(body));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
      for (const look of waiting) look();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    metrics,
    headers,
    until: (wanted, boundMs = 60_000) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(look);
          const seen = [...spans.map(({ name }) => name), ...new Set(metrics.map(({ name }) => name))];
          reject(new Error(`what was received is not as wanted: ${seen.join(', ')}`));
        }, boundMs);
        const look = (): void => {
          if (!wanted()) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

function spansIn(body: Buffer): SpanSeen[] {
  const { resourceSpans } = collector['Traces']!.requestDeserialize(body) as {
    resourceSpans: { resource: Resource; scopeSpans: { spans: WireSpan[] }[] }[];
  };
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap((scope) =>
      scope.spans.map((span) => ({
        service: serviceOf(resource),
        name: span.name,
        kind: span.kind,
        traceId: span.traceId.toString('hex'),
        spanId: span.spanId.toString('hex'),
        parentSpanId: span.parentSpanId.toString('hex'),
        attributes: valuesOf(span.attributes),
        links: span.links.map(({ traceId, spanId }) => ({
          traceId: traceId.toString('hex'),
          spanId: spanId.toString('hex'),
        })),
        failed: span.status?.code === 'ERROR',
      })),
    ),
  );
}

function metricsIn(body: Buffer): MetricSeen[] {
  const { resourceMetrics } = collector['Metrics']!.requestDeserialize(body) as {
    resourceMetrics: { resource: Resource; scopeMetrics: { metrics: WireMetric[] }[] }[];
  };
  return resourceMetrics.flatMap(({ resource, scopeMetrics }) =>
    scopeMetrics.flatMap((scope) =>
      scope.metrics.map(({ name, unit, gauge, sum }) => ({
        service: serviceOf(resource),
        name,
        unit,
        kind: gauge !== null ? 'gauge' : sum !== null ? 'sum' : 'histogram',
      })),
    ),
  );
}

function serviceOf(resource: Resource): string {
  return String(valuesOf(resource.attributes)['service.name']);
}

function valuesOf(attributes: Attributes): Record<string, Value> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, valueOf(value)]));
}

function valueOf(any: AnyValue): Value {
  return any.value === 'arrayValue'
    ? (any.arrayValue?.values ?? []).map(valueOf)
    : (any[any.value] as Exclude<Value, Value[]>);
}
