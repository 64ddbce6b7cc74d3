import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseGenesis } from '../../config/genesisFile.ts'
import { parseNodeConfig } from '../../config/nodeConfig.ts'
import { createHomes, homeIn, readPlaces, registrationOf, type TestnetPlaces } from '../../testnet/homes.ts'
import { DEFAULT_PLAN } from '../../testnet/plan.ts'

let folder = ''
let places: TestnetPlaces
beforeAll(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'althing-homes-')), 'net')
  places = await createHomes(folder, { ...DEFAULT_PLAN, members: 3, rtus: 2 })
}, 30_000)
afterAll(() => rm(join(folder, '..'), { recursive: true, force: true }))

const configOf = async (name: string) => {
  const parsed = parseNodeConfig({
    file: { name: 'config.toml', text: await readFile(homeIn(folder, name).configFile, 'utf8') },
  })
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
  return parsed.value.config
}

describe('homes', () => {
  it('homes: all members and RTUs hold one genesis, with the times that were asked for and an API key for each member', async () => {
    const texts = await Promise.all(
      [...places.members, ...places.rtus].map(({ name }) => readFile(homeIn(folder, name).genesisFile, 'utf8')),
    )
    expect(new Set(texts).size).toBe(1)
    const genesis = parseGenesis(texts[0] ?? '')
    if (!genesis.ok) throw new Error('not valid')
    expect(genesis.value.memberSet.members.map(({ name }) => name)).toEqual(['north', 'south', 'east'])
    expect(genesis.value.memberSet.parameters).toMatchObject({ deltaMs: 250, heartbeatMs: 500 })
    expect(genesis.value.apiKeys.map((keys) => keys.length)).toEqual([1, 1, 1])
  })

  it('homes: everything listens on loopback, on ports of its own, and members know each other', async () => {
    const ports = places.members.flatMap(({ p2pPort, apiPort, metricsPort }) => [p2pPort, apiPort, metricsPort])
    expect(new Set(ports).size).toBe(9)
    for (const { name, p2pPort, apiPort, metricsPort } of places.members) {
      const { network, api, metrics } = await configOf(name)
      expect(network.listen).toEqual([`/ip4/127.0.0.1/tcp/${p2pPort}`])
      expect(network.peers.map(({ member }) => member)).toEqual(
        ['north', 'south', 'east'].filter((one) => one !== name),
      )
      expect([api.listen, metrics.listen]).toEqual([
        { host: '127.0.0.1', port: apiPort },
        { host: '127.0.0.1', port: metricsPort },
      ])
    }
  })

  it('homes: an RTU has two members, the first of which owns it, and what it is registered with', async () => {
    expect(places.rtus.map(({ owner }) => owner)).toEqual(['north', 'south'])
    const { rtu } = await configOf('rtu-2')
    expect(rtu.members.map(({ member }) => member)).toEqual(['south', 'east'])
    expect([rtu.segment, rtu.intervalMs]).toEqual(['testnet', DEFAULT_PLAN.rtuIntervalMs])
    for (const place of places.rtus) {
      expect(place.device).toMatch(/^[0-9a-f]{40}$/)
      expect(registrationOf(place)).toMatchObject({ publicKey: place.publicKey, segment: 'testnet', mode: 'enforce' })
    }
  })

  it('homes: folder and secrets are the owner’s alone', async () => {
    const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8)
    expect(await modeOf(folder)).toBe('700')
    expect(await modeOf(homeIn(folder, 'north').nodeKeyFile)).toBe('600')
  })

  it('homes: what was made is found again; an empty folder is none; a file of somebody else is refused', async () => {
    expect(await readPlaces(folder)).toEqual(places)
    expect(await readPlaces(join(folder, 'logs'))).toBeUndefined()
    await writeFile(join(folder, 'logs', 'testnet.json'), '{"format":2}')
    await expect(readPlaces(join(folder, 'logs'))).rejects.toMatchObject({ code: 'TESTNET_FOLDER', exitCode: 65 })
  })
})
