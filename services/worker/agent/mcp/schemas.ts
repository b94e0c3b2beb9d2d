/** Checks the schemas of MCP tools, and results against them, with the validator of the client. */
import type { CallToolResult, JsonSchemaValidator, Tool } from '@modelcontextprotocol/client';
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/client/validators/ajv';

const maxReasonChars = 300;

/** Returns why the schema of a tool's arguments is not valid, or undefined if it is. */
export function findSchemaProblem({ inputSchema }: Tool): string | undefined {
  try {
    compile(inputSchema);
    return undefined;
  } catch (error) {
    return `the schema of its arguments is not valid: ${String(error).slice(0, maxReasonChars)}`;
  }
}

const validators = new WeakMap<Tool, JsonSchemaValidator<unknown> | undefined>();

/** Returns how a result differs from what its tool has declared, or undefined if it does not. */
export function findResultProblem(tool: Tool, result: CallToolResult): string | undefined {
  if (tool.outputSchema === undefined || result.isError === true) return undefined;
  if (result.structuredContent === undefined)
    return 'The tool has declared structured output but returned none.';
  const checked = getOutputValidator(tool)?.(result.structuredContent);
  if (checked === undefined || checked.valid) return undefined;
  return `The result does not match the output schema of the tool: ${checked.errorMessage.slice(0, maxReasonChars)}.`;
}

/** A schema that cannot be compiled is not checked. */
function getOutputValidator(tool: Tool): JsonSchemaValidator<unknown> | undefined {
  if (validators.has(tool) || tool.outputSchema === undefined) return validators.get(tool);
  let validator: JsonSchemaValidator<unknown> | undefined;
  try {
    validator = compile(tool.outputSchema);
  } catch {
    validator = undefined;
  }
  validators.set(tool, validator);
  return validator;
}

/** @throws {Error} if the schema is not valid */
function compile(schema: object): JsonSchemaValidator<unknown> {
  return new AjvJsonSchemaValidator().getValidator(schema);
}
