/** Preloaded into a service: shifts its wall clock by CLOCK_SHIFT_SECONDS, as on a machine whose clock is wrong. */
const RealDate = Date;
const shiftMs = 1000 * Number(process.env['CLOCK_SHIFT_SECONDS']);

class ShiftedDate extends RealDate {
  constructor(...args: [] | ConstructorParameters<typeof Date>) {
    super(...((args.length === 0 ? [RealDate.now() + shiftMs] : args) as [number]));
  }

  static override now(): number {
    return RealDate.now() + shiftMs;
  }
}

globalThis.Date = ShiftedDate as DateConstructor;
