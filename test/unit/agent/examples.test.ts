/** The example agents are valid, and the JSON Schema for editors matches the definition's schema. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Definition } from '#shared/agent/definition.ts';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/client/validators/ajv';
import { toJsonSchema } from '@valibot/to-json-schema';
import { format } from 'oxfmt';
import { parse } from 'yaml';
import style from '../../../.oxfmtrc.json' with { type: 'json' };

const docs = new URL('../../../docs/', import.meta.url);
const schemaFile = new URL('agent.schema.json', docs);
/** Without `finite`, because every number in JSON is finite. */
const { required = [], ...converted } = toJsonSchema(Definition, {
  typeMode: 'output',
  ignoreActions: ['finite'],
});
const withModel = ['skills', 'instruction'];
const editorSchema = {
  title: 'Agent definition',
  ...converted,
  required: required.filter((field) => !withModel.includes(field)),
  anyOf: [{ required: ['a2a'] }, { required: withModel }],
};
const schema = JSON.parse(JSON.stringify(editorSchema)) as JsonObject;

describe('docs/agent.schema.json', () => {
  // UPDATE_SCHEMA=1 writes the file.
  test("is the definition's schema", async () => {
    const { code: text } = await format('agent.schema.json', JSON.stringify(editorSchema), {
      printWidth: style.printWidth,
    });
    if (process.env['UPDATE_SCHEMA'] === '1') writeFileSync(schemaFile, text);
    assert.equal(readFileSync(schemaFile, 'utf8'), text);
  });
});

const examples = readdirSync(new URL('agents/', docs)).filter((name) => name.endsWith('.yaml'));
assert.ok(examples.length >= 3);

describe('the example agents', () => {
  const check = new AjvJsonSchemaValidator().getValidator(schema);
  for (const name of [...examples.map((file) => `docs/agents/${file}`), 'agent.yaml']) {
    const text = readFileSync(new URL(`../../../${name}`, import.meta.url), 'utf8');

    test(`${name} is valid for the services`, () => {
      parseAgentDefinition(text, name);
    });

    test(`${name} is valid for an editor without the fields that have defaults`, () => {
      assert.equal(check(parse(text)).errorMessage, undefined);
    });
  }
});
