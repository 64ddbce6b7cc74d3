/**
 * Stage: the operator. Programs of the system that a disturbed testnet needs (`ip`, `tc`, `nft`, `mount`), and what earlier runs that were killed
 * have left of their work.
 * Invariants: whatever is made outside the folder of a run carries the id of the process that made it, so that the next run finds and
 * removes what belongs to nobody any more; a program that is missing is named, with the package that has it.
 */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, readdir, readFile, rmdir } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { CommandError, EXIT } from '../cli/failure.ts'

/** Program → Debian package. */
const PACKAGES = {
  ip: 'iproute2',
  tc: 'iproute2',
  nft: 'nftables',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  mount: 'mount',
  umount: 'mount',
} as const
type Tool = keyof typeof PACKAGES

const TOOL_TIMEOUT_MS = 10_000
/** Where namespaces are by name (ip-netns(8)). */
export const NAMESPACES = '/run/netns'
const PREFIX = 'althing'

/** A name outside the folder of a run: `althing-<process id>-<what>`. */
export const ownName = (what: string): string => `${PREFIX}-${process.pid}-${what}`

/** Name of an interface of this machine towards member `i`: at most 15 characters, with our process id as well. */
export const ownInterface = (i: number): string => `al${process.pid}c${i}`

/** Whether this process may do what only root may. */
export const isRoot = (): boolean => process.getuid?.() === 0

/** Tools of `wanted` that are not on the PATH. */
export async function missingTools(wanted: readonly Tool[]): Promise<string[]> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  const missing: string[] = []
  for (const tool of wanted) {
    const found = await Promise.all(
      folders.map((folder) =>
        access(join(folder, tool), constants.X_OK).then(
          () => true,
          () => false,
        ),
      ),
    )
    if (!found.includes(true)) missing.push(`${tool} (Debian package ${PACKAGES[tool]})`)
  }
  return missing
}

/** Runs a tool with `input` as its standard input and gives its output. CommandError TESTNET_TOOL (exit 69) with what it complained of. */
export function runTool(tool: Tool, words: readonly string[], input = ''): Promise<string> {
  return new Promise((done, failed) => {
    const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}${delimiter}/usr/sbin${delimiter}/sbin` }
    const child = execFile(tool, [...words], { timeout: TOOL_TIMEOUT_MS, env }, (error, stdout, stderr) => {
      if (error === null) done(stdout)
      else
        failed(
          new CommandError(
            'TESTNET_TOOL',
            EXIT.unavailable,
            `\`${tool} ${words.join(' ')}\` failed: ${stderr.trim() || error.message}`,
            { cause: error },
          ),
        )
    })
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })
}

/** Whether a name is that of a run whose process is gone. */
export function isLeftover(name: string, isAlive: (pid: number) => boolean): boolean {
  const match = /^althing-([0-9]{1,10})-/.exec(name)
  return match !== null && !isAlive(Number(match[1]))
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

/** Folders of control groups for the disk: the unified hierarchy, and that of version 1. */
export const CGROUPS = { v2: '/sys/fs/cgroup', v1: '/sys/fs/cgroup/blkio' } as const

/**
 * Removes namespaces, mounts and control groups of runs whose process is gone, and says what it removed. Without root there can be none, and
 * what cannot be removed (it is in use) stays for the next run.
 */
export async function sweepMachine(): Promise<string[]> {
  if (!isRoot()) return []
  const removed: string[] = []
  const attempt = async (what: string, remove: () => Promise<unknown>): Promise<void> => {
    await remove().then(
      () => removed.push(what),
      () => undefined,
    )
  }
  for (const name of await readdir(NAMESPACES).catch(() => []))
    if (isLeftover(name, isAlive)) await attempt(`namespace ${name}`, () => runTool('ip', ['netns', 'del', name]))
  for (const line of (await readFile('/proc/mounts', 'utf8').catch(() => '')).split('\n')) {
    const [source = '', target = ''] = line.split(' ')
    if (isLeftover(source, isAlive)) await attempt(`mount ${target}`, () => runTool('umount', [target]))
  }
  // Their other end may outlive its namespace, as long as a connection in it waits for an answer.
  for (const name of await readdir('/sys/class/net').catch(() => [])) {
    const pid = Number(/^al([0-9]{1,10})c[0-9]+$/.exec(name)?.[1] ?? process.pid)
    if (!isAlive(pid)) await attempt(`interface ${name}`, () => runTool('ip', ['link', 'del', name]))
  }
  for (const folder of Object.values(CGROUPS))
    for (const name of await readdir(folder).catch(() => []))
      if (isLeftover(name, isAlive)) await attempt(`control group ${name}`, () => rmdir(join(folder, name)))
  return removed
}
