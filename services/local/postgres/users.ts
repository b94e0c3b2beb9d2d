/**
 * The rights of the services on one machine: each takes a role of its own (shared/db/schema/grants.ts), so that a statement
 * that it may not run in production fails here too. It logs in as the owner of the tables, who may take every role: this finds
 * mistakes, and does not stop an attacker.
 */
import {
  databaseServices,
  type DatabaseService,
  type ServiceUsers,
} from '#shared/runtime/config/database.ts';

export const localUsers: ServiceUsers = {
  api: 'longhaul_api',
  worker: 'longhaul_worker',
  dispatcher: 'longhaul_dispatcher',
};

/** The value of DATABASE_GRANT_TO. */
export const localGrants = databaseServices.map((service) => `${service}:${localUsers[service]}`).join(',');

/** Returns the address with which a service takes its role. */
export function withServiceRole(databaseUrl: string, service: DatabaseService): string {
  const url = new URL(databaseUrl);
  url.searchParams.set('options', `-c role=${localUsers[service]}`);
  return url.href;
}
