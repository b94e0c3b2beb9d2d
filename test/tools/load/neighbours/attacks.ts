/** The hostile owners, by the number with which `--rows` selects them. */
import type { Attack } from './attacks/attack.ts';
import { grpcWithoutCredentials } from './attacks/grpc-without-credentials.ts';
import { largeArtifacts } from './attacks/large-artifacts.ts';
import { largeContext } from './attacks/large-context.ts';
import { largeFiles } from './attacks/large-files.ts';
import { largeFollowUps } from './attacks/large-follow-ups.ts';
import { largeLists } from './attacks/large-lists.ts';
import { largeParameters } from './attacks/large-parameters.ts';
import { lockedRows } from './attacks/locked-rows.ts';
import { manyTasks } from './attacks/many-tasks.ts';
import { redeliveries } from './attacks/redeliveries.ts';
import { answeringReceiver, hangingReceivers } from './attacks/hanging-receivers.ts';
import { waitingSends } from './attacks/waiting-sends.ts';
import { wrongKeys } from './attacks/wrong-keys.ts';

export const attacks: readonly Attack[] = [
  largeFollowUps,
  largeFiles,
  largeLists,
  largeParameters,
  grpcWithoutCredentials,
  manyTasks,
  hangingReceivers,
  waitingSends,
  largeContext,
  redeliveries,
  wrongKeys,
  largeArtifacts,
  lockedRows,
];

/** The row of an owner that is not hostile: what many tasks cost their neighbours on this machine, for comparison. */
export const ordinaryRow = 0;

/** @param row from 1, or `ordinaryRow` */
export function getAttack(row: number): Attack {
  const attack = row === ordinaryRow ? answeringReceiver : attacks[row - 1];
  if (attack === undefined) throw new Error(`there is no row ${row} (expected 1 to ${attacks.length})`);
  return attack;
}
