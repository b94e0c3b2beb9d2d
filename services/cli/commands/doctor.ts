/** `longhaul doctor`: checks this machine, its settings and the agent, and names the fix for what is not in order. */
import type { Command } from 'commander';
import type { Finding } from '../doctor/check.ts';
import { runChecks } from '../doctor/run-checks.ts';
import { exitStatus } from '../failure.ts';
import { print, printJson, style, toTerminalText } from '../output/terminal.ts';
import { runAction } from '../run.ts';
import { addAgentOptions, getTarget, type AgentOptions } from '../settings/settings.ts';

interface DoctorOptions extends AgentOptions {
  task?: boolean;
}

export function addDoctorCommand(program: Command): void {
  const command = program
    .command('doctor')
    .description('Check this machine, its settings and the agent, with a fix for each problem.')
    .option('--task', 'send a task to the agent even if it is not on this machine')
    .option('--no-task', 'send no task to the agent');
  addAgentOptions(command)
    .addHelpText(
      'after',
      `
The task is "What is 6 times 7?". On this machine, its webhook must come back too. The status is 1 if something failed.

Examples:
  longhaul doctor
  longhaul doctor --profile prod --task
  longhaul doctor --json | jq 'select(.state == "failed")'`,
    )
    .action((options: DoctorOptions) =>
      runAction(async () => {
        const target = getTarget(options);
        let failures = 0;
        const report = (findings: readonly Finding[]): void => {
          for (const finding of findings) {
            if (finding.state === 'failed') failures += 1;
            if (options.json) printJson(finding);
            else printFinding(finding);
          }
        };
        for await (const findings of runChecks(target, options.task)) report(findings);
        return failures === 0 ? exitStatus.done : exitStatus.failed;
      }),
    );
}

const colors = { ok: 'green', warning: 'yellow', failed: 'red', skipped: 'dim' } as const;

function printFinding({ part, state, found, fix }: Finding): void {
  print(`${style(colors[state], state.padEnd(8))} ${part.padEnd(12)} ${toTerminalText(found)}`);
  if (fix !== undefined) print(`${' '.repeat(22)}fix: ${fix}`);
}
