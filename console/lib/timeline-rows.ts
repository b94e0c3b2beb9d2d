/** The rows of a timeline: turns with their attempts and steps, then the deliveries of webhooks. */
import type { Timeline, TimelineStep, TimelineTurn } from '#shared/domain/views.ts';
import { totalTokens } from '#shared/domain/usage.ts';
import { formatCost, formatCount } from './format.ts';
import { deliveryTones, isRunning, outcomeNames, outcomeTones, type Tone } from './states.ts';
import type { Interval } from './time-axis.ts';
import type { StepName } from './types.ts';

export type RowKind = 'turn' | 'attempt' | 'model' | 'tool' | 'step' | 'wait' | 'delivery';

export interface TimelineRow {
  key: string;
  kind: RowKind;
  label: string;
  detail: string;
  depth: 0 | 1 | 2;
  tone: Tone;
  from: number;
  /** Undefined: it still runs. */
  to: number | undefined;
  error?: string;
  /** The step of the row, if the turn may run again from it. */
  step?: StepName;
}

export function createRows(timeline: Timeline): TimelineRow[] {
  const current = isRunning(timeline.state) ? timeline.turns.at(-1) : undefined;
  return [
    ...timeline.turns.flatMap((turn) => createTurnRows(turn, turn === current && turn.endedAt === undefined)),
    ...createDeliveryRows(timeline),
  ];
}

/** The time from the acceptance of the task to its last change; to `now` while something runs. */
export function getSpan(timeline: Timeline, rows: readonly TimelineRow[], now: number): Interval {
  const from = Date.parse(timeline.createdAt);
  const ends = rows.map(({ to }) => to ?? now);
  return { from, to: Math.max(Date.parse(timeline.statusAt), from + 1, ...ends) };
}

/** The time in which something worked: waits and planned deliveries are not work. */
export function listWork(rows: readonly TimelineRow[], now: number): Interval[] {
  return rows
    .filter(({ kind, to }) => kind === 'attempt' || (kind !== 'turn' && kind !== 'wait' && to !== undefined))
    .map(({ from, to }) => ({ from, to: to ?? now }));
}

/** @param mayRestart whether the turn may run again from its steps */
function createTurnRows(
  { turn, acceptedAt, endedAt, attempts, steps }: TimelineTurn,
  mayRestart: boolean,
): TimelineRow[] {
  const last = attempts.at(-1);
  const ended = endedAt === undefined ? undefined : Date.parse(endedAt);
  const head: TimelineRow = {
    key: `turn-${turn}`,
    kind: 'turn',
    label: `Turn ${turn}`,
    detail: attempts.length > 1 ? `${attempts.length} attempts` : '',
    depth: 0,
    tone:
      ended === undefined ? 'active' : last?.outcome === undefined ? 'neutral' : outcomeTones[last.outcome],
    from: Date.parse(acceptedAt),
    to: ended,
  };
  const attemptRows = attempts.map(
    ({ fence, worker, startedAt, endedAt, outcome, error }, index): TimelineRow => ({
      key: `attempt-${turn}-${fence}`,
      kind: 'attempt',
      label: attempts.length === 1 ? 'Attempt' : `Attempt ${index + 1}`,
      detail: [worker, outcome === undefined ? 'running' : outcomeNames[outcome]].join(' · '),
      depth: 1,
      tone: outcome === undefined ? 'active' : outcomeTones[outcome],
      from: Date.parse(startedAt),
      to: endedAt === undefined ? undefined : Date.parse(endedAt),
      ...(error !== undefined && { error }),
    }),
  );
  const stepRows = steps.map((step): TimelineRow => {
    const { name, occurrence } = step;
    return { ...createStepRow(turn, step, ended), ...(mayRestart && { step: { name, occurrence } }) };
  });
  const parts = [...attemptRows, ...stepRows].toSorted((a, b) => a.from - b.from || a.depth - b.depth);
  return [head, ...parts];
}

/** @param turnEnded steps that a canceled turn left open end with it */
function createStepRow(turn: number, step: TimelineStep, turnEnded: number | undefined): TimelineRow {
  const { name, occurrence, startedAt, endedAt, usage, wait } = step;
  const kind =
    wait !== undefined ? 'wait' : usage !== undefined || name === 'model' ? 'model' : getKind(name);
  return {
    key: `step-${turn}-${name}-${occurrence}`,
    kind,
    label:
      kind === 'model' ? (usage?.model ?? 'Model') : kind === 'tool' ? name.replace(/^tool[:.]/, '') : name,
    detail: describeStep(step),
    depth: 2,
    tone: endedAt === undefined && turnEnded === undefined ? (kind === 'wait' ? 'wait' : 'active') : 'good',
    from: Date.parse(startedAt),
    to: endedAt === undefined ? turnEnded : Date.parse(endedAt),
  };
}

function getKind(name: string): RowKind {
  return name.startsWith('tool:') || name.startsWith('tool.') ? 'tool' : 'step';
}

function describeStep({ occurrence, usage, wait, endedAt }: TimelineStep): string {
  const parts: string[] = [];
  if (usage !== undefined) {
    parts.push(`${formatCount(totalTokens(usage.tokens))} tokens`);
    if (usage.cost !== undefined) parts.push(`cost ${formatCost(usage.cost)}`);
  } else if (occurrence > 0) {
    parts.push(`no. ${occurrence + 1}`);
  }
  if (wait?.kind === 'children') parts.push(`${wait.ended ?? 0} of ${wait.needed ?? 0} children ended`);
  if (wait?.kind === 'callback' && endedAt === undefined) parts.push('waits for a call');
  if (wait?.kind === 'model' && endedAt === undefined) parts.push('runs at Google');
  return parts.join(' · ');
}

function createDeliveryRows({ deliveries }: Timeline): TimelineRow[] {
  return deliveries.map(({ webhook, event, state, attempts, createdAt, settledAt }) => ({
    key: `delivery-${webhook}-${event}`,
    kind: 'delivery',
    label: event < 0 ? 'Webhook test' : `Webhook of event ${event}`,
    detail: `${state} · ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`,
    depth: 1,
    tone: deliveryTones[state],
    from: Date.parse(createdAt),
    to: settledAt === undefined ? undefined : Date.parse(settledAt),
  }));
}
