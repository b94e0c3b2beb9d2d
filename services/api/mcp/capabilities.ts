/** Checks the capabilities of a client as the SDK does, without loading it. The SDK answers requests that do not pass. */
import type { ClientCapabilities } from './protocol.ts';

type Check = (value: unknown) => boolean;

const isOptionalFlag: Check = (value) => value === undefined || typeof value === 'boolean';
const isOptionalObject: Check = (value) => value === undefined || isObject(value);
const isOptionalMapping: Check = (value) =>
  value === undefined || (isObject(value) && Object.values(value).every(isObject));

/** The fields that MCP 2026-07-28 defines (schema, "ClientCapabilities"); others may have any value. */
const checks: Readonly<Record<string, Check>> = {
  experimental: isOptionalMapping,
  extensions: isOptionalMapping,
  sampling: hasFields({ context: isOptionalObject, tools: isOptionalObject }),
  elicitation: hasFields({ form: hasFields({ applyDefaults: isOptionalFlag }), url: isOptionalObject }),
  roots: hasFields({ listChanged: isOptionalFlag }),
};
const areFieldsValid = hasFields(checks);

export function isCapabilities(value: unknown): value is ClientCapabilities {
  return value !== undefined && areFieldsValid(value);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasFields(fields: Readonly<Record<string, Check>>): Check {
  const entries = Object.entries(fields);
  return (value) =>
    value === undefined || (isObject(value) && entries.every(([name, check]) => check(value[name])));
}
