/**
 * The only place that reads `process.env`. The files next to this one define what each service reads, with
 * defaults and bounds. docs/operate/configuration.md documents the variables.
 */
import type { Environment } from './env-reader.ts';

export const environment: Environment = process.env;
