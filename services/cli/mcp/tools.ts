/** Tools about this machine, which only `longhaul mcp` has: the logs of the local stack, and the doctor. */
import { environment } from '#shared/runtime/config/environment.ts';
import { defaultDataDir } from '#shared/runtime/config/local-stack.ts';
import { createAnswer, cut, line, quantity, quoteNote } from '#shared/mcp/answer.ts';
import { ToolError } from '#shared/mcp/errors.ts';
import { parseSince, sinceHint } from '#shared/mcp/time.ts';
import { defineTool, objects, reads, type OpsTool } from '#shared/mcp/tool.ts';
import { runChecks } from '../doctor/run-checks.ts';
import type { Target } from '../settings/settings.ts';
import { readDevLog, severities, type LogLine } from './dev-log.ts';

const maxLineChars = 1_000;

const readLogs = defineTool({
  name: 'ops_logs',
  title: 'Logs of the local stack',
  description: `Returns log lines of the stack that longhaul dev or npm start runs in this folder, the newest last. ${quoteNote}`,
  effect: reads,
  args: {
    since: { type: 'string', description: `${sinceHint} Default: 10m.` },
    severity: {
      type: 'string',
      description: 'The least important severity. Default: INFO.',
      choices: severities,
    },
    service: {
      type: 'string',
      description: 'Only lines of this service, such as api, worker or dispatcher.',
    },
    contains: { type: 'string', description: 'Only lines with this text, such as the id of a task.' },
    limit: { type: 'integer', description: 'The most lines: the newest. Default: 50.', min: 1, max: 500 },
  },
  output: { lines: objects, leftOut: { type: 'integer' } },
  run: async ({ since = '10m', severity = 'INFO', service, contains, limit = 50 }) => {
    const dataDir = environment['DATA_DIR'] || defaultDataDir;
    const level = severities.find((each) => each === severity) ?? 'INFO';
    const found = readDevLog(dataDir, {
      since: Date.parse(parseSince(since)),
      severity: level,
      service,
      contains,
    });
    if (found === undefined) {
      throw new ToolError(
        `No stack has kept logs in ${dataDir}: start one in this folder with longhaul dev, or set DATA_DIR to the folder of its data.`,
      );
    }
    const lines = found.slice(-limit);
    const leftOut = found.length - lines.length;
    const older =
      leftOut === 0
        ? []
        : [
            `${quantity(leftOut, 'older line is', 'older lines are')} left out: narrow the search, or raise limit.`,
          ];
    return createAnswer(
      { lines: lines.map((each) => cutLine(each)), leftOut },
      [`${quantity(lines.length, 'line')} since ${since}.`, ...older],
      lines.map(describeLine),
    );
  },
});

function cutLine(entry: LogLine): { [field: string]: string } {
  return Object.fromEntries(
    Object.entries(entry).map(([name, value]) => [name, cut(toText(value), maxLineChars)]),
  );
}

function describeLine({ time, service, severity, message, ...fields }: LogLine): string {
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${toText(value)}`);
  return cut(line(time, service, severity, message, ...rest), maxLineChars);
}

function toText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** @param target the agent that the doctor checks */
export function createMachineTools(target: Target): OpsTool[] {
  const doctor = defineTool({
    name: 'ops_doctor',
    title: 'Doctor',
    description:
      'Checks this machine, its settings, the database and the agent, with a fix for each problem. With task, also sends a small task to the agent and waits for its end.',
    effect: { readOnlyHint: false, destructiveHint: false, idempotentHint: false },
    args: { task: { type: 'boolean', description: 'Sends a task to the agent. Default: false.' } },
    output: { findings: objects },
    run: async ({ task = false }) => {
      const findings = [];
      for await (const part of runChecks(target, task)) findings.push(...part);
      const failures = findings.filter(({ state }) => state === 'failed').length;
      return createAnswer(
        { findings: findings.map((finding) => ({ ...finding })) },
        [
          failures === 0
            ? 'Nothing has failed.'
            : `${quantity(failures, 'check has', 'checks have')} failed.`,
        ],
        findings.map(({ part, state, found, fix }) =>
          line(`${state} ${part}:`, found, fix && `(fix: ${fix})`),
        ),
      );
    },
  });
  return [readLogs, doctor];
}
