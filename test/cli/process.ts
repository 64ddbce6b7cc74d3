/** How tests run the command line: as a process, where exit codes and streams matter. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What a process left behind. */
export type Ended = { code: number | null; stdout: string; stderr: string }

const BIN = fileURLToPath(new URL('../../bin/althing.js', import.meta.url))

/** Runs `althing` with the home `home` and nothing else of this environment that begins with ALTHING_. */
export function althing(
  home: string,
  words: readonly string[],
  input = '',
  more: Record<string, string> = {},
): Promise<Ended> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('ALTHING_'))
  const child = spawn(process.execPath, [BIN, ...words], {
    env: { ...Object.fromEntries(inherited), ALTHING_HOME: home, NO_COLOR: '1', ...more },
  })
  const ended: Ended = { code: null, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (ended.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (ended.stderr += text))
  // A command that reads no input may end before it is written.
  child.stdin.on('error', () => undefined).end(input)
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code) => resolve({ ...ended, code }))
  })
}

/** A folder for one test, and how to be rid of it. */
export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'althing-cli-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}
