/** Other processes of this machine, by their number. A number may be given again: what rests on it says how it bears that. */

/** Whether there is a process `pid`, whosever it is. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it exists and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}
