/** Stage: the operator. Replacing the process by one with other flags of V8, which can only be given when a process begins. */

/**
 * Puts Node.js with `flags`, `script` and `words` in the place of this process, which keeps its id, its standard streams and its parent; does not
 * return. Returns where the system cannot (Windows).
 */
export function replaceProcess(
  flags: readonly string[],
  script: string,
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): void {
  if (process.execve === undefined || process.platform === 'win32') return
  const defined = Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined)
  process.execve(process.execPath, [process.execPath, ...flags, script, ...words], Object.fromEntries(defined))
}
