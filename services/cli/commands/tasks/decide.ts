/**
 * `longhaul approve` and `longhaul refuse`: decide the calls of tools that a task waits for (approval extension,
 * docs/extensions/approval.md).
 */
import type { Command } from 'commander';
import { approvalExtension, type ApprovalRequest, type Decision } from '#shared/agent/approval.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { TaskJson } from '../../agent/json.ts';
import { CliError, usageError } from '../../failure.ts';
import { printProgress, toTerminalText } from '../../output/terminal.ts';
import { runOnAgent } from '../../run.ts';
import { createMessage } from './message.ts';
import { addSendOptions, sendAndWait, type SendOptions } from './send-and-wait.ts';

interface DecideOptions extends SendOptions {
  request?: string[];
  all?: boolean;
  reason?: string;
}

export function addDecideCommands(program: Command): void {
  add(program, 'approve', 'Approve a call of a tool that a task waits for.', 'Approved.', true);
  add(program, 'refuse', 'Refuse a call of a tool that a task waits for.', 'Refused.', false);
}

function add(program: Command, name: string, description: string, text: string, approve: boolean): void {
  const command = program
    .command(name)
    .description(description)
    .argument('<id>', 'id of the task')
    .option('--request <ids...>', 'ids of the calls, if several wait')
    .option('--all', 'all calls that wait')
    .option('--reason <text>', 'why: the agent reads it');
  addSendOptions(command)
    .addHelpText(
      'after',
      `
longhaul get TASK_ID shows the calls. A decision applies to one call with its arguments.

Examples:
  longhaul ${name} TASK_ID
  longhaul ${name} TASK_ID --request 1.1.1 1.1.2${approve ? '' : ' --reason "The customer keeps the order."'}`,
    )
    .action((id: string, options: DecideOptions) =>
      runOnAgent(options, async (context) => {
        const task = await context.agent.get(id, 0);
        const chosen = choose(task, options);
        for (const { id: call, tool, arguments: values } of chosen) {
          printProgress(toTerminalText(`${name} ${call}: ${tool} ${JSON.stringify(values)}`, process.stderr));
        }
        const decisions = chosen.map(({ id: call, argumentsHash }): Decision => ({
          id: call,
          argumentsHash,
          approve,
          ...(options.reason !== undefined && { reason: options.reason }),
        }));
        const message = await createMessage(options.reason ?? text, [], {
          taskId: id,
          ...(task.contextId && { contextId: task.contextId }),
          metadata: { [approvalExtension]: { decisions } },
        });
        return await sendAndWait(context, { message });
      }),
    );
}

/** Several calls are never decided by accident: the user names them, or asks for all. */
function choose(task: TaskJson, { request, all = false }: DecideOptions): ApprovalRequest[] {
  const requests = readRequests(task);
  if (requests.length === 0)
    throw new CliError(`task ${task.id} waits for no approval: it is ${task.status?.state}`);
  const list = requests.map(({ id, tool }) => `${id} (${tool})`).join(', ');
  if (request === undefined) {
    if (requests.length === 1 || all) return requests;
    throw usageError(`several calls wait: ${list}. Expected --request with their ids, or --all`);
  }
  return request.map((id) => {
    const found = requests.find((each) => each.id === id);
    if (found === undefined) throw usageError(`${id} does not wait for approval: expected some of ${list}`);
    return found;
  });
}

function readRequests({ status }: TaskJson): ApprovalRequest[] {
  if (status?.state !== 'TASK_STATE_AUTH_REQUIRED') return [];
  for (const { data } of status.message?.parts ?? []) {
    const content = (data as JsonObject | undefined)?.[approvalExtension] as
      | { requests?: unknown }
      | undefined;
    if (Array.isArray(content?.requests)) return content.requests as ApprovalRequest[];
  }
  return [];
}
