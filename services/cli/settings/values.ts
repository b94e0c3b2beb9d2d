/** Parsers of option values, for commander. */
import { InvalidArgumentError } from 'commander';
import type { JsonObject } from '#shared/domain/message.ts';
import { taskStates, type TaskState } from '#shared/domain/task.ts';

/** Seconds, at most a week: a longer time does not fit a timer. */
export function parseSeconds(value: string): number {
  const seconds = Number(value);
  if (!(value.trim() !== '' && seconds > 0 && seconds <= 604_800)) {
    throw new InvalidArgumentError('Expected seconds, more than 0 and at most 604800.');
  }
  return seconds;
}

/** A whole number from 1 to `max`. */
export function parseCount(max: number): (value: string) => number {
  return (value) => {
    const count = Number(value);
    if (!/^\d+$/.test(value) || count < 1 || count > max) {
      throw new InvalidArgumentError(`Expected a whole number from 1 to ${max}.`);
    }
    return count;
  };
}

const units = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/** Returns the seconds of a duration such as `10m`, within bounds in seconds. */
export function parseDuration({ min, max }: { min: number; max: number }): (value: string) => number {
  return (value) => {
    const [, count, unit] = /^(\d{1,6})(s|m|h|d)$/.exec(value) ?? [];
    const seconds = count === undefined ? Number.NaN : Number(count) * units[unit as keyof typeof units];
    if (seconds >= min && seconds <= max) return seconds;
    throw new InvalidArgumentError(
      `Expected a duration such as 30s, 10m, 2h or 1d, from ${min}s to ${max / 86_400}d.`,
    );
  };
}

/** An ISO 8601 time with its zone, or a delay from now such as `10m`. */
export function parseTime(value: string): string {
  return readTime(value, 1, 'a delay');
}

/** An ISO 8601 time with its zone, or an age such as `10m`. */
export function parsePastTime(value: string): string {
  return readTime(value, -1, 'an age');
}

function readTime(value: string, direction: 1 | -1, name: string): string {
  const [, count, unit] = /^(\d{1,6})(s|m|h|d)$/.exec(value) ?? [];
  if (count !== undefined) {
    const ms = Number(count) * units[unit as keyof typeof units] * 1000;
    return new Date(Date.now() + direction * ms).toISOString();
  }
  const time = /^\d{4}-\d\d-\d\dT.*(Z|[+-]\d\d:?\d\d)$/.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) {
    throw new InvalidArgumentError(
      `Expected a time such as 2030-01-31T08:00:00Z, or ${name} such as 10m, 2h or 1d.`,
    );
  }
  return new Date(time).toISOString();
}

/** The name of a state as the commands print it, such as `working` or `input-required`. */
export function parseState(value: string): TaskState {
  const state = `TASK_STATE_${value.toUpperCase().replaceAll(/[- ]/g, '_')}`;
  const found = taskStates.find((each) => each === state);
  if (found === undefined) {
    const names = taskStates.map((each) =>
      each.replace('TASK_STATE_', '').toLowerCase().replaceAll('_', '-'),
    );
    throw new InvalidArgumentError(`Expected one of ${names.join(', ')}.`);
  }
  return found;
}

export function parseJsonObject(value: string): JsonObject {
  try {
    const parsed: unknown = JSON.parse(value);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as JsonObject;
  } catch {
    // Not JSON.
  }
  throw new InvalidArgumentError('Expected a JSON object, such as {"key": "value"}.');
}
