/** `npm run admin -- usage`: tokens and cost of a period, by owner, day and model. */
import { parseArgs } from 'node:util';
import {
  ledgerColumns,
  readLedger,
  type LedgerColumn,
  type LedgerFilter,
  type LedgerLine,
} from '#shared/db/models/ledger.ts';
import { CommandError, type AdminCommand } from './command.ts';

export const usageCommand: AdminCommand = {
  usage:
    '[--since DAY] [--until DAY] [--by owner,day,model] [--owner O] [--tenant T] [--json]   tokens and cost, by default of the last 30 days',
  run: async ({ db, args, print }) => {
    const { by, filter, json } = parseArguments(args);
    const lines = await readLedger(db, by, filter);
    if (json) {
      print(JSON.stringify(lines));
      return;
    }
    const rows = [createHeader(by), ...lines.map((line) => formatLine(by, line))];
    if (lines.length > 1) rows.push(formatLine(by, sumLines(lines)));
    const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0))) ?? [];
    for (const row of rows) {
      const padded = row.map((cell, at) =>
        at < by.length ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0),
      );
      print(padded.join('  ').trimEnd());
    }
    const unpriced = sumLines(lines).unpriced;
    if (unpriced > 0) print(`\nThe cost does not include ${unpriced} calls of models without a price.`);
  },
};

function createHeader(by: readonly LedgerColumn[]): string[] {
  return [...by, 'calls', 'prompt', 'cached', 'tool', 'thoughts', 'output', 'cost'];
}

function formatLine(by: readonly LedgerColumn[], line: LedgerLine): string[] {
  const names = by.map((column) => {
    if (column !== 'owner' || line.tenant === undefined || line.tenant === '') return line[column] ?? '';
    return `${line.tenant}/${line.owner}`;
  });
  const { calls, promptTokens, cachedTokens, toolTokens, thoughtTokens, outputTokens, cost } = line;
  const counts = [calls, promptTokens, cachedTokens, toolTokens, thoughtTokens, outputTokens].map(String);
  return [...names, ...counts, cost.toFixed(4)];
}

function sumLines(lines: readonly LedgerLine[]): LedgerLine {
  const sum = (read: (line: LedgerLine) => number) => lines.reduce((total, line) => total + read(line), 0);
  return {
    calls: sum((line) => line.calls),
    promptTokens: sum((line) => line.promptTokens),
    cachedTokens: sum((line) => line.cachedTokens),
    toolTokens: sum((line) => line.toolTokens),
    thoughtTokens: sum((line) => line.thoughtTokens),
    outputTokens: sum((line) => line.outputTokens),
    cost: sum((line) => line.cost),
    unpriced: sum((line) => line.unpriced),
  };
}

function parseArguments(args: readonly string[]): {
  by: LedgerColumn[];
  filter: LedgerFilter;
  json: boolean;
} {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        since: { type: 'string', default: toDay(Date.now() - 29 * 86_400_000) },
        until: { type: 'string', default: toDay(Date.now()) },
        by: { type: 'string', default: ledgerColumns.join(',') },
        owner: { type: 'string' },
        tenant: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    });
    const { since, until, owner, tenant, json } = values;
    const requested = values.by.split(',');
    const by = ledgerColumns.filter((column) => requested.includes(column));
    if (isDay(since) && isDay(until) && since <= until && by.length === requested.length) {
      return { by, filter: { since, until, owner, tenant }, json };
    }
  } catch {
    // Reported below.
  }
  throw new CommandError(
    `usage expects --since and --until (UTC days such as 2026-11-30), --by (one or more of ${ledgerColumns.join(',')}), --owner, --tenant and --json`,
  );
}

function toDay(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function isDay(text: string): boolean {
  return (
    /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)) && toDay(Date.parse(text)) === text
  );
}
