/** All commands of `longhaul`. Each file in commands/ adds one command, or one group of them. */
import { Command } from 'commander';
import { addCardCommand } from './commands/card.ts';
import { addCompletionCommand } from './commands/completion.ts';
import { addDeployCommand } from './commands/deploy.ts';
import { addDevCommand } from './commands/dev.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addStatsCommand, addUsageCommand } from './commands/figures.ts';
import { addInitCommand } from './commands/init.ts';
import { addMcpCommand } from './commands/mcp.ts';
import { addProfileCommands } from './commands/profile.ts';
import { addScheduleCommands } from './commands/schedules/commands.ts';
import { addServiceCommands } from './commands/services.ts';
import { addOpsCommands } from './commands/ops/commands.ts';
import { addAnswerCommand } from './commands/tasks/answer.ts';
import { addCancelCommand } from './commands/tasks/cancel.ts';
import { addDecideCommands } from './commands/tasks/decide.ts';
import { addGetCommand } from './commands/tasks/get.ts';
import { addListCommand } from './commands/tasks/list.ts';
import { addRerunCommand } from './commands/tasks/rerun.ts';
import { addSendCommand } from './commands/tasks/send.ts';
import { addTimelineCommand } from './commands/tasks/timeline.ts';
import { addWatchCommand } from './commands/tasks/watch.ts';
import { addWebhookCommands } from './commands/webhooks/commands.ts';
import { exitStatus } from './failure.ts';

export function createProgram(): Command {
  const program = new Command('longhaul')
    .description('Runs durable agents behind the Agent2Agent (A2A) protocol, and talks to agents.')
    .enablePositionalOptions()
    .showHelpAfterError('Run longhaul --help for all commands.')
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? exitStatus.done : exitStatus.usage));
  program.commandsGroup('Talk to an agent:');
  addSendCommand(program);
  addWatchCommand(program);
  addGetCommand(program);
  addListCommand(program);
  addCancelCommand(program);
  addAnswerCommand(program);
  addDecideCommands(program);
  addTimelineCommand(program);
  addRerunCommand(program);
  addStatsCommand(program);
  addUsageCommand(program);
  addScheduleCommands(program);
  addWebhookCommands(program);
  addCardCommand(program);
  addProfileCommands(program);
  addOpsCommands(program);
  addDoctorCommand(program);
  addMcpCommand(program);
  addCompletionCommand(program);
  program.commandsGroup('Run the services:');
  addInitCommand(program);
  addDevCommand(program);
  addServiceCommands(program);
  addDeployCommand(program);
  return program;
}
