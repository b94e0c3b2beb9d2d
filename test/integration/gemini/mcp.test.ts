/** Tools of a real MCP server, over streamable HTTP and stdio. */
import { describe, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import type { JsonObject } from '#shared/domain/message.ts';
import { RetryableError } from '#shared/domain/errors.ts';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import { OutputWithFiles, type Tool } from '#services/worker/agent/gemini/tools/tool.ts';
import { CredentialsError } from '#services/worker/agent/errors.ts';
import { createMcpTools, type McpTools } from '#services/worker/agent/mcp/tools.ts';
import { minimalDefinition } from '../../support/agents/definition.ts';
import { unreportedWaits } from '../../support/agents/partner-waits.ts';
import { everythingFile, startMcpServer } from '../../support/fakes/mcp-server.ts';

const secrets = new Map([['TOKEN', 's3cret']]);
const headers = { authorization: 'Bearer ${env:TOKEN}' };
const slow = 'trigger-long-running-operation';

function createTools(t: TestContext): McpTools {
  const tools = createMcpTools((name) => secrets.get(name));
  t.after(() => tools.close());
  return tools;
}

function parseServers(mcpServers: JsonObject) {
  return parseAgentDefinition(JSON.stringify({ ...minimalDefinition, mcpServers }), 'x').mcpServers;
}

async function loadTools(
  mcp: McpTools,
  servers: JsonObject,
  taken: string[] = [],
): Promise<Map<string, Tool>> {
  const { tools } = await mcp.loadTools(parseServers(servers), new Set(taken), unreportedWaits);
  return new Map(tools.map((tool) => [tool.declaration.name, tool]));
}

async function call(tools: Map<string, Tool>, name: string, args: JsonObject = {}, signal?: AbortSignal) {
  const tool = tools.get(name);
  assert.ok(tool !== undefined, `${name} is not among ${[...tools.keys()].join()}`);
  await tool.prepare?.();
  return tool.call(args, { idempotencyKey: 'key-1', signal: signal ?? new AbortController().signal });
}

describe('tools over streamable HTTP', () => {
  test('are called with the idempotency key and the headers of the definition', async (t) => {
    const server = await startMcpServer(t);
    const tools = await loadTools(createTools(t), { all: { url: server.url, headers } });
    assert.equal(await call(tools, 'get-sum', { a: 1, b: 2 }), 'The sum of 1 and 2 is 3.');
    assert.equal(server.calls[0]?.key, 'key-1');
    assert.equal(server.calls[0]?.headers['authorization'], 'Bearer s3cret');
  });

  test('are declared with their side effects and schema', async (t) => {
    const server = await startMcpServer(t);
    const tools = await loadTools(createTools(t), { all: { url: server.url } });
    assert.equal(tools.get('get-sum')?.sideEffects, false, 'readOnlyHint: true');
    assert.equal(tools.get('gzip-file-as-resource')?.sideEffects, true, 'readOnlyHint: false');
    assert.equal(tools.get('get-sum')?.declaration.parametersJsonSchema?.['$schema' as never], undefined);
  });

  test('return structured content, errors and files', async (t) => {
    const server = await startMcpServer(t);
    const tools = await loadTools(createTools(t), { all: { url: server.url } });
    const weather = await call(tools, 'get-structured-content', { location: 'New York' });
    assert.equal((weather as JsonObject)['conditions'], 'Cloudy');
    await assert.rejects(call(tools, 'get-sum', { a: 'x' }), /Input validation error/);
    const image = await call(tools, 'get-tiny-image');
    assert.ok(image instanceof OutputWithFiles);
    assert.match(JSON.stringify(image.output), /\[image, image\/png, \d+ bytes, attached\]/);
    assert.match(image.files[0]?.data ?? '', /^iVBOR/);
  });

  test('are filtered, renamed where names collide, and cut to the maximum output', async (t) => {
    const server = await startMcpServer(t);
    const tools = await loadTools(
      createTools(t),
      {
        all: { url: server.url, allow: ['get-*', 'echo'], deny: ['get-env'], maxOutputChars: 100 },
        more: { url: server.url, allow: ['echo'] },
      },
      ['get-sum'],
    );
    assert.deepEqual(
      [...tools.keys()].filter((name) => /echo|sum|env|trigger/.test(name)),
      ['all_echo', 'all_get-sum', 'more_echo'],
    );
    const output = await call(tools, 'all_echo', { message: 'x'.repeat(200) });
    assert.match(JSON.stringify(output), /cut: the first 100 of 2\d\d/);
  });

  test('share one connection across definitions of the same server', async (t) => {
    const server = await startMcpServer(t);
    const mcp = createTools(t);
    for (const allow of [['get-*'], ['get-sum']]) {
      const tools = await loadTools(mcp, { all: { url: server.url, headers, allow } });
      await call(tools, 'get-sum', { a: 1, b: 2 });
    }
    assert.equal(server.calls.length, 2);
    const sessions = new Set(server.calls.map((received) => received.headers['mcp-session-id']));
    assert.equal(sessions.size, 1);
  });
});

describe('tools over stdio', () => {
  test('run in a process that gets only the named variables', async (t) => {
    const args = [everythingFile, 'stdio'];
    const env = { GIVEN: 'is ${env:TOKEN}' };
    const tools = await loadTools(createTools(t), { all: { command: process.execPath, args, env } });
    const seen = JSON.stringify(await call(tools, 'get-env'));
    assert.match(seen, /GIVEN\\": \\"is s3cret/);
    assert.doesNotMatch(seen, /DATABASE_URL|npm_/);
  });

  test('are unavailable when the process dies, with its output as the cause', async (t) => {
    const args = ['-e', 'console.error("no disk"); process.exit(1)'];
    const tools = await loadTools(createTools(t), { bad: { command: process.execPath, args } });
    await assert.rejects(call(tools, 'wait_for_bad'), (error: unknown) => {
      assert.ok(error instanceof RetryableError);
      assert.equal(error.message, 'The MCP server "bad" is currently unavailable.');
      assert.match(String(error.cause), /no disk/);
      return true;
    });
  });
});

describe('a server that restarts', () => {
  test('is reconnected to by the next call', async (t) => {
    const server = await startMcpServer(t);
    const tools = await loadTools(createTools(t), { all: { url: server.url } });
    await call(tools, 'echo', { message: 'a' });
    await server.restart();
    assert.equal(await call(tools, 'echo', { message: 'b' }), 'Echo: b');
  });

  test('receives a call again if repeating it is harmless', async (t) => {
    const server = await startMcpServer(t);
    const tools = await loadTools(createTools(t), { all: { url: server.url } });
    const reading = call(tools, slow, { duration: 2, steps: 1 });
    await server.call(1);
    await server.restart();
    assert.match(JSON.stringify(await reading), /Long running operation completed/);
    assert.equal(server.calls.length, 2);
  });
});

describe('a call that fails', () => {
  test('reports the timeout of the definition', async (t) => {
    const server = await startMcpServer(t);
    const tools = await loadTools(createTools(t), { all: { url: server.url, timeoutSeconds: 3 } });
    await assert.rejects(call(tools, slow, { duration: 30, steps: 1 }), /did not answer within 3 s/);
  });

  test('rethrows the reason of an abort', async (t) => {
    const server = await startMcpServer(t);
    const tools = await loadTools(createTools(t), { all: { url: server.url } });
    const stop = new AbortController();
    const running = call(tools, slow, { duration: 30, steps: 1 }, stop.signal);
    await server.call(1);
    stop.abort(new Error('cancelled'));
    await assert.rejects(running, /cancelled/);
  });

  test('reports refused credentials until they are accepted', async (t) => {
    const server = await startMcpServer(t);
    const mcp = createTools(t);
    const tools = await loadTools(mcp, { all: { url: server.url } });
    server.refuse(401);
    await assert.rejects(call(tools, 'echo', { message: 'a' }), CredentialsError);
    const others = await loadTools(mcp, { other: { url: server.url } });
    await assert.rejects(call(others, 'wait_for_other'), CredentialsError);
    server.refuse(undefined);
    assert.equal(await call(tools, 'echo', { message: 'a' }), 'Echo: a');
  });

  test('names the credentials that are missing', async (t) => {
    const servers = { other: { url: 'http://127.0.0.1:1', headers: { a: '${env:MISSING} ${env:TOKEN}' } } };
    const tools = await loadTools(createTools(t), servers);
    await assert.rejects(call(tools, 'wait_for_other'), (error: unknown) => {
      assert.ok(error instanceof CredentialsError);
      assert.match(error.message, /"other" needs credentials that this agent does not have: MISSING\./);
      return true;
    });
  });

  test('is retryable if the server cannot be reached', async (t) => {
    const tools = await loadTools(createTools(t), { none: { url: 'http://127.0.0.1:1/mcp' } });
    assert.deepEqual([...tools.keys()], ['wait_for_none']);
    await assert.rejects(call(tools, 'wait_for_none'), RetryableError);
  });
});
