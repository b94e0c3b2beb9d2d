/** Creates a schedule, or replaces one. Its times, its message and what it does while the previous task runs. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { textOf } from '#shared/domain/message.ts';
import { putSchedule } from '../../api/calls.ts';
import type { Schedule } from '../../lib/types.ts';
import { Button, ErrorNote } from '../../ui/basics.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { act } from '../../ui/toast.tsx';

interface ScheduleFormProps {
  /** Undefined: a new one. */
  schedule: Schedule | undefined;
  onClose: () => void;
  onSaved: () => void;
}

const overlaps = ['skip', 'queue', 'cancel', 'allow'] as const;

export function ScheduleForm({ schedule, onClose, onSaved }: ScheduleFormProps): JSX.Element {
  const [id, setId] = useState(schedule?.id ?? '');
  const [kind, setKind] = useState<'cron' | 'interval'>(
    schedule?.everySeconds === undefined ? 'cron' : 'interval',
  );
  const [cron, setCron] = useState(schedule?.cron ?? '0 9 * * 1-5');
  const [timeZone, setTimeZone] = useState(
    schedule?.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone ?? 'UTC',
  );
  const [everySeconds, setEverySeconds] = useState(schedule?.everySeconds ?? 3600);
  const [overlap, setOverlap] = useState(schedule?.overlap ?? 'skip');
  const [text, setText] = useState(textOf(schedule?.request.message.parts ?? []));
  const [saving, setSaving] = useState(false);
  // Parts other than text, and the rest of the request, stay as they are.
  const otherParts = (schedule?.request.message.parts ?? []).filter((part) => part.text === undefined);
  const hasSecrets = schedule?.request['configuration'] !== undefined;

  const save = async (): Promise<void> => {
    setSaving(true);
    const body = {
      ...(kind === 'cron' ? { cron, timeZone } : { everySeconds }),
      overlap,
      ...(schedule !== undefined && { catchUpSeconds: schedule.catchUpSeconds, paused: schedule.paused }),
      request: {
        ...schedule?.request,
        message: { ...schedule?.request.message, role: 'ROLE_USER', parts: [{ text }, ...otherParts] },
      },
    };
    const saved = await act(() => putSchedule(id, body), `${id} is saved.`);
    setSaving(false);
    if (saved) onSaved();
  };
  return (
    <Dialog title={schedule === undefined ? 'New schedule' : `Edit ${schedule.id}`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        {hasSecrets && (
          <ErrorNote error="This schedule has a webhook. Secrets of a webhook are not shown, so saving here would remove them: use the API." />
        )}
        <label class="field">
          <span>Id</span>
          <input
            required
            class="mono"
            pattern="[\w.~\-]{1,128}"
            placeholder="morning-report"
            autoFocus={schedule === undefined}
            disabled={schedule !== undefined}
            value={id}
            onInput={(event) => setId(event.currentTarget.value)}
          />
        </label>
        <div class="segmented" role="group" aria-label="Times">
          <button type="button" aria-pressed={kind === 'cron'} onClick={() => setKind('cron')}>
            Cron
          </button>
          <button type="button" aria-pressed={kind === 'interval'} onClick={() => setKind('interval')}>
            Interval
          </button>
        </div>
        {kind === 'cron' ? (
          <div class="field-row">
            <label class="field">
              <span>Cron expression</span>
              <input
                required
                class="mono"
                value={cron}
                onInput={(event) => setCron(event.currentTarget.value)}
              />
            </label>
            <label class="field">
              <span>Time zone</span>
              <input required value={timeZone} onInput={(event) => setTimeZone(event.currentTarget.value)} />
            </label>
          </div>
        ) : (
          <label class="field">
            <span>Seconds between two tasks</span>
            <input
              type="number"
              required
              min={10}
              max={31_622_400}
              value={everySeconds}
              onInput={(event) => setEverySeconds(event.currentTarget.valueAsNumber)}
            />
          </label>
        )}
        <label class="field">
          <span>Message</span>
          <textarea required rows={3} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        <label class="field">
          <span>While the previous task has not ended</span>
          <select
            value={overlap}
            onChange={(event) => setOverlap(event.currentTarget.value as Schedule['overlap'])}
          >
            {overlaps.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <div class="actions">
          <Button kind="primary" type="submit" disabled={saving || hasSecrets}>
            Save
          </Button>
          <Button onClick={onClose}>Discard</Button>
        </div>
      </form>
    </Dialog>
  );
}
