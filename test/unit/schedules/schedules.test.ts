/** Due times of schedules, and what a schedule does at them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { planSchedule, type PlanInput } from '#shared/db/schedules/plan.ts';
import { findCronProblem, getNextDue } from '#shared/db/schedules/times.ts';
import type { Rhythm } from '#shared/domain/schedule.ts';

function listDue(rhythm: Rhythm, after: string, count: number): string[] {
  const times: string[] = [];
  let time = new Date(after);
  for (let index = 0; index < count; index += 1) {
    time = getNextDue(rhythm, time) ?? assert.fail('no more times');
    times.push(time.toISOString().replace(':00.000Z', 'Z'));
  }
  return times;
}

const berlin = (cron: string): Rhythm => ({ cron, timeZone: 'Europe/Berlin' });

describe('due times', () => {
  test('are local times of the time zone', () => {
    assert.deepEqual(listDue(berlin('0 9 * * 1-5'), '2026-10-22T12:00:00Z', 3), [
      '2026-10-23T07:00Z',
      '2026-10-26T08:00Z',
      '2026-10-27T08:00Z',
    ]);
    const tokyo = { cron: '0 9 * * *', timeZone: 'Asia/Tokyo' };
    assert.deepEqual(listDue(tokyo, '2026-10-22T12:00:00Z', 1), ['2026-10-23T00:00Z']);
  });

  test('that clocks skip are due when clocks go forward', () => {
    assert.deepEqual(listDue(berlin('30 2 * * *'), '2026-03-28T00:00:00Z', 3), [
      '2026-03-28T01:30Z',
      '2026-03-29T01:00Z',
      '2026-03-30T00:30Z',
    ]);
  });

  test('that clocks repeat are due once, the first time', () => {
    assert.deepEqual(listDue(berlin('30 2 * * *'), '2026-10-24T12:00:00Z', 2), [
      '2026-10-25T00:30Z',
      '2026-10-26T01:30Z',
    ]);
  });

  test('of every hour are due in both repeated hours, not in skipped ones', () => {
    assert.deepEqual(listDue(berlin('30 * * * *'), '2026-10-24T23:45:00Z', 3), [
      '2026-10-25T00:30Z',
      '2026-10-25T01:30Z',
      '2026-10-25T02:30Z',
    ]);
    assert.deepEqual(listDue(berlin('30 * * * *'), '2026-03-29T00:00:00Z', 3), [
      '2026-03-29T00:30Z',
      '2026-03-29T01:30Z',
      '2026-03-29T02:30Z',
    ]);
  });

  test('of an interval keep their distance', () => {
    const times = listDue({ everySeconds: 5_400 }, '2026-03-28T23:15:00Z', 2);
    assert.deepEqual(times, ['2026-03-29T00:45Z', '2026-03-29T02:15Z']);
  });

  test('of an expression that cannot be used are refused with the reason', () => {
    const now = new Date('2026-10-22T12:00:00Z');
    for (const [cron, timeZone, problem] of [
      ['0 9 * * 1-5', 'Europe/Berlin', undefined],
      ['0 9 * * 1-5', 'Mars/Olympus', /timeZone "Mars\/Olympus" is not known: use a name/],
      ['0 9 * * 1-5', '+02:00', /timeZone "\+02:00" is not known/],
      ['0 9 * * *', '', /timeZone "" is not known/],
      ['* * * * * *', 'UTC', /cron must have five fields/],
      ['@daily', 'UTC', /cron must have five fields/],
      ['2026-12-01T00:00:00', 'UTC', /cron must have five fields/],
      ['60 * * * *', 'UTC', /cron "60 \* \* \* \*" is not valid: .*minute/],
      ['a b c d e', 'UTC', /is not valid/],
      ['0 0 30 2 *', 'UTC', /is never due: name a date that exists/],
    ] as const) {
      const found = findCronProblem({ cron, timeZone }, now);
      if (problem === undefined) assert.equal(found, undefined);
      else assert.match(found ?? '', problem);
    }
  });
});

describe('a schedule', () => {
  const at = (time: string) => new Date(`2026-11-01T${time}:00.000Z`);
  const hourly: PlanInput = {
    rhythm: { cron: '0 * * * *', timeZone: 'UTC' },
    nextAt: at('10:00'),
    overlap: 'skip',
    catchUpSeconds: 3_600,
    running: false,
  };

  test('waits for its next due time', () => {
    const plan = planSchedule(hourly, at('09:59'));
    assert.deepEqual([plan.fire, plan.wakeupAt, plan.skipped], [undefined, at('10:00'), []]);
  });

  test('starts a task at a due time', () => {
    const plan = planSchedule(hourly, at('10:00'));
    assert.deepEqual([plan.fire, plan.nextAt, plan.skipped], [at('10:00'), at('11:00'), []]);
  });

  test('skips what is older than its catch-up window, and starts the others one by one', () => {
    const first = planSchedule({ ...hourly, catchUpSeconds: 7_200 }, at('15:30'));
    assert.deepEqual(first.skipped, [{ dueAt: at('10:00'), until: at('13:00'), count: 4, reason: 'missed' }]);
    assert.deepEqual([first.fire, first.wakeupAt], [at('14:00'), at('15:00')]);
    const second = planSchedule({ ...hourly, nextAt: at('15:00') }, at('15:30'));
    assert.deepEqual([second.fire, second.nextAt], [at('15:00'), at('16:00')]);
  });

  test('examines a long outage in several passes', () => {
    const everyMinute = { ...hourly, rhythm: { cron: '* * * * *', timeZone: 'UTC' } };
    const plan = planSchedule(everyMinute, at('23:00'));
    assert.deepEqual([plan.fire, plan.skipped[0]?.count, plan.wakeupAt], [undefined, 500, at('18:20')]);
  });

  test('follows its overlap policy while the previous task is open', () => {
    const running = { ...hourly, running: true };
    const now = at('10:30');
    const skip = planSchedule(running, now);
    assert.deepEqual(
      [skip.fire, skip.skipped, skip.nextAt],
      [undefined, [{ dueAt: at('10:00'), until: at('10:00'), count: 1, reason: 'overlap' }], at('11:00')],
    );
    const queue = planSchedule({ ...running, overlap: 'queue' }, now);
    assert.deepEqual([queue.fire, queue.skipped, queue.nextAt], [undefined, [], at('10:00')]);
    assert.ok((queue.wakeupAt ?? now) > now);
    const cancel = planSchedule({ ...running, overlap: 'cancel' }, now);
    assert.deepEqual([cancel.fire, cancel.cancel, cancel.nextAt], [at('10:00'), true, at('11:00')]);
    const allow = planSchedule({ ...running, overlap: 'allow' }, now);
    assert.deepEqual([allow.fire, allow.cancel], [at('10:00'), false]);
  });

  test('that cancels starts only the newest of several due times', () => {
    const plan = planSchedule({ ...hourly, overlap: 'cancel', catchUpSeconds: 86_400 }, at('12:30'));
    assert.deepEqual([plan.fire, plan.cancel, plan.nextAt], [at('12:00'), false, at('13:00')]);
    assert.deepEqual(plan.skipped, [{ dueAt: at('10:00'), until: at('11:00'), count: 2, reason: 'overlap' }]);
  });
});
