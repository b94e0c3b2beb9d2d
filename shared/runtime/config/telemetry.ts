/**
 * Whether and how traces and metrics are exported, by the variables of OpenTelemetry's specification. The SDK
 * itself reads endpoints, headers, timeouts, batch sizes and resource attributes.
 */
import type { EnvReader } from './env-reader.ts';

export interface TelemetryConfig {
  traces: boolean;
  metrics: boolean;
  /** True if the endpoint is Google's, which needs the credentials of this process's service account. */
  google: boolean;
  /** Google Cloud project of the telemetry and of the trace ids in logs. */
  project: string | undefined;
  sampler: (typeof samplers)[number];
  /** Share of the traces that start here, from 0 to 1, for the ratio samplers. */
  sampledRatio: number;
  metricIntervalMs: number;
  /** Records prompts and responses in the spans of model calls. */
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
    const endpoint =
      reader.optional(`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`) ?? reader.optional(endpointName);
    const enabled = reader.oneOf(`OTEL_${signal}_EXPORTER`, ['otlp', 'none'], 'otlp') === 'otlp';
    return enabled && !disabled ? endpoint : undefined;
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

/** Reads where people find the traces of a task: the address has `{taskId}` in place of its id. */
export function readTraceUrl(reader: EnvReader): string | undefined {
  const url = reader.optional('CONSOLE_TRACE_URL');
  if (url === undefined || (/^https?:\/\//.test(url) && URL.canParse(url) && url.includes('{taskId}'))) {
    return url;
  }
  reader.problem(`CONSOLE_TRACE_URL must be an http or https URL with {taskId} in it, not "${url}"`);
  return undefined;
}
