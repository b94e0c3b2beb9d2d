/**
 * The exact JSON of the requests to both APIs of Gemini, and the outcomes of their responses, compared with
 * test/golden/gemini/. `given` and `responses` there follow Google's reference and the types of its SDK.
 * `UPDATE_GOLDEN=1` writes the rest, which must be reviewed before it is committed.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { format } from 'oxfmt';
import type { Json, JsonObject, Part } from '#shared/domain/message.ts';
import { checkRequest } from '#services/local/offline-model/check-request.ts';
import { parseRoute } from '#services/local/offline-model/wire.ts';
import { createGeminiAgent } from '#services/worker/agent/gemini/agent.ts';
import type { GeminiClientOptions } from '#services/worker/agent/gemini/model/credentials.ts';
import type { Tool } from '#services/worker/agent/gemini/tools/tool.ts';
import style from '../../../.oxfmtrc.json' with { type: 'json' };
import { MemoryTurn } from '../../support/agents/memory-turn.ts';
import {
  startGeminiRecorder,
  type GeminiRecorder,
  type RecordedRequest,
} from '../../support/fakes/gemini-recorder.ts';

interface Golden {
  /** Default: both. */
  apis?: string[];
  given: {
    definition: JsonObject;
    message: Part[];
    tools?: { declaration: Tool['declaration']; outputs: Json[] }[];
  };
  responses: object[][];
  /** The turn of the task after the first. */
  then?: { message: Part[]; responses: object[][] };
  requests?: Record<string, RecordedRequest[]>;
  comesTo?: unknown;
}

const golden = new URL('../../golden/gemini/', import.meta.url);
const update = process.env['UPDATE_GOLDEN'] === '1';
let recorder: GeminiRecorder;
let directory: string;
let apis: Record<string, GeminiClientOptions>;

before(async () => {
  recorder = await startGeminiRecorder();
  directory = await mkdtemp(path.join(tmpdir(), 'gemini-'));
  process.env['GOOGLE_APPLICATION_CREDENTIALS'] = await recorder.credentials(directory);
  // Otherwise the library asks Google for the project of the credentials.
  process.env['GOOGLE_CLOUD_PROJECT'] = 'project';
  apis = {
    developer: { apiKey: 'api-key', baseUrl: recorder.url },
    vertex: { vertexai: true, project: 'project', location: 'global', baseUrl: recorder.url },
  };
});
after(async () => {
  delete process.env['GOOGLE_APPLICATION_CREDENTIALS'];
  delete process.env['GOOGLE_CLOUD_PROJECT'];
  await rm(directory, { recursive: true });
  await recorder.close();
});

const names = await readdir(golden);

async function readGolden(name: string): Promise<Golden> {
  return JSON.parse(await readFile(new URL(name, golden), 'utf8')) as Golden;
}

describe('requests and outcomes of both APIs', () => {
  for (const name of names) {
    test(`equal ${name}`, async () => {
      const recording = await readGolden(name);
      const requests: Record<string, RecordedRequest[]> = {};
      let comesTo: unknown;
      for (const api of recording.apis ?? Object.keys(apis)) {
        comesTo = await run(recording, apis[api]!);
        requests[api] = recorder.requests.splice(0);
        if (!update) assert.deepEqual(comesTo, recording.comesTo, api);
      }
      if (update) {
        const text = JSON.stringify({ ...recording, requests, comesTo });
        const { code } = await format(name, text, { printWidth: style.printWidth });
        await writeFile(new URL(name, golden), code);
      } else {
        assert.deepEqual(requests, recording.requests);
      }
    });
  }
});

describe('the offline model', () => {
  for (const name of names) {
    test(`accepts the requests of ${name}`, async () => {
      const { requests = {} } = await readGolden(name);
      for (const { method, path: address, body } of Object.values(requests).flat()) {
        const route = parseRoute(method, new URL(address, 'http://model').pathname);
        assert.ok(route?.kind === 'call' && route.verb === 'streamGenerateContent', address);
        assert.deepEqual(checkRequest(body, route), body);
      }
    });
  }
});

/** Returns what clients see, and the recorded usage. */
async function run({ given, responses, then }: Golden, client: GeminiClientOptions): Promise<unknown> {
  const tools = (given.tools ?? []).map(({ declaration, outputs }): Tool => {
    const remaining = [...outputs];
    return { declaration, call: async () => remaining.shift() ?? null };
  });
  const agent = createGeminiAgent({ client, tools, buckets: ['bucket'] });
  const turns = [new MemoryTurn(given)];
  recorder.answer(responses);
  const outcomes = [await agent.run(turns[0]!)];
  if (then !== undefined) {
    turns.push(turns[0]!.next(then.message));
    recorder.answer(then.responses);
    outcomes.push(await agent.run(turns[1]!));
  }
  await agent.close?.();
  const steps = turns.flatMap((turn) => [...turn.steps.values()]);
  const usage = steps.flatMap(({ result, options }) => options.usage?.(JSON.parse(result) as Json) ?? []);
  return JSON.parse(JSON.stringify({ outcomes, artifacts: turns.at(-1)!.artifacts, usage }));
}
