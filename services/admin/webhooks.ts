/** `npm run admin -- webhooks`: pending deliveries, the age of the oldest, and failing hosts. */
import { parseArgs } from 'node:util';
import { readDeliveryStats } from '#shared/db/webhooks/stats.ts';
import { CommandError, type AdminCommand } from './command.ts';

export const webhooksCommand: AdminCommand = {
  usage: '[--hours 24] [--json]   pending webhook deliveries, and failure rates by host',
  run: async ({ db, args, print }) => {
    const { hours, json } = parseArguments(args);
    const stats = await readDeliveryStats(db, hours);
    if (json) {
      print(JSON.stringify(stats));
      return;
    }
    const { pending, oldestPendingSeconds, disabledConfigs, hosts } = stats;
    print(`pending deliveries     ${pending}`);
    print(`oldest of them         ${oldestPendingSeconds === null ? '-' : `${oldestPendingSeconds} s`}`);
    print(`disabled webhooks      ${disabledConfigs}`);
    print(`\nattempts in the last ${hours} h, most failures first`);
    print(
      `${'host'.padEnd(40)}${'attempts'.padStart(10)}${'failed'.padStart(10)}${'rate'.padStart(8)}${'p95 ms'.padStart(9)}`,
    );
    for (const { host, attempts, failed, p95Ms } of hosts) {
      const rate = `${((100 * failed) / attempts).toFixed(1)}%`;
      print(
        host.padEnd(40) +
          [
            String(attempts).padStart(10),
            String(failed).padStart(10),
            rate.padStart(8),
            String(p95Ms).padStart(9),
          ].join(''),
      );
    }
  },
};

function parseArguments(args: readonly string[]): { hours: number; json: boolean } {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { hours: { type: 'string', default: '24' }, json: { type: 'boolean', default: false } },
    });
    const hours = Number(values.hours);
    if (hours > 0 && hours <= 24 * 365) return { hours, json: values.json };
  } catch {
    // Reported below.
  }
  throw new CommandError('webhooks expects --hours (a number above 0, at most 8760) and --json');
}
