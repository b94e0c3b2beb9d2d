/** The definition's schema as editors want it: docs/agent.schema.json is made of it. */
import type { Json, JsonObject } from '../domain/message.ts';
import { Definition } from './definition.ts';

/** What has a default may be left out. */
export function editorSchema(): JsonObject {
  const schema = optionalDefaults(JSON.parse(JSON.stringify(Definition)) as JsonObject);
  return { $schema: 'http://json-schema.org/draft-07/schema#', title: 'Agent definition', ...schema };
}

function optionalDefaults(schema: JsonObject): JsonObject {
  const { properties, required } = schema as {
    properties?: Record<string, JsonObject>;
    required?: string[];
  };
  const entries = Object.entries(schema).map(([name, value]): [string, Json] => [
    name,
    typeof value === 'object' && value !== null && !Array.isArray(value) ? optionalDefaults(value) : value,
  ]);
  const open = Object.fromEntries(entries);
  if (properties === undefined || !Array.isArray(required)) return open;
  return { ...open, required: required.filter((name) => properties[name]?.['default'] === undefined) };
}
