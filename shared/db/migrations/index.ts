/** Every migration, in order. Append only: what has run somewhere is never edited. */
import type { Migration } from 'kysely/migration';
import * as m0001 from './0001-tasks.ts';
import * as m0003 from './0003-webhook-signing.ts';
import * as m0004 from './0004-webhook-merging.ts';
import * as m0005 from './0005-task-lists.ts';
import * as m0008 from './0008-models.ts';
import * as m0009 from './0009-files.ts';
import * as m0010 from './0010-traces.ts';

export const migrations: Record<string, Migration> = {
  '0001-tasks': { up: m0001.up },
  '0003-webhook-signing': { up: m0003.up },
  '0004-webhook-merging': { up: m0004.up },
  '0005-task-lists': { up: m0005.up },
  '0008-models': { up: m0008.up },
  '0009-files': { up: m0009.up },
  '0010-traces': { up: m0010.up },
};
