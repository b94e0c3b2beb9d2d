/** The worked examples are valid, and the JSON Schema for editors is that of the definition. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Definition } from '#shared/agent/definition.ts';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import { toJsonSchema } from '@valibot/to-json-schema';
import { Check } from 'typebox/schema';
import { format, resolveConfig } from 'prettier';
import { parse } from 'yaml';

const docs = new URL('../../../docs/', import.meta.url);
const schemaFile = new URL('agent.schema.json', docs);
/** Every number in JSON is finite. */
const converted = toJsonSchema(Definition, { typeMode: 'output', ignoreActions: ['finite'] });
const editorSchema = { title: 'Agent definition', ...converted };

test('docs/agent.schema.json is the schema of the definition; UPDATE_SCHEMA=1 writes it anew', async () => {
  const options = { ...(await resolveConfig(schemaFile)), parser: 'json' };
  const text = await format(JSON.stringify(editorSchema), options);
  if (process.env['UPDATE_SCHEMA'] === '1') writeFileSync(schemaFile, text);
  assert.equal(readFileSync(schemaFile, 'utf8'), text);
});

const examples = readdirSync(new URL('agents/', docs)).filter((name) => name.endsWith('.yaml'));
assert.ok(examples.length >= 3);

for (const name of [...examples.map((file) => `docs/agents/${file}`), 'agent.yaml']) {
  test(`${name} is valid, for the services and for an editor`, () => {
    const text = readFileSync(new URL(`../../../${name}`, import.meta.url), 'utf8');
    parseAgentDefinition(text, name);
    assert.ok(Check(editorSchema, parse(text)), 'what has a default may be left out');
  });
}
