/** The tables as Kysely types. The migrations that create them document what they mean. */
import type { ColumnType, Generated, GeneratedAlways, JSONColumnType } from 'kysely';
import type { EventKind, EventPayload } from '../../domain/events.ts';
import type { Artifact, Json, JsonObject, Message } from '../../domain/message.ts';
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import type { AttemptOutcome, TaskState } from '../../domain/task.ts';
import type { ModelUsage, Usage } from '../../domain/usage.ts';
import type { Wait } from '../../domain/wait.ts';

type Time = ColumnType<Date, Date | string, Date | string>;
type TimeOrNow = ColumnType<Date, Date | string | undefined, Date | string>;
type NullableTime = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;
type NullableJson<T extends object> = JSONColumnType<T | null, string | null | undefined, string | null>;

export interface Database {
  agents: { hash: string; definition: JSONColumnType<JsonObject>; created_at: TimeOrNow };
  gates: {
    task_id: string;
    fence: Generated<number>;
    lease_until: NullableTime;
    worker: string | null;
    claimed_at: NullableTime;
    turn: Generated<number>;
    last_turn: Generated<number>;
    last_event: number;
    state_class: Generated<number>;
    attempts: Generated<number>;
    priority: Generated<number>;
    failures: Generated<number>;
    failing_since: NullableTime;
    config_rev: Generated<number>;
    signals: Generated<number>;
    run_at: TimeOrNow;
    wakeup_at: Time;
    settled_at: NullableTime;
    deadline_at: NullableTime;
    bytes: Generated<string>;
  };
  extended_leases: { task_id: string; fence: number; lease_until: Time };
  tasks: {
    id: string;
    tenant: string;
    owner: string;
    context_id: string;
    agent_hash: string;
    state: TaskState;
    status_at: Time;
    status_message: NullableJson<Message>;
    created_at: TimeOrNow;
    metadata: NullableJson<JsonObject>;
    shown: boolean;
    direct: Generated<boolean>;
    last_error: string | null;
    traceparent: string | null;
    usage: NullableJson<Usage>;
    metadata_bytes: GeneratedAlways<number>;
  };
  messages: {
    task_id: string;
    turn: number;
    role: 'user' | 'agent';
    message: JSONColumnType<Message>;
    accepted_output_modes: NullableJson<string[]>;
    created_at: TimeOrNow;
    context_key: string | null;
    bytes: GeneratedAlways<number>;
  };
  events: {
    task_id: string;
    seq: number;
    kind: EventKind;
    artifact_id: string | null;
    payload: JSONColumnType<EventPayload>;
    created_at: TimeOrNow;
    tx: Generated<string>;
    traceparent: string | null;
  };
  artifacts: {
    task_id: string;
    artifact_id: string;
    turn: number;
    seq: number;
    artifact: JSONColumnType<Artifact>;
    bytes: GeneratedAlways<number>;
  };
  steps: {
    task_id: string;
    turn: number;
    name: string;
    occurrence: number;
    position: number;
    input_hash: string | null;
    output: ColumnType<Json, string | null, string | null>;
    usage: NullableJson<ModelUsage>;
    fence: number;
    started_at: TimeOrNow;
    finished_at: NullableTime;
    wait: NullableJson<Wait>;
    due_at: NullableTime;
    token: string | null;
    bytes: GeneratedAlways<number>;
  };
  turn_attempts: {
    task_id: string;
    fence: number;
    turn: number;
    worker: string;
    started_at: Time;
    ended_at: Time;
    outcome: AttemptOutcome;
    error: string | null;
  };
  ledger: {
    tenant: string;
    owner: string;
    day: string;
    model: string;
    calls: string;
    prompt_tokens: string;
    cached_tokens: string;
    tool_tokens: string;
    thought_tokens: string;
    output_tokens: string;
    cost: number;
    unpriced: string;
  };
  model_quotas: {
    model: string;
    requests_at: TimeOrNow;
    tokens_at: TimeOrNow;
    queue_at: TimeOrNow;
    refunds_at: TimeOrNow;
    answered_at: Time | null;
    answered_tokens: number | null;
  };
  quota_places: { task_id: string; model: string; at: Time };
  files: {
    task_id: string;
    hash: string;
    media_type: string;
    filename: string | null;
    content: Buffer;
    created_at: TimeOrNow;
  };
  sends: {
    tenant: string;
    owner: string;
    message_id: string;
    request_hash: string;
    task_id: string;
    turn: number;
    expires_at: Time;
  };
  outbox: {
    id: Generated<string>;
    kind: 'turn' | 'delivery';
    task_id: string;
    turn: number | null;
    config_id: string | null;
    due_at: TimeOrNow;
    claimed_until: Time;
    owner: string | null;
    traceparent: string | null;
  };
  queued_turns: { task_id: string; owner: string; priority: number; queued_at: TimeOrNow };
  turn_queues: { owner: string; wake_at: Time; limited_until: NullableTime };
  admitted_turns: { task_id: string; owner: string; fence: number; admitted_until: Time };
  webhook_configs: {
    task_id: string;
    id: string;
    tenant: string;
    owner: string;
    url: string;
    token: string | null;
    auth_scheme: string | null;
    auth_credentials: string | null;
    events: 'all' | 'state' | 'end';
    protocol_version: string;
    created_at: TimeOrNow;
    failures: Generated<number>;
    disabled_at: NullableTime;
    disabled_reason: string | null;
    signing_secret: string | null;
    previous_secret: string | null;
    previous_secret_until: NullableTime;
    ordered: Generated<boolean>;
  };
  deliveries: {
    task_id: string;
    config_id: string;
    seq: number;
    state: Generated<'pending' | 'delivered' | 'failed' | 'cancelled' | 'merged'>;
    attempts: Generated<number>;
    failures: Generated<number>;
    fence: Generated<number>;
    lease_until: NullableTime;
    due_at: TimeOrNow;
    wakeup_at: Time;
    merged_from: number | null;
    deferred_reason: string | null;
    thin: Generated<boolean>;
    created_at: TimeOrNow;
    settled_at: NullableTime;
  };
  delivery_attempts: {
    task_id: string;
    config_id: string;
    seq: number;
    attempt: number;
    started_at: Time;
    duration_ms: number;
    status: number | null;
    error: string | null;
    response_start: string | null;
  };
  webhook_usage: { owner: string; hour: Time; bytes: string };
  webhook_requests: { owner: string; at: Time };
  encryption_checks: {
    key_id: string;
    value: string;
  };
  owner_limits: {
    owner: string;
    limits: ColumnType<Partial<OwnerLimits>, string, string>;
    updated_at: TimeOrNow;
  };
  owner_usage: { owner: string; bytes: Generated<string>; webhook_configs: Generated<string> };
}
