/**
 * Loads tools from the modules that a definition names. The arguments and the time of each call are checked.
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { JsonSchemaValidator } from '@modelcontextprotocol/client';
import * as v from 'valibot';
import {
  above,
  AnyText,
  atMost,
  FiniteNumber,
  Flag,
  list,
  strictMapping,
  Text,
} from '#shared/agent/fields.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { raceAbort } from '../../turn/race-abort.ts';
import { askUser } from '../gemini/tools/ask-user.ts';
import { pendingKey, PendingOutput, type Tool } from '../gemini/tools/tool.ts';
import type { AgentTool } from './tool.ts';

const defaultTimeoutSeconds = 60;
/** Longer results that are posted later are cut for the model. */
const maxLaterChars = 50_000;

const Tools = list(
  strictMapping({
    name: v.pipe(
      AnyText,
      v.regex(/^[A-Za-z_]\w{0,63}$/, 'must be a letter or "_", then up to 63 letters, digits or "_"'),
    ),
    description: Text,
    parameters: v.optional(v.looseObject({ type: v.literal('object') }, 'must be the schema of an object')),
    readOnly: v.optional(Flag),
    confirm: v.optional(Flag),
    timeoutSeconds: v.optional(v.pipe(FiniteNumber, above(0), atMost(86_400))),
    pendingSeconds: v.optional(v.pipe(FiniteNumber, above(0), atMost(366 * 86_400))),
    run: v.function('must be a function'),
  }),
);

/**
 * Returns the tools of all modules, in their order.
 *
 * @param paths absolute, or relative to the directory
 * @throws {FatalError} if a module cannot be loaded or a tool is not valid
 */
export async function loadToolModules(paths: readonly string[], directory: string): Promise<Tool[]> {
  const names = new Set([askUser.name]);
  const files = paths.map((path) => resolve(directory, path));
  const modules = await Promise.all(files.map(async (path) => ({ path, tools: await load(path) })));
  return modules.flatMap(({ path, tools }) =>
    tools.map((tool) => {
      if (names.has(tool.name)) throw loadError(path, `another tool has the name ${tool.name}`);
      names.add(tool.name);
      return toTool(tool);
    }),
  );
}

async function load(path: string): Promise<AgentTool[]> {
  let exported: { default?: unknown };
  try {
    exported = (await import(pathToFileURL(path).href)) as typeof exported;
  } catch (error) {
    throw loadError(path, errorMessage(error), error);
  }
  const problem = v.safeParse(Tools, exported.default).issues?.[0];
  if (problem !== undefined) {
    const place = v.getDotPath(problem) ?? 'default';
    throw loadError(path, `${place}: ${problem.message} (the default export must be a list of tools)`);
  }
  return exported.default as AgentTool[];
}

function loadError(path: string, reason: string, cause?: unknown): FatalError {
  return new FatalError(`The tools of ${path} cannot be loaded: ${reason}`, { cause });
}

function toTool(tool: AgentTool): Tool {
  const { name, description, parameters, readOnly = false, confirm = false } = tool;
  const { timeoutSeconds = defaultTimeoutSeconds, pendingSeconds } = tool;
  const checkArguments = parameters && createArgumentCheck(parameters);
  return {
    declaration: { name, description, ...(parameters && { parametersJsonSchema: parameters }) },
    sideEffects: !readOnly,
    confirm,
    ...(pendingSeconds !== undefined && { later: { seconds: pendingSeconds, maxChars: maxLaterChars } }),
    call: async (args, { idempotencyKey, callbackUrl, signal }) => {
      await checkArguments?.(args);
      const timeout = AbortSignal.timeout(1000 * timeoutSeconds);
      const bounded = AbortSignal.any([signal, timeout]);
      try {
        const context = {
          idempotencyKey,
          signal: bounded,
          ...(callbackUrl !== undefined && { callbackUrl }),
        };
        const result = toJson(await raceAbort(bounded, Promise.resolve(tool.run(args, context))));
        return isPending(result) ? new PendingOutput() : result;
      } catch (error) {
        signal.throwIfAborted();
        if (!timeout.aborted) throw error;
        throw new Error(`The tool did not answer within ${timeoutSeconds} s.`, { cause: error });
      }
    },
  };
}

/** A copy of `pendingResult`, because modules of other packages may have their own. */
function isPending(result: Json): boolean {
  return (
    typeof result === 'object' && result !== null && !Array.isArray(result) && result[pendingKey] === true
  );
}

/** @throws {Error} for the model, if a tool has returned what cannot be stored or sent as JSON */
function toJson(result: Json | void): Json {
  // JSON.stringify returns undefined for a function or a symbol, and throws for a bigint or a cycle.
  const text = JSON.stringify(result ?? null) as string | undefined;
  if (text === undefined) throw new Error(`The tool was called, but returned a ${typeof result}, not JSON.`);
  return JSON.parse(text) as Json;
}

/**
 * Checks arguments with the validator of the MCP client. It is loaded with the first call, so that workers
 * start quickly.
 */
function createArgumentCheck(parameters: JsonObject): (args: JsonObject) => Promise<void> {
  let compiling: Promise<JsonSchemaValidator<JsonObject>> | undefined;
  const compile = async () => {
    const { AjvJsonSchemaValidator } = await import('@modelcontextprotocol/client/validators/ajv');
    return new AjvJsonSchemaValidator().getValidator<JsonObject>(parameters);
  };
  return async (args) => {
    const { valid, errorMessage: problems } = (await (compiling ??= compile()))(args);
    if (!valid) throw new Error(`Not called: the arguments do not match the schema: ${problems}.`);
  };
}
