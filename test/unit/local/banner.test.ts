/** The text of `npm start`: it describes the agent and the callers of this start. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createInfraBanner, createServicesBanner } from '#services/local/banner.ts';
import { readOptions } from '#services/local/options.ts';
import type { LocalStack } from '#services/local/stack.ts';

const stack: LocalStack = {
  port: 8080,
  grpcPort: 8081,
  dispatcherPort: 8082,
  dataDir: '/data',
  variables: {},
};

function create(environment: Record<string, string>, { dev = false, usesModel = true } = {}): string {
  return createServicesBanner(stack, readOptions({ dev }, environment), usesModel);
}

describe('the banner', () => {
  test('names the agent of the project, and shows calls without credentials', () => {
    const banner = create({});
    assert.match(banner, /Agent {10}agent\.yaml of this project/);
    assert.doesNotMatch(banner, /Callers|Authorization|x-api-key/);
    assert.doesNotMatch(create({ AUTH_MODES: 'none' }), /Callers|Authorization|x-api-key/);
  });

  test('names the file or the module of the agent', () => {
    assert.match(create({ AGENT_FILE: 'agent.yaml' }), /Agent {10}agent\.yaml \(AGENT_FILE\)/);
    const module = { AGENT_MODULE: 'test/support/agents/echo.ts' };
    assert.match(create(module), /Agent {10}test\/support\/agents\/echo\.ts \(AGENT_MODULE\)/);
    const infra = createInfraBanner(stack, readOptions({ infra: true }, module), true);
    assert.match(infra, /^# {3}Agent {3}test\/support\/agents\/echo\.ts/m);
  });

  test('names the command that uses Gemini, if the agent may call a model', () => {
    assert.match(create({}), /offline model .*GEMINI_API_KEY=… npm start$/m);
    assert.match(create({}, { dev: true }), /offline model .*GEMINI_API_KEY=… npx longhaul dev$/m);
    assert.match(create({}, { usesModel: false }), /Model {10}none: the agent runs elsewhere\n/);
    assert.match(create({ GEMINI_API_KEY: 'key' }), /Model {10}Gemini, with your API key\n/);
  });

  test('names the address of the console, unless it is off', () => {
    assert.match(create({}), /Console {8}http:\/\/localhost:8080\/console\//);
    assert.doesNotMatch(create({ CONSOLE: 'false' }), /Console/);
  });

  test('shows the command line, with the address unless it is the default', () => {
    assert.match(create({}), /^ {4}npx longhaul send "What is 6 times 7\?"$/m);
    const other = createServicesBanner({ ...stack, port: 9000 }, readOptions({}, {}), true);
    assert.match(other, /^ {4}npx longhaul send "What is 6 times 7\?" --url http:\/\/localhost:9000$/m);
  });

  for (const [modes, header] of [
    ['api-key', 'x-api-key: …'],
    ['jwt', 'Authorization: Bearer …'],
    ['cloud-run-iam,api-key', 'Authorization: Bearer …'],
  ] as const) {
    test(`shows how callers authenticate with AUTH_MODES=${modes}`, () => {
      const banner = create({ AUTH_MODES: modes });
      assert.ok(banner.includes(`must authenticate: ${modes.replace(',', ' or ')} (AUTH_MODES)`), banner);
      assert.equal(banner.split(`-H '${header}'`).length, 3, 'in both examples');
      assert.ok(banner.includes('LONGHAUL_API_KEY=… npx longhaul send '), banner);
    });
  }
});
