/**
 * Whether, and how, traces and metrics are exported: by the variables of OpenTelemetry's specification. The SDK reads
 * for itself what it takes as it is: endpoints, headers, timeouts, batches, and attributes of the resource.
 */
import type { EnvReader } from './env-reader.ts';

export interface TelemetryConfig {
  traces: boolean;
  metrics: boolean;
  /** Exported to Google's own endpoint, as the service account of this process. */
  google: boolean;
  /** The project of the telemetry, and of the trace ids in logs. */
  project: string | undefined;
  sampler: (typeof samplers)[number];
  /** Of traces that begin here, for the samplers by ratio. */
  sampledRatio: number;
  metricIntervalMs: number;
  /** What is said to the model and by it stands in the spans of its calls. */
  captureContent: boolean;
}

const samplers = [
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
  'always_on',
  'always_off',
  'traceidratio',
] as const;

const endpointName = 'OTEL_EXPORTER_OTLP_ENDPOINT';

export function readTelemetry(reader: EnvReader): TelemetryConfig {
  const disabled = reader.flag('OTEL_SDK_DISABLED', false);
  const endpoints = ['TRACES', 'METRICS'].map((signal) => {
    const named = reader.optional(`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`) ?? reader.optional(endpointName);
    const wanted = reader.oneOf(`OTEL_${signal}_EXPORTER`, ['otlp', 'none'], 'otlp') === 'otlp';
    return wanted && !disabled ? named : undefined;
  });
  for (const endpoint of endpoints) {
    if (
      endpoint !== undefined &&
      !/^https?:$/.test(URL.canParse(endpoint) ? new URL(endpoint).protocol : '')
    ) {
      reader.problem(`${endpointName} must be an http or https URL, not "${endpoint}"`);
    }
  }
  reader.oneOf('OTEL_EXPORTER_OTLP_PROTOCOL', ['http/protobuf'], 'http/protobuf');
  const [traces, metrics] = endpoints;
  return {
    traces: traces !== undefined,
    metrics: metrics !== undefined,
    google: endpoints.some((endpoint) => endpoint?.startsWith('https://telemetry.googleapis.com')),
    project: reader.optional('GOOGLE_CLOUD_PROJECT'),
    sampler: reader.oneOf('OTEL_TRACES_SAMPLER', samplers, 'parentbased_always_on'),
    sampledRatio: reader.number('OTEL_TRACES_SAMPLER_ARG', 1, { min: 0, max: 1, whole: false }),
    captureContent: reader.flag('OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT', false),
    metricIntervalMs: reader.number('OTEL_METRIC_EXPORT_INTERVAL', 60_000, { min: 100, max: 3_600_000 }),
  };
}
