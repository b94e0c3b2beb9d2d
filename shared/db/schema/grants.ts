/**
 * The rights of each service on each table: a service that is taken over cannot write the definitions that
 * workers run, and the dispatcher cannot read messages. `npm run migrate` grants it (schema/provision.ts). The commands of
 * `npm run admin` and the migrations run as the owner of the tables.
 *
 * PostgreSQL requires `select` on the columns by which rows are found, and `update` to lock rows.
 */
import type { DatabaseService } from '../../runtime/config/database.ts';
import type { Database } from './schema.ts';

/** A list of columns limits the right to them. */
export interface Rights {
  read?: true | readonly string[];
  insert?: true;
  update?: true | readonly string[];
  delete?: true;
}

const read: Rights = { read: true };
const append: Rights = { read: true, insert: true };
const write: Rights = { read: true, insert: true, update: true };
const all: Rights = { read: true, insert: true, update: true, delete: true };
const remove: Rights = { read: ['task_id'], delete: true };

/** Ending a task makes its calls of other agents due, and does not read what steps have recorded. */
const closeCalls: Rights = {
  read: ['task_id', 'turn', 'wait', 'bytes', 'interaction'],
  update: ['due_at', 'finished_at'],
  delete: true,
};

export const grants: Readonly<Record<keyof Database, Readonly<Partial<Record<DatabaseService, Rights>>>>> = {
  // Workers run definitions, so only they and the migration write them.
  agents: {
    api: { ...read, update: ['used_at'] },
    worker: { ...append, update: ['card'] },
    dispatcher: read,
  },
  gates: { api: write, worker: all, dispatcher: all },
  extended_leases: { api: read, worker: all, dispatcher: all },
  worker_heartbeats: { worker: all, dispatcher: { ...read, delete: true } },
  tasks: { api: write, worker: all, dispatcher: all },
  messages: { api: append, worker: all, dispatcher: { ...remove, insert: true } },
  events: { api: append, worker: { ...append, delete: true }, dispatcher: { ...append, delete: true } },
  artifacts: { api: read, worker: all, dispatcher: { ...read, delete: true } },
  steps: { api: { ...read, update: true, delete: true }, worker: all, dispatcher: closeCalls },
  worker_drains: { api: all, worker: { read: ['worker', 'stays'], delete: true } },
  turn_attempts: { api: append, worker: all, dispatcher: remove },
  child_groups: {
    api: { ...read, update: true },
    worker: all,
    dispatcher: { ...read, update: true, delete: true },
  },
  ended_parents: { api: append, worker: all, dispatcher: all },
  stored_calls: { api: append, worker: all, dispatcher: { insert: true } },
  // A webhook makes a batch due.
  batches: { api: { read: ['id', 'token', 'name'], update: ['due_at'] }, worker: all },
  batch_calls: { worker: all, dispatcher: remove },
  ledger: { api: read, worker: write },
  model_quotas: { api: read, worker: write },
  quota_places: { api: read, worker: all, dispatcher: remove },
  files: { api: read, worker: { ...append, delete: true }, dispatcher: remove },
  sends: { api: write, worker: all, dispatcher: all },
  outbox: { api: all, worker: all, dispatcher: all },
  queued_turns: { api: read, worker: all, dispatcher: all },
  turn_queues: { api: read, worker: all, dispatcher: all },
  version_queue: { api: read, worker: all, dispatcher: all },
  running_versions: { api: read, worker: all, dispatcher: all },
  admitted_turns: { worker: all, dispatcher: all },
  webhook_configs: { api: all, worker: { ...append, delete: true }, dispatcher: all },
  deliveries: { api: write, worker: all, dispatcher: all },
  delivery_attempts: { api: append, worker: remove, dispatcher: { ...append, delete: true } },
  webhook_usage: { api: read, dispatcher: all },
  webhook_requests: { api: write, dispatcher: { ...read, delete: true } },
  encryption_checks: { api: all, dispatcher: all },
  content_keys: { api: append, worker: append, dispatcher: append },
  owner_limits: { api: read, worker: read, dispatcher: read },
  owner_usage: { api: write, worker: write, dispatcher: write },
  schedules: { api: all, worker: { ...read, update: true }, dispatcher: { ...read, update: true } },
  schedule_firings: { api: all, worker: all, dispatcher: all },
};

/** Returns the statements that give a user exactly the rights of these services. The name is quoted by the caller. */
export function listGrants(services: readonly DatabaseService[], user: string): string[] {
  const tables = Object.entries(grants).flatMap(([table, rights]) =>
    services.flatMap((service) => {
      const granted = rights[service];
      return granted === undefined ? [] : [`grant ${describe(granted)} on ${table} to ${user}`];
    }),
  );
  return [
    `grant usage on schema public to ${user}`,
    `revoke all on all tables in schema public from ${user}`,
    `revoke all on all sequences in schema public from ${user}`,
    ...tables,
  ];
}

function describe({ read: select, ...others }: Rights): string {
  return Object.entries({ select, ...others })
    .filter(([, columns]) => columns !== undefined)
    .map(([right, columns]) => (columns === true ? right : `${right} (${columns?.join(', ')})`))
    .join(', ');
}
