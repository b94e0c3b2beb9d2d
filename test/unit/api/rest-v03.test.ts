/** A2A 0.3 over HTTP+JSON: ProtoJSON with either spelling of its field names. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { configFromProto, sendParamsFromProto } from '#services/api/bindings/rest/v03-requests.ts';

/** Content of the client, whose field names must not change. */
const own = { snake_name: { inner_name: null } };

const camel = {
  message: {
    messageId: 'm',
    contextId: 'c',
    role: 'ROLE_USER',
    content: [
      { text: 'a_b' },
      { data: { data: own } },
      { file: { fileWithUri: 'https://a.example/f', mimeType: 'text/plain' } },
    ],
    metadata: own,
  },
  configuration: {
    acceptedOutputModes: ['text/plain'],
    historyLength: 3,
    blocking: true,
    pushNotification: { id: 'p', url: 'https://a.example/hook' },
  },
  metadata: own,
};

const snake = {
  message: {
    message_id: 'm',
    context_id: 'c',
    task_id: null,
    role: 1,
    content: [
      { text: 'a_b' },
      { data: { data: own } },
      { file: { file_with_uri: 'https://a.example/f', mime_type: 'text/plain' } },
    ],
    metadata: own,
  },
  configuration: {
    accepted_output_modes: ['text/plain'],
    history_length: 3,
    blocking: true,
    push_notification: { id: 'p', url: 'https://a.example/hook', token: null },
  },
  metadata: own,
};

describe('requests of A2A 0.3', () => {
  test('may use the field names of a2a.proto or camelCase', () => {
    const read = sendParamsFromProto(camel);
    assert.deepEqual(sendParamsFromProto(snake), read);
    const { message } = read;
    assert.deepEqual([message.messageId, message.contextId, message.role], ['m', 'c', 'user']);
    assert.deepEqual([message.metadata, message.parts[1]], [own, { kind: 'data', data: own }]);
    assert.deepEqual(
      configFromProto('t', { config: { push_notification_config: { id: 'p', url: 'u' } } }),
      configFromProto('t', { pushNotificationConfig: { id: 'p', url: 'u' } }),
    );
  });

  test('are refused without a valid role', () => {
    for (const role of [undefined, null, 'ROLE_UNSPECIFIED', 'user', 0, {}]) {
      const request = { ...camel, message: { ...camel.message, role } };
      assert.throws(() => sendParamsFromProto(request), RequestMalformedError, JSON.stringify(role));
    }
  });
});
