/**
 * A pgbouncer in transaction mode in front of the test server, for `TEST_PGBOUNCER=1`: correctness must not
 * depend on a session. Debian has a package (`apt-get install pgbouncer`).
 */
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { runGuarded } from '#services/local/processes/guard.ts';
import { getDatabaseUser } from '#services/local/processes/system-user.ts';
import { freePort } from '../network/ports.ts';

export interface PgBouncer {
  readonly port: number;
  stop(): Promise<void>;
}

const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];

/** @param dir the directory of its configuration, which PostgreSQL's user can enter */
export async function startPgBouncer(serverUrl: string, dir: string): Promise<PgBouncer> {
  const program = directories
    .map((directory) => path.join(directory, 'pgbouncer'))
    .find((file) => existsSync(file));
  if (program === undefined) {
    throw new Error('TEST_PGBOUNCER is set but pgbouncer is not installed: apt-get install pgbouncer');
  }
  const { hostname, port: serverPort, username, password } = new URL(serverUrl);
  const port = await freePort();
  const file = path.join(dir, 'pgbouncer.ini');
  writeFileSync(
    file,
    `[databases]
* = host=${hostname} port=${serverPort} user=${username} password=${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
max_client_conn = 2000
; The time that a query waits for a connection without a pooler.
query_wait_timeout = 5
server_login_retry = 1
`,
    { mode: 0o644 },
  );
  const bouncer = runGuarded(program, [file], { user: getDatabaseUser(dir), stopSeconds: 1 });
  bouncer.stdout.resume();
  const lines: string[] = [];
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: bouncer.stderr }).on('line', (line) => {
      if (lines.length < 20) lines.push(line);
      if (line.includes('process up')) resolve();
    });
    bouncer.exited.then(() => reject(new Error(`pgbouncer did not start: ${lines.join('\n')}`)), reject);
  });
  return {
    port,
    stop: async () => {
      bouncer.kill();
      await bouncer.exited;
    },
  };
}
