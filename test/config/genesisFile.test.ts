import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DEFAULT_PARAMETERS, parseGenesis, renderGenesis } from '../../config/genesisFile.ts'
import { problemLine } from '../../config/problems.ts'
import { toHex } from '../../protocol/bytes.ts'
import { publicKeyOf } from '../../protocol/crypto.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'

const key = (n: number): Uint8Array => publicKeyOf(new Uint8Array(32).fill(n))
const genesisOf = (count: number): Genesis => ({
  format: 1,
  network: 'north-1',
  createdAt: 1_795_000_000_123,
  memberSet: {
    members: Array.from({ length: count }, (_, i) => ({ name: `Org ${i}`, publicKey: key(i + 1) })),
    parameters: DEFAULT_PARAMETERS,
  },
  apiKeys: Array.from({ length: count }, (_, i) => (i % 2 === 0 ? [toHex(key(100 + i))] : [])),
  modules: [],
})
// biome-ignore lint/suspicious/noExplicitAny: a file is changed in ways that its type forbids
const changed = (change: (file: any) => void, count = 2): string => {
  const file = JSON.parse(renderGenesis(genesisOf(count)))
  delete file.chainId
  change(file)
  return JSON.stringify(file)
}
const linesOf = (text: string, chainId?: string): string[] => {
  const parsed = parseGenesis(text, chainId)
  return parsed.ok ? [] : parsed.problems.map(problemLine)
}

describe('genesis file', () => {
  it('genesis: what is rendered → parses to the same genesis with the same chain id', () => {
    for (const count of [1, 2, 7, 64]) {
      const genesis = genesisOf(count)
      const parsed = parseGenesis(renderGenesis(genesis), toHex(chainIdOf(genesis)))
      expect(parsed).toEqual({ ok: true, value: genesis })
    }
  })

  it('genesis: many mistakes → all of them at once, in the words of the file', () => {
    const text = changed((file) => {
      file.network = 'North 1'
      file.createdAt = '2026-11-23'
      file.parameters.percent = 50
      file.parameters.delta = 1
      delete file.parameters.deltaMs
      file.parameters.trustPatience = '3'
      file.trust = {}
      file.members[0].name = ''
      file.members[0].publicKey = `05${file.members[0].publicKey.slice(2)}`
      file.members[1].publicKey = `02${'f'.repeat(64)}`
      file.members[1].apikeys = []
    })
    expect(linesOf(text)).toEqual([
      'trust: is not a key of a genesis',
      'createdAt: is not a UTC time with milliseconds, such as 2026-11-23T12:00:00.000Z',
      'network: does not match ^[a-z0-9][a-z0-9-]*$',
      'parameters.delta: is not a key of a genesis. Did you mean deltaMs?',
      'parameters.deltaMs: is missing',
      'parameters.percent: is not an integer from 51 to 100',
      'parameters.trustPatience: is not an integer from 1 to 1000',
      'members[0].name: is not text of 1 to 64 characters',
      'members[0].publicKey: is not a compressed public key: 66 hexadecimal digits that begin with 02 or 03',
      'members[1].apikeys: is not a key of a genesis. Did you mean apiKeys?',
      'members[1].publicKey: is not a point of secp256k1. Copy it again from `althing keys show`',
    ])
  })

  it('genesis: a secret key in the place of a public one → said, and not repeated', () => {
    const secret = 'ab'.repeat(32)
    const lines = linesOf(changed((file) => (file.members[0].publicKey = secret)))
    expect(lines.join()).toContain('SECRET')
    expect(lines.join()).not.toContain(secret)
  })

  it('genesis: one key or name twice → both places named', () => {
    const text = changed((file) => {
      file.members[1].name = file.members[0].name
      file.members[1].apiKeys = [file.members[0].publicKey.toUpperCase()]
    })
    expect(linesOf(text)).toEqual([
      'members[1].name: is also the name of members[0]. Peers are configured by name: choose another',
      'members[1].apiKeys[0]: is the same key as members[0].publicKey. Each member and API key has one of its own',
    ])
  })

  it('genesis: a name that ends in a space → refused, no peer entry could name it', () => {
    const text = changed((file) => {
      file.members[1].name = 'Org B '
    })
    expect(linesOf(text)).toEqual([
      'members[1].name: begins or ends with a space. Peers are configured by name: take the space away',
    ])
  })

  it('genesis: the file of another consortium → its hash and the one that was expected', () => {
    const genesis = genesisOf(2)
    const actual = toHex(chainIdOf(genesis))
    expect(linesOf(renderGenesis(genesis), 'ab'.repeat(32))).toEqual([
      `genesis: has the wrong hash: ${actual}, not ${'ab'.repeat(32)}. ` +
        'This is the genesis of another consortium or another version of it. Compare chain ids with the other members',
    ])
  })

  it('genesis: a file changed after it was agreed on → its own chain id gives it away', () => {
    const file = JSON.parse(renderGenesis(genesisOf(2)))
    file.parameters.deltaMs += 1
    expect(linesOf(JSON.stringify(file))).toEqual([expect.stringMatching(/^chainId: does not belong to this genesis/)])
  })

  it('genesis: no members, a non-object, no JSON → problems', () => {
    expect(linesOf(changed((file) => (file.members = [])))).toEqual([
      'members: is empty: a consortium has at least one member',
    ])
    expect(linesOf('[]')[0]).toMatch(/^genesis: is not an object/)
    expect(linesOf('{')[0]).toMatch(/^genesis: is not JSON/)
  })

  it('genesis: any JSON → problems and never an exception', () => {
    fc.assert(fc.property(fc.json(), (text) => !parseGenesis(text).ok))
    const places = fc.constantFrom('format', 'network', 'createdAt', 'members', 'parameters')
    fc.assert(
      fc.property(places, fc.jsonValue(), (place, value) => {
        parseGenesis(changed((file) => (file[place] = value)))
      }),
    )
  })
})
