/** `longhaul schedules`: creates, shows, pauses, runs and deletes schedules. */
import type { Command } from 'commander';
import { addActCommands } from './act.ts';
import { addCreateCommand } from './create.ts';
import { addGetCommand, addHistoryCommand, addListCommand } from './show.ts';

export function addScheduleCommands(program: Command): void {
  const group = program.command('schedules').description('Start tasks at set times or intervals.');
  addListCommand(group);
  addCreateCommand(group);
  addGetCommand(group);
  addHistoryCommand(group);
  addActCommands(group);
}
