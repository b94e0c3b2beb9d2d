/** The fields of JSON requests: their types, their contents, and names that look like known ones. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkFields } from '#services/api/handler/validate/fields.ts';
import { requestTypes } from '#services/api/handler/validate/request-types.ts';

const withMessage = (more: object) => ({ message: { messageId: 'm', role: 'ROLE_USER', ...more } });
const withPart = (part: unknown) => withMessage({ parts: [part] });
const check = (json: unknown) => checkFields(requestTypes.SendMessage, json);

describe('fields of a request', () => {
  test('have the types of a2a.proto', () => {
    for (const [json, text] of [
      [{ message: [] }, 'message must be an object'],
      [{ message: 'hi' }, 'message must be an object'],
      [withMessage({ contextId: 5 }), 'message.contextId must be a string'],
      [withMessage({ message_id: {} }), 'message.message_id must be a string'],
      [withMessage({ role: {} }), 'message.role must be a string'],
      [withMessage({ parts: {} }), 'message.parts must be an array'],
      [withMessage({ metadata: [] }), 'message.metadata must be an object'],
      [withMessage({ extensions: 'urn:x' }), 'message.extensions must be an array'],
      [withMessage({ extensions: [1] }), 'message.extensions[0] must be a string'],
      [withMessage({ referenceTaskIds: [null] }), 'message.referenceTaskIds[0] must be a value, not null'],
      [withPart('hi'), 'message.parts[0] must be an object'],
      [withPart(null), 'message.parts[0] must be a value, not null'],
      [withPart({ text: {} }), 'message.parts[0].text must be a string'],
      [withPart({ text: ['a'] }), 'message.parts[0].text must be a string'],
      [withPart({ url: 5 }), 'message.parts[0].url must be a string'],
      [withPart({ text: 'a', filename: 5 }), 'message.parts[0].filename must be a string'],
      [withPart({ raw: 'a' }), 'message.parts[0].raw must be a string in base64'],
      [withPart({ raw: 'aGk=x' }), 'message.parts[0].raw must be a string in base64'],
      [withPart({ raw: '<svg>' }), 'message.parts[0].raw must be a string in base64'],
      [
        { configuration: { returnImmediately: 'yes' } },
        'configuration.returnImmediately must be true or false',
      ],
      [{ configuration: { historyLength: 'all' } }, 'configuration.historyLength must be a whole number'],
      [
        { configuration: { taskPushNotificationConfig: { url: 5 } } },
        'configuration.taskPushNotificationConfig.url must be a string',
      ],
      ['text', 'the request must be an object'],
    ] as const) {
      assert.throws(() => check(json), { name: 'RequestMalformedError', message: text });
    }
  });

  test('may be null, which is the same as absent', () => {
    const request = {
      tenant: null,
      message: { messageId: 'm', contextId: null, metadata: null, extensions: null, parts: [] },
      configuration: { historyLength: null, returnImmediately: null, acceptedOutputModes: null },
      metadata: null,
    };
    assert.deepEqual(check(request), []);
    assert.deepEqual(check({ message: null, configuration: null }), []);
  });

  test('may be numbers as text, and base64 in either alphabet', () => {
    assert.deepEqual(checkFields(requestTypes.GetTask, { id: 'x', historyLength: '2' }), []);
    for (const raw of ['', 'aGk', 'aGk=', 'aA==', '-_8', '+/8=', 'aG\r\nk=']) {
      assert.deepEqual(check(withPart({ raw })), [], raw);
    }
  });

  test('of a part include one content at most', () => {
    for (const [part, text] of [
      [{ text: '', data: { a: 1 } }, /parts\[0\] has text and data: send only one of text, raw, url, data/],
      [{ text: 'x', raw: 'aGk=' }, /has text and raw/],
      [{ raw: '', url: 'https://example.com' }, /has raw and url/],
    ] as const) {
      assert.throws(() => check(withPart(part)), text);
    }
    for (const part of [{ data: null }, { text: 'a', data: null, raw: null, url: null }, {}]) {
      assert.deepEqual(check(withPart(part)), []);
    }
  });

  test('are reported if their name looks like a known one', () => {
    for (const [json, name, meant] of [
      [{ configuration: { pushNotificationConfig: {} } }, 'configuration.pushNotificationConfig', 'taskPush'],
      [{ configuration: { blocking: true } }, 'configuration.blocking', 'returnImmediately'],
      [{ configuration: { return_immediate: true } }, 'configuration.return_immediate', 'returnImmediately'],
      [{ configurations: {} }, 'configurations', 'configuration'],
      [withMessage({ context: 'c' }), 'message.context', 'contextId'],
      [withMessage({ messageID: 'c' }), 'message.messageID', 'messageId'],
      [withPart({ text: 'a', mimeType: 'b' }), 'message.parts[0].mimeType', 'mediaType'],
      [withPart({ test: 'a' }), 'message.parts[0].test', 'text'],
    ] as const) {
      const [warning, ...others] = check(json);
      assert.ok(warning?.startsWith(`${name} is unknown and was ignored: did you mean ${meant}`), warning);
      assert.deepEqual(others, []);
    }
    assert.equal(
      checkFields(requestTypes.CreateTaskPushNotificationConfig, { pushNotificationConfig: {} }).length,
      1,
    );
  });

  test('are ignored if they are unknown and look like none', () => {
    for (const name of [
      'kind',
      'constructor',
      '__proto__',
      'toString',
      'priority',
      'caf\u00e9',
      'x'.repeat(1000),
    ]) {
      assert.deepEqual(check(JSON.parse(`{"${name}": 1}`)), [], name);
    }
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`messages${index}`, 1]));
    assert.deepEqual(check({ ...many, messages: 1 }), []);
  });
});
