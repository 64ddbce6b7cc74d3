/** How tests look at processes, and how they run a testnet as a process. */
import { readFileSync } from 'node:fs'

/** State of a process as the kernel says (`R`, `S`, `T` stopped, `Z` a zombie); undefined if there is none. */
export function stateOf(pid: number | undefined): string | undefined {
  try {
    // The name in parentheses may hold anything; the state follows the last one.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.[0]
  } catch {
    return undefined
  }
}

/** Whether the process exists. A zombie has ended: it only waits for its parent to notice. */
export const isAlive = (pid: number | undefined): boolean => {
  const state = stateOf(pid)
  return state !== undefined && state !== 'Z' && state !== 'X'
}
