/** Tools in code, from the modules that a definition names by path: loaded once, each call checked and bounded in time. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Type } from 'typebox';
import { Errors as SchemaErrors } from 'typebox/schema';
import { Errors } from 'typebox/value';
import { FatalError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { messageOf } from '#shared/runtime/log.ts';
import { untilAborted } from '../../abandon.ts';
import { askUser } from '../gemini/ask-user.ts';
import type { Tool } from '../gemini/tool.ts';
import type { AgentTool } from './tool.ts';

const defaultTimeoutSeconds = 60;

const Tools = Type.Array(
  Type.Object(
    {
      name: Type.String({ pattern: '^[A-Za-z_]\\w{0,63}$' }),
      description: Type.String({ minLength: 1 }),
      parameters: Type.Optional(Type.Object({ type: Type.Literal('object') })),
      readOnly: Type.Optional(Type.Boolean()),
      confirm: Type.Optional(Type.Boolean()),
      timeoutSeconds: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 86_400 })),
      run: Type.Function([], Type.Unknown()),
    },
    { additionalProperties: false },
  ),
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
    throw wrong(path, messageOf(error), error);
  }
  const [problem] = Errors(Tools, exported.default);
  if (problem !== undefined) {
    throw wrong(
      path,
      `its default export must be a list of tools; ${problem.instancePath} ${problem.message}`,
    );
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
      check(parameters, args);
      const timeout = AbortSignal.timeout(1000 * timeoutSeconds);
      const bounded = AbortSignal.any([signal, timeout]);
      try {
        return (await untilAborted(bounded, tool.run(args, { idempotencyKey, signal: bounded }))) ?? null;
      } catch (error) {
        signal.throwIfAborted();
        if (!timeout.aborted) throw error;
        throw new Error(`The tool gave no answer within ${timeoutSeconds} s.`, { cause: error });
      }
    },
  };
}

function check(parameters: JsonObject | undefined, args: JsonObject): void {
  if (parameters === undefined) return;
  const [, problems] = SchemaErrors(parameters, args);
  if (problems.length === 0) return;
  const told = problems.map(({ instancePath, message }) => `${instancePath || '/'} ${message}`);
  throw new Error(`Not called: the arguments do not fit the schema: ${told.join('; ')}`);
}
