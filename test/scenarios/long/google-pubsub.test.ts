/**
 * Google's emulator of Pub/Sub, if it is installed, keeps the contract that the emulator of this repository keeps. Its
 * differences are listed in `differences.ts` and asserted.
 */
import { GOOGLE_EMULATOR_DIFFERS, type Difference } from '../../support/pubsub/differences.ts';
import { testContract } from '../../support/pubsub/contract.ts';
import { findMissingCommands, startGoogleEmulator } from '../../support/pubsub/emulators.ts';

const differences = Object.keys(GOOGLE_EMULATOR_DIFFERS) as Difference[];
testContract("Google's emulator", startGoogleEmulator, differences, findMissingCommands());
