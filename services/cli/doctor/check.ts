/** A line of `longhaul doctor`: what was found, and the fix if it is not in order. */
export interface Finding {
  /** The part that was checked. */
  part: string;
  /** `warning`: it works, but not as it should. `skipped`: it was not checked, for the reason in `found`. */
  state: 'ok' | 'warning' | 'failed' | 'skipped';
  found: string;
  /** How to repair it. */
  fix?: string;
}

export const ok = (part: string, found: string): Finding => ({ part, state: 'ok', found });
export const skipped = (part: string, found: string): Finding => ({ part, state: 'skipped', found });
export const warning = (part: string, found: string, fix: string): Finding => ({
  part,
  state: 'warning',
  found,
  fix,
});
export const failed = (part: string, found: string, fix: string): Finding => ({
  part,
  state: 'failed',
  found,
  fix,
});

/** Times that differ more than this are reported. */
export const maxClockSeconds = 5;
