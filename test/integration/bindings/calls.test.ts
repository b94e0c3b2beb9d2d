/** Calls behave the same in every binding: failures, extensions, and clients that disconnect. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import type { AgentCard, StreamResponse } from '@a2a-js/sdk';
import { getSignal } from '#services/api/handler/call-state.ts';
import { InternalError, UnavailableError } from '#services/api/handler/errors.ts';
import { activateAll, createWireTask, getTask, startApiServer } from '../../support/services/api-server.ts';
import { postJsonRpc } from '../../support/clients/json-rpc.ts';

const required = 'https://example.com/extensions/needed/v1';
const optional = 'https://example.com/extensions/other/v1';

function addExtensions(card: AgentCard): void {
  card.capabilities!.extensions = [
    { uri: required, description: '', required: true, params: undefined },
    { uri: optional, description: '', required: false, params: undefined },
  ];
}

describe('calls in every binding', () => {
  test('hide the details of internal errors and report unavailability', async (t) => {
    const { bindings } = await startApiServer(t, { getTask });
    const expected = {
      JSONRPC: { away: -32603, broken: -32603 },
      'HTTP+JSON': { away: 503, broken: 500 },
      GRPC: { away: 14, broken: 13 },
    };
    for (const { name, call } of bindings) {
      const away = (await call('GetTask', { id: 'away' })).error;
      assert.deepEqual([away?.code, away?.message], [expected[name].away, UnavailableError.text], name);
      for (const id of ['broken', 'bug']) {
        const { error } = await call('GetTask', { id });
        assert.deepEqual([error?.code, error?.message], [expected[name].broken, InternalError.text], name);
      }
    }
  });

  // [JSONRPC-SVC-002] [HTTP_JSON-SVC-002] [GRPC-META-001]
  test('are refused without a required extension', async (t) => {
    const { bindings } = await startApiServer(t, { getTask: activateAll }, { changeCard: addExtensions });
    for (const { name, call } of bindings) {
      const { error } = await call('GetTask', { id: 'x' }, { 'a2a-extensions': optional });
      assert.equal(error?.reason, 'EXTENSION_SUPPORT_REQUIRED', name);
      assert.match(error?.message ?? '', /A2A-Extensions: https:\/\/example\.com\/extensions\/needed\/v1/);
      const { result } = await call('GetTask', { id: 'x' }, { 'a2a-extensions': `${optional}, ${required}` });
      assert.equal(result?.id, 'x', name);
    }
  });

  // [JSONRPC-SVC-002] [HTTP_JSON-SVC-002]
  test('report the active extensions in a header over HTTP', async (t) => {
    const { url } = await startApiServer(t, { getTask: activateAll }, { changeCard: addExtensions });
    const headers = { 'a2a-version': '1.0', 'a2a-extensions': required };
    for (const response of [
      await fetch(`${url}/a2a/v1/tasks/x`, { headers }),
      await postJsonRpc(url, 'GetTask', { id: 'x' }, { headers }),
    ]) {
      assert.equal(response.headers.get('a2a-extensions'), required);
    }
  });

  test('end when the client disconnects from a stream', async (t) => {
    const disconnected = new Map<string, PromiseWithResolvers<void>>();
    const { bindings } = await startApiServer(t, {
      resubscribe: async function* ({ id }, context): AsyncGenerator<StreamResponse, void, undefined> {
        getSignal(context).addEventListener('abort', () => disconnected.get(id)?.resolve());
        yield { payload: { $case: 'task', value: createWireTask(id) } };
        await once(getSignal(context), 'abort');
      },
    });
    for (const { name, stream } of bindings) {
      const id = `by-${name.length}`;
      disconnected.set(id, Promise.withResolvers());
      const controller = new AbortController();
      const events = stream('SubscribeToTask', { id }, controller.signal);
      assert.equal((await events.next()).value?.result.task.id, id);
      controller.abort();
      await disconnected.get(id)!.promise;
      await events.return(undefined);
    }
  });
});
