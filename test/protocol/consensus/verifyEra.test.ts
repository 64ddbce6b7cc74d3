/** agreement.md §5.5: the CC that ended the era before, which the first proposal of the next one carries. */
import { describe, expect, it } from 'vitest'
import type { Answer, Reason } from '../../../protocol/consensus/types.ts'
import { createVerifier } from '../../../protocol/consensus/verify.ts'
import { encodeMessage, toWireCertificate, type WireMessage } from '../../../protocol/consensus/wire.ts'
import { CHAIN_ID, certify, consortium, decoded, header, slotFor } from './consortium.ts'

const five = consortium(5)
const options = { chainId: CHAIN_ID, memberSet: five.memberSet, era: 0, cacheMax: 1000 }
const verifier = createVerifier(options)
const answer: Answer = {
  kind: 'answer',
  era: 0,
  nonce: 5,
  view: 0,
  reason: { kind: 'start', certificate: null },
  tip: null,
  strong: null,
  signed: [],
  equivocation: null,
  highest: null,
}

describe('verify: the start of a later era (§5.5)', () => {
  const old = consortium(3) // q = 2
  const OLD_TERM = { ...old.memberSet, parameters: { ...old.memberSet.parameters, termBlocks: 10 } }
  const last = header(1, CHAIN_ID, { ends: true })
  const cc = certify(old, 'commit', slotFor(2, 7, last), [0, 2])
  const later = createVerifier({ ...options, era: 1, previousSet: OLD_TERM })
  const answerWith = (reason: Reason) => {
    const message: Answer = { ...answer, era: 1, reason }
    return later.verify(decoded(encodeMessage(message)), 2)
  }

  it('the CC that ended the era before comes through, checked against that era’s members', () => {
    expect(answerWith({ kind: 'start', certificate: cc })).toMatchObject({
      ok: true,
      message: { reason: { kind: 'start', certificate: { hash: cc.hash, view: 2, seq: 7 } } },
    })
  })
  it.each([
    ['none', { kind: 'start' as const, certificate: null }, 'MESSAGE_ATTACHMENT'],
    [
      'one short of a quorum',
      { kind: 'start' as const, certificate: certify(old, 'commit', slotFor(2, 7, last), [0]) },
      'CERT_NO_QUORUM',
    ],
    [
      'of votes',
      { kind: 'start' as const, certificate: certify(old, 'vote', slotFor(2, 7, last), [0, 2]) },
      'CERT_STATEMENT',
    ],
    [
      'of this era’s members',
      { kind: 'start' as const, certificate: certify(five, 'commit', slotFor(2, 7, last), [3, 4]) },
      'CERT_FOREIGN_SIGNER',
    ],
  ])('a CC that is %s is refused', (_, reason, code) => {
    expect(answerWith(reason)).toEqual({ ok: false, code })
  })
  it('in the first era there is none, and from the second on the members of the one before must be given', () => {
    const { unverified } = decoded(encodeMessage(answer))
    const reason = { kind: 'start' as const, certificate: toWireCertificate(0, cc) }
    const message = { ...(unverified as WireMessage & { kind: 'answer' }), view: 0, reason }
    expect(verifier.verify({ unverified: message }, 2)).toEqual({ ok: false, code: 'MESSAGE_ATTACHMENT' })
    expect(() => createVerifier({ ...options, era: 1 })).toThrow(RangeError)
  })
})
