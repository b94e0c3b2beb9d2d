/**
 * Preloaded (`--import`) into every Node process of the local stack: ends it when the channel to its parent closes, which
 * it does however the parent ends. Nothing is drained: who wants that sends SIGTERM.
 */
function die(): void {
  try {
    process.kill(-process.pid, 'SIGKILL'); // with what it started itself: it leads its process group
  } catch {
    process.kill(process.pid, 'SIGKILL');
  }
}

if (process.channel !== undefined) {
  process.once('disconnect', die);
  process.channel.unref(); // the watch itself keeps nobody alive
  if (!process.connected) die();
}
