import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { LOCK_FILE, lockDirectory } from '../../node/store/lock.ts'
import { sweepLeftovers } from '../../testnet/leftovers.ts'
import { isAlive } from './helper.ts'

let root: string
let runFolder: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'althing-leftovers-'))
  runFolder = join(root, 'run')
  await mkdir(runFolder)
})
afterEach(() => rm(root, { recursive: true, force: true }))

/** A folder whose testnet is gone. */
async function dead(folder: string): Promise<string> {
  await mkdir(join(folder, 'homes', 'north', 'data'), { recursive: true })
  await writeFile(join(folder, LOCK_FILE), JSON.stringify({ pid: spawnSync('true').pid, started: null, token: 'x' }))
  return folder
}
const sweep = async (): Promise<string[]> => {
  const remarks: string[] = []
  await sweepLeftovers(runFolder, (text) => remarks.push(text))
  return remarks
}

it('leftovers: the folder of a dead testnet goes; that of a live one, one kept for its logs and what is elsewhere stay', async () => {
  await dead(join(runFolder, 'run-dead'))
  await mkdir(join(runFolder, 'run-live'))
  const lock = await lockDirectory(join(runFolder, 'run-live'))
  await mkdir(join(runFolder, 'run-kept', 'logs'), { recursive: true })
  await writeFile(join(runFolder, 'run-file'), '')
  await dead(join(runFolder, 'other'))
  const elsewhere = await dead(join(root, 'elsewhere'))
  await symlink(elsewhere, join(runFolder, 'run-link'))
  expect(await sweep()).toEqual([expect.stringContaining(`removed ${join(runFolder, 'run-dead')}`)])
  expect((await readdir(runFolder)).toSorted()).toEqual(['other', 'run-file', 'run-kept', 'run-link', 'run-live'])
  expect(existsSync(join(elsewhere, LOCK_FILE))).toBe(true)
  await lock.release()
})

it('leftovers: a process that outlived its testnet and the warden is ended by the lock that it holds', async () => {
  const folder = await dead(join(runFolder, 'run-dead'))
  const script = `
    const { lockDirectory } = await import(${JSON.stringify(fileURLToPath(new URL('../../node/store/lock.ts', import.meta.url)))})
    await lockDirectory(${JSON.stringify(join(folder, 'homes', 'north', 'data'))})
    console.log('locked')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  await sweep()
  expect([existsSync(folder), isAlive(child.pid)]).toEqual([false, false])
}, 20_000)
