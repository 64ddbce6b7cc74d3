import { beforeAll, describe, expect, it } from 'vitest'
import { installNativePrimitives } from '../../node/crypto/native.ts'
import { fromHex, toHex } from '../../protocol/bytes.ts'
import { decodeAs, encodeAs } from '../../protocol/codec.ts'
import { followEra } from '../../protocol/light.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { memberSetCodec } from '../../protocol/members.ts'
import {
  buildProof,
  PROOF_CHARACTERS_MAX,
  type Proof,
  parseProof,
  renderProof,
  verifyProof,
} from '../../protocol/proof.ts'
import {
  adding,
  build,
  CHAIN_ID,
  certify,
  endEra,
  GENESIS,
  grow,
  type Node,
  open,
  put,
  TIME,
  tampered,
} from '../node/executor/world.ts'

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

describe('proof files over eras', () => {
  const FIVE = [1, 2, 3, 4, 5]
  let later: Node
  let proof: Proof

  beforeAll(async () => {
    later = await open()
    await endEra(later, adding(5))
    await endEra(later, { kind: 'remove', publicKey: GENESIS.memberSet.members[3]!.publicKey }, FIVE)
    const transaction = put('later')
    await grow(later, [transaction], TIME, [1, 2, 3, 5])
    proof = (await later.executor.reads.proveTransaction(transaction.transaction.id)) as Proof
  })

  const codeOf = (eras: Proof['block']['eras'], over: Partial<Proof['block']> = {}): string | null =>
    verify(renderProof({ subject: proof.subject, block: { ...proof.block, eras, ...over } }))

  it('proof: of a block of the third era, with the genesis alone, through the ends of two', () => {
    expect(proof.block.eras).toHaveLength(2)
    const { ok, steps } = verifyProof(proof, GENESIS)
    expect(steps.map(({ code }) => code)).toEqual(steps.map(() => null))
    expect(ok).toBe(true)
    expect(steps.filter(({ checked }) => /committed its last block/.test(checked))).toHaveLength(2)
    expect(parseProof(renderProof(proof))).toEqual({ ok: true, proof })
  })

  it('proof: an end that is left out, doubled, moved or somebody else’s is found', () => {
    const [first, second] = proof.block.eras as [Proof['block']['eras'][0], Proof['block']['eras'][0]]
    expect(codeOf([])).toBe('BLOCK_ERA')
    expect(codeOf([first])).toBe('BLOCK_ERA')
    expect(codeOf([second])).toBe('BLOCK_ERA')
    expect(codeOf([first, first])).toBe('BLOCK_ERA')
    expect(codeOf([second, first])).toBe('BLOCK_ERA')
    expect(codeOf([first, { ...second, certificate: first.certificate }])).toBe('CERT_STATEMENT')
    expect(codeOf([first, { ...second, memberSet: first.memberSet }])).toBe('BLOCK_MEMBER_SET')
    expect(codeOf([first, { ...second, header: proof.block.header }])).toBe('BLOCK_ERA')
    const end = later.executor.reads.headerAt(later.executor.reads.eraEnd(0) as number)!
    expect(codeOf([{ ...first, certificate: certify(end, [1, 0, 2]) }, second])).toBe('CERT_MALFORMED')
    expect(codeOf([{ ...first, certificate: certify(end, [0, 1]) }, second])).toBe('CERT_NO_QUORUM')
  })

  it('proof: members who left cannot certify a block of the era after them, nor those who come one of the era before', () => {
    const tip = later.executor.reads.headerAt(later.executor.head.height)!
    expect(codeOf(proof.block.eras, { certificate: certify(tip, [0, 1, 3]) })).toBe('CERT_FOREIGN_SIGNER')
    const end = later.executor.reads.headerAt(later.executor.reads.eraEnd(0) as number)!
    const [first, second] = proof.block.eras as [Proof['block']['eras'][0], Proof['block']['eras'][0]]
    expect(codeOf([{ ...first, certificate: certify(end, [2, 3, 4], FIVE) }, second])).toBe('CERT_FOREIGN_SIGNER')
  })

  it('proof: after a change of any byte of the ends, nothing holds', () => {
    const [first, second] = proof.block.eras as [Proof['block']['eras'][0], Proof['block']['eras'][0]]
    for (const field of ['header', 'certificate', 'memberSet'] as const)
      for (let at = 0; at < second[field].length; at += 7) {
        const bytes = Uint8Array.from(second[field])
        bytes[at] = (bytes[at] as number) ^ 1
        expect(codeOf([first, { ...second, [field]: bytes }]), `${field} ${at}`).not.toBeNull()
      }
  })

  it('proof: through more eras than a file may hold there is none', () => {
    expect(later.executor.reads.eraLinks(0, LIMITS.proofErasMax + 1)).toBeUndefined()
    expect(later.executor.reads.eraLinks(0, 3)).toBeUndefined()
    expect(later.executor.reads.eraEnd(2)).toBeUndefined()
  })

  it('light: an era is followed once, from the height where it began', () => {
    const [first, second] = proof.block.eras as [Proof['block']['eras'][0], Proof['block']['eras'][0]]
    const genesis = { era: 0, height: 0, memberSet: GENESIS.memberSet }
    const one = followEra(genesis, first, CHAIN_ID)
    if (!one.ok) throw new Error(one.code)
    expect(one.next).toMatchObject({ era: 1, height: 2 })
    expect(toHex(encodeAs(memberSetCodec, one.next.memberSet))).toBe(toHex(first.memberSet))
    expect(decodeAs(memberSetCodec, first.memberSet).members).toHaveLength(5)
    expect(followEra({ ...one.next, height: 9 }, second, CHAIN_ID)).toEqual({ ok: false, code: 'BLOCK_HEIGHT' })
    expect(followEra(one.next, second, new Uint8Array(32))).toEqual({ ok: false, code: 'BLOCK_CHAIN' })
    expect(followEra(one.next, first, CHAIN_ID)).toEqual({ ok: false, code: 'BLOCK_ERA' })
  })
})
