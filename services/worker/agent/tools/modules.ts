/** Tools in code, from the modules that a definition names by path: loaded once, each call checked and bounded in time. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as v from 'valibot';
import { above, Amount, AnyText, atMost, closed, Flag, listOf, Text } from '#shared/agent/fields.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { raceAbort } from '../../turn/race-abort.ts';
import { askUser } from '../gemini/tools/ask-user.ts';
import type { Tool } from '../gemini/tools/tool.ts';
import type { AgentTool } from './tool.ts';

const defaultTimeoutSeconds = 60;

const Tools = listOf(
  closed({
    name: v.pipe(
      AnyText,
      v.regex(/^[A-Za-z_]\w{0,63}$/, 'must be a letter or "_", then up to 63 letters, digits and "_"'),
    ),
    description: Text,
    parameters: v.optional(v.looseObject({ type: v.literal('object') }, 'must be the schema of an object')),
    readOnly: v.optional(Flag),
    confirm: v.optional(Flag),
    timeoutSeconds: v.optional(v.pipe(Amount, above(0), atMost(86_400))),
    run: v.function('must be a function'),
  }),
);

/**
 * The tools of all modules, in their order.
 *
 * @param paths absolute, or from the working directory
 * @throws {FatalError} that says what is wrong with a module
 */
export async function loadToolModules(paths: readonly string[]): Promise<Tool[]> {
  const names = new Set([askUser.name]);
  const modules = await Promise.all(paths.map(async (path) => ({ path, tools: await load(path) })));
  return modules.flatMap(({ path, tools }) =>
    tools.map((tool) => {
      if (names.has(tool.name)) throw wrong(path, `the name ${tool.name} is taken by another tool`);
      names.add(tool.name);
      return toTool(tool);
    }),
  );
}

async function load(path: string): Promise<AgentTool[]> {
  let exported: { default?: unknown };
  try {
    exported = (await import(pathToFileURL(resolve(path)).href)) as typeof exported;
  } catch (error) {
    throw wrong(path, errorMessage(error), error);
  }
  const problem = v.safeParse(Tools, exported.default).issues?.[0];
  if (problem !== undefined) {
    const place = v.getDotPath(problem) ?? 'it';
    throw wrong(path, `its default export must be a list of tools; ${place}: ${problem.message}`);
  }
  return exported.default as AgentTool[];
}

function wrong(path: string, why: string, cause?: unknown): FatalError {
  return new FatalError(`The tools of ${path} cannot be loaded: ${why}`, { cause });
}

function toTool(tool: AgentTool): Tool {
  const { name, description, parameters, readOnly = false, confirm = false } = tool;
  const { timeoutSeconds = defaultTimeoutSeconds } = tool;
  return {
    declaration: { name, description, ...(parameters && { parametersJsonSchema: parameters }) },
    sideEffects: !readOnly,
    confirm,
    call: async (args, { idempotencyKey, signal }) => {
      await check(parameters, args);
      const timeout = AbortSignal.timeout(1000 * timeoutSeconds);
      const bounded = AbortSignal.any([signal, timeout]);
      try {
        return (await raceAbort(bounded, tool.run(args, { idempotencyKey, signal: bounded }))) ?? null;
      } catch (error) {
        signal.throwIfAborted();
        if (!timeout.aborted) throw error;
        throw new Error(`The tool gave no answer within ${timeoutSeconds} s.`, { cause: error });
      }
    },
  };
}

/** What knows JSON Schema is large: it is loaded with the first call, so that workers start quickly. */
async function check(parameters: JsonObject | undefined, args: JsonObject): Promise<void> {
  if (parameters === undefined) return;
  const { Errors } = await import('typebox/schema');
  const [, problems] = Errors(parameters, args);
  if (problems.length === 0) return;
  const told = problems.map(({ instancePath, message }) => `${instancePath || '/'} ${message}`);
  throw new Error(`Not called: the arguments do not fit the schema: ${told.join('; ')}`);
}
