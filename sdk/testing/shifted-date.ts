/** Moves `Date` ahead, so that code outside steps that depends on the time takes another path. */

/** Runs `work` with a `Date` that is ahead by this many milliseconds, for the whole process. */
export async function withShiftedDate<T>(shiftMs: number, work: () => Promise<T>): Promise<T> {
  const RealDate = Date;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args: [], newTarget) =>
      Reflect.construct(target, args.length === 0 ? [RealDate.now() + shiftMs] : args, newTarget) as Date,
    apply: () => new RealDate(RealDate.now() + shiftMs).toString(),
    get: (target, name, receiver) =>
      name === 'now' ? () => RealDate.now() + shiftMs : (Reflect.get(target, name, receiver) as unknown),
  });
  try {
    return await work();
  } finally {
    globalThis.Date = RealDate;
  }
}
