import { beforeAll, describe, expect, it } from 'vitest'
import { installNativePrimitives } from '../../node/crypto/native.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import {
  buildProof,
  PROOF_CHARACTERS_MAX,
  type Proof,
  parseProof,
  renderProof,
  verifyProof,
} from '../../protocol/proof.ts'
import { build, certify, GENESIS, grow, type Node, open, put, TIME, tampered } from '../node/executor/world.ts'

installNativePrimitives()

/** Verification of a file as the command line does it; the code of what failed, or null. */
function verify(text: string): string | null {
  const read = parseProof(text)
  if (!read.ok) return read.problem
  return verifyProof(read.proof, GENESIS).steps.at(-1)?.code ?? null
}

const KEY = 'kv/ä\u2028"'
const proofs: Record<string, Proof> = {}
let node: Node

beforeAll(async () => {
  node = await open()
  const first = put('first')
  const uncertified = build(node, [first, put('x'), put('y')], { time: TIME })
  const above = build(node, [put('second')], { parent: uncertified.sealed.hash, time: TIME })
  await node.executor.commit(above.sealed.hash, certify(above.sealed, [0, 1, 3]))
  const third = [put('third'), put('z')]
  await grow(node, third, TIME)
  const { reads } = node.executor
  const page = await reads.states('kv/', 10)
  const key = page.items[0]?.key as string
  proofs['a transaction'] = (await reads.proveTransaction(third[1]!.transaction.id)) as Proof
  proofs['a transaction below a certificate'] = (await reads.proveTransaction(first.transaction.id)) as Proof
  proofs['an entry'] = (await reads.proveState(key)) as Proof
  proofs['an absent key'] = (await reads.proveState(KEY)) as Proof
})

const NAMES = ['a transaction', 'a transaction below a certificate', 'an entry', 'an absent key']

describe('proof files', () => {
  it.each(NAMES)('proof: %s is verified with the genesis alone, and its text is read back as it was', (name) => {
    const text = renderProof(proofs[name] as Proof)
    const read = parseProof(text)
    expect(read).toEqual({ ok: true, proof: proofs[name] })
    expect(text).toMatch(/^[\n\x20-\x7e]*$/)
    const { ok, steps } = verifyProof(proofs[name] as Proof, GENESIS)
    expect(steps.map(({ code }) => code)).toEqual(steps.map(() => null))
    expect(ok).toBe(true)
    expect(steps.at(-1)?.result).toMatch(/^3 of 4 signed: holds even if 1 member lies/)
    for (const { checked, result, believe } of steps)
      for (const words of [checked, result, believe]) expect(words).toMatch(/\.$/)
  })

  it.each(NAMES)(
    'proof: %s with any one byte of its file changed is refused',
    (name) => {
      const text = renderProof(proofs[name] as Proof)
      const accepted: string[] = []
      for (let i = 0; i < text.length; i++) {
        const unit = text.charCodeAt(i)
        // The neighbours keep hexadecimal digits and numbers what they are; the others turn them into something else.
        for (const other of [unit ^ 1, unit ^ 2, unit ^ 0x20, 0x30, 0x20, 0x66, 0x00, 0xe4])
          if (other !== unit) {
            const changed = text.slice(0, i) + String.fromCharCode(other) + text.slice(i + 1)
            if (verify(changed) === null) accepted.push(`${i}: ${text.slice(i - 10, i + 10)}`)
          }
        if (verify(text.slice(0, i) + text.slice(i + 1)) === null) accepted.push(`without ${i}`)
        if (verify(`${text.slice(0, i)} ${text.slice(i)}`) === null) accepted.push(`space at ${i}`)
      }
      expect(accepted).toEqual([])
    },
    120_000,
  )

  it('proof: other texts of the same proof are refused', () => {
    const text = renderProof(proofs['an absent key'] as Proof)
    const json = JSON.parse(text) as Record<string, unknown>
    const rendered = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
    for (const other of [
      JSON.stringify(json),
      text.trimEnd(),
      `\uFEFF${text}`,
      rendered({ more: 1, ...json }),
      rendered({ ...json, certificate: (json['certificate'] as string).toUpperCase() }),
      rendered(Object.fromEntries(Object.entries(json).reverse())),
      text.replace('"version": 1', '"version": 1.0'),
      text.replace('"version": 1,', '"version": 1,\n  "version": 1,'),
      text.replace('kv/', '\\u006bv/'),
      text.replace('\\u00e4', 'ä'),
      rendered([json]),
      'null',
      '',
      ' '.repeat(PROOF_CHARACTERS_MAX + 1),
    ])
      expect(parseProof(other).ok, other.slice(0, 60)).toBe(false)
  })

  it('proof: what each step refuses has its code', () => {
    const proof = proofs['a transaction'] as Proof
    const entry = proofs['an entry'] as Proof
    const below = proofs['a transaction below a certificate'] as Proof
    const codeOf = (changed: Proof): string | null => verify(renderProof(changed))
    const tip = node.executor.reads.headerAt(3)!
    const later = tampered(tip, { era: 1 })
    const { subject, block } = proof
    if (subject.kind !== 'transaction' || entry.subject.kind !== 'state') throw new Error('other kinds')
    expect(codeOf({ subject, block: { ...block, chainId: new Uint8Array(32) } })).toBe('BLOCK_CHAIN')
    expect(codeOf({ subject, block: { ...block, header: block.header.slice(1) } })).toBe('BLOCK_MALFORMED')
    expect(codeOf({ subject, block: { ...block, certificate: block.certificate.slice(1) } })).toBe('CERT_MALFORMED')
    expect(codeOf({ subject: { ...subject, place: { ...subject.place, index: 0 } }, block })).toBe('BLOCK_TREES')
    expect(codeOf({ subject: { ...subject, transaction: new Uint8Array(8) }, block })).toBe('TX_MALFORMED')
    expect(codeOf({ subject: { ...entry.subject, key: 'other' }, block: entry.block })).toBe('BLOCK_ROOT')
    expect(codeOf({ subject: { ...entry.subject, entry: null }, block: entry.block })).toBe('BLOCK_ROOT')
    expect(codeOf({ subject, block: { ...block, header: later.bytes } })).toBe('BLOCK_ERA')
    expect(codeOf({ subject, block: { ...block, certificate: certify(tip, [0, 1]) } })).toBe('CERT_NO_QUORUM')
    expect(codeOf({ subject, block: { ...block, certificate: certify(tip, [1, 0, 2]) } })).toBe('CERT_MALFORMED')
    expect(codeOf({ subject, block: { ...block, certificate: certify(tip, [0, 1, 2, 3]) } })).toBeNull()
    expect(codeOf({ subject: below.subject, block: { ...below.block, history: null } })).toBe('CERT_STATEMENT')
    const history = { ...below.block.history!, path: below.block.history!.path.map(() => new Uint8Array(32)) }
    expect(codeOf({ subject: below.subject, block: { ...below.block, history } })).toBe('BLOCK_HISTORY')
  })

  it('proof: another genesis → BLOCK_CHAIN', () => {
    const other = { ...GENESIS, network: 'other' }
    expect(verifyProof(proofs['an entry'] as Proof, other).steps.at(-1)?.code).toBe('BLOCK_CHAIN')
  })

  it('proof: parts that no file can hold are refused when the proof is built', () => {
    const { subject, block } = proofs['a transaction'] as Proof
    expect(() => buildProof(subject, { ...block, header: new Uint8Array(2000) })).toThrow(RangeError)
    expect(() => buildProof(subject, { ...block, chainId: fromHex('00') })).toThrow(RangeError)
    expect(toHex(buildProof(subject, block).block.header)).toBe(toHex(block.header))
  })

  it('proof: nothing is proved of what is not committed, not certified, or absent', async () => {
    const { reads } = (await open()).executor
    expect(await reads.proveState('a')).toBeUndefined()
    expect(await reads.proveTransaction(new Uint8Array(32))).toBeUndefined()
    expect(reads.proveBlock(1)).toBeUndefined()
  })
})
