/**
 * Stage: the operator. Disks that are full or slow. A member whose disk is to be filled has its data directory on a small file system in memory;
 * one whose disk is to be slow has its writes counted by the kernel.
 * Invariants: needs root, and says so before anything runs; only the member's own data directory is touched, never the disk of this machine.
 */
import { cp, mkdir, open, readFile, rm, rmdir, stat, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandError, EXIT } from '../cli/failure.ts'
import { CGROUPS, isRoot, missingTools, ownName, runTool } from './tools.ts'

const SMALL_DISK_BYTES = 96 * 1024 * 1024
/** Settings of a member on a small disk: what must stay free on it to write. */
export const SMALL_DISK_SETTINGS = { 'store.disk_free_bytes_min': String(4 * 1024 * 1024) } as const
const FILLER = 'filler-of-the-testnet'

/** Why `fill` cannot be done here, or null. */
export async function refusesSmallDisk(): Promise<string | null> {
  if (!isRoot()) return 'fill needs root: the data directory is put on a small file system in memory (tmpfs)'
  const missing = await missingTools(['mount', 'umount'])
  return missing.length === 0 ? null : `fill needs ${missing.join(', ')}`
}

/** A small file system at a data directory. */
export class SmallDisk {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Mounts it at `folder`, and brings along what lies there. */
  static async mount(folder: string, member: string): Promise<SmallDisk> {
    const aside = `${folder}.aside`
    await cp(folder, aside, { recursive: true })
    await runTool('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK_BYTES},mode=0700`, ownName(member), folder])
    await cp(aside, folder, { recursive: true })
    await rm(aside, { recursive: true })
    return new SmallDisk(folder)
  }

  /** Writes until nothing more goes in. */
  async fill(): Promise<void> {
    const file = await open(join(this.#folder, FILLER), 'a', 0o600)
    try {
      let piece = Buffer.alloc(1024 * 1024)
      while (piece.length > 0)
        await file.write(piece).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOSPC') throw error
          piece = piece.subarray(0, Math.floor(piece.length / 2))
        })
    } finally {
      await file.close()
    }
    const { bavail } = await statfs(this.#folder)
    if (bavail > 1) throw new Error(`${bavail} blocks are left in ${this.#folder}`)
  }

  async free(): Promise<void> {
    await rm(join(this.#folder, FILLER), { force: true })
  }

  /** Takes it away with all it holds. */
  async unmount(): Promise<void> {
    await runTool('umount', [this.#folder]).catch(() => undefined)
  }
}

// Version 2 where its io controller is on for groups below the root; else version 1.
async function controller(): Promise<'v1' | 'v2' | null> {
  const on = await readFile(join(CGROUPS.v2, 'cgroup.subtree_control'), 'utf8').catch(() => '')
  if (on.split(/\s+/).includes('io')) return 'v2'
  const isThere = await stat(join(CGROUPS.v1, 'blkio.throttle.write_iops_device')).then(
    () => true,
    () => false,
  )
  return isThere ? 'v1' : null
}

/** The whole disk that holds `folder`, as the kernel numbers it (`254:0`); undefined where it is no disk (a tmpfs, an overlay). */
async function diskOf(folder: string): Promise<string | undefined> {
  const { dev } = await stat(folder)
  // As glibc's gnu_dev_major and gnu_dev_minor take it apart.
  const number = BigInt(dev)
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn)
  const minor = (number & 0xffn) | ((number >> 12n) & ~0xffn)
  const own = `/sys/dev/block/${major}:${minor}`
  const isPartition = await stat(`${own}/partition`).then(
    () => true,
    () => false,
  )
  const text = await readFile(isPartition ? `${own}/../dev` : `${own}/dev`, 'utf8').catch(() => undefined)
  return text?.trim()
}

/** Why `slow` cannot be done for data below `folder`, or null. */
export async function refusesSlowDisk(folder: string): Promise<string | null> {
  if (!isRoot()) return 'slow needs root: the writes of a member are counted by a control group'
  if ((await controller()) === null)
    return 'slow needs the io controller of control groups (io.max, or blkio.throttle of version 1), which is not on here'
  return (await diskOf(folder)) === undefined ? `slow needs ${folder} to be on a disk of its own kernel device` : null
}

/** Lets process `pid` make `perSecond` writes a second to the disk of `folder`. What it returns takes the limit away. */
export async function slowDisk(
  member: string,
  pid: number,
  folder: string,
  perSecond: number,
): Promise<() => Promise<void>> {
  const version = await controller()
  const disk = await diskOf(folder)
  if (version === null || disk === undefined)
    throw new CommandError('TESTNET_TOOL', EXIT.unavailable, 'the disk of a member cannot be slowed on this machine')
  const group = join(CGROUPS[version], ownName(member))
  await mkdir(group, { recursive: true })
  const [file, limit, none] =
    version === 'v2'
      ? ['io.max', `${disk} wiops=${perSecond}`, `${disk} wiops=max`]
      : ['blkio.throttle.write_iops_device', `${disk} ${perSecond}`, `${disk} 0`]
  await writeFile(join(group, file as string), limit as string)
  await writeFile(join(group, 'cgroup.procs'), String(pid))
  return async () => {
    await writeFile(join(group, file as string), none as string)
    // Back to where all are; a process that is gone has left already.
    await writeFile(join(CGROUPS[version], 'cgroup.procs'), String(pid)).catch(() => undefined)
    await rmdir(group).catch(() => undefined)
  }
}
