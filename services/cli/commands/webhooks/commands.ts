/** `longhaul webhooks`: shows, repeats and tests the webhooks of a task. */
import type { Command } from 'commander';
import { addRedeliverCommand, addRotateSecretCommand, addTestCommand } from './act.ts';
import { addDeliveriesCommand, addListCommand } from './show.ts';

export function addWebhookCommands(program: Command): void {
  const group = program.command('webhooks').description('Show, repeat and test the webhooks of a task.');
  addListCommand(group);
  addDeliveriesCommand(group);
  addRedeliverCommand(group);
  addTestCommand(group);
  addRotateSecretCommand(group);
}
