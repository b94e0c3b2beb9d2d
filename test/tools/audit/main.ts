/**
 * `npm run audit`: what a commit brings in. Arguments select checks by their names.
 *
 *   dependencies   known vulnerabilities of the production dependencies
 *   secrets        texts that look like secrets
 *   images         images that are not pinned by digest
 *
 * Exits with 1 if a check refuses something, otherwise with 69 if one could not run.
 */
import { auditDependencies } from './dependencies.ts';
import { reportImages } from './images.ts';
import { findSecrets } from './secrets.ts';

const checks = { dependencies: auditDependencies, secrets: findSecrets, images: reportImages };
const names = process.argv.slice(2);
const statuses: number[] = [];
for (const [name, check] of Object.entries(checks)) {
  if (names.length === 0 || names.includes(name)) statuses.push(await check());
}
process.exitCode = statuses.includes(1) ? 1 : Math.max(0, ...statuses);
