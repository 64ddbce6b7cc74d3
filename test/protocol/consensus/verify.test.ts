import { describe, expect, expectTypeOf, it } from 'vitest'
import { CborError, encodeCbor } from '../../../protocol/cbor.ts'
import type { Event } from '../../../protocol/consensus/events.ts'
import type { Message, Signer } from '../../../protocol/consensus/types.ts'
import { createVerifier, type Verified } from '../../../protocol/consensus/verify.ts'
import {
  ACKNOWLEDGED_KEYS_MAX,
  acknowledgements,
  decodeFrame,
  encodeLinkFrame,
  encodeMessage,
  encodeProposal,
  PROPOSAL_BYTES_MAX,
  type Unverified,
  type WireMessage,
} from '../../../protocol/consensus/wire.ts'
import { LIMITS } from '../../../protocol/limits.ts'
import { recover } from '../../../protocol/signature.ts'
import {
  blamed,
  CHAIN_ID,
  certify,
  consortium,
  decoded,
  ERA,
  equivocate,
  header,
  leaderSignature,
  propose,
  slotFor,
  TERM_BLOCKS,
} from './consortium.ts'

const five = consortium(5) // q = 3, f = 2, s = 4
const options = { chainId: CHAIN_ID, memberSet: five.memberSet, era: ERA, cacheMax: 1000 }
const verifier = createVerifier(options)
const signer = (member: number): Signer => five.signers[member] as Signer

const b1 = header(1, CHAIN_ID)
const b2 = header(2, b1.hash)
const other1 = header(1, CHAIN_ID, { time: 1 })
const s1 = slotFor(0, 0, b1)
const s2 = slotFor(0, 1, b2)
const closing = slotFor(0, TERM_BLOCKS - 1, header(4, b2.hash))
const start = { reason: { kind: 'start' as const, certificate: null }, tip: null, strong: null }
const vote = (slot = s1, from = 1) => ({
  kind: 'vote' as const,
  era: ERA,
  slot,
  from,
  signature: signer(from).slot('vote', ERA, slot),
  leaderSignature: leaderSignature(five, slot),
})
const commit = (slot = s1, from = 1) => ({
  kind: 'commit' as const,
  era: ERA,
  slot,
  from,
  signature: signer(from).slot('commit', ERA, slot),
  certificate: certify(five, 'vote', slot, [0, 1, 2]),
})
const status = (
  from = 3,
  tip = certify(five, 'vote', s2, [0, 1, 2]),
  strong = certify(five, 'vote', s1, [0, 1, 2, 3]),
) => ({
  kind: 'status' as const,
  era: ERA,
  view: 1,
  from,
  signature: signer(from).status(ERA, 1, tip, strong),
  tip,
  strong,
})
const equivocation = equivocate(five, s1, slotFor(0, 0, other1))

const messages: readonly Exclude<Message, { kind: 'proposal' }>[] = [
  vote(),
  commit(),
  { ...commit(), certificate: certify(five, 'commit', s1, [0, 2, 4]) },
  { kind: 'cc', era: ERA, certificate: certify(five, 'commit', closing, [4, 2, 0]) },
  { kind: 'blame', era: ERA, view: 0, from: 1, signature: signer(1).blame(ERA, 0), equivocation },
  { kind: 'blame', era: ERA, view: 7, from: 1, signature: signer(1).blame(ERA, 7), equivocation: null },
  { kind: 'bc', era: ERA, certificate: blamed(five, 2, [0, 1, 4]) },
  status(1),
  { kind: 'ask', era: ERA, nonce: 5 },
  {
    kind: 'answer',
    era: ERA,
    nonce: 5,
    view: 0,
    reason: { kind: 'start', certificate: null },
    tip: certify(five, 'vote', s2, [1, 2, 3]),
    strong: null,
    signed: [vote(), commit(), vote(s2)],
    equivocation,
    highest: certify(five, 'commit', s1, [0, 1, 2]),
  },
]

describe('verify: what honest members send', () => {
  it.each(messages.map((message) => [message.kind, message] as const))(
    '%s: comes through the wire as it was',
    (_, message) => {
      expect(verifier.verify(decoded(encodeMessage(message)), 1)).toMatchObject({ ok: true, from: 1, message })
    },
  )

  it('an answer with all reasons of a view above 0 comes through', () => {
    for (const reason of [
      { kind: 'blamed' as const, certificate: blamed(five, 0, [0, 1, 2]) },
      { kind: 'closed' as const, certificate: certify(five, 'commit', closing, [0, 1, 2]) },
    ]) {
      const answer = { ...messages.at(-1), view: 1, reason, signed: [], equivocation: null } as Message & {
        kind: 'answer'
      }
      expect(verifier.verify(decoded(encodeMessage(answer)), 0)).toMatchObject({ ok: true, message: answer })
    }
  })

  it('a proposal comes through with its header, whoever serves it; `endsEra` is read off the header', () => {
    for (const sealed of [header(1, CHAIN_ID, { transactionCount: 3 }), header(1, CHAIN_ID, { ends: true })]) {
      const { message, parts } = propose(five, 0, 0, sealed, { parentCertificate: null, justification: start })
      const result = verifier.verify(decoded(encodeProposal(message, parts)), 4) as Verified
      expect(result).toMatchObject({ ok: true, from: 0, message, parts: { transactionIds: parts.transactionIds } })
      expect(result.parts?.sealed.header).toEqual(sealed.header)
      expect(result.parts?.sealed.hash).toEqual(sealed.hash)
      expect(result.message).toMatchObject({ block: { endsEra: sealed.header.nextMemberSetHash !== null } })
    }
    const { message, parts } = propose(five, 0, 1, b2, {
      parentCertificate: certify(five, 'vote', s1, [0, 3, 4]),
      justification: null,
    })
    expect(verifier.verify(decoded(encodeProposal(message, parts)), 4)).toMatchObject({ ok: true, message })
  })

  it('the block that ends the era may be proposed again on its own certificate (§5.5)', () => {
    const ending = header(1, CHAIN_ID, { ends: true })
    const tip = certify(five, 'vote', slotFor(0, 0, ending), [0, 1, 2])
    const reason = { kind: 'blamed' as const, certificate: blamed(five, 0, [0, 1, 2]) }
    const justification = { reason, tip, strong: null }
    const again = propose(five, 1, 0, ending, { parentCertificate: null, justification })
    expect(verifier.verify(decoded(encodeProposal(again.message, again.parts)), 1)).toMatchObject({ ok: true })
    const plainTip = certify(five, 'vote', s1, [0, 1, 2])
    const plain = propose(five, 1, 0, b1, {
      parentCertificate: null,
      justification: { ...justification, tip: plainTip },
    })
    expect(verifier.verify(decoded(encodeProposal(plain.message, plain.parts)), 1)).toEqual({
      ok: false,
      code: 'CERT_STATEMENT',
    })
  })

  it('a signature is recovered once, however often it arrives, and the cache stays within its bound', () => {
    let count = 0
    const counting: typeof recover = (...of) => {
      count += 1
      return recover(...of)
    }
    const cached = createVerifier({ ...options, recover: counting })
    for (let i = 0; i < 3; i++) cached.verify(decoded(encodeMessage(vote())), 1)
    expect(count).toBe(2) // the vote and its leader signature
    cached.verify(decoded(encodeMessage(commit())), 1)
    expect(count).toBe(5) // one commit; of three votes in its certificate one is known
    const small = createVerifier({ ...options, cacheMax: 4 })
    for (const message of messages) small.verify(decoded(encodeMessage(message)), 1)
    expect(small.cached).toBe(4)
    expect(small.verify(decoded(encodeMessage(vote())), 1).ok).toBe(true)
  })

  it('what nobody signed never enters the cache', () => {
    const fresh = createVerifier(options)
    const stranger = consortium(7).signers[6] as Signer
    fresh.verify(decoded(encodeMessage({ ...vote(), signature: stranger.slot('vote', ERA, s1) })), 1)
    fresh.verify(decoded(encodeMessage({ ...vote(), signature: new Uint8Array(65) })), 1)
    expect(fresh.cached).toBe(0)
  })

  it('a certificate alone is checked as one that is attached', () => {
    const wire = (decoded(encodeMessage(commit())).unverified as WireMessage & { kind: 'commit' }).certificate
    expect(verifier.certificate(wire)).toEqual({ ok: true, certificate: commit().certificate })
    expect(verifier.certificate({ ...wire, signatures: wire.signatures.slice(1) })).toEqual({
      ok: false,
      code: 'CERT_NO_QUORUM',
    })
  })
})

const twice = (kind: 'vote' | 'commit') => {
  const certificate = certify(five, kind, s1, [0, 1, 2])
  return {
    ...certificate,
    signatures: new Map(
      [...certificate.signatures].map(([i, s], _, [first]) => [i, i === 2 ? (first as [number, Uint8Array])[1] : s]),
    ),
  }
}
const badBlames = {
  view: 2,
  signatures: new Map([
    [0, signer(0).blame(ERA, 2)],
    [1, signer(0).blame(ERA, 2)],
    [2, signer(2).blame(ERA, 2)],
  ]),
}
const answer = messages.at(-1) as Message & { kind: 'answer' }
const asked = (change: Partial<Message & { kind: 'answer' }>) => ({ ...answer, ...change })

type Row = readonly [
  situation: string,
  code: string,
  message: Exclude<Message, { kind: 'proposal' }>,
  peer?: number | null,
]
const refused: readonly Row[] = [
  ['a message of another era', 'MESSAGE_ERA', { ...vote(), era: ERA + 1 }],
  ['a vote that another member than the peer signed', 'MESSAGE_SIGNER', vote(s1, 2)],
  [
    'a vote signed in the domain of commits',
    'MESSAGE_SIGNER',
    { ...vote(), signature: signer(1).slot('commit', ERA, s1) },
  ],
  ['a vote signed for another era', 'MESSAGE_SIGNER', { ...vote(), signature: signer(1).slot('vote', ERA + 1, s1) }],
  [
    'a vote with the leader signature of a member that does not lead',
    'MESSAGE_ATTACHMENT',
    { ...vote(), leaderSignature: signer(1).slot('proposal', ERA, s1) },
  ],
  [
    'a vote with a leader signature for another block',
    'MESSAGE_ATTACHMENT',
    { ...vote(), leaderSignature: leaderSignature(five, s2) },
  ],
  ['a vote beyond the term', 'MESSAGE_MALFORMED', vote({ ...s1, seq: TERM_BLOCKS })],
  [
    'a commit with the certificate of another slot',
    'CERT_STATEMENT',
    { ...commit(), certificate: certify(five, 'vote', s2, [0, 1, 2]) },
  ],
  [
    'a commit with fewer votes than a quorum',
    'CERT_NO_QUORUM',
    { ...commit(), certificate: certify(five, 'vote', s1, [0, 1]) },
  ],
  [
    'a certificate in which one member stands twice',
    'CERT_DUPLICATE_SIGNER',
    { ...commit(), certificate: twice('vote') },
  ],
  [
    'a certificate with a signature of nobody',
    'CERT_FOREIGN_SIGNER',
    {
      ...commit(),
      certificate: { ...twice('vote'), signatures: new Map([0, 1, 2].map((i) => [i, new Uint8Array(65)])) },
    },
  ],
  [
    'commits shown as votes',
    'CERT_FOREIGN_SIGNER',
    { ...commit(), certificate: { ...certify(five, 'commit', s1, [0, 1, 2]), kind: 'vote' } },
  ],
  ['votes sent as a CC', 'CERT_STATEMENT', { kind: 'cc', era: ERA, certificate: certify(five, 'vote', s1, [0, 1, 2]) }],
  [
    'a blame signed for another view',
    'MESSAGE_SIGNER',
    { kind: 'blame', era: ERA, view: 1, from: 1, signature: signer(1).blame(ERA, 0), equivocation: null },
  ],
  [
    'a blame with the equivocation of another view',
    'MESSAGE_ATTACHMENT',
    { kind: 'blame', era: ERA, view: 1, from: 1, signature: signer(1).blame(ERA, 1), equivocation },
  ],
  [
    'an equivocation of one block',
    'MESSAGE_ATTACHMENT',
    {
      kind: 'blame',
      era: ERA,
      view: 0,
      from: 1,
      signature: signer(1).blame(ERA, 0),
      equivocation: equivocate(five, s1, s1),
    },
  ],
  [
    'an equivocation at two places',
    'MESSAGE_ATTACHMENT',
    {
      kind: 'blame',
      era: ERA,
      view: 0,
      from: 1,
      signature: signer(1).blame(ERA, 0),
      equivocation: equivocate(five, s1, s2),
    },
  ],
  [
    'an equivocation that the leader did not sign',
    'MESSAGE_ATTACHMENT',
    {
      kind: 'blame',
      era: ERA,
      view: 0,
      from: 1,
      signature: signer(1).blame(ERA, 0),
      equivocation: {
        ...equivocation,
        second: { ...equivocation.second, leaderSignature: equivocation.first.leaderSignature },
      },
    },
  ],
  ['a BC of f blames', 'CERT_NO_QUORUM', { kind: 'bc', era: ERA, certificate: blamed(five, 2, [0, 1]) }],
  ['a BC in which one member stands twice', 'CERT_DUPLICATE_SIGNER', { kind: 'bc', era: ERA, certificate: badBlames }],
  [
    'a status whose lock is not below its view',
    'CERT_STATEMENT',
    { ...status(1), ...{ tip: certify(five, 'vote', slotFor(1, 0, b1), [0, 1, 2]) }, strong: null },
  ],
  [
    'a status with a weak certificate in the place of the strong one',
    'CERT_NO_QUORUM',
    status(1, undefined, certify(five, 'vote', s1, [0, 1, 2])),
  ],
  ['a status signed for another lock', 'MESSAGE_SIGNER', { ...status(1), strong: null }],
  [
    'a status with the strong certificate of another view',
    'CERT_STATEMENT',
    status(1, undefined, certify(five, 'vote', slotFor(6, 0, b1), [0, 1, 2, 3])),
  ],
  ['a question by nobody', 'MESSAGE_SIGNER', { kind: 'ask', era: ERA, nonce: 1 }, null],
  [
    'an answer that is in view 1 since the start',
    'MESSAGE_ATTACHMENT',
    asked({ view: 1, signed: [], equivocation: null }),
  ],
  [
    'an answer with the BC of another view',
    'CERT_STATEMENT',
    asked({
      view: 2,
      signed: [],
      equivocation: null,
      reason: { kind: 'blamed', certificate: blamed(five, 0, [0, 1, 2]) },
    }),
  ],
  [
    'an answer with a CC that does not close the view before',
    'CERT_STATEMENT',
    asked({
      view: 1,
      signed: [],
      equivocation: null,
      reason: { kind: 'closed', certificate: certify(five, 'commit', s2, [0, 1, 2]) },
    }),
  ],
  ['an answer with what another member signed', 'MESSAGE_SIGNER', asked({ signed: [vote(s1, 2)] })],
  ['an answer with a vote of another view', 'MESSAGE_ATTACHMENT', asked({ signed: [vote(slotFor(5, 0, b1))] })],
  [
    'an answer whose highest CC is one of votes',
    'CERT_STATEMENT',
    asked({ highest: certify(five, 'vote', s1, [0, 1, 2]) }),
  ],
]

describe('verify: refusals', () => {
  it.each(refused.map((row) => [row[0], row[1], row] as const))('%s → %s', (_, code, [, , message, peer = 1]) => {
    expect(verifier.verify(decoded(encodeMessage(message)), peer)).toEqual({ ok: false, code })
  })

  const first = { parentCertificate: null, justification: start }
  const weak = certify(five, 'vote', s1, [0, 1, 2])
  const bc0 = { kind: 'blamed' as const, certificate: blamed(five, 0, [0, 1, 2]) }
  const proposals: readonly (readonly [string, string, ReturnType<typeof propose>])[] = [
    ['a proposal beyond the term', 'MESSAGE_MALFORMED', propose(five, 0, TERM_BLOCKS, b1, first)],
    [
      'a seq 0 with a parent certificate',
      'MESSAGE_ATTACHMENT',
      propose(five, 0, 0, b1, { ...first, parentCertificate: weak }),
    ],
    ['a seq 0 without justification', 'MESSAGE_ATTACHMENT', propose(five, 0, 0, b1, { ...first, justification: null })],
    [
      'a seq 1 without the certificate of its parent',
      'MESSAGE_ATTACHMENT',
      propose(five, 0, 1, b2, { parentCertificate: null, justification: null }),
    ],
    [
      'a seq 1 with the certificate of another block',
      'CERT_STATEMENT',
      propose(five, 0, 1, b2, {
        parentCertificate: certify(five, 'vote', slotFor(0, 0, other1), [0, 1, 2]),
        justification: null,
      }),
    ],
    ['a seq 0 of view 1 with the reason of the start', 'MESSAGE_ATTACHMENT', propose(five, 1, 0, b1, first)],
    [
      'a seq 0 of view 2 with a BC of view 0',
      'CERT_STATEMENT',
      propose(five, 2, 0, b2, { ...first, justification: { reason: bc0, tip: weak, strong: null } }),
    ],
    [
      'a tip that is not the parent',
      'CERT_STATEMENT',
      propose(five, 1, 0, header(3, b2.hash), { ...first, justification: { reason: bc0, tip: weak, strong: null } }),
    ],
    [
      'a strong certificate without a tip',
      'CERT_STATEMENT',
      propose(five, 1, 0, b1, {
        ...first,
        justification: { reason: bc0, tip: null, strong: certify(five, 'vote', s1, [0, 1, 2, 3]) },
      }),
    ],
  ]
  it.each(proposals)('%s → %s', (_, code, { message, parts }) => {
    expect(verifier.verify(decoded(encodeProposal(message, parts)), 0)).toEqual({ ok: false, code })
  })

  it('a proposal with a header of another chain, count or shape, with other ids, or not by the leader → the code that says so', () => {
    const { message, parts } = propose(five, 0, 0, b1, first)
    const code = (change: Partial<typeof parts>, changed = message) =>
      verifier.verify(decoded(encodeProposal(changed, { ...parts, ...change })), 0)
    expect(code({ header: Uint8Array.of(1) })).toEqual({ ok: false, code: 'BLOCK_MALFORMED' })
    expect(code({ transactionIds: [new Uint8Array(32)] })).toEqual({ ok: false, code: 'BLOCK_COUNT' })
    expect(code({ header: other1.bytes })).toEqual({ ok: false, code: 'MESSAGE_SIGNER' })
    const full = propose(five, 0, 0, header(1, CHAIN_ID, { transactionCount: 3 }), first)
    const listed = (transactionIds: readonly Uint8Array[]) =>
      verifier.verify(decoded(encodeProposal(full.message, { ...full.parts, transactionIds })), 0)
    expect(listed(full.parts.transactionIds)).toMatchObject({ ok: true })
    expect(listed(full.parts.transactionIds.toReversed())).toEqual({ ok: false, code: 'BLOCK_TREES' })
    const foreign = createVerifier({ ...options, chainId: new Uint8Array(32) })
    expect(foreign.verify(decoded(encodeProposal(message, parts)), 0)).toEqual({ ok: false, code: 'BLOCK_CHAIN' })
  })
})

describe('wire', () => {
  it('what is decoded does not compile as a message or an event of the core', () => {
    expectTypeOf<Unverified<WireMessage>>().not.toExtend<Message>()
    expectTypeOf<Unverified<WireMessage>>().not.toExtend<Event>()
    expectTypeOf<ReturnType<typeof decodeFrame>>().not.toExtend<Event>()
  })

  it('frames of the link come back; many keys make several frames', () => {
    for (const frame of [
      { kind: 'ack' as const, era: 1, keys: ['bc/0', 'vote/0/0/x'] },
      { kind: 'echo' as const, era: 1, nonce: 4 },
      { kind: 'echoed' as const, era: 1, nonce: 4 },
    ])
      expect(decodeFrame(encodeLinkFrame(frame))).toEqual({ kind: 'link', frame })
    const keys = Array.from({ length: ACKNOWLEDGED_KEYS_MAX + 1 }, (_, i) => `bc/${i}`)
    const frames = acknowledgements(1, keys).map((bytes) => decodeFrame(bytes))
    expect(
      frames.flatMap((frame) => (frame.kind === 'link' && frame.frame.kind === 'ack' ? frame.frame.keys : [])),
    ).toEqual(keys)
    expect(frames).toHaveLength(2)
  })

  it('an unknown kind, a missing field, foreign bytes and what is too large are refused with CborError', () => {
    const vast = new Uint8Array(PROPOSAL_BYTES_MAX + 1)
    const largeBlame = encodeCbor(['ack', [0, Array.from({ length: 512 }, (_, i) => `${'x'.repeat(110)}${i}`)]])
    for (const bytes of [
      vast,
      largeBlame.slice(1),
      encodeCbor(['toString', []]),
      encodeCbor(['ask', [0]]),
      encodeCbor([]),
      Uint8Array.of(),
    ])
      expect(() => decodeFrame(bytes)).toThrow(CborError)
    const long = encodeCbor(['ack', [0, Array.from({ length: 511 }, () => '€'.repeat(120))]])
    expect(long.length).toBeGreaterThan(LIMITS.consensusMessageBytesMax)
    expect(() => decodeFrame(long)).toThrow(CborError)
  })

  it('a vote without leader signature or a commit without certificate is not encoded', () => {
    expect(() => encodeMessage({ ...vote(), leaderSignature: null })).toThrow(CborError)
    expect(() => encodeMessage({ ...commit(), certificate: null })).toThrow(CborError)
    expect(() => encodeMessage({ ...vote(), slot: { ...s1, hash: 'b1' } })).toThrow(CborError)
  })

  it('an answer that would be too large shows the highest of what was signed', () => {
    const many = new Map(Array.from({ length: 64 }, (_, i) => [i, new Uint8Array(65).fill(i)]))
    const signed = Array.from({ length: 40 }, (_, seq) => {
      const slot = { ...s1, seq }
      return { ...commit(), slot, certificate: { ...slot, kind: 'vote' as const, signatures: many } }
    })
    const bytes = encodeMessage({ ...answer, signed })
    expect(bytes.length).toBeLessThanOrEqual(LIMITS.consensusMessageBytesMax)
    const shown = (decoded(bytes).unverified as WireMessage & { kind: 'answer' }).signed.map(({ slot }) => slot.seq)
    expect(shown.at(-1)).toBe(39)
    expect(shown.length).toBeGreaterThan(5)
  })
})
