-- Written by "npm run schema" from the migrations; do not edit.

create table admitted_turns (
  task_id uuid not null,
  owner text not null,
  fence integer not null,
  admitted_until timestamp with time zone not null,
  PRIMARY KEY (task_id)
);
CREATE INDEX admitted_turns_by_owner ON public.admitted_turns USING btree (owner);

create table agents (
  hash text not null,
  definition jsonb not null,
  created_at timestamp with time zone not null default now(),
  used_at timestamp with time zone not null default now(),
  card json,
  PRIMARY KEY (hash)
);

create table artifacts (
  task_id uuid not null,
  artifact_id text not null,
  turn integer not null,
  seq integer not null,
  artifact json not null,
  bytes integer generated always as (octet_length((artifact)::text)) stored,
  PRIMARY KEY (task_id, artifact_id)
);

create table batch_calls (
  id uuid not null,
  token text not null,
  task_id uuid not null,
  turn integer not null,
  agent_hash text not null,
  model text not null,
  queued_at timestamp with time zone not null default now(),
  due_at timestamp with time zone not null,
  batch_id uuid,
  request json,
  bytes integer not null,
  ended_at timestamp with time zone,
  result json,
  usage json,
  PRIMARY KEY (id)
);
CREATE INDEX batch_calls_by_batch ON public.batch_calls USING btree (batch_id) WHERE (batch_id IS NOT NULL);
CREATE INDEX batch_calls_by_task ON public.batch_calls USING btree (task_id);
CREATE UNIQUE INDEX batch_calls_by_token ON public.batch_calls USING btree (token);
CREATE INDEX batch_calls_ended ON public.batch_calls USING btree (ended_at) WHERE (ended_at IS NOT NULL);
CREATE INDEX batch_calls_to_send ON public.batch_calls USING btree (agent_hash, queued_at) WHERE (batch_id IS NULL);

create table batches (
  id uuid not null,
  agent_hash text not null,
  model text not null,
  token text not null,
  name text,
  created_at timestamp with time zone not null default now(),
  tried_at timestamp with time zone,
  due_at timestamp with time zone not null default now(),
  PRIMARY KEY (id)
);
CREATE INDEX batches_by_time ON public.batches USING btree (due_at);
CREATE UNIQUE INDEX batches_by_token ON public.batches USING btree (token);
CREATE UNIQUE INDEX batches_to_create ON public.batches USING btree (agent_hash) WHERE (tried_at IS NULL);

create table child_groups (
  id uuid not null,
  parent_id uuid not null,
  size integer not null,
  depth smallint not null,
  ended integer not null default 0,
  needed integer,
  join_turn integer,
  signal_at timestamp with time zone,
  PRIMARY KEY (id)
) with (fillfactor=50, autovacuum_analyze_threshold=2000);
CREATE INDEX child_groups_by_parent ON public.child_groups USING btree (parent_id);
CREATE INDEX child_groups_to_signal ON public.child_groups USING btree (signal_at) WHERE (signal_at IS NOT NULL);

create table content_keys (
  id uuid not null,
  owner text not null,
  wrapped text,
  created_at timestamp with time zone not null default now(),
  retired_at timestamp with time zone,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX content_keys_in_use ON public.content_keys USING btree (owner) WHERE (retired_at IS NULL);

create table deliveries (
  task_id uuid not null,
  config_id text not null,
  seq integer not null,
  state text not null default 'pending'::text,
  attempts smallint not null default 0,
  failures smallint not null default 0,
  fence integer not null default 0,
  lease_until timestamp with time zone,
  claim_id uuid,
  due_at timestamp with time zone not null default now(),
  wakeup_at timestamp with time zone not null,
  merged_from integer,
  deferred_reason text,
  thin boolean not null default false,
  created_at timestamp with time zone not null default now(),
  settled_at timestamp with time zone,
  started_at timestamp with time zone,
  duration_ms integer,
  status integer,
  response_start text,
  PRIMARY KEY (task_id, config_id, seq)
) with (fillfactor=50);
CREATE INDEX deliveries_by_time ON public.deliveries USING brin (started_at) WITH (pages_per_range='32', autosummarize='on');
CREATE INDEX deliveries_pending ON public.deliveries USING btree (wakeup_at) WHERE (state = 'pending'::text);

create table delivery_attempts (
  task_id uuid not null,
  config_id text not null,
  seq integer not null,
  attempt smallint not null,
  started_at timestamp with time zone not null,
  duration_ms integer not null,
  status integer,
  error text,
  response_start text,
  PRIMARY KEY (task_id, config_id, seq, attempt)
);
CREATE INDEX delivery_attempts_by_time ON public.delivery_attempts USING brin (started_at) WITH (pages_per_range='32', autosummarize='on');

create table encryption_checks (
  key_id text not null,
  value text not null,
  PRIMARY KEY (key_id)
);

create table ended_parents (
  task_id uuid not null,
  PRIMARY KEY (task_id)
);

create table events (
  task_id uuid not null,
  seq integer not null,
  kind text not null,
  artifact_id text,
  payload json not null,
  created_at timestamp with time zone not null default now(),
  tx xid8 not null default pg_current_xact_id(),
  traceparent text,
  PRIMARY KEY (task_id, seq)
);
CREATE INDEX events_by_tx ON public.events USING btree (tx);

create table extended_leases (
  task_id uuid not null,
  fence integer not null,
  lease_until timestamp with time zone not null,
  PRIMARY KEY (task_id)
) with (fillfactor=50, autovacuum_vacuum_scale_factor=0.05, autovacuum_vacuum_threshold=2000);

create table files (
  task_id uuid not null,
  hash text not null,
  media_type text not null,
  filename text,
  content bytea not null,
  created_at timestamp with time zone not null default now(),
  PRIMARY KEY (task_id, hash)
);

create table gates (
  task_id uuid not null,
  fence integer not null default 0,
  lease_until timestamp with time zone,
  worker text,
  claimed_at timestamp with time zone,
  turn integer not null default 1,
  last_turn integer not null default 1,
  last_event integer not null,
  state_class smallint not null default 0,
  attempts smallint not null default 0,
  priority smallint not null default 0,
  failures smallint not null default 0,
  failing_since timestamp with time zone,
  config_rev integer not null default 0,
  signals integer not null default 0,
  agent_version text,
  run_at timestamp with time zone not null default now(),
  wakeup_at timestamp with time zone not null,
  settled_at timestamp with time zone,
  deadline_at timestamp with time zone,
  bytes bigint not null default 0,
  PRIMARY KEY (task_id)
) with (fillfactor=50, autovacuum_vacuum_scale_factor=0.05, autovacuum_analyze_threshold=2000, autovacuum_vacuum_threshold=2000);
CREATE INDEX gates_by_deadline ON public.gates USING btree (deadline_at) WHERE ((deadline_at IS NOT NULL) AND (state_class < 2));
CREATE INDEX gates_by_settled ON public.gates USING btree (state_class, settled_at) WHERE (settled_at IS NOT NULL);
CREATE INDEX gates_by_wakeup ON public.gates USING btree (wakeup_at) WHERE (state_class = 0);

create table ledger (
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
  PRIMARY KEY (owner, day, tenant, model)
) with (fillfactor=50);

create table messages (
  task_id uuid not null,
  turn integer not null,
  role text not null,
  message json not null,
  accepted_output_modes json,
  created_at timestamp with time zone not null default now(),
  context_key uuid,
  bytes integer generated always as ((octet_length((message)::text) + COALESCE(octet_length((accepted_output_modes)::text), 0))) stored,
  PRIMARY KEY (task_id, turn, role)
) with (autovacuum_analyze_threshold=2000);
CREATE INDEX messages_by_context ON public.messages USING btree (context_key, task_id, turn) WHERE (context_key IS NOT NULL);

create table model_quotas (
  model text not null,
  requests_at timestamp with time zone not null default now(),
  tokens_at timestamp with time zone not null default now(),
  queue_at timestamp with time zone not null default now(),
  refunds_at timestamp with time zone not null default now(),
  answered_at timestamp with time zone,
  answered_tokens double precision,
  PRIMARY KEY (model)
) with (fillfactor=50);

create table outbox (
  id bigint not null generated always as identity,
  kind text not null,
  task_id uuid not null,
  turn integer,
  config_id text,
  due_at timestamp with time zone not null default now(),
  claimed_until timestamp with time zone not null,
  owner text,
  traceparent text,
  PRIMARY KEY (id)
);

create table owner_limits (
  owner text not null,
  limits jsonb not null,
  updated_at timestamp with time zone not null default now(),
  PRIMARY KEY (owner)
);

create table owner_usage (
  owner text not null,
  bytes bigint not null default 0,
  webhook_configs bigint not null default 0,
  PRIMARY KEY (owner)
) with (fillfactor=50);

create table queued_turns (
  task_id uuid not null,
  owner text not null,
  priority smallint not null,
  queued_at timestamp with time zone not null default now(),
  PRIMARY KEY (task_id)
) with (autovacuum_vacuum_scale_factor=0.05, autovacuum_vacuum_threshold=2000);
CREATE INDEX queued_turns_by_owner ON public.queued_turns USING btree (owner, priority DESC, task_id);

create table quota_places (
  task_id uuid not null,
  model text not null,
  at timestamp with time zone not null,
  PRIMARY KEY (task_id)
);

create table running_versions (
  version text not null,
  since timestamp with time zone not null default now(),
  seen_at timestamp with time zone not null default now(),
  PRIMARY KEY (version)
);

create table schedule_firings (
  schedule_key uuid not null,
  due_at timestamp with time zone not null,
  manual boolean not null,
  task_id uuid,
  reason text,
  until timestamp with time zone not null,
  count integer not null,
  created_at timestamp with time zone not null default now(),
  PRIMARY KEY (schedule_key, due_at, manual)
);

create table schedules (
  key uuid not null,
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
  next_at timestamp with time zone,
  wakeup_at timestamp with time zone,
  last_task_id uuid,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  UNIQUE (owner, tenant, id),
  PRIMARY KEY (key)
);
CREATE INDEX schedules_by_wakeup ON public.schedules USING btree (wakeup_at) WHERE (wakeup_at IS NOT NULL);
CREATE UNIQUE INDEX schedules_owner_tenant_id_key ON public.schedules USING btree (owner, tenant, id);

create table sends (
  tenant text not null,
  owner text not null,
  message_id text not null,
  request_hash text not null,
  task_id uuid not null,
  turn integer not null,
  expires_at timestamp with time zone not null,
  PRIMARY KEY (message_id, owner, tenant)
);
CREATE INDEX sends_expired ON public.sends USING btree (expires_at);

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
  started_at timestamp with time zone not null default now(),
  finished_at timestamp with time zone,
  wait json,
  due_at timestamp with time zone,
  token text,
  bytes integer generated always as (COALESCE(octet_length((output)::text), 0)) stored,
  interaction text generated always as (
CASE name
    WHEN 'interaction'::text THEN "substring"((output)::text, '^\{"id":"([^"\\]+)"\}$'::text)
    WHEN 'model'::text THEN "substring"("right"((output)::text, 600), '"interaction":"([^"\\]+)"\}$'::text)
    ELSE NULL::text
END) stored,
  PRIMARY KEY (task_id, turn, name, occurrence)
);
CREATE INDEX steps_by_poll ON public.steps USING btree (due_at) WHERE (((wait ->> 'kind'::text) = ANY (ARRAY['model'::text, 'agent'::text])) AND (finished_at IS NULL));
CREATE UNIQUE INDEX steps_by_token ON public.steps USING btree (token) WHERE (token IS NOT NULL);

create table stored_calls (
  interaction text not null,
  removed_at timestamp with time zone not null default now(),
  next_at timestamp with time zone default now(),
  attempts integer not null default 0,
  error text,
  PRIMARY KEY (interaction)
);
CREATE INDEX stored_calls_by_time ON public.stored_calls USING btree (next_at) WHERE (next_at IS NOT NULL);

create table tasks (
  id uuid not null,
  tenant text not null,
  owner text not null,
  context_id text not null,
  agent_hash text not null,
  state text not null,
  status_at timestamp with time zone not null,
  status_message json,
  created_at timestamp with time zone not null default now(),
  metadata json,
  shown boolean not null,
  direct boolean not null default false,
  visible boolean generated always as ((shown OR (NOT direct))) stored,
  opens_context boolean not null default false,
  last_error text,
  traceparent text,
  usage json,
  child_group uuid,
  children uuid[],
  metadata_bytes integer generated always as (COALESCE(octet_length((metadata)::text), 0)) stored,
  PRIMARY KEY (id)
) with (fillfactor=80, autovacuum_vacuum_scale_factor=0.05, autovacuum_analyze_threshold=2000, autovacuum_vacuum_threshold=2000);
CREATE INDEX tasks_by_context ON public.tasks USING btree (context_id, tenant, owner, visible, state, status_at DESC, id DESC);
CREATE INDEX tasks_by_owner ON public.tasks USING btree (owner, state, tenant, visible, status_at DESC, id DESC);
CREATE INDEX tasks_open_children ON public.tasks USING btree (child_group) WHERE ((child_group IS NOT NULL) AND (state <> ALL (ARRAY['TASK_STATE_COMPLETED'::text, 'TASK_STATE_FAILED'::text, 'TASK_STATE_CANCELED'::text, 'TASK_STATE_REJECTED'::text])));

create table turn_attempts (
  task_id uuid not null,
  fence integer not null,
  turn integer not null,
  worker text not null,
  started_at timestamp with time zone not null,
  ended_at timestamp with time zone not null,
  outcome text not null,
  error text,
  PRIMARY KEY (task_id, fence)
);

create table turn_queues (
  owner text not null,
  wake_at timestamp with time zone not null,
  limited_until timestamp with time zone,
  PRIMARY KEY (owner)
) with (fillfactor=50);

create table version_queue (
  task_id uuid not null,
  agent_version text not null,
  queued_at timestamp with time zone not null default now(),
  check_at timestamp with time zone not null,
  reported boolean not null default false,
  PRIMARY KEY (task_id)
) with (autovacuum_vacuum_scale_factor=0.05, autovacuum_vacuum_threshold=2000);
CREATE INDEX version_queue_by_version ON public.version_queue USING btree (agent_version, queued_at);

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
  created_at timestamp with time zone not null default now(),
  failures integer not null default 0,
  disabled_at timestamp with time zone,
  disabled_reason text,
  signing_secret text,
  previous_secret text,
  previous_secret_until timestamp with time zone,
  ordered boolean not null default true,
  PRIMARY KEY (task_id, id)
) with (fillfactor=60);
CREATE INDEX webhook_configs_by_health ON public.webhook_configs USING btree (owner, tenant, (
CASE
    WHEN (disabled_at IS NOT NULL) THEN 2
    WHEN (failures > 0) THEN 1
    ELSE 0
END), task_id, id);
CREATE INDEX webhook_configs_disabled ON public.webhook_configs USING btree (disabled_at) WHERE (disabled_at IS NOT NULL);

create table webhook_requests (
  owner text not null,
  at timestamp with time zone not null,
  PRIMARY KEY (owner)
) with (fillfactor=50);

create table webhook_usage (
  owner text not null,
  hour timestamp with time zone not null,
  bytes bigint not null,
  PRIMARY KEY (owner, hour)
) with (fillfactor=50);
CREATE INDEX webhook_usage_by_hour ON public.webhook_usage USING btree (hour);

create table worker_drains (
  worker text not null,
  stays boolean not null default false,
  requested_at timestamp with time zone not null default now(),
  PRIMARY KEY (worker)
);

create table worker_heartbeats (
  worker text not null,
  beats bigint not null default 0,
  PRIMARY KEY (worker)
) with (fillfactor=50, autovacuum_vacuum_threshold=2000);
