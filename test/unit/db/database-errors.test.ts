/** Errors of the database by SQLSTATE class, and errors of pg and of sockets. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pool } from 'pg';
import { pino } from 'pino';
import { breaksConnection, isPassing, mayConcernOneRow, wasRefused } from '#shared/db/client/errors.ts';
import { createClockReader } from '#shared/db/client/clock-readings.ts';
import { createPreparingPool } from '#shared/db/client/prepared.ts';
import { RecentOutcomes } from '#shared/db/client/recent-outcomes.ts';

/** Callers give up, try again later, or try again at once because nothing was written. */
const states: [sqlStates: string[], expected: { refused: boolean; passing: boolean; broken: boolean }][] = [
  [['08000', '08003', '08006', '08P01'], { refused: false, passing: true, broken: true }],
  [['57P01', '57P02', '57P03', '57P04', '57P05'], { refused: false, passing: true, broken: true }],
  [['40003'], { refused: false, passing: true, broken: true }],
  [['25006', '25P03', '25P04'], { refused: true, passing: true, broken: true }],
  [['53000', '53100', '53300', '53400'], { refused: true, passing: true, broken: true }],
  [['58000', '58030', '58P01'], { refused: true, passing: true, broken: true }],
  [['28000', '28P01', '3D000', '55000'], { refused: true, passing: true, broken: true }],
  [['40001', '40P01', '53200', '55P03', '57014'], { refused: true, passing: true, broken: false }],
  [
    [
      '0A000',
      '21000',
      '22001',
      '22P02',
      '22P05',
      '23505',
      '26000',
      '2201X',
      '34000',
      '42501',
      '42601',
      '54000',
    ],
    { refused: true, passing: false, broken: false },
  ],
  [['F0000', 'HV000', 'P0001', 'XX000', 'XX001'], { refused: true, passing: false, broken: false }],
  [['57000', '40000', '40002'], { refused: true, passing: true, broken: false }],
  [
    // The rest of the classes (PostgreSQL documentation, appendix A), and neighbours of codes above.
    `01000 02000 03000 09000 0B000 0F000 0L000 0P000 0Z000 10608 20000 23000 24000 25000 25P02 27000
     2B000 2D000 2F000 38000 39000 3B000 3F000 44000 55006 55P02 55P04`.split(/\s+/),
    { refused: true, passing: false, broken: false },
  ],
];

describe('an error of the database', () => {
  for (const [sqlStates, expected] of states) {
    for (const code of sqlStates) {
      test(`is classified by its SQLSTATE ${code}`, () => {
        const error = Object.assign(new Error('no'), { code });
        assert.deepEqual(
          { refused: wasRefused(error), passing: isPassing(error), broken: breaksConnection(error) },
          expected,
        );
      });
    }
  }

  test('may concern one row of a set unless the database cannot write at all', () => {
    const concernOneRow = (code: string) => mayConcernOneRow(Object.assign(new Error('no'), { code }));
    assert.deepEqual(
      ['22001', '23505', '40P01', '53200', '55P03', '57014'].map(concernOneRow),
      Array(6).fill(true),
    );
    assert.deepEqual(['08006', '25006', '53100', '53300', '57P01'].map(concernOneRow), Array(5).fill(false));
  });
});

describe('an error without a SQLSTATE', () => {
  for (const error of [
    new Error('Query read timeout'),
    new Error('Connection terminated unexpectedly'),
    new Error('timeout exceeded when trying to connect'),
    new Error('Client has encountered a connection error and is not queryable'),
    ...[
      'ECONNREFUSED',
      'ECONNRESET',
      'EPIPE',
      'EPROTO',
      'ETIMEDOUT',
      'ENOTFOUND',
      'EAI_AGAIN',
      'EHOSTUNREACH',
      'EHOSTDOWN',
      'EADDRNOTAVAIL',
      'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR',
      'ERR_TLS_CERT_ALTNAME_INVALID',
      'ERR_STREAM_DESTROYED',
      'ERR_SOCKET_CLOSED',
    ].map((code) => Object.assign(new Error(`connect ${code}`), { code })),
  ]) {
    test(`breaks the connection and passes: ${error.message}`, () => {
      assert.deepEqual([wasRefused(error), isPassing(error), breaksConnection(error)], [false, true, true]);
    });
  }

  test('does not pass if it is an error of the program', () => {
    assert.equal(isPassing(new TypeError('x is not a function')), false);
    assert.equal(isPassing(undefined), false);
    assert.equal(wasRefused(new TypeError('x is not a function')), false);
  });
});

describe('a failed connect', () => {
  for (const [message, isOutage] of [
    ['timeout exceeded when trying to connect', false],
    ['Connection terminated due to connection timeout', true],
  ] as const) {
    test(`${isOutage ? 'is an outage' : 'is not an outage'}: ${message}`, async () => {
      const failed: unknown[] = [];
      const connect = () => Promise.reject(new Error(message));
      const outages = { failed: (error: unknown) => failed.push(error), succeeded: () => undefined };
      const pool = createPreparingPool({ connect } as unknown as Pool, {
        outages,
        outcomes: new RecentOutcomes(),
        clock: createClockReader(pino({ enabled: false })),
        limits: undefined,
      });
      await assert.rejects(pool.connect(), (error) => isPassing(error));
      assert.equal(failed.length, isOutage ? 1 : 0);
      assert.equal(Number.isFinite(pool.failedAt()), isOutage);
    });
  }
});
