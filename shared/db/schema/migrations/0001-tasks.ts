/**
 * Tasks and all that hangs on them.
 *
 * There are no foreign keys between the hot tables: every write goes through the gate of its task, which is the check,
 * and removal goes by task id through every table (retention).
 */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  // Agent definitions by content: a task names the one it began with, so that a deploy changes new tasks only.
  await sql`
    create table agents (
      hash text primary key,
      definition jsonb not null,
      created_at timestamptz not null default now()
    )`.execute(db);

  // The gate of a task (invariant 3): narrow, updated often, with no index on what changes during a turn, and with
  // half of each page kept free so that its updates stay on their page (heap-only tuples). wakeup_at is when somebody is
  // to look at the task again: of a runnable one, when its wakeup is overdue; of others, since when they are so.
  await sql`
    create table gates (
      task_id uuid primary key,
      fence integer not null default 0,
      lease_until timestamptz,
      worker text,
      turn integer not null default 1,
      last_turn integer not null default 1,
      last_event integer not null,
      state_class smallint not null default 0,
      attempts smallint not null default 0,
      config_rev integer not null default 0,
      run_at timestamptz not null default now(),
      wakeup_at timestamptz not null,
      deadline_at timestamptz
    ) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)`.execute(db);
  await sql`create index gates_by_deadline on gates (deadline_at) where deadline_at is not null and state_class < 2`.execute(
    db,
  );
  await sql`create index gates_by_wakeup on gates (state_class, wakeup_at)`.execute(db);

  await sql`
    create table tasks (
      id uuid primary key,
      tenant text not null,
      owner text not null,
      context_id text not null,
      agent_hash text not null,
      state text not null,
      status_at timestamptz not null,
      status_message json,
      created_at timestamptz not null default now(),
      metadata json,
      shown boolean not null,
      direct boolean not null default false,
      last_error text,
      traceparent text
    ) with (fillfactor = 80)`.execute(db);
  await sql`create index tasks_by_owner on tasks (tenant, owner, status_at desc, id desc)`.execute(db);
  await sql`create index tasks_by_state on tasks (tenant, owner, state, status_at desc, id desc)`.execute(db);
  await sql`create index tasks_by_context on tasks (tenant, owner, context_id, status_at desc, id desc)`.execute(
    db,
  );

  // A message begins a turn; the agent's answer to it, if it is a message, stands beside it.
  await sql`
    create table messages (
      task_id uuid not null,
      turn integer not null,
      role text not null,
      message json not null,
      accepted_output_modes json,
      created_at timestamptz not null default now(),
      primary key (task_id, turn, role)
    )`.execute(db);

  // What clients see (invariant 5). tx lets followers tail the log of all tasks without missing a late commit.
  await sql`
    create table events (
      task_id uuid not null,
      seq integer not null,
      kind text not null,
      artifact_id text,
      payload json not null,
      created_at timestamptz not null default now(),
      tx xid8 not null default pg_current_xact_id(),
      primary key (task_id, seq)
    )`.execute(db);
  await sql`create index events_by_tx on events (tx)`.execute(db);

  // Finished artifacts as they stand after event seq, so that reading a task need not fold its chunks again.
  await sql`
    create table artifacts (
      task_id uuid not null,
      artifact_id text not null,
      turn integer not null,
      seq integer not null,
      artifact json not null,
      primary key (task_id, artifact_id)
    )`.execute(db);

  // What a turn has done (invariant 7). output is null while a step with side effects is under way.
  await sql`
    create table steps (
      task_id uuid not null,
      turn integer not null,
      name text not null,
      occurrence integer not null,
      position integer not null,
      input_hash text,
      output json,
      usage json,
      fence integer not null,
      started_at timestamptz not null default now(),
      finished_at timestamptz,
      primary key (task_id, turn, name, occurrence)
    )`.execute(db);

  // Which message made which task or turn, for repeats.
  await sql`
    create table sends (
      tenant text not null,
      owner text not null,
      message_id text not null,
      request_hash text not null,
      task_id uuid not null,
      turn integer not null,
      expires_at timestamptz not null,
      primary key (tenant, owner, message_id)
    )`.execute(db);
  await sql`create index sends_expired on sends (expires_at)`.execute(db);

  // Wakeups to ring once their transaction is committed (invariant 2). Whoever wrote a row rings it at once; the relay
  // takes those whose claim has run out.
  await sql`
    create table outbox (
      id bigint generated always as identity primary key,
      kind text not null,
      task_id uuid not null,
      turn integer,
      config_id text,
      due_at timestamptz not null default now(),
      claimed_until timestamptz not null,
      traceparent text
    )`.execute(db);

  // A config and the state of its queue: its deliveries go out one after the other, in the order of the events, and a
  // failure delays them all. fence and lease_until guard the one attempt under way; failures counts those in a row.
  await sql`
    create table webhook_configs (
      task_id uuid not null,
      id text not null,
      tenant text not null,
      owner text not null,
      url text not null,
      token text,
      auth_scheme text,
      auth_credentials text,
      events text not null,
      protocol_version text not null,
      created_at timestamptz not null default now(),
      fence bigint not null default 0,
      lease_until timestamptz,
      failures integer not null default 0,
      next_attempt_at timestamptz not null default now(),
      disabled_at timestamptz,
      disabled_reason text,
      primary key (task_id, id)
    )`.execute(db);

  // One row for each event and config (invariant 6).
  await sql`
    create table deliveries (
      task_id uuid not null,
      config_id text not null,
      seq integer not null,
      state text not null default 'pending',
      attempts smallint not null default 0,
      created_at timestamptz not null default now(),
      settled_at timestamptz,
      wakeup_at timestamptz not null,
      primary key (task_id, config_id, seq)
    ) with (fillfactor = 80)`.execute(db);
  await sql`create index deliveries_pending on deliveries (wakeup_at) where state = 'pending'`.execute(db);

  await sql`
    create table delivery_attempts (
      task_id uuid not null,
      config_id text not null,
      seq integer not null,
      attempt smallint not null,
      started_at timestamptz not null,
      duration_ms integer not null,
      status integer,
      error text,
      response_start text,
      primary key (task_id, config_id, seq, attempt)
    )`.execute(db);
}
