/** `longhaul ops`: what operators see and do, over all owners (docs/extensions/operator.md). */
import type { Command } from 'commander';
import { addDrainCommand, addWakeCommand } from './act.ts';
import {
  addBacklogCommand,
  addOwnersCommand,
  addReports,
  addUsageCommand,
  addWorkCommand,
} from './reports.ts';

export function addOpsCommands(program: Command): void {
  const group = program.command('ops').description('Reports and actions for operators, over all owners.');
  addBacklogCommand(group);
  addReports(group);
  addWorkCommand(group);
  addOwnersCommand(group);
  addUsageCommand(group);
  addWakeCommand(group);
  addDrainCommand(group);
}
