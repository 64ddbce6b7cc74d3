import { beforeEach, describe, expect, it } from 'vitest'
import { sha3 } from '../../../../protocol/crypto.ts'
import { readClaims } from '../../../../protocol/kinds/stix/record.ts'
import { Chain } from '../consortium.ts'

const text = Uint8Array.from(Buffer.from('{"type":"bundle"}'))
const payload = (height: number, over: object = {}) => ({ height, hash: sha3(text), bundle: text, ...over })

describe('stix.bundle', () => {
  let chain: Chain
  beforeEach(() => {
    chain = new Chain()
    chain.run('kv.put', 11, { key: 'a', value: new Uint8Array(1) })
  })

  it('stix.bundle: the first member to say a hash is recorded, and no other for the same hash', () => {
    expect(chain.run('stix.bundle', 1, payload(1))).toBeNull()
    expect(chain.run('stix.bundle', 2, payload(1))).toBe('STIX_KNOWN')
    expect(readClaims(chain, 1)).toMatchObject([{ hash: sha3(text), height: 2 }])
  })

  it('stix.bundle: members that disagree are both on record, each once', () => {
    const other = { hash: new Uint8Array(32), bundle: null }
    expect(chain.run('stix.bundle', 1, payload(1, other))).toBeNull()
    expect(chain.run('stix.bundle', 1, payload(1))).toBe('STIX_KNOWN')
    expect(chain.run('stix.bundle', 2, payload(1))).toBeNull()
    expect(readClaims(chain, 1).map(({ hash }) => hash)).toEqual([other.hash, sha3(text)])
  })

  it.each([
    ['of a block that is not below', 1, payload(2), 'STIX_HEIGHT'],
    ['whose hash is another', 1, payload(1, { hash: new Uint8Array(32) }), 'STIX_HASH'],
    ['by an API key', 11, payload(1), 'TX_FORBIDDEN'],
  ])('stix.bundle: a bundle %s → refused, nothing changed', (_what, signer, bundle, code) => {
    expect(chain.run('stix.bundle', signer, bundle)).toBe(code)
    expect(readClaims(chain, 1)).toEqual([])
  })
})
