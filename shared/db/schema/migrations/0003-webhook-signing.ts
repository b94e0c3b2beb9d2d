/** What a webhook config may ask for beyond A2A's own fields: proof of origin by a secret of its own, and speed. */
import { sql, type Kysely } from 'kysely';

export async function up(db: Kysely<never>): Promise<void> {
  // Secrets are encrypted. While a secret is being changed, both sign until `previous_secret_until`.
  await sql`
    alter table webhook_configs
      add column signing_secret text,
      add column previous_secret text,
      add column previous_secret_until timestamptz,
      add column ordered boolean not null default true`.execute(db);

  // Of configs that ask for speed: each delivery is attempted by itself, under a lease and at a time of its own.
  await sql`
    alter table deliveries
      add column failures smallint not null default 0,
      add column lease_until timestamptz,
      add column due_at timestamptz`.execute(db);
}
