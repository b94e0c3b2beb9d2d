/** Shared by the checks of `npm run audit`. */
import { fileURLToPath } from 'node:url';

export const projectDir = fileURLToPath(new URL('../../../', import.meta.url));

/** The status of a check that could not run (EX_UNAVAILABLE of sysexits.h), which is not a pass. */
export const unavailable = 69;
