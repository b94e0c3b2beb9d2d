/**
 * Every metric that the services export, with its unit; docs/operate/observability.md explains each. Attributes have
 * few values: an id in an attribute would create a time series per task.
 *
 * An instrument is created when its first value is recorded, after the service has started. If it were
 * created earlier, it would stay bound to OpenTelemetry's no-op provider, because the real one is registered
 * later (telemetry.ts).
 */
import { metrics, type Attributes, type Meter } from '@opentelemetry/api';

const getMeter = (): Meter => metrics.getMeter('longhaul');

/** From the duration of a database statement to that of a long model call. */
const secondsBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];
/** From OpenTelemetry's semantic conventions for generative AI. */
const tokenBuckets = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304];

interface Recorder {
  readonly name: string;
  record(value: number, attributes?: Attributes): void;
}

function createHistogram(
  name: string,
  unit: string,
  description: string,
  boundaries = secondsBuckets,
): Recorder {
  const options = { unit, description, advice: { explicitBucketBoundaries: boundaries } };
  let histogram: ReturnType<Meter['createHistogram']> | undefined;
  return {
    name,
    record: (value, attributes) =>
      (histogram ??= getMeter().createHistogram(name, options)).record(value, attributes),
  };
}

function createCounter(name: string, unit: string, description: string): Recorder {
  let counter: ReturnType<Meter['createCounter']> | undefined;
  return {
    name,
    record: (value, attributes) =>
      (counter ??= getMeter().createCounter(name, { unit, description })).add(value, attributes),
  };
}

export const instruments = {
  acceptDuration: createHistogram(
    'longhaul.accept.duration',
    's',
    'Duration of a send until its message is stored',
  ),
  turnWait: createHistogram('longhaul.turn.wait', 's', 'Time from the wake-up of a turn to its claim'),
  turnDuration: createHistogram('longhaul.turn.duration', 's', 'Duration of a turn in one worker'),
  turnsParked: createCounter(
    'longhaul.turns.parked',
    '{turn}',
    'Turns parked because the model had no capacity, or because of the cost limit of their owner',
  ),
  ownerRefusals: createCounter(
    'longhaul.owner.refusals',
    '{request}',
    'Requests refused because of a limit of their owner',
  ),
  scheduleFirings: createCounter(
    'longhaul.schedule.firings',
    '{firing}',
    'Due times of schedules that started a task or were skipped',
  ),
  scheduleDelay: createHistogram(
    'longhaul.schedule.delay',
    's',
    'Time from a due time of a schedule to the start of its task: the latest of those that were due together',
  ),
  outputDelay: createHistogram(
    'longhaul.owner.output.delay',
    's',
    'Waits of writes of turns whose owner stored more bytes per second than allowed',
  ),
  leasesLost: createCounter('longhaul.leases.lost', '{lease}', 'Leases that ended before their turns'),
  stepDuration: createHistogram(
    'longhaul.step.duration',
    's',
    'Duration of a step until its record is stored',
  ),
  modelDuration: createHistogram('gen_ai.client.operation.duration', 's', 'Duration of a model call'),
  modelTokens: createHistogram(
    'gen_ai.client.token.usage',
    '{token}',
    'Tokens of a model call',
    tokenBuckets,
  ),
  modelCallsRepeated: createCounter(
    'longhaul.model.calls.repeated',
    '{call}',
    'Calls in the background that were made again because a worker died before it could record the first',
  ),
  webhookDuration: createHistogram('longhaul.webhook.duration', 's', 'Duration of a webhook attempt'),
  webhookAge: createHistogram(
    'longhaul.webhook.age',
    's',
    'Time from an event to its delivery to the receiver',
  ),
  webhooksDeferred: createCounter(
    'longhaul.webhooks.deferred',
    '{webhook}',
    'Webhook attempts deferred because a limit was reached',
  ),
  reconcilerFound: createCounter(
    'longhaul.reconciler.found',
    '{item}',
    'Items found by the reconciler or the relay because their wake-up was lost or not published',
  ),
  apiRefused: createCounter(
    'longhaul.api.refused',
    '{refusal}',
    'Requests, calls and connections that the api refused or cut off because of a limit',
  ),
} satisfies Record<string, Recorder>;

/**
 * Gauges, read with each export. Each process reports its own `clockDifference`, each worker its own
 * `turnsRunning`, `turnsDesired` and `memoryUsed`. The others
 * describe the whole system, and every worker and dispatcher reports them.
 */
export const gauges = {
  turnsWaiting: { name: 'longhaul.turns.waiting', unit: '{turn}' },
  turnsWaitingAge: { name: 'longhaul.turns.waiting.age', unit: 's' },
  turnsLeased: { name: 'longhaul.turns.leased', unit: '{turn}' },
  turnsDelayed: { name: 'longhaul.turns.delayed', unit: '{turn}' },
  turnsQueued: { name: 'longhaul.turns.queued', unit: '{turn}' },
  ownersLimited: { name: 'longhaul.owners.limited', unit: '{owner}' },
  turnsUnserved: { name: 'longhaul.turns.unserved', unit: '{turn}' },
  turnsStalledAge: { name: 'longhaul.turns.stalled.age', unit: 's' },
  outboxAge: { name: 'longhaul.outbox.age', unit: 's' },
  webhooksPending: { name: 'longhaul.webhooks.pending', unit: '{webhook}' },
  webhooksStalledAge: { name: 'longhaul.webhooks.stalled.age', unit: 's' },
  turnsRunning: { name: 'longhaul.turns.running', unit: '{turn}' },
  turnsDesired: { name: 'longhaul.turns.desired', unit: '{turn}' },
  clockDifference: { name: 'longhaul.clock.difference', unit: 's' },
  memoryUsed: { name: 'longhaul.worker.memory.used', unit: '1' },
} as const;

export type Gauge = keyof typeof gauges;

/** Calls `read` with each export if a provider is already registered, and never otherwise. */
export function observeGauges<const Names extends Gauge>(
  names: readonly Names[],
  read: () => Promise<Record<Names, number>>,
): void {
  const observed = names.map((key) => {
    const { name, unit } = gauges[key];
    return { key, gauge: getMeter().createObservableGauge(name, { unit }) };
  });
  getMeter().addBatchObservableCallback(
    async (result) => {
      const values = await read();
      for (const { key, gauge } of observed) result.observe(gauge, values[key]);
    },
    observed.map(({ gauge }) => gauge),
  );
}
