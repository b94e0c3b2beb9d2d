/**
 * Preloaded (`--import`) into every Node process of the local stack. Kills the process when the channel to
 * its parent closes, which happens however the parent ends. It does not drain: that requires SIGTERM.
 *
 * A process that is already exiting gets no `disconnect` event, and its last log flush would wait forever for
 * a reader that no longer exists. The `exit` handler therefore also kills the process if its parent has
 * changed.
 */
function die(): void {
  try {
    process.kill(-process.pid, 'SIGKILL'); // includes its own children: it leads its process group
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
  process.channel.unref(); // the channel must not keep the process alive
  if (!process.connected) die();
}
