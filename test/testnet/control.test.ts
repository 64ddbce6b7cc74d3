import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { askTestnet, type ControlRequest, ControlServer, ensureRunFolder } from '../../testnet/control.ts'

const before = process.env['TMPDIR']
let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'althing-control-'))
  process.env['TMPDIR'] = folder
})
afterEach(async () => {
  if (before === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = before
  await rm(folder, { recursive: true, force: true })
})

const serve = (heard: ControlRequest[] = []): Promise<ControlServer> =>
  ControlServer.listen('/net', async (request) => {
    heard.push(request)
    if (request.name === 'nobody')
      return { ok: false, code: 'TESTNET_NAME', text: 'there is no nobody', advice: 'Did you mean north?' }
    return { ok: true, text: `${request.verb} ${request.name ?? ''}` }
  })

describe('control', () => {
  it('control: the one testnet that runs is found without its folder, and does what it is asked', async () => {
    const heard: ControlRequest[] = []
    const server = await serve(heard)
    expect(await askTestnet(undefined, { verb: 'kill', name: 'west' })).toMatchObject({ ok: true, text: 'kill west' })
    expect(await askTestnet('/net', { verb: 'stop' })).toMatchObject({ folder: '/net' })
    expect(heard.filter(({ verb }) => verb !== 'status')).toEqual([{ verb: 'kill', name: 'west' }, { verb: 'stop' }])
    await server.close()
    expect(await readdir(await ensureRunFolder())).toEqual([])
  })

  it('control: what the testnet refuses is a failure with its code and advice', async () => {
    const server = await serve()
    await expect(askTestnet(undefined, { verb: 'kill', name: 'nobody' })).rejects.toMatchObject({
      code: 'TESTNET_NAME',
      exitCode: 64,
      advice: 'Did you mean north?',
    })
    await server.close()
  })

  it('control: none runs, or none in that folder → TESTNET_NOT_FOUND; a socket that a dead process left is removed', async () => {
    await expect(askTestnet(undefined, { verb: 'stop' })).rejects.toMatchObject({
      code: 'TESTNET_NOT_FOUND',
      exitCode: 69,
    })
    const left = join(await ensureRunFolder(), '999999999.sock')
    await writeFile(left, '')
    await expect(askTestnet(undefined, { verb: 'stop' })).rejects.toMatchObject({ code: 'TESTNET_NOT_FOUND' })
    expect(await readdir(await ensureRunFolder())).toEqual([])
    const server = await serve()
    await expect(askTestnet('/elsewhere', { verb: 'stop' })).rejects.toMatchObject({
      code: 'TESTNET_NOT_FOUND',
      advice: 'Running are: /net.',
    })
    await server.close()
  })

  it('control: what is no request is not answered and reaches nobody', async () => {
    const heard: ControlRequest[] = []
    const server = await serve(heard)
    const path = join(await ensureRunFolder(), `${process.pid}.sock`)
    for (const line of ['{', '{"verb":"format"}', '{"verb":"kill","name":7}', `"${'x'.repeat(300_000)}`]) {
      const answer = await new Promise<string>((done) => {
        let text = ''
        const socket = createConnection(path, () => socket.write(`${line}\n`))
        socket
          .on('data', (part) => (text += part))
          .on('error', () => undefined)
          .on('close', () => done(text))
      })
      expect(answer).toBe('')
    }
    expect(heard).toEqual([])
    await server.close()
  })

  it('control: a folder that others may enter is refused', async () => {
    const open = await ensureRunFolder()
    await rm(open, { recursive: true })
    await mkdir(open)
    await chmod(open, 0o777)
    await expect(askTestnet(undefined, { verb: 'stop' })).rejects.toMatchObject({
      code: 'TESTNET_RUN_FOLDER',
      exitCode: 77,
    })
  })
})
