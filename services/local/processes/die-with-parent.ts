/**
 * Preloaded (`--import`) into every Node process of the local stack: ends it when the channel to its parent closes, which
 * it does however the parent ends. Nothing is drained: who wants that sends SIGTERM.
 *
 * A process that is ending by itself just then no longer hears of it, and the log's last flush tries for ever to reach a
 * reader that has gone: who has lost its parent is ended before that.
 */
function die(): void {
  try {
    process.kill(-process.pid, 'SIGKILL'); // with what it started itself: it leads its process group
  } catch {
    process.kill(process.pid, 'SIGKILL');
  }
}

if (process.channel !== undefined) {
  const parent = process.ppid;
  process.once('disconnect', die);
  process.once('exit', () => {
    if (process.ppid !== parent) die();
  });
  process.channel.unref(); // the watch itself keeps nobody alive
  if (!process.connected) die();
}
