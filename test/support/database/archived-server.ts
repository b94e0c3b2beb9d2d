/**
 * A PostgreSQL server with a WAL archive, its base backup, and a server that is restored from both to a point in time: what
 * AlloyDB does with continuous backups, on one machine.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'pg';
import { startPostgres, type Postgres } from '#services/local/postgres/postgres.ts';
import type { Cleanup } from '../cleanup.ts';
import { createTempDir } from '../temp-dir.ts';
import { waitFor } from '../wait-for.ts';

export interface ArchivedServer {
  readonly url: string;
  /** Copies the data while the server runs. */
  backUp(): Promise<void>;
  /** Resolves when no webhook is pending: the receivers' answers are recorded. */
  settleWebhooks(): Promise<void>;
  /** Names this point in time, and waits until the archive has everything before it. */
  markPoint(name: string): Promise<void>;
  /** Kills the server, as an outage does. */
  kill(): Promise<void>;
  /** Starts another server from the backup, and replays the archive up to the point. */
  restore(name: string): Promise<Postgres>;
}

export async function startArchivedServer(t: Cleanup): Promise<ArchivedServer> {
  const base = createTempDir(t);
  chmodSync(base, 0o755);
  const [original, restored, archive] = ['original', 'restored', 'archive'].map((name) =>
    path.join(base, name),
  );
  for (const dir of [original!, restored!]) mkdirSync(dir, { mode: 0o711 });
  mkdirSync(archive!);
  chmodSync(archive!, 0o777); // PostgreSQL may run as another user
  const server = await startPostgres({
    dataDir: original!,
    settings: {
      wal_level: 'replica',
      archive_mode: 'on',
      archive_command: `cp "%p" "${archive!}/%f"`,
      fsync: 'off',
    },
  });
  t.after(() => server.kill());
  const client = new Client({ connectionString: server.url });
  client.on('error', () => undefined);
  await client.connect();
  const ask = async (text: string, values: unknown[] = []) =>
    (await client.query<Record<string, string>>(text, values)).rows[0]!;
  return {
    url: server.url,
    backUp: async () => {
      await ask("select pg_backup_start('drill', true)");
      // With its owner, who is not always this user. Files that vanish meanwhile are in the WAL.
      execFileSync('cp', ['-a', `${server.dataDir}/.`, restored!], { stdio: 'ignore' });
      const { labelfile } = await ask('select labelfile from pg_backup_stop(false)');
      const cluster = path.join(restored!, 'postgres');
      rmSync(path.join(cluster, 'postmaster.pid'), { force: true });
      for (const name of readdirSync(path.join(cluster, 'pg_wal'))) {
        if (/^[0-9A-F]{24}/.test(name)) rmSync(path.join(cluster, 'pg_wal', name));
      }
      writeAsOwner(cluster, 'backup_label', labelfile!);
    },
    settleWebhooks: async () => {
      await waitFor('the records of webhooks', async () => {
        const { count } = await ask("select count(*) from deliveries where state = 'pending'");
        return count === '0';
      });
    },
    markPoint: async (name) => {
      await ask('select pg_create_restore_point($1)', [name]);
      const { file } = await ask('select pg_walfile_name(pg_switch_wal()) as file');
      await waitFor('the archive', () => readdirSync(archive!).includes(file!));
    },
    kill: async () => {
      await client.end().catch(() => undefined);
      await server.kill();
    },
    restore: async (name) => {
      writeAsOwner(path.join(restored!, 'postgres'), 'recovery.signal', '');
      const next = await startPostgres({
        dataDir: restored!,
        settings: {
          wal_level: 'replica',
          hot_standby: 'off',
          restore_command: `cp "${archive!}/%f" "%p"`,
          recovery_target_name: name,
          recovery_target_action: 'promote',
          fsync: 'off',
        },
      });
      t.after(() => next.kill());
      return next;
    },
  };
}

/** PostgreSQL may run as another user, which owns its directory. */
function writeAsOwner(cluster: string, name: string, text: string): void {
  const { uid, gid } = statSync(cluster);
  writeFileSync(path.join(cluster, name), text);
  chownSync(path.join(cluster, name), uid, gid);
}
