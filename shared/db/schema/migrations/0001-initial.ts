/**
 * The first schema: tasks and everything that belongs to them.
 *
 * There are no foreign keys between the hot tables. Every write goes through the gate of its task, which is the check
 * (invariant 3), and retention removes rows by task id from every table.
 *
 * `gates` and `tasks` get no statistics until they have 2,000 rows. A plan made while the server knows that a table has two
 * pages scans it, and prepared plans are kept. For a table without statistics the planner expects ten pages, and uses
 * the key (see client/prepared.ts).
 */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  for (const statements of [tasks, events, turns, outbox, webhooks, models]) {
    for (const statement of statements) await sql.raw(statement).execute(db);
  }
}

const tasks = [
  // Agent definitions by content. A task names the one it started with, so a deploy changes new tasks only.
  `create table agents (
    hash text primary key,
    definition jsonb not null,
    created_at timestamptz not null default now()
  )`,

  // The gate of a task (invariant 3): narrow, updated often, without an index on what changes during a turn. Half of each
  // page stays free, so that updates stay on their page (heap-only tuples). wakeup_at is when the task needs another look: for
  // a runnable task, when its wake-up is late; for others, since when they are in their state.
  `create table gates (
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
  ) with (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_threshold = 2000, autovacuum_vacuum_threshold = 2000
  )`,
  `create index gates_by_deadline on gates (deadline_at) where deadline_at is not null and state_class < 2`,
  `create index gates_by_wakeup on gates (state_class, wakeup_at)`,

  `create table tasks (
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
    traceparent text,
    usage json
  ) with (fillfactor = 80, autovacuum_analyze_threshold = 2000, autovacuum_vacuum_threshold = 2000)`,
  // Lists page by an index whatever they are filtered by; each list is merged from those of the states (tasks/list.ts).
  `create index tasks_by_owner on tasks (tenant, owner, (shown or not direct), state, status_at desc, id desc)`,
  // The context comes first: the history of a turn is looked up by it, under a plan made before there are statistics.
  `create index tasks_by_context
    on tasks (context_id, tenant, owner, (shown or not direct), state, status_at desc, id desc)`,

  // A message starts a turn. The agent's answer, if it is a message, is stored under the same turn.
  `create table messages (
    task_id uuid not null,
    turn integer not null,
    role text not null,
    message json not null,
    accepted_output_modes json,
    created_at timestamptz not null default now(),
    primary key (task_id, turn, role)
  )`,

  // Which message created which task or turn, to detect repeats. The message comes first: tenants and owners are much the
  // same, and an index compares its columns from the left.
  `create table sends (
    tenant text not null,
    owner text not null,
    message_id text not null,
    request_hash text not null,
    task_id uuid not null,
    turn integer not null,
    expires_at timestamptz not null,
    primary key (message_id, owner, tenant)
  )`,
  `create index sends_expired on sends (expires_at)`,

  // Large files, stored once for each task by the hash of their content; messages, artifacts and events hold their URL.
  // Not shared between tasks, so nobody can learn by trying what others have stored.
  `create table files (
    task_id uuid not null,
    hash text not null,
    media_type text not null,
    filename text,
    content bytea not null,
    created_at timestamptz not null default now(),
    primary key (task_id, hash)
  )`,
  // Images and the like are compressed already.
  `alter table files alter column content set storage external`,
];

const events = [
  // What clients see (invariant 5). Followers read the log of all tasks by tx, and miss no late commit.
  `create table events (
    task_id uuid not null,
    seq integer not null,
    kind text not null,
    artifact_id text,
    payload json not null,
    created_at timestamptz not null default now(),
    tx xid8 not null default pg_current_xact_id(),
    traceparent text,
    primary key (task_id, seq)
  )`,
  `create index events_by_tx on events (tx)`,

  // Finished artifacts as they are after event seq, so that reading a task does not fold its chunks again.
  `create table artifacts (
    task_id uuid not null,
    artifact_id text not null,
    turn integer not null,
    seq integer not null,
    artifact json not null,
    primary key (task_id, artifact_id)
  )`,
];

const turns = [
  // The record of a turn (invariant 7). output is null while a step with side effects is in progress.
  `create table steps (
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
  )`,
];

const outbox = [
  // Wake-ups to publish after their transaction commits (invariant 2). The writer publishes at once; the relay takes rows
  // whose claim has run out.
  `create table outbox (
    id bigint generated always as identity primary key,
    kind text not null,
    task_id uuid not null,
    turn integer,
    config_id text,
    due_at timestamptz not null default now(),
    claimed_until timestamptz not null,
    traceparent text
  )`,
];

const webhooks = [
  // Secrets are encrypted. While a secret is being changed, both sign until previous_secret_until. failures counts the
  // attempts in a row that failed, over all deliveries. A disabled config delivers nothing.
  `create table webhook_configs (
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
    failures integer not null default 0,
    disabled_at timestamptz,
    disabled_reason text,
    signing_secret text,
    previous_secret text,
    previous_secret_until timestamptz,
    ordered boolean not null default true,
    primary key (task_id, id)
  )`,

  // One row for each event and config (invariant 6). fence and lease_until guard the one attempt in flight. failures and
  // due_at are the delivery's place in the retry schedule, and wakeup_at is when the reconciler checks it. Half of the
  // updates change no indexed column: the free part of each page takes them (heap-only tuples).
  `create table deliveries (
    task_id uuid not null,
    config_id text not null,
    seq integer not null,
    state text not null default 'pending',
    attempts smallint not null default 0,
    failures smallint not null default 0,
    fence integer not null default 0,
    lease_until timestamptz,
    due_at timestamptz not null default now(),
    wakeup_at timestamptz not null,
    merged_from integer,
    created_at timestamptz not null default now(),
    settled_at timestamptz,
    primary key (task_id, config_id, seq)
  ) with (fillfactor = 80)`,
  `create index deliveries_pending on deliveries (wakeup_at) where state = 'pending'`,

  `create table delivery_attempts (
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
  )`,
];

const models = [
  // A few rows, updated by every step that called a model: half of each page stays free, as for gates. Kept when tasks are
  // removed. Days are in UTC.
  `create table ledger (
    tenant text not null,
    owner text not null,
    day date not null,
    model text not null,
    calls bigint not null,
    prompt_tokens bigint not null,
    cached_tokens bigint not null,
    tool_tokens bigint not null,
    thought_tokens bigint not null,
    output_tokens bigint not null,
    cost double precision not null,
    unpriced bigint not null,
    primary key (tenant, owner, day, model)
  ) with (fillfactor = 50)`,

  // A model's quota as clocks; see models/quotas.ts. Never removed: there are few.
  `create table model_quotas (
    model text primary key,
    requests_at timestamptz not null default now(),
    tokens_at timestamptz not null default now(),
    queue_at timestamptz not null default now(),
    refunds_at timestamptz not null default now()
  ) with (fillfactor = 50)`,

  // A task parked for lack of quota, and when its call may run.
  `create table quota_places (
    task_id uuid primary key,
    model text not null,
    at timestamptz not null
  )`,
];
