import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LOCK_FILE, lockDirectory, type ProcessTable } from '../../../node/store/lock.ts'

let data: string
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'althing-lock-'))
})
afterEach(() => rm(data, { recursive: true, force: true }))

describe('lock', () => {
  const table = (pid: number, alive: Record<number, string | null>): ProcessTable => ({
    pid,
    isAlive: (other) => other in alive,
    startedAt: async (other) => alive[other] ?? null,
  })

  it('lock: a second lock of one directory → STORE_LOCKED naming the process; after release it is free', async () => {
    const lock = await lockDirectory(data)
    await expect(lockDirectory(data)).rejects.toMatchObject({
      code: 'STORE_LOCKED',
      exitCode: 75,
      message: expect.stringContaining(String(process.pid)),
    })
    await lock.release()
    await lock.release()
    expect(await readdir(data)).toEqual([])
    await (await lockDirectory(data)).release()
  })

  it('lock: of a process that is gone, or whose pid another process has now, it is taken over', async () => {
    await lockDirectory(data, table(100, { 100: 'boot/1' }))
    const second = await lockDirectory(data, table(200, { 200: 'boot/2' }))
    await lockDirectory(data, table(300, { 200: 'boot/9', 300: 'boot/3' }))
    await second.release()
    await expect(lockDirectory(data, table(400, { 300: 'boot/3', 400: null }))).rejects.toMatchObject({
      code: 'STORE_LOCKED',
    })
    expect(await readdir(data)).toEqual([LOCK_FILE])
  })

  it('lock: a file that no node wrote holds nothing', async () => {
    await writeFile(join(data, LOCK_FILE), 'rubbish')
    await (await lockDirectory(data)).release()
  })

  it('lock: of many that take over one stale lock at once, one wins', async () => {
    const alive = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [1000 + i, `boot/${i}`]))
    await lockDirectory(data, table(1, { 1: 'boot/0' }))
    const tries = await Promise.allSettled(
      Object.keys(alive).map((pid) => lockDirectory(data, table(Number(pid), alive))),
    )
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const t of tries) if (t.status === 'rejected') expect(t.reason).toMatchObject({ code: 'STORE_LOCKED' })
    expect(await readdir(data)).toEqual([LOCK_FILE])
  })

  it('lock: a takeover that did not finish → STORE_LOCKED naming the file to remove', async () => {
    await lockDirectory(data, table(1, { 1: 'boot/0' }))
    const claim = createHash('sha256')
      .update(await readFile(join(data, LOCK_FILE)))
      .digest('hex')
      .slice(0, 16)
    await writeFile(join(data, `${LOCK_FILE}.takeover.${claim}`), '')
    await expect(lockDirectory(data, table(2, { 2: 'boot/0' }))).rejects.toMatchObject({
      code: 'STORE_LOCKED',
      message: expect.stringContaining(claim),
    })
  })

  it('lock: a directory that does not exist → STORE_OPEN_FAILED', async () => {
    await expect(lockDirectory(join(data, 'none'))).rejects.toMatchObject({ code: 'STORE_OPEN_FAILED' })
  })
})
