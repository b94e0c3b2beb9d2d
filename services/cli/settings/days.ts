/** The options of reports about days: the first and the last one. */
import { InvalidArgumentError, type Command } from 'commander';

export interface DayOptions {
  since?: string;
  until?: string;
}

export function addDayOptions(command: Command): Command {
  return command
    .option('--since <day>', 'first day, such as 2030-01-31 (default: 29 days before the last one)', parseDay)
    .option('--until <day>', 'last day (default: today)', parseDay);
}

/** Returns the options as parameters of a query. */
export function toDays({ since, until }: DayOptions): DayOptions & Record<string, string> {
  return { ...(since && { since }), ...(until && { until }) };
}

function parseDay(value: string): string {
  if (/^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(Date.parse(value))) return value;
  throw new InvalidArgumentError('Expected a day such as 2030-01-31.');
}
