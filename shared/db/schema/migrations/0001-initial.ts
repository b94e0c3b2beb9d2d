/**
 * The first schema: tasks and everything that belongs to them.
 *
 * Hot tables have no foreign keys. Every write goes through the gate of its task, which is the check
 * (invariant 3), and retention removes rows by task id from every table.
 *
 * `gates` and `tasks` get no statistics until they have 2,000 rows. If the planner knows that a
 * table has two pages, its plan scans the table, and prepared plans are kept. For a table without statistics
 * the planner expects ten pages and uses the key (see client/prepared.ts).
 */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  for (const statements of [
    tasks,
    events,
    turns,
    children,
    batches,
    outbox,
    queues,
    webhooks,
    encryption,
    models,
    owners,
    schedules,
  ]) {
    for (const statement of statements) await sql.raw(statement).execute(db);
  }
}

const tasks = [
  // Agent definitions by the hash of their content. A task keeps the definition that it started with: a
  // deploy changes new tasks only. used_at: when an api process last started with it. card: that of the agent behind a
  // gateway, as a worker has last read it.
  `create table agents (
    hash text primary key,
    definition jsonb not null,
    created_at timestamptz not null default now(),
    used_at timestamptz not null default now(),
    card json
  )`,

  // The gate of a task (invariant 3): narrow, updated often, without an index on anything that changes during
  // a turn. Half of each page stays free, so that updates stay on their page (heap-only tuples).
  //
  //   lease_until  as claimed; see extended_leases
  //   claimed_at   when the worker claimed it. Both remain if a cancel or a deadline ends the attempt
  //   wakeup_at    while the task is runnable: when its wake-up counts as late. Meaningless otherwise
  //   settled_at   since when the task is terminal or interrupted; null while it is runnable
  //   signals      counts the waits of the task that a call has ended (turns/waits/callbacks.ts)
  //   agent_version  the version of the agent that last recorded a step of this turn; null: none, or it declares none
  //   bytes        content that the task stores (owners/bytes.ts); the sum by owner is in owner_usage
  `create table gates (
    task_id uuid primary key,
    fence integer not null default 0,
    lease_until timestamptz,
    worker text,
    claimed_at timestamptz,
    turn integer not null default 1,
    last_turn integer not null default 1,
    last_event integer not null,
    state_class smallint not null default 0,
    attempts smallint not null default 0,
    priority smallint not null default 0,
    failures smallint not null default 0,
    failing_since timestamptz,
    config_rev integer not null default 0,
    signals integer not null default 0,
    agent_version text,
    run_at timestamptz not null default now(),
    wakeup_at timestamptz not null,
    settled_at timestamptz,
    deadline_at timestamptz,
    bytes bigint not null default 0
  ) with (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_threshold = 2000, autovacuum_vacuum_threshold = 2000
  )`,
  // A gate is in one of the first two indexes: by wakeup_at while it is runnable, by settled_at otherwise.
  `create index gates_by_wakeup on gates (wakeup_at) where state_class = 0`,
  `create index gates_by_settled on gates (state_class, settled_at) where settled_at is not null`,
  `create index gates_by_deadline on gates (deadline_at) where deadline_at is not null and state_class < 2`,

  // Leases that outlast a third of their time are extended here and not in the gate, which callers lock as well.
  // A row counts only with the fence of its gate. See turns/leases.ts.
  `create table extended_leases (
    task_id uuid primary key,
    fence integer not null,
    lease_until timestamptz not null
  ) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000)`,

  // One row for each worker process, which it writes once a second; see turns/heartbeats.ts.
  `create table worker_heartbeats (
    worker text primary key,
    beats bigint not null default 0
  ) with (fillfactor = 50, autovacuum_vacuum_threshold = 2000)`,

  // A task leaves two dead entries in the index of lists, for the states that it had. Lists step over them until vacuum
  // has removed them: by default, it would start after two million of them next to ten million tasks.
  //
  //   visible        for callers: a direct answer hides its task, unless a caller has received it as a Task. A column and
  //                  not an expression of the indexes, so that a list reads them alone
  //   opens_context  the context is new with this task, so its first turn has no history
  //   child_group    the group of which the task is a child; see child_groups
  //   children       the children that the task has started; null: none
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
    visible boolean generated always as (shown or not direct) stored,
    opens_context boolean not null default false,
    last_error text,
    traceparent text,
    usage json,
    child_group uuid,
    children uuid[],
    metadata_bytes integer generated always as (coalesce(octet_length(metadata::text), 0)) stored
  ) with (
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_threshold = 2000, autovacuum_vacuum_threshold = 2000
  )`,
  // Lists of every filter page by one of these indexes, merging the lists of the states (tasks/list.ts). Owner
  // and state come first: the open tasks of an owner are counted over all its tenants (owners/usage.ts).
  `create index tasks_by_owner on tasks (owner, state, tenant, visible, status_at desc, id desc)`,
  // The context comes first: turns find their history by it, with plans older than any statistics.
  `create index tasks_by_context
    on tasks (context_id, tenant, owner, visible, state, status_at desc, id desc)`,

  // The children to cancel when their parent has ended. A child leaves the index when it ends.
  `create index tasks_open_children on tasks (child_group) where child_group is not null
    and state not in ('TASK_STATE_COMPLETED', 'TASK_STATE_FAILED', 'TASK_STATE_CANCELED', 'TASK_STATE_REJECTED')`,

  // A message starts a turn. The agent's answer, if it is a message, is stored under the same turn. The columns
  // `bytes` here and below let a reader choose what to read: a large value is stored apart, and measuring it
  // would read it.
  //
  //   context_key   the context of a user's message; see tasks/context-key.ts
  `create table messages (
    task_id uuid not null,
    turn integer not null,
    role text not null,
    message json not null,
    accepted_output_modes json,
    created_at timestamptz not null default now(),
    context_key uuid,
    bytes integer generated always as
      (octet_length(message::text) + coalesce(octet_length(accepted_output_modes::text), 0)) stored,
    primary key (task_id, turn, role)
  ) with (autovacuum_analyze_threshold = 2000)`,
  // The history of a turn: the newest messages of a context before it.
  `create index messages_by_context on messages (context_key, task_id, turn) where context_key is not null`,

  // The task or turn that each message created, to detect repeats. The message id comes first in the key
  // because it differs most: an index compares its columns from the left.
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

  // Large files, stored once for each task by the hash of their content; messages, artifacts and events
  // contain their URL. Tasks do not share files, so callers cannot find out what others have stored.
  `create table files (
    task_id uuid not null,
    hash text not null,
    media_type text not null,
    filename text,
    content bytea not null,
    created_at timestamptz not null default now(),
    primary key (task_id, hash)
  )`,
  // Most files, such as images, are already compressed.
  `alter table files alter column content set storage external`,
];

const events = [
  // The events that clients see (invariant 5). Followers read all tasks by tx, so they miss no late commit.
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

  // Whole artifacts as of event seq, so that reading a task does not fold its chunks again.
  `create table artifacts (
    task_id uuid not null,
    artifact_id text not null,
    turn integer not null,
    seq integer not null,
    artifact json not null,
    bytes integer generated always as (octet_length(artifact::text)) stored,
    primary key (task_id, artifact_id)
  )`,
];

const turns = [
  // The record of a turn (invariant 7). While a step with side effects runs, finished_at and output are null.
  //
  //   wait     a step that something other than the worker ends (Wait in domain/wait.ts); null for other steps
  //   due_at   when the wait ends by itself
  //   token    the secret in the URL of a callback, or of notifications
  //   interaction
  //            the call at Google that the step has made: the last field of its output, which is read as text because
  //            the database cannot parse every JSON that a model may return
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
    wait json,
    due_at timestamptz,
    token text,
    bytes integer generated always as (coalesce(octet_length(output::text), 0)) stored,
    interaction text generated always as (
      case name
        when 'interaction' then substring(output::text from '^\\{"id":"([^"\\\\]+)"\\}$')
        when 'model' then substring(right(output::text, 600) from '"interaction":"([^"\\\\]+)"\\}$')
      end) stored,
    primary key (task_id, turn, name, occurrence)
  )`,
  `create unique index steps_by_token on steps (token) where token is not null`,

  // Attempts that have ended, each written once: see turns/attempts.ts. The fence is that of the attempt's lease.
  `create table turn_attempts (
    task_id uuid not null,
    fence integer not null,
    turn integer not null,
    worker text not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    outcome text not null,
    error text,
    primary key (task_id, fence)
  )`,
  // Workers that are asked to drain: see ops/workers.ts.
  //   stays   they do not exit afterwards: a deploy removes them
  `create table worker_drains (
    worker text primary key,
    stays boolean not null default false,
    requested_at timestamptz not null default now()
  )`,
  // Calls of the model at Google, and of other agents, that have not ended: see turns/waits/model-waits.ts and calls/abandoned.ts.
  `create index steps_by_poll on steps (due_at) where wait ->> 'kind' in ('model', 'agent') and finished_at is null`,
  // Calls that Google stores although their tasks were removed: see models/stored-calls.ts.
  //
  //   next_at   when their deletion is tried again; null: it is not
  `create table stored_calls (
    interaction text primary key,
    removed_at timestamptz not null default now(),
    next_at timestamptz default now(),
    attempts integer not null default 0,
    error text
  )`,
  `create index stored_calls_by_time on stored_calls (next_at) where next_at is not null`,
];

const batches = [
  // Batches of calls of the model at Google: see models/batches.ts. A row is removed with its batch at Google.
  //
  //   token     the secret in the address of its webhook
  //   name      Google's name for it; null: none is recorded
  //   tried_at  since when Google may have it; null: it does not
  //   due_at    when a worker creates it, or polls it
  `create table batches (
    id uuid primary key,
    agent_hash text not null,
    model text not null,
    token text not null,
    name text,
    created_at timestamptz not null default now(),
    tried_at timestamptz,
    due_at timestamptz not null default now()
  )`,
  // One batch of a definition is created after the other, so that two workers do not collect the same calls.
  `create unique index batches_to_create on batches (agent_hash) where tried_at is null`,
  `create unique index batches_by_token on batches (token)`,
  `create index batches_by_time on batches (due_at)`,

  // The calls of the tier `batch`, from their request until a turn has recorded the reply, or is over.
  //
  //   token     that of the wait (turns/waits/model-waits.ts)
  //   due_at    when it is sent at the latest
  //   batch_id  null: it is collected still
  //   request   a GenerateContentRequest of the SDK; null once it has ended
  //   result    its response, or its error
  `create table batch_calls (
    id uuid primary key,
    token text not null,
    task_id uuid not null,
    turn integer not null,
    agent_hash text not null,
    model text not null,
    queued_at timestamptz not null default now(),
    due_at timestamptz not null,
    batch_id uuid,
    request json,
    bytes integer not null,
    ended_at timestamptz,
    result json,
    usage json
  )`,
  `create unique index batch_calls_by_token on batch_calls (token)`,
  `create index batch_calls_by_task on batch_calls (task_id)`,
  `create index batch_calls_by_batch on batch_calls (batch_id) where batch_id is not null`,
  `create index batch_calls_to_send on batch_calls (agent_hash, queued_at) where batch_id is null`,
  `create index batch_calls_ended on batch_calls (ended_at) where ended_at is not null`,
];

const children = [
  // The children that one call of `turn.spawn` has started, and a wait for them. See children/end.ts.
  //
  //   depth      1 for children of a task that is not a child itself
  //   ended      counts the children that have ended
  //   needed     how many must have ended before the parent is woken; null while nothing waits for them
  //   join_turn  the turn of the parent that waits
  //   signal_at  since when the parent must be woken
  `create table child_groups (
    id uuid primary key,
    parent_id uuid not null,
    size integer not null,
    depth smallint not null,
    ended integer not null default 0,
    needed integer,
    join_turn integer,
    signal_at timestamptz
  ) with (fillfactor = 50, autovacuum_analyze_threshold = 2000)`,
  `create index child_groups_by_parent on child_groups (parent_id)`,
  `create index child_groups_to_signal on child_groups (signal_at) where signal_at is not null`,

  // Parents that have ended, and whose open children must be canceled.
  `create table ended_parents (task_id uuid primary key)`,
];

const outbox = [
  // Wake-ups to publish after their transaction commits (invariant 2). The writer publishes at once; the
  // relay takes rows whose claim has expired. Dispatchers with room take those of deliveries before
  // (webhooks/attempts/take.ts). The owner of a delivery is null for retries.
  `create table outbox (
    id bigint generated always as identity primary key,
    kind text not null,
    task_id uuid not null,
    turn integer,
    config_id text,
    due_at timestamptz not null default now(),
    claimed_until timestamptz not null,
    owner text,
    traceparent text
  )`,
];

// Turns that wait for their owner: see queue/enqueue.ts. Within an owner, the highest priority and then the oldest
// task (ids are ordered by time) is next.
const queues = [
  `create table queued_turns (
    task_id uuid primary key,
    owner text not null,
    priority smallint not null,
    queued_at timestamptz not null default now()
  ) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000)`,
  `create index queued_turns_by_owner on queued_turns (owner, priority desc, task_id)`,

  // One row for each owner with queued turns, removed some time after its last turn.
  //
  //   wake_at         when the reconciler wakes the first turn of the queue, in case no worker takes it
  //   limited_until   until then, the limit of the owner keeps its turns in the queue; refreshed by workers
  `create table turn_queues (
    owner text primary key,
    wake_at timestamptz not null,
    limited_until timestamptz
  ) with (fillfactor = 50)`,

  // Turns that count towards the limit of their owner, as long as admitted_until has not passed or the turn is
  // leased: see queue/limit.ts. The fence is that of the gate before the turn is claimed.
  `create table admitted_turns (
    task_id uuid primary key,
    owner text not null,
    fence integer not null,
    admitted_until timestamptz not null
  )`,
  `create index admitted_turns_by_owner on admitted_turns (owner)`,

  // Turns that a worker of another version of the agent has put back: see queue/versions.ts.
  //
  //   check_at   when the reconciler looks at the turn again
  //   reported   the status of the task says that no worker runs the version
  `create table version_queue (
    task_id uuid primary key,
    agent_version text not null,
    queued_at timestamptz not null default now(),
    check_at timestamptz not null,
    reported boolean not null default false
  ) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000)`,
  `create index version_queue_by_version on version_queue (agent_version, queued_at)`,

  // The versions that workers in pull mode run. The one that appeared last takes new turns.
  //
  //   since     when its first worker appeared, after a time without any
  `create table running_versions (
    version text primary key,
    since timestamptz not null default now(),
    seen_at timestamptz not null default now()
  )`,
];

const webhooks = [
  // Secrets are encrypted. While a secret is being changed, both sign until previous_secret_until. failures
  // counts the attempts in a row that failed, over all deliveries. A disabled config delivers nothing. Records write the
  // row, which stays on its page (heap-only tuples).
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
  ) with (fillfactor = 60)`,
  // Lists the configs of an owner by health (webhooks/health.ts). Deliveries that succeed change none of its columns.
  `create index webhook_configs_by_health on webhook_configs
    (owner, tenant, (case when disabled_at is not null then 2 when failures > 0 then 1 else 0 end), task_id, id)`,
  // Few configs are disabled: the report of operators counts them (webhooks/stats.ts).
  `create index webhook_configs_disabled on webhook_configs (disabled_at) where disabled_at is not null`,

  // One row for each event and config (invariant 6). fence and lease_until guard the one attempt in flight.
  // failures and due_at are the delivery's place in the retry schedule, and wakeup_at is when the reconciler
  // checks it. deferred_reason says why a pending delivery was last deferred instead of attempted. thin: the
  // receiver refused the full body as too large. Half of the updates are claims, which change no indexed column: half of
  // each page is free for them (heap-only tuples).
  //
  //   started_at … response_start  the attempt that has delivered the event, which is the only one for most: see
  //                                webhooks/attempts/log.ts
  `create table deliveries (
    task_id uuid not null,
    config_id text not null,
    seq integer not null,
    state text not null default 'pending',
    attempts smallint not null default 0,
    failures smallint not null default 0,
    fence integer not null default 0,
    lease_until timestamptz,
    claim_id uuid,
    due_at timestamptz not null default now(),
    wakeup_at timestamptz not null,
    merged_from integer,
    deferred_reason text,
    thin boolean not null default false,
    created_at timestamptz not null default now(),
    settled_at timestamptz,
    started_at timestamptz,
    duration_ms integer,
    status integer,
    response_start text,
    primary key (task_id, config_id, seq)
  ) with (fillfactor = 50)`,
  `create index deliveries_pending on deliveries (wakeup_at) where state = 'pending'`,
  // For the report of attempts by host. Attempts are written in the order of time, so an index of ranges of pages is enough. It
  // takes a few pages for millions of attempts, and next to nothing to write.
  `create index deliveries_by_time on deliveries using brin (started_at) with (pages_per_range = 32, autosummarize = on)`,

  // The other attempts: those that failed, and those of an event that is delivered again.
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
  `create index delivery_attempts_by_time on delivery_attempts using brin (started_at) with (pages_per_range = 32, autosummarize = on)`,

  // Bytes of webhook bodies sent for an owner, by hour. Dispatchers add to it once a second, and remove rows
  // of earlier days.
  `create table webhook_usage (
    owner text not null,
    hour timestamptz not null,
    bytes bigint not null,
    primary key (owner, hour)
  ) with (fillfactor = 50)`,
  `create index webhook_usage_by_hour on webhook_usage (hour)`,

  // The rate of calls that cause webhooks, as a clock that each call advances; see webhooks/requests.ts.
  `create table webhook_requests (
    owner text primary key,
    at timestamptz not null
  ) with (fillfactor = 50)`,
];

const encryption = [
  // A known text, encrypted with each key that encrypts secrets: shows at the start whether the key is lost. See
  // webhooks/encryption-check.ts.
  `create table encryption_checks (
    key_id text primary key,
    value text not null
  )`,

  // The data keys that encrypt contents: see contents/keys.ts. Without its row, nothing that a key has encrypted is readable.
  //
  //   wrapped      by the master key; null: in the key store, which no backup of the database has
  //   retired_at   since when it encrypts nothing more, because its owner is being forgotten: see contents/destroy.ts
  `create table content_keys (
    id uuid primary key,
    owner text not null,
    wrapped text,
    created_at timestamptz not null default now(),
    retired_at timestamptz
  )`,
  `create unique index content_keys_in_use on content_keys (owner) where retired_at is null`,
];

const models = [
  // Few rows, updated by every step that calls a model: half of each page stays free, as for gates. Removing
  // tasks keeps them. Days are in UTC. The key finds what an owner has spent on a day in all its tenants.
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
    primary key (owner, day, tenant, model)
  ) with (fillfactor = 50)`,

  // A model's quota as clocks; see models/quotas.ts. Its few rows are never removed.
  `create table model_quotas (
    model text primary key,
    requests_at timestamptz not null default now(),
    tokens_at timestamptz not null default now(),
    queue_at timestamptz not null default now(),
    refunds_at timestamptz not null default now(),
    answered_at timestamptz,
    answered_tokens float8
  ) with (fillfactor = 50)`,

  // Tasks parked for lack of quota, and when their calls may run.
  `create table quota_places (
    task_id uuid primary key,
    model text not null,
    at timestamptz not null
  )`,
];

const owners = [
  // Limits that an operator has set for single owners. The keys are those of OwnerLimits (domain/owner-limits.ts).
  `create table owner_limits (
    owner text primary key,
    limits jsonb not null,
    updated_at timestamptz not null default now()
  )`,

  // Usage of each owner's tasks, over all its tenants: sums of gates.bytes and of webhook configs. Each process
  // adds what it has stored once a second (owners/usage-recorder.ts), and removing tasks subtracts it.
  `create table owner_usage (
    owner text primary key,
    bytes bigint not null default 0,
    webhook_configs bigint not null default 0
  ) with (fillfactor = 50)`,
];

// Schedules (db/schedules): a transaction that decides due times holds the row of the schedule. The webhook config of a
// schedule is a row of webhook_configs under its key, and is copied to each task.
const schedules = [
  //   key           never changes, while callers choose ids and may use them again
  //   cron          with time_zone, or every_seconds
  //   has_secrets   the webhook has secrets, so that only processes with the encryption keys can start its tasks
  //   next_at       the first due time that is not decided; null: none, or paused
  //   wakeup_at     when the loops look at the schedule again
  `create table schedules (
    key uuid primary key,
    tenant text not null,
    owner text not null,
    id text not null,
    cron text,
    time_zone text,
    every_seconds integer,
    overlap text not null,
    catch_up_seconds integer not null,
    paused boolean not null,
    template json not null,
    has_secrets boolean not null,
    next_at timestamptz,
    wakeup_at timestamptz,
    last_task_id uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (owner, tenant, id)
  )`,
  `create index schedules_by_wakeup on schedules (wakeup_at) where wakeup_at is not null`,

  // The history of schedules: for each due time and each manual start a task, or the reason why there is none. Only the newest
  // rows of a schedule are kept.
  //
  //   until, count   of skipped due times, which share a row: the last of them, and how many
  `create table schedule_firings (
    schedule_key uuid not null,
    due_at timestamptz not null,
    manual boolean not null,
    task_id uuid,
    reason text,
    until timestamptz not null,
    count integer not null,
    created_at timestamptz not null default now(),
    primary key (schedule_key, due_at, manual)
  )`,
];
