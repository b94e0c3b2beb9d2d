/**
 * What the services measure: every metric that leaves a process stands here, with its unit; docs/observability.md tells
 * what each is good for. Attributes have few values: an id in one would make a series of each task.
 *
 * An instrument is bound to the provider with its first value, which comes after the start of the service: until then there
 * may be none (telemetry.ts), and OpenTelemetry's API does not go over to one that comes later.
 */
import { metrics, type Attributes, type Meter } from '@opentelemetry/api';

const meter = (): Meter => metrics.getMeter('longhaul');

/** From what a database does to what a model may take. */
const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];
/** As the semantic conventions of generative AI have them. */
const tokens = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304];

interface Recorder {
  readonly name: string;
  record(value: number, attributes?: Attributes): void;
}

function histogram(name: string, unit: string, description: string, boundaries = seconds): Recorder {
  const options = { unit, description, advice: { explicitBucketBoundaries: boundaries } };
  let bound: ReturnType<Meter['createHistogram']> | undefined;
  return {
    name,
    record: (value, attributes) =>
      (bound ??= meter().createHistogram(name, options)).record(value, attributes),
  };
}

function counter(name: string, unit: string, description: string): Recorder {
  let bound: ReturnType<Meter['createCounter']> | undefined;
  return {
    name,
    record: (value, attributes) =>
      (bound ??= meter().createCounter(name, { unit, description })).add(value, attributes),
  };
}

export const instruments = {
  acceptDuration: histogram('longhaul.accept.duration', 's', 'From a send to its stored message'),
  turnWait: histogram('longhaul.turn.wait', 's', 'From the wakeup of a turn to its claim'),
  turnDuration: histogram('longhaul.turn.duration', 's', 'From the claim of a turn to its end or release'),
  turnsParked: counter('longhaul.turns.parked', '{turn}', 'Turns that gave way to a model without capacity'),
  leasesLost: counter('longhaul.leases.lost', '{lease}', 'Leases that ended before their turns'),
  stepDuration: histogram('longhaul.step.duration', 's', 'From the start of a step to its record'),
  modelDuration: histogram('gen_ai.client.operation.duration', 's', 'Of one call of the model'),
  modelTokens: histogram('gen_ai.client.token.usage', '{token}', 'Of one call of the model', tokens),
  webhookDuration: histogram('longhaul.webhook.duration', 's', 'Of one attempt at a webhook'),
  webhookAge: histogram('longhaul.webhook.age', 's', 'From an event to its arrival at the receiver'),
  reconcilerFound: counter(
    'longhaul.reconciler.found',
    '{item}',
    'What was found because its wakeup was lost',
  ),
} satisfies Record<string, Recorder>;

/** Told with each export: of the whole system by workers and dispatchers alike, of the process by workers. */
export const gauges = {
  turnsWaiting: { name: 'longhaul.turns.waiting', unit: '{turn}' },
  turnsWaitingAge: { name: 'longhaul.turns.waiting.age', unit: 's' },
  turnsLeased: { name: 'longhaul.turns.leased', unit: '{turn}' },
  turnsDelayed: { name: 'longhaul.turns.delayed', unit: '{turn}' },
  turnsStalledAge: { name: 'longhaul.turns.stalled.age', unit: 's' },
  outboxAge: { name: 'longhaul.outbox.age', unit: 's' },
  webhooksPending: { name: 'longhaul.webhooks.pending', unit: '{webhook}' },
  webhooksStalledAge: { name: 'longhaul.webhooks.stalled.age', unit: 's' },
  turnsRunning: { name: 'longhaul.turns.running', unit: '{turn}' },
  turnsDesired: { name: 'longhaul.turns.desired', unit: '{turn}' },
} as const;

export type Gauge = keyof typeof gauges;

/** Has `read` called with each export. To be called once the provider is there; without one, nothing is ever read. */
export function observeGauges<const Names extends Gauge>(
  names: readonly Names[],
  read: () => Promise<Record<Names, number>>,
): void {
  const made = names.map((key) => {
    const { name, unit } = gauges[key];
    return { key, gauge: meter().createObservableGauge(name, { unit }) };
  });
  meter().addBatchObservableCallback(
    async (result) => {
      const values = await read();
      for (const { key, gauge } of made) result.observe(gauge, values[key]);
    },
    made.map(({ gauge }) => gauge),
  );
}
