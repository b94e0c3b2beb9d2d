/**
 * Exports traces and metrics over OTLP. Only this file uses OpenTelemetry's SDK, and it loads the SDK only if
 * an export is configured. Other code uses the OpenTelemetry API, which does nothing until a provider is
 * registered.
 *
 * A root span is recorded if a span that it links to is recorded. A task is therefore traced completely or
 * not at all, although it consists of several traces (see spans.ts).
 */
import { randomUUID } from 'node:crypto';
import { diag, DiagLogLevel, metrics, trace, TraceFlags } from '@opentelemetry/api';
import type { Sampler } from '@opentelemetry/sdk-trace-node';
import { errorMessage, type Logger } from './log.ts';
import type { TelemetryConfig } from './config/telemetry.ts';

export interface Telemetry {
  /** Exports what is still buffered. Takes at most 2 s. */
  close(): Promise<void>;
}

/** Limit of Google Cloud's Telemetry API. */
const pointsPerRequest = 200;
/** A collector that does not respond must not delay the exit of the process. */
const lastExportMs = 2_000;

/** @param service name as in the logs; `service.name` is `longhaul-<service>` by default */
export async function startTelemetry(
  service: string,
  config: TelemetryConfig,
  log: Logger,
): Promise<Telemetry> {
  const providers = config.traces || config.metrics ? await startProviders(service, config, log) : [];
  return {
    close: async () => {
      const closed = Promise.allSettled(providers.map((provider) => provider.shutdown()));
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, lastExportMs).unref())]);
    },
  };
}

async function startProviders(
  service: string,
  config: TelemetryConfig,
  log: Logger,
): Promise<{ shutdown(): Promise<void> }[]> {
  const warn = (message: string): void => log.warn({ reason: message }, 'telemetry export failed');
  const ignore = (): void => undefined;
  diag.setLogger(
    { error: warn, warn: ignore, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.ERROR },
  );
  const { detectResources, envDetector, defaultResource, resourceFromAttributes } =
    await import('@opentelemetry/resources');
  const resource = defaultResource()
    .merge(
      resourceFromAttributes({
        'service.name': `longhaul-${service}`,
        'service.instance.id': randomUUID(),
        ...(config.project !== undefined && { 'gcp.project_id': config.project }),
      }),
    )
    .merge(detectResources({ detectors: [envDetector] }));
  const options = config.google ? { headers: await createGoogleHeaders(log) } : {};
  return Promise.all([
    ...(config.traces ? [startTraces()] : []),
    ...(config.metrics ? [startMetrics()] : []),
  ]);

  async function startTraces() {
    const [{ BatchSpanProcessor, NodeTracerProvider }, { OTLPTraceExporter }] = await Promise.all([
      import('@opentelemetry/sdk-trace-node'),
      import('@opentelemetry/exporter-trace-otlp-proto'),
    ]);
    const provider = new NodeTracerProvider({
      resource,
      sampler: await createSampler(config),
      spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(options))],
    });
    provider.register();
    return provider;
  }

  async function startMetrics() {
    const [{ MeterProvider, PeriodicExportingMetricReader }, { OTLPMetricExporter }] = await Promise.all([
      import('@opentelemetry/sdk-metrics'),
      import('@opentelemetry/exporter-metrics-otlp-proto'),
    ]);
    const reader = new PeriodicExportingMetricReader({
      exporter: new OTLPMetricExporter(options),
      exportIntervalMillis: config.metricIntervalMs,
      exportTimeoutMillis: Math.min(10_000, config.metricIntervalMs),
      maxExportBatchSize: pointsPerRequest,
    });
    const provider = new MeterProvider({ resource, readers: [reader] });
    metrics.setGlobalMeterProvider(provider);
    return provider;
  }
}

async function createSampler({ sampler, sampledRatio }: TelemetryConfig): Promise<Sampler> {
  const {
    AlwaysOffSampler,
    AlwaysOnSampler,
    ParentBasedSampler,
    SamplingDecision,
    TraceIdRatioBasedSampler,
  } = await import('@opentelemetry/sdk-trace-node');
  const root = sampler.endsWith('always_on')
    ? new AlwaysOnSampler()
    : sampler.endsWith('always_off')
      ? new AlwaysOffSampler()
      : new TraceIdRatioBasedSampler(sampledRatio);
  const configured = sampler.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root;
  return {
    shouldSample: (context, traceId, name, kind, attributes, links) => {
      if (links.length === 0 || trace.getSpanContext(context) !== undefined) {
        return configured.shouldSample(context, traceId, name, kind, attributes, links);
      }
      const recorded = links.some((link) => (link.context.traceFlags & TraceFlags.SAMPLED) !== 0);
      return { decision: recorded ? SamplingDecision.RECORD_AND_SAMPLED : SamplingDecision.NOT_RECORD };
    },
    toString: () => `LinkBased{${configured.toString()}}`,
  };
}

/** Never rejects: without the header the request is refused, and the exporter reports that. */
async function createGoogleHeaders(log: Logger): Promise<() => Promise<Record<string, string>>> {
  const { GoogleAuth } = await import('google-auth-library');
  const auth = new GoogleAuth({ scopes: 'https://www.googleapis.com/auth/cloud-platform' });
  return async () => {
    try {
      return Object.fromEntries(await auth.getRequestHeaders());
    } catch (error) {
      log.warn({ error: errorMessage(error) }, 'no credentials for telemetry');
      return {};
    }
  };
}
