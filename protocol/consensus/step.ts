/**
 * The core of the product: `step(state, event) → { state, effects }`, and the state that a run begins with (agreement.md §§5.5, 6).
 */
import { draftOf } from './draft.ts'
import { firstLock } from './lock.ts'
import { makeStep, type Step } from './machine.ts'
import { learnCertificates, learnReason } from './reception.ts'
import { RULES } from './rules.ts'
import type { State } from './state.ts'
import type { Block, Certificate, Era, Signer, SigningRecord } from './types.ts'

/**
 * How a run begins: `fresh`; `restart` with the member's record; `recover` without one (§6). In a later era the first and the last come with the
 * CC of the block that ended the era before (§5.5): it is the reason for view 0. A record has it.
 */
export type Beginning =
  | { readonly kind: 'fresh' | 'recover'; readonly certificate?: Certificate }
  | { readonly kind: 'restart'; readonly record: SigningRecord }

/** What the ledger holds at the start: headers above the era's first block, and the CC of its head, if that is of this era. */
export type Known = { readonly blocks: readonly Block[]; readonly certificate: Certificate | null }
const NOTHING: Known = { blocks: [], certificate: null }

/** The core. It never changes the state it is given. */
export const step: Step = makeStep(RULES)

/** The state before the event `start`. */
export function initialState(era: Era, signer: Signer, beginning: Beginning, known: Known = NOTHING): State {
  const begun: State =
    beginning.kind === 'restart'
      ? recorded(emptyState(era, signer, null), beginning.record)
      : {
          ...emptyState(era, signer, beginning.certificate ?? null),
          phase: beginning.kind === 'recover' ? 'recovering' : 'starting',
        }
  return withKnown(begun, known)
}

function emptyState(era: Era, signer: Signer, certificate: Certificate | null): State {
  const lock = firstLock({ era })
  return {
    era,
    signer,
    phase: 'starting',
    view: 0,
    previousView: 0,
    reason: { kind: 'start', certificate },
    quit: null,
    quitWait: 'none',
    closing: null,
    lock,
    lockNow: lock,
    unresolved: [],
    views: new Map(),
    later: new Map(),
    blocks: new Map([[era.first.hash, era.first]]),
    validity: new Map(),
    requested: new Map(),
    highest: null,
    unplaced: new Map(),
    suspects: new Map(),
    fork: null,
    assured: new Map(),
    votes: new Map(),
    votesFrom: 0,
    commit: null,
    proposal: null,
    ballots: new Map(),
    late: null,
    building: null,
    built: null,
    statuses: new Map(),
    leaderWaited: false,
    blamed: false,
    blameDue: false,
    generation: 0,
    progressGeneration: 0,
    restartGeneration: 0,
    settleGeneration: 0,
    settling: false,
    restartView: -1,
    repeatVote: false,
    repeatCommit: false,
    barredView: -1,
    answers: new Map(),
    askNonce: 0,
    restartWaited: false,
    echoes: new Map(),
    links: new Map(),
    kept: new Map(),
    tick: 0,
    nonce: 0,
    ticket: 0,
    writing: null,
    durable: null,
    queued: [],
    owed: new Map(),
  }
}

/** §6: a restart knows what its record holds, and is silent at first. */
function recorded(base: State, record: SigningRecord): State {
  const { view, lock, lockNow, unresolved, highest } = record
  const blocks = new Map([...base.blocks, ...record.blocks.map((block) => [block.hash, block] as const)])
  const ended = highest !== null && blocks.get(highest.hash)?.endsEra === true
  return {
    ...base,
    phase: record.fork !== null ? 'forked' : ended ? 'ended' : record.recovering ? 'recovering' : 'restarting',
    view,
    previousView: view,
    reason: record.reason,
    quit: record.quit,
    lock,
    lockNow,
    unresolved,
    ...certified({ ...base, view, previousView: view, lock, lockNow, blocks }, record),
    blocks,
    highest,
    fork: record.fork,
    assured: new Map(highest === null ? [] : [[highest.hash, highest.signatures.size]]),
    votes: new Map(record.votes.map((vote) => [vote.view, vote])),
    votesFrom: record.votesFrom,
    commit: record.commit,
    proposal: record.proposal,
    restartView: view,
    repeatVote: true,
    repeatCommit: true,
    barredView: record.barredView,
    durable: record,
  }
}

/** What a state knows that has learnt the certificates of `record`. */
function certified(
  state: State,
  { lock, lockNow, unresolved, highest, reason }: SigningRecord,
): Pick<State, 'views' | 'closing'> {
  const d = draftOf(state, RULES)
  const shown = [lock.tipCertificate, lock.strongCertificate, lockNow.tipCertificate, lockNow.strongCertificate]
  learnCertificates(d, [...shown, ...unresolved, highest], state.era.me)
  learnReason(d, reason, state.era.me)
  return { views: d.s.views, closing: d.s.closing }
}

/** The ledger may be ahead of the record: its head is committed whatever the record says. */
function withKnown(state: State, { blocks, certificate }: Known): State {
  const all = new Map([...state.blocks, ...blocks.map((block) => [block.hash, block] as const)])
  if (certificate === null || certificate.height <= (state.highest?.height ?? state.era.first.height))
    return { ...state, blocks: all }
  const d = draftOf({ ...state, blocks: all }, RULES)
  learnCertificates(d, [certificate], state.era.me)
  const endsEra = all.get(certificate.hash)?.endsEra === true && state.phase !== 'forked'
  return {
    ...d.s,
    highest: certificate,
    phase: endsEra ? 'ended' : state.phase,
    assured: new Map([[certificate.hash, certificate.signatures.size]]),
  }
}
