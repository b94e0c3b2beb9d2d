/**
 * The one place that reads the environment of the process. What each service takes from it stands beside this file, with
 * defaults and bounds; README.md lists the variables for people.
 */
import type { Environment } from './env-reader.ts';

export const environment: Environment = process.env;
