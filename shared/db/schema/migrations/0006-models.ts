/**
 * What calls of models take: by task, for its clients, and by owner, day and model, for the operator and the limits. And
 * what they may take in a minute, over all workers.
 */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  await sql`alter table tasks add column usage json`.execute(db);

  // A few rows, added to by every step that called a model: half of each page is kept free, as for gates. Kept when the
  // tasks are removed. Days are UTC's.
  await sql`
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
      primary key (tenant, owner, day, model)
    ) with (fillfactor = 50)`.execute(db);

  // A model's quota as clocks; see quotas.ts. Never removed: there are few.
  await sql`
    create table model_quotas (
      model text primary key,
      requests_at timestamptz not null default now(),
      tokens_at timestamptz not null default now(),
      queue_at timestamptz not null default now(),
      refunds_at timestamptz not null default now()
    ) with (fillfactor = 50)`.execute(db);

  // A task that is parked for want of quota, and when its call comes.
  await sql`
    create table quota_places (
      task_id uuid primary key,
      model text not null,
      at timestamptz not null
    )`.execute(db);
}
