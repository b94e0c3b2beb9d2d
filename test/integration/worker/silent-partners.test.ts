/** Partners of an agent that are silent or away: what the status of the task says, and when its turn continues. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, test, type TestContext } from 'node:test';
import type { WaitingTurn } from '#shared/db/outbox/wake.ts';
import { createTextReply } from '#services/local/offline-model/reply.ts';
import { GoogleError } from '#services/local/offline-model/google-error.ts';
import { createFileFetcher } from '#services/worker/agent/files/fetch-file.ts';
import type { GeminiAgentOptions } from '#services/worker/agent/gemini/agent.ts';
import { createMcpTools } from '#services/worker/agent/mcp/tools.ts';
import { MemoryTurn } from '../../support/agents/memory-turn.ts';
import type { MemoryTurnOptions } from '../../support/agents/memory-turn-options.ts';
import { createMcpTool, startScriptedMcp, textResult } from '../../support/fakes/scripted-mcp.ts';
import { listen } from '../../support/network/listen.ts';
import { waitFor } from '../../support/wait-for.ts';
import { createTool, definitionWithoutTools, useOfflineModel } from '../gemini/use-offline-model.ts';

const offline = useOfflineModel();
const completed = { state: 'TASK_STATE_COMPLETED' };
const time = String.raw`20\S+Z`;

/** Starts a turn whose partners are silent after 20 ms. */
function start(options: Partial<MemoryTurnOptions>, agentOptions: Partial<GeminiAgentOptions> = {}) {
  const turn = new MemoryTurn({ message: 'go', definition: definitionWithoutTools, ...options });
  const agent = offline.createAgent({ silenceMs: 20, ...agentOptions });
  return { turn, running: agent.run(turn) };
}

async function waitForStatus({ progressMessages }: MemoryTurn, pattern: string): Promise<void> {
  const whole = new RegExp(`^${pattern}$`);
  await waitFor(`the status ${pattern}`, () => progressMessages.some((text) => whole.test(text)));
}

async function connect(t: TestContext) {
  const server = await startScriptedMcp(t);
  server.tools = [createMcpTool('look')];
  const mcp = createMcpTools(() => undefined);
  t.after(() => mcp.close());
  return { server, mcp, definition: { ...definitionWithoutTools, mcpServers: { it: { url: server.url } } } };
}

describe('a model that is silent', () => {
  test('is named in the status until it answers', async () => {
    const answered = Promise.withResolvers<void>();
    offline.responder = async () => {
      await answered.promise;
      return createTextReply('at last');
    };
    const { turn, running } = start({});
    await waitForStatus(turn, `Waiting for the model gemini-3.8-flash since ${time}: It is silent.`);
    answered.resolve();
    assert.deepEqual(await running, completed);
    assert.match(turn.progressMessages[1]!, /^Waited \d+ s for the model gemini-3.8-flash.$/);
  });

  test('is named again when its answer stops', async () => {
    offline.model.script([{ match: 'go', reactions: [{ chunks: ['a', 'b', 'c'], chunkDelayMs: 150 }] }]);
    const { turn, running } = start({});
    assert.deepEqual(await running, completed);
    const kinds = turn.progressMessages.map((text) => text.split(' ')[0]);
    assert.deepEqual(kinds.slice(0, 4), ['Waiting', 'Waited', 'Waiting', 'Waited']);
  });

  test('and then fails is named with the time of its first failure', async () => {
    offline.model.script([{ match: 'go', reactions: [{ status: 500 }], repeat: true }]);
    const first = start({}, { silenceMs: 20_000 });
    await assert.rejects(first.running, { name: 'ParkedError' });
    const [status = ''] = first.turn.progressMessages;
    offline.model.reset();
    offline.responder = async () => {
      await waitForStatus(second.turn, `Waiting .* since ${time}: It is silent.`);
      throw new GoogleError(500, { message: 'broken' });
    };
    const second = start({ steps: first.turn.steps });
    await assert.rejects(second.running, { name: 'ParkedError' });
    assert.equal(second.turn.progressMessages.at(-1), status);
    const [silent = ''] = second.turn.progressMessages;
    assert.equal(silent.split(': ')[0], status.split(': ')[0]);
  });

  test('is not named if it answers in time', async () => {
    const { turn, running } = start({}, { silenceMs: 20_000 });
    assert.deepEqual(await running, completed);
    assert.deepEqual(turn.progressMessages, []);
  });
});

describe('a tool that is silent', () => {
  test('is named with its MCP server, until it answers or reports progress', async (t) => {
    const { server, mcp, definition } = await connect(t);
    server.answer = async () => {
      await waitForStatus(
        turn,
        `Waiting for the tool look of the MCP server "it" since ${time}: It is silent.`,
      );
      await server.report({ progress: 1, total: 2 });
      await waitForStatus(turn, 'look: 1 of 2');
      return textResult('done');
    };
    const { turn, running } = start({ message: 'Use the tool look with {}', definition }, { mcp });
    assert.deepEqual(await running, completed);
  });

  test('is named together with others, each once', async () => {
    const releases = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
    const tools = releases.map(({ promise }, index) => createTool(`tool${index}`, () => promise));
    const calls = ['tool0', 'tool0', 'tool1'].map((name) => ({ name }));
    offline.model.script([{ match: 'go', reactions: [{ functionCall: calls }] }]);
    const { turn, running } = start({}, { tools });
    const silent = (name: string) => `Waiting for the tool ${name} since ${time}: It is silent.`;
    await waitForStatus(turn, `(${silent('tool0')}\n)+${silent('tool1')}`);
    releases[0]!.resolve('a');
    await waitForStatus(turn, silent('tool1'));
    releases[1]!.resolve('b');
    assert.deepEqual(await running, completed);
    assert.ok(turn.progressMessages.some((text) => /^Waited \d+ s for the tool tool1.$/.test(text)));
  });
});

test('an MCP server that does not give its list of tools is named in the status', async (t) => {
  const { server, mcp, definition } = await connect(t);
  server.answerList = async () => {
    await waitForStatus(turn, `Waiting for the MCP server "it" since ${time}: It is silent.`);
    return { result: { tools: server.tools } };
  };
  const { turn, running } = start({ definition }, { mcp });
  assert.deepEqual(await running, completed);
});

describe('a file server that is silent', () => {
  test('is named in the status, and so are downloads that wait for others', async (t) => {
    const released = Promise.withResolvers<void>();
    const server = createServer((_request, response) => {
      void released.promise.then(() => response.setHeader('content-type', 'text/plain').end('a file'));
    });
    const base = await listen(t, server);
    const files = createFileFetcher({ allowHosts: ['127.0.0.1'] });
    const downloads = { concurrency: 1, maxTurnFiles: 9, maxTurnBytes: 1000 };
    const message = ['a', 'b'].map((name) => ({
      url: `${base}/${name}?key=secret`,
      mediaType: 'text/plain',
    }));
    const { turn, running } = start({ message }, { files, downloads });
    await waitForStatus(
      turn,
      `Waiting for the file ${base}/a since ${time}: It has not arrived.\nWaiting for the file ${base}/b .*`,
    );
    released.resolve();
    assert.deepEqual(await running, completed);
  });
});

describe('a partner that is back', () => {
  test('is called again at once for the turns that wait for it: the model', async () => {
    offline.model.script([{ match: 'go', reactions: Array.from({ length: 3 }, () => ({ status: 500 })) }]);
    const woken: WaitingTurn[] = [];
    const agent = offline.createAgent({ wakeTurns: (turns) => woken.push(...turns) });
    const create = (taskId: string) =>
      new MemoryTurn({ taskId, message: 'go', definition: definitionWithoutTools });
    await assert.rejects(agent.run(create('first')), { name: 'ParkedError' });
    assert.deepEqual(await agent.run(create('second')), completed);
    assert.deepEqual(woken, [{ taskId: 'first', turn: 1 }]);
    assert.deepEqual(await agent.run(create('third')), completed);
    assert.equal(woken.length, 1, 'not again at once');
  });

  test('is called again at once for the turns that wait for it: an MCP server', async (t) => {
    const { server, mcp, definition } = await connect(t);
    const woken: WaitingTurn[] = [];
    const agent = offline.createAgent({ mcp, wakeTurns: (turns) => woken.push(...turns) });
    const create = (taskId: string) =>
      new MemoryTurn({ taskId, message: 'Use the tool look with {}', definition });
    server.answer = () => ({ status: 404 });
    await assert.rejects(agent.run(create('first')), { name: 'RetryableError' });
    server.answer = () => textResult('done');
    assert.deepEqual(await agent.run(create('second')), completed);
    assert.deepEqual(woken, [{ taskId: 'first', turn: 1 }]);
  });

  test('is called again at once for the turns that wait for it: a file server', async (t) => {
    let status = 503;
    const server = createServer((_request, response) => {
      response.writeHead(status, { 'content-type': 'text/plain' }).end('a file');
    });
    const base = await listen(t, server);
    const woken: WaitingTurn[] = [];
    const agent = offline.createAgent({
      files: createFileFetcher({ allowHosts: ['127.0.0.1'] }),
      wakeTurns: (turns) => woken.push(...turns),
    });
    const message = [{ url: `${base}/a`, mediaType: 'text/plain' }];
    const create = (taskId: string) =>
      new MemoryTurn({ taskId, message, definition: definitionWithoutTools });
    await assert.rejects(agent.run(create('first')), { name: 'RetryableError' });
    status = 200;
    assert.deepEqual(await agent.run(create('second')), completed);
    assert.deepEqual(woken, [{ taskId: 'first', turn: 1 }]);
  });
});
