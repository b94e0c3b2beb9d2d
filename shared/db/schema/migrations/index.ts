/** Every migration, in order. Append only: what has run somewhere is never edited. */
import type { Migration } from 'kysely/migration';
import * as m0001 from './0001-tasks.ts';
import * as m0003 from './0003-webhook-signing.ts';
import * as m0004 from './0004-webhook-merging.ts';
import * as m0005 from './0005-task-lists.ts';
import * as m0006 from './0006-models.ts';
import * as m0007 from './0007-files.ts';
import * as m0008 from './0008-traces.ts';
import * as m0009 from './0009-first-statistics.ts';
import * as m0010 from './0010-sends.ts';
import * as m0011 from './0011-contexts.ts';

export const migrations: Record<string, Migration> = {
  '0001-tasks': { up: m0001.up },
  '0003-webhook-signing': { up: m0003.up },
  '0004-webhook-merging': { up: m0004.up },
  '0005-task-lists': { up: m0005.up },
  '0006-models': { up: m0006.up },
  '0007-files': { up: m0007.up },
  '0008-traces': { up: m0008.up },
  '0009-first-statistics': { up: m0009.up },
  '0010-sends': { up: m0010.up },
  '0011-contexts': { up: m0011.up },
};
