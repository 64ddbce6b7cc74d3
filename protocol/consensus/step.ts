/**
 * The consensus core: `step(state, event) → { state, effects }`, all of agreement.md §§3–6 for one era.
 * Invariants: an event is first remembered (reception.ts), then every rule that now holds is carried out, each arm naming its section.
 * Nothing leaves before the record that covers it is durable, and the conditions are asked again when it is. No clock, no randomness.
 */
import { mayCommit, mayCommitLate, mayVote, takesPart } from './conditions.ts'
import {
  acknowledged,
  connected,
  disconnected,
  dropOutranked,
  keepAndSend,
  maySend,
  repeat,
  repeatIntervalMs,
} from './delivery.ts'
import {
  anyCertificateFor,
  certificateFor,
  changeView,
  type Draft,
  equalsOrExtends,
  filtered,
  relation,
  slotKey,
  slotOf,
  viewRecord,
  withEntry,
  withItem,
} from './draft.ts'
import { firstLock, isStrong, lockOnEntering, pickTip } from './lock.ts'
import * as reception from './reception.ts'
import { RULES, type Rules } from './rules.ts'
import type {
  Action,
  Answer,
  Ask,
  Certificate,
  Effect,
  Era,
  Event,
  Lock,
  MemberIndex,
  Message,
  Proposal,
  Reason,
  Signer,
  SigningRecord,
  Slot,
  State,
  Timer,
} from './types.ts'

export type Step = (state: State, event: Event) => { state: State; effects: Effect[] }

/** How a run begins: `fresh` from the start of an era, `restart` with its record, `recover` without one (§6). */
export type Beginning = { kind: 'fresh' } | { kind: 'restart'; record: SigningRecord } | { kind: 'recover' }

/** The state before the event `start`. `blocks`: headers above the era's first block that are on disk already. */
export function initialState(
  era: Era,
  signer: Signer,
  beginning: Beginning,
  blocks: readonly State['era']['first'][] = [],
): State {
  const base: State = {
    era,
    signer,
    phase: 'starting',
    view: 0,
    reason: { kind: 'start' },
    quit: null,
    lock: firstLock({ era }),
    lockNow: firstLock({ era }),
    views: new Map(),
    blocks: new Map([era.first, ...blocks].map((block) => [block.hash, block])),
    validity: new Map(),
    requested: new Set(),
    highest: null,
    unplaced: [],
    myVotes: new Map(),
    myCommit: null,
    myCommits: new Set(),
    myProposals: [],
    building: null,
    built: null,
    statuses: new Map(),
    leaderWaited: false,
    waited: new Set(),
    waiting: new Set(),
    voteAcknowledged: new Map(),
    blamed: false,
    generation: 0,
    progressGeneration: 0,
    restartGeneration: 0,
    settling: null,
    restartView: -1,
    barredView: -1,
    answers: new Map(),
    restartWaited: false,
    echoes: new Map(),
    outboxes: new Map(),
    kept: new Map(),
    tick: 0,
    nonce: 0,
    ticket: 0,
    writing: null,
    queued: [],
    owed: [],
    recorded: '',
  }
  if (beginning.kind === 'fresh') return base
  if (beginning.kind === 'recover') return { ...base, phase: 'recovering' }
  const { record } = beginning
  const d: Draft = { s: { ...base, phase: 'restarting' }, effects: [], rules: RULES }
  for (const block of record.blocks) reception.learnBlock(d, block)
  for (const lock of [record.lock, record.lockNow])
    for (const certificate of [lock.tipCertificate, lock.strongCertificate])
      if (certificate !== null) reception.learnCertificate(d, certificate)
  reception.learnReason(d, record.reason)
  if (record.quit !== null) reception.learnBlames(d, record.quit.view, record.quit.signatures)
  if (record.highest !== null) reception.learnCertificate(d, record.highest)
  return {
    ...d.s,
    view: record.view,
    reason: record.reason,
    quit: record.quit,
    lock: record.lock,
    lockNow: record.lockNow,
    myVotes: new Map(record.votes.map((vote) => [vote.view, vote])),
    myCommit: record.commit,
    myProposals: record.proposals,
    highest: record.highest,
    restartView: record.view,
    barredView: record.barredView,
  }
}

/** The core of the product. */
export const step: Step = makeStep(RULES)

/** A core that follows `rules`. Only the simulator makes others than `RULES` (agreement.md §9). */
export function makeStep(rules: Rules): Step {
  return (state, event) => {
    const d: Draft = { s: { ...state }, effects: [], rules }
    receive(d, event)
    advance(d)
    return { state: d.s, effects: d.effects }
  }
}

// ---------------------------------------------------------------------------------------------------------------- events

function receive(d: Draft, event: Event): void {
  const { s } = d
  switch (event.type) {
    case 'start':
      return begin(d)
    case 'message':
      return receiveMessage(d, event.from, event.key, event.message)
    case 'acknowledged':
      acknowledged(d, event.from, event.run, event.keys)
      for (const key of event.keys) {
        if (!key.startsWith('vote/')) continue
        const known = s.voteAcknowledged.get(key.slice(5))
        if (known !== undefined)
          s.voteAcknowledged = withEntry(s.voteAcknowledged, key.slice(5), withItem(known, event.from))
      }
      return
    case 'echoed': {
      const echo = s.echoes.get(event.nonce)
      if (echo === undefined) return
      const missing = new Set(echo.missing)
      missing.delete(event.from)
      s.echoes = withEntry(s.echoes, event.nonce, { ...echo, missing })
      if (missing.size === 0) endEcho(d, event.nonce)
      return
    }
    case 'connected':
      connected(d, event.member, event.run)
      if (!maySend(s)) ask(d, event.member)
      return
    case 'disconnected':
      disconnected(d, event.member)
      return
    case 'elapsed':
      return elapsed(d, event.timer)
    case 'persisted':
      return persisted(d, event.ticket)
    case 'headers':
      for (const block of event.blocks) reception.learnBlock(d, block)
      return
    case 'validated':
      s.validity = withEntry(s.validity, event.hash, event.valid ? 'valid' : 'invalid')
      return
    case 'built':
      if (s.building?.view === event.view && s.building.seq === event.seq && s.view === event.view) {
        s.built = event.block
        s.validity = withEntry(s.validity, event.block.hash, 'valid')
        reception.learnBlock(d, event.block)
      }
      return
    case 'stalled':
      return stalled(d, event.stalledMs)
    case 'censored': // §4.4
      if (event.view === s.view) blame(d)
      return
    case 'applied':
      if (s.highest?.hash === event.hash) commitLate(d, s.highest)
      return
  }
}

function begin(d: Draft): void {
  d.effects.push({ type: 'startTimer', timer: { kind: 'repeat' }, afterMs: repeatIntervalMs(d.s) })
  if (d.s.phase === 'starting') {
    d.s.phase = 'running'
    startProgress(d)
    return
  }
  // §6: a member that restarts or recovers asks all others and listens for more than 2Δ.
  startRestartWait(d)
}

function startRestartWait(d: Draft): void {
  d.s.restartGeneration += 1
  startWait(d, { kind: 'restart', generation: d.s.restartGeneration }, 2 * d.s.era.deltaMs + 1)
}

function ask(d: Draft, to: MemberIndex): void {
  const message: Ask = { kind: 'ask', era: d.s.era.era, nonce: d.s.generation }
  d.effects.push({ type: 'send', to, key: 'ask', message })
}

function receiveMessage(d: Draft, from: MemberIndex, key: string, message: Message): void {
  if (message.era !== d.s.era.era) return
  const owe = (): void => {
    d.s.owed = [...d.s.owed, { to: from, key }]
  }
  switch (message.kind) {
    case 'proposal':
      if (reception.remembers(d, message.view % d.s.era.n, message.view)) reception.learnProposal(d, message)
      return
    case 'vote':
      if (reception.remembers(d, from, message.slot.view) && !reception.learnVote(d, message)) return
      return owe()
    case 'commit':
      if (!reception.remembers(d, from, message.slot.view)) return owe()
      // Without the certificate it rests on, a commit is ignored (§3).
      if (message.certificate === null && d.rules.commitCarriesCertificate) return owe()
      if (message.certificate !== null) reception.learnCertificate(d, message.certificate)
      reception.learnSignature(d, 'commit', message.slot, from, message.signature)
      return owe()
    case 'cc':
      reception.learnCertificate(d, message.certificate)
      return owe()
    case 'blame':
      if (message.equivocation !== null) reception.learnEquivocation(d, message.equivocation)
      if (reception.remembers(d, from, message.view))
        reception.learnBlames(d, message.view, [[from, message.signature]])
      return owe()
    case 'bc':
      reception.learnBlames(d, message.certificate.view, message.certificate.signatures)
      return owe()
    case 'status':
      for (const certificate of [message.tip, message.strong])
        if (certificate !== null) reception.learnCertificate(d, certificate)
      if ((d.s.statuses.get(from)?.view ?? -1) < message.view) d.s.statuses = withEntry(d.s.statuses, from, message)
      return owe()
    case 'ask':
      d.effects.push({ type: 'send', to: from, key: 'answer', message: answer(d, message.nonce) })
      return
    case 'answer':
      reception.learnAnswer(d, message)
      if (!maySend(d.s)) d.s.answers = withEntry(d.s.answers, from, message)
  }
}

/** §6: reason for the view, the lock that would be fixed now, what was signed in that view, an equivocation, the highest CC. */
function answer(d: Draft, nonce: number): Answer {
  const { s } = d
  const signed = [...s.kept.values()].filter(
    (kept) => (kept.kind === 'vote' || kept.kind === 'commit') && kept.slot.view === s.view,
  ) as Answer['signed']
  return {
    kind: 'answer',
    era: s.era.era,
    nonce,
    view: s.view,
    reason: s.reason,
    tip: s.lockNow.tipCertificate,
    strong: s.lockNow.strongCertificate,
    signed,
    equivocation: viewRecord(s, s.view).equivocation,
    highest: s.highest,
  }
}

// ---------------------------------------------------------------------------------------------------------------- waits

function startWait(d: Draft, timer: Timer, afterMs: number): void {
  d.effects.push({ type: 'startTimer', timer, afterMs })
}

/** §4.3: a message due when a wait ends is handled first: the wait ends when every connection has answered an echo, or Δ later. */
function elapsed(d: Draft, timer: Timer): void {
  switch (timer.kind) {
    case 'repeat':
      return repeat(d)
    case 'echo':
      return endEcho(d, timer.nonce)
    case 'progress': // §4.4
      if (timer.view === d.s.view && timer.generation === d.s.progressGeneration) blame(d)
      return
    default: {
      const missing = new Set<MemberIndex>()
      for (const [member, outbox] of d.s.outboxes) if (outbox.connected) missing.add(member)
      const nonce = ++d.s.nonce
      d.s.echoes = withEntry(d.s.echoes, nonce, { timer, missing })
      if (missing.size === 0) return endEcho(d, nonce)
      d.effects.push({ type: 'echo', to: [...missing], nonce })
      startWait(d, { kind: 'echo', nonce }, d.s.era.deltaMs)
    }
  }
}

function endEcho(d: Draft, nonce: number): void {
  const echo = d.s.echoes.get(nonce)
  if (echo === undefined) return
  d.s.echoes = filtered(d.s.echoes, (key) => key !== nonce)
  waitEnded(d, echo.timer)
}

function waitEnded(d: Draft, timer: Timer): void {
  const { s } = d
  switch (timer.kind) {
    case 'commit': {
      const key = slotKey({ ...timer, height: 0 })
      if (timer.view === s.view && s.quit === null && timer.generation === s.generation)
        s.waited = withItem(s.waited, key)
      return
    }
    case 'quit': // §5.1
      if (s.quit?.view !== timer.view || timer.generation !== s.generation) return
      if (!maySend(s)) return startQuitWait(d)
      return enter(d, timer.view + 1, { kind: 'blamed', certificate: s.quit })
    case 'leader':
      if (timer.view === s.view && timer.generation === s.generation) s.leaderWaited = true
      return
    case 'restart':
      if (timer.generation === s.restartGeneration) s.restartWaited = true
      return
    case 'settle':
      if (s.settling === timer.generation) {
        s.settling = null
        startCommitWaitsAnew(d)
      }
  }
}

function startCommitWaitsAnew(d: Draft): void {
  d.s.waiting = new Set()
  d.s.waited = new Set()
}

/** §4.3: after a stall, first all that has arrived is handled, then for Δ nothing is signed; a long one is a restart. */
function stalled(d: Draft, stalledMs: number): void {
  const { s } = d
  if (!d.rules.settleAfterStall || s.phase !== 'running' || stalledMs <= s.era.deltaMs / 4) return
  const reached = 1 + [...s.outboxes.values()].filter((outbox) => outbox.connected).length
  s.generation += 1
  if (stalledMs > s.era.deltaMs || reached < s.era.q) {
    s.phase = 'restarting'
    s.restartView = s.view
    s.restartWaited = false
    s.answers = new Map()
    startCommitWaitsAnew(d)
    for (const [member, outbox] of s.outboxes) if (outbox.connected) ask(d, member)
    startRestartWait(d)
    return
  }
  s.settling = s.generation
  startCommitWaitsAnew(d)
  startWait(d, { kind: 'settle', generation: s.generation }, s.era.deltaMs)
  if (s.quit !== null) startQuitWait(d)
  else startLeaderWait(d)
}

/** §4.4: how long no block of the view may become committed. */
function startProgress(d: Draft): void {
  const { s } = d
  const doublings = Math.max(0, s.view - 1 - (s.highest?.view ?? -1))
  const { heartbeatMs, deltaMs, bodyAllowanceMs, timeoutDoublingsMax } = s.era
  s.progressGeneration += 1
  startWait(
    d,
    { kind: 'progress', view: s.view, generation: s.progressGeneration },
    (heartbeatMs + 8 * deltaMs + bodyAllowanceMs) * 2 ** Math.min(doublings, timeoutDoublingsMax),
  )
}

// ---------------------------------------------------------------------------------------------------------------- rules

function advance(d: Draft): void {
  const { s } = d
  if (s.phase === 'starting' || s.phase === 'ended') return
  s.lockNow = lockOnEntering(d, Math.max(s.view, s.quit?.view ?? -1) + 1)
  placeCommitCertificates(d)
  if ((s.phase as State['phase']) === 'ended') return
  if (s.phase === 'forked') return flush(d)
  handover(d)
  quit(d)
  endRestart(d)
  if (viewRecord(s, s.view).equivocation !== null) blame(d)
  considerProposals(d)
  propose(d)
  vote(d)
  commit(d)
  dropOutranked(d)
  flush(d)
}

/** §4.2: a block is committed, with its ancestors, for whoever holds its CC. */
function placeCommitCertificates(d: Draft): void {
  const { s } = d
  const found: Certificate[] = [...s.unplaced]
  for (const view of s.views.keys())
    for (const { slot } of viewRecord(s, view).commits.values()) {
      const certificate = certificateFor(s, 'commit', slot)
      if (certificate !== null) found.push(certificate)
    }
  s.unplaced = []
  for (const certificate of found.sort((a, b) => a.height - b.height)) {
    const highest = s.highest
    const how = relation(s.blocks, certificate.hash, highest?.hash ?? s.era.first.hash)
    if (
      how === 'extends' ||
      (how === 'equal' && highest !== null && certificate.signatures.size > highest.signatures.size)
    ) {
      s.highest = certificate
      if (how === 'equal') {
        d.effects.push({ type: 'assurance', certificate })
        continue
      }
      d.effects.push({ type: 'commit', certificate })
      if (certificate.view === s.view) startProgress(d)
      if (s.blocks.get(certificate.hash)?.endsEra === true) {
        s.phase = 'ended' // §5.5: whoever holds a CC of it leaves every view of the era.
        return
      }
      prune(d)
    } else if (how === 'conflicts' && highest !== null && s.phase !== 'forked') {
      s.phase = 'forked'
      d.effects.push({ type: 'evidence', evidence: { kind: 'fork', first: highest, second: certificate } })
    } else if (how === 'unknown' && certificate.height > (highest?.height ?? 0)) {
      if (!s.unplaced.some((other) => other.hash === certificate.hash)) s.unplaced = [...s.unplaced, certificate]
      request(d, `h/${certificate.hash}`, { type: 'fetchHeaders', hash: certificate.hash, height: certificate.height })
    }
  }
}

function request(d: Draft, key: string, effect: Effect): void {
  if (d.s.requested.has(key)) return
  d.s.requested = withItem(d.s.requested, key)
  d.effects.push(effect)
}

/** §5.1: a CC of a block that closes a view not below its own takes a member to the next view at once, also out of a quit wait. */
function handover(d: Draft): void {
  const { s } = d
  let closing: Certificate | null = null
  for (const [view, record] of s.views) {
    if (view < s.view || view < (s.quit?.view ?? -1) || view < (closing?.view ?? -1)) continue
    for (const { slot } of record.commits.values()) {
      const certificate = slot.seq === s.era.termBlocks - 1 ? certificateFor(s, 'commit', slot) : null
      if (certificate !== null) closing = certificate
    }
  }
  if (closing === null || !maySend(s)) return
  keepAndSend(d, { kind: 'cc', era: s.era.era, certificate: closing })
  enter(d, closing.view + 1, { kind: 'closed', certificate: closing })
}

/** §5.1: a BC of this view or a later one: relay it, stop, and wait more than 2Δ, counted from the BC of the highest view so far. */
function quit(d: Draft): void {
  const { s } = d
  let found = s.quit
  for (const [view, record] of s.views)
    if (view >= s.view && record.blameCertificate !== null && view > (found?.view ?? -1))
      found = record.blameCertificate
  if (found === s.quit || found === null) return
  const first = s.quit === null
  s.quit = found
  enqueue(d, { kind: 'relay', certificate: found })
  if (first || d.rules.laterBlameRestartsQuit) startQuitWait(d)
}

function startQuitWait(d: Draft): void {
  if (d.s.quit === null) return
  d.s.generation += 1
  startWait(d, { kind: 'quit', view: d.s.quit.view, generation: d.s.generation }, d.rules.quitWaitMs(d.s.era))
}

/** §§5.1, 5.2: fix the lock and enter `view`. */
function enter(d: Draft, view: number, reason: Reason): void {
  const { s } = d
  s.lock = lockOnEntering(d, view)
  s.view = view
  s.reason = reason
  s.quit = null
  s.lockNow = lockOnEntering(d, view + 1)
  s.myProposals = []
  s.building = null
  s.built = null
  s.leaderWaited = false
  s.blamed = false
  s.voteAcknowledged = new Map()
  startCommitWaitsAnew(d)
  s.generation += 1
  startProgress(d)
  if (s.settling !== null) s.settling = s.generation
  if (s.settling !== null) startWait(d, { kind: 'settle', generation: s.generation }, s.era.deltaMs)
  startLeaderWait(d)
  enqueue(d, { kind: 'enter', view })
  d.effects.push({ type: 'viewEntered', view, reason: reason.kind })
  prune(d)
}

/** §5.3: a leader that entered through a BC listens for more than 2Δ. */
function startLeaderWait(d: Draft): void {
  const { s } = d
  if (!isLeader(s) || s.leaderWaited || s.reason.kind !== 'blamed') return
  startWait(d, { kind: 'leader', view: s.view, generation: s.generation }, 2 * s.era.deltaMs + 1)
}

const isLeader = (s: State): boolean => s.era.me === s.view % s.era.n

/** §6: the restart wait has passed. After `recover`, f+1 answers are needed too, and nothing is signed up to the highest view shown. */
function endRestart(d: Draft): void {
  const { s } = d
  if (maySend(s) || !s.restartWaited) return
  if (s.phase === 'recovering') {
    if (s.answers.size < Math.min(s.era.f + 1, s.era.n - 1)) return
    const shown = [...s.answers.values()].reduce((a, b) => (b.view > a.view ? b : a))
    s.barredView = Math.max(s.barredView, shown.view)
    if (shown.view > s.view) enter(d, shown.view, shown.reason)
  }
  s.phase = 'running'
  startProgress(d)
  startLeaderWait(d)
  if (s.quit !== null) startQuitWait(d)
  if (s.reason.kind === 'closed') keepAndSend(d, { kind: 'cc', era: s.era.era, certificate: s.reason.certificate })
  if (s.reason.kind === 'blamed') keepAndSend(d, { kind: 'bc', era: s.era.era, certificate: s.reason.certificate })
  if (s.view > s.barredView) enqueue(d, { kind: 'enter', view: s.view })
  // A recorded vote is repeated only if it could be signed now (§6); `vote` asks that when its block is here and valid.
}

/** §4.4: once per view; on an equivocation with the proof. */
function blame(d: Draft): void {
  const { s } = d
  if (s.blamed || !takesPart(d) || s.quit !== null) return
  s.blamed = true
  const signature = s.signer.blame(s.era.era, s.view)
  reception.learnBlames(d, s.view, [[s.era.me, signature]])
  const { equivocation } = viewRecord(s, s.view)
  keepAndSend(d, { kind: 'blame', era: s.era.era, view: s.view, from: s.era.me, signature, equivocation })
  quit(d)
}

/** Proposals of this view whose parent is valid are checked; missing proposals and headers are asked for (§4.1). */
function considerProposals(d: Draft): void {
  const { s } = d
  if (s.era.me < 0) return
  const record = viewRecord(s, s.view)
  for (const proposal of record.proposals.values()) {
    if (s.validity.has(proposal.block.hash)) continue
    s.validity = withEntry(s.validity, proposal.block.hash, 'asked')
    d.effects.push({ type: 'validate', proposal })
    const { parent, height } = proposal.block
    if (relation(s.blocks, proposal.block.hash, s.highest?.hash ?? s.era.first.hash) === 'unknown')
      request(d, `h/${parent}`, { type: 'fetchHeaders', hash: parent, height: height - 1 })
  }
  for (const [key, tally] of record.votes) {
    if (record.proposals.has(key) || tally.slot.height <= (s.highest?.height ?? 0)) continue
    request(d, `p/${key}`, { type: 'fetchProposal', slot: tally.slot, holders: [...tally.signatures.keys()] })
  }
  const { tip, tipCertificate } = s.lock
  if (tipCertificate !== null && relation(s.blocks, tip, s.highest?.hash ?? s.era.first.hash) === 'unknown')
    request(d, `h/${tip}`, { type: 'fetchHeaders', hash: tip, height: tipCertificate.height })
}

/** §§4.1, 5.3: the leader builds and proposes as soon as the last proposal of its view is certified. */
function propose(d: Draft): void {
  const { s } = d
  if (!takesPart(d) || s.quit !== null || !isLeader(s) || viewRecord(s, s.view).equivocation !== null) return
  if (s.queued.some(({ kind }) => kind === 'propose') || s.writing?.actions.some(({ kind }) => kind === 'propose'))
    return
  const last = s.myProposals.at(-1)
  const seq = last === undefined ? 0 : last.seq + 1
  let parent = s.era.first
  let justification: Proposal['justification'] = null
  let parentCertificate: Certificate | null = null
  if (last === undefined) {
    if (s.restartView === s.view && s.myVotes.get(s.view) !== undefined) return
    const statuses = [...s.statuses.values()].filter((status) => status.view === s.view && status.from !== s.era.me)
    if (
      s.reason.kind === 'blamed' &&
      !(statuses.length + 1 >= s.era.n || (s.leaderWaited && statuses.length + 1 >= s.era.q))
    )
      return
    justification = { reason: s.reason, ...pickTip(d, statuses) }
    const tip = justification.tip === null ? s.era.first : s.blocks.get(justification.tip.hash)
    if (tip === undefined) {
      const missing = justification.tip as Certificate
      return request(d, `h/${missing.hash}`, { type: 'fetchHeaders', hash: missing.hash, height: missing.height })
    }
    parent = tip
    if (tip.endsEra && justification.tip !== null) {
      // §5.5: a block that ends the era is proposed again as it is.
      if (s.validity.get(tip.hash) === 'valid') proposeBlock(d, seq, tip, null, justification)
      return
    }
  } else {
    if (seq >= s.era.termBlocks) return
    parentCertificate = anyCertificateFor(s, last)
    const block = s.blocks.get(last.hash)
    if (parentCertificate === null || block === undefined || block.endsEra) return
    parent = block
  }
  if (s.built !== null && s.building?.seq === seq) {
    if (s.built.parent === parent.hash) return proposeBlock(d, seq, s.built, parentCertificate, justification)
    s.building = null
  }
  if (s.building?.view === s.view && s.building.seq === seq) return
  s.building = { view: s.view, seq }
  s.built = null
  d.effects.push({ type: 'build', view: s.view, seq, parent: parent.hash, height: parent.height + 1 })
}

function proposeBlock(
  d: Draft,
  seq: number,
  block: Proposal['block'],
  parentCertificate: Certificate | null,
  justification: Proposal['justification'],
): void {
  const { s } = d
  s.myProposals = [...s.myProposals, { view: s.view, seq, height: block.height, hash: block.hash }]
  enqueue(d, {
    kind: 'propose',
    proposal: { kind: 'proposal', era: s.era.era, view: s.view, seq, block, parentCertificate, justification },
  })
}

/** §4.1. The vote binds from here on, sent or not. */
function vote(d: Draft): void {
  const { s } = d
  const recorded = s.myVotes.get(s.view)
  const proposals = [...viewRecord(s, s.view).proposals.values()].sort((a, b) => a.seq - b.seq)
  for (const proposal of proposals) {
    const slot = { view: s.view, seq: proposal.seq, height: proposal.block.height, hash: proposal.block.hash }
    const again =
      s.restartView === s.view &&
      recorded !== undefined &&
      slotKey(recorded) === slotKey(slot) &&
      !s.waiting.has(`again/${slotKey(slot)}`)
    if (!mayVote(d, proposal, again) || (again && s.voteAcknowledged.has(slotKey(slot)))) continue
    if (again) s.waiting = withItem(s.waiting, `again/${slotKey(slot)}`)
    const leaderSignature = proposal.leaderSignature
    s.myVotes = withEntry(s.myVotes, s.view, { ...slot, leaderSignature })
    enqueue(d, { kind: 'vote', slot, leaderSignature })
  }
}

/** §4.2: at once on a strong certificate, else after the wait. */
function commit(d: Draft): void {
  const { s } = d
  if (s.quit !== null) return
  for (const key of s.voteAcknowledged.keys()) {
    if (s.myCommits.has(key)) continue
    const tally = viewRecord(s, s.view).votes.get(key)
    if (tally === undefined) continue
    const certificate = anyCertificateFor(s, tally.slot)
    if (certificate === null && d.rules.commitNeedsCertificate) continue
    if (mayCommit(d, tally.slot, certificate)) {
      const carried = certificate ?? { ...tally.slot, kind: 'vote' as const, signatures: tally.signatures }
      s.myCommits = withItem(s.myCommits, key)
      s.myCommit = slotOf(tally.slot)
      enqueue(d, { kind: 'commit', slot: slotOf(tally.slot), certificate: carried, late: false })
    } else if (!s.waiting.has(key) && s.settling === null && (certificate === null || !isStrong(d, certificate))) {
      s.waiting = withItem(s.waiting, key)
      const { view, seq, hash } = tally.slot
      startWait(d, { kind: 'commit', view, seq, hash, generation: s.generation }, 2 * s.era.deltaMs + 1)
    }
  }
}

/** §7: a late commit raises the block's assurance. */
function commitLate(d: Draft, certificate: Certificate): void {
  const { s } = d
  const key = slotKey(certificate)
  if (s.myCommits.has(key) || certificate.signatures.has(s.era.me) || !mayCommitLate(d, certificate)) return
  s.myCommits = withItem(s.myCommits, key)
  enqueue(d, { kind: 'commit', slot: slotOf(certificate), certificate, late: true })
}

// ---------------------------------------------------------------------------------------------------------------- disk

function enqueue(d: Draft, action: Action): void {
  d.s.queued = [...d.s.queued, action]
}

const lockName = (lock: Lock): string => `${lock.view}/${lock.strongSeq}/${lock.tipSeq}/${lock.tip}`

/** §6: one write at a time covers everything decided since the last; acknowledgements wait for it only if it tells the disk anything new. */
function flush(d: Draft): void {
  const { s } = d
  if (s.writing !== null) return
  const fingerprint = `${s.view}|${s.quit?.view ?? -1}|${lockName(s.lock)}|${lockName(s.lockNow)}`
  if (s.queued.length === 0 && (s.owed.length === 0 || fingerprint === s.recorded || s.era.me < 0)) {
    acknowledge(d, s.owed)
    s.owed = []
    return
  }
  s.ticket += 1
  s.writing = { ticket: s.ticket, actions: s.queued, acknowledgements: s.owed }
  s.queued = []
  s.owed = []
  s.recorded = fingerprint
  d.effects.push({ type: 'persist', ticket: s.ticket, record: recordOf(d) })
}

function acknowledge(d: Draft, owed: State['owed']): void {
  const byMember = new Map<MemberIndex, string[]>()
  for (const { to, key } of owed) byMember.set(to, [...(byMember.get(to) ?? []), key])
  for (const [to, keys] of byMember) d.effects.push({ type: 'acknowledge', to, keys })
}

function recordOf(d: Draft): SigningRecord {
  const { s, rules } = d
  const lockNow = rules.recordLockNow ? s.lockNow : s.lock
  const certificates = [s.lock, lockNow].flatMap((lock) => [lock.tipCertificate, lock.strongCertificate])
  const hashes = [
    ...certificates.map((certificate) => certificate?.hash),
    ...[...s.myVotes.values()].map(({ hash }) => hash),
    s.highest?.hash,
  ]
  return {
    era: s.era.era,
    view: s.view,
    reason: s.reason,
    quit: rules.recordQuit ? s.quit : null,
    lock: s.lock,
    lockNow,
    proposals: s.myProposals,
    votes: rules.recordVotes ? [...s.myVotes.values()] : [],
    commit: s.myCommit,
    highest: s.highest,
    barredView: s.barredView,
    blocks: chainOf(s, hashes),
  }
}

/** Headers from the given blocks down to the highest committed one: what comparing them needs. */
function chainOf(s: State, hashes: readonly (string | undefined)[]): SigningRecord['blocks'] {
  const floor = s.highest?.height ?? s.era.first.height
  const blocks = new Map<string, State['era']['first']>()
  for (const hash of hashes) {
    let block = hash === undefined ? undefined : s.blocks.get(hash)
    while (block !== undefined && !blocks.has(block.hash)) {
      blocks.set(block.hash, block)
      if (block.height <= floor) break
      block = s.blocks.get(block.parent)
    }
  }
  return [...blocks.values()]
}

function persisted(d: Draft, ticket: number): void {
  const { s } = d
  if (s.writing?.ticket !== ticket) return
  const { actions, acknowledgements } = s.writing
  s.writing = null
  for (const action of actions) release(d, action)
  acknowledge(d, acknowledgements)
}

/** §6: the record is durable; the conditions are asked again, and only what still holds leaves. */
function release(d: Draft, action: Action): void {
  const { s, rules } = d
  const { era } = s
  switch (action.kind) {
    case 'propose': {
      const { proposal } = action
      if (proposal.view !== s.view || s.quit !== null || !takesPart(d)) return
      const slot: Slot = {
        view: proposal.view,
        seq: proposal.seq,
        height: proposal.block.height,
        hash: proposal.block.hash,
      }
      const message: Proposal = { ...proposal, leaderSignature: s.signer.slot('proposal', era.era, slot) }
      reception.learnProposal(d, message)
      for (let to = 0; to < era.n; to++)
        if (to !== era.me) d.effects.push({ type: 'send', to, key: `proposal/${slotKey(slot)}`, message })
      return
    }
    case 'vote': {
      const { slot, leaderSignature } = action
      const proposal = viewRecord(s, slot.view).proposals.get(slotKey(slot))
      const latest = s.myVotes.get(slot.view)
      if (rules.recheckAfterWrite) {
        if (proposal === undefined || latest === undefined || !equalsOrExtends(s.blocks, latest.hash, slot.hash)) return
        const asRecorded: Draft = {
          ...d,
          s: { ...s, myVotes: withEntry(s.myVotes, slot.view, { ...slot, leaderSignature }) },
        }
        if (!mayVote(asRecorded, proposal, true)) return
      }
      const signature = s.signer.slot('vote', era.era, slot)
      reception.learnSignature(d, 'vote', slot, era.me, signature)
      s.voteAcknowledged = withEntry(s.voteAcknowledged, slotKey(slot), new Set([era.me]))
      keepAndSend(d, {
        kind: 'vote',
        era: era.era,
        slot,
        from: era.me,
        signature,
        leaderSignature: rules.voteCarriesLeaderSignature ? leaderSignature : null,
      })
      return
    }
    case 'commit': {
      const { slot, certificate, late } = action
      if (rules.recheckAfterWrite && !(late ? mayCommitLate(d, certificate) : mayCommit(d, slot, certificate))) {
        return
      }
      const signature = s.signer.slot('commit', era.era, slot)
      reception.learnSignature(d, 'commit', slot, era.me, signature)
      const carried = rules.commitCarriesCertificate ? certificate : null
      keepAndSend(d, { kind: 'commit', era: era.era, slot, from: era.me, signature, certificate: carried })
      return
    }
    case 'relay':
      keepAndSend(d, { kind: 'bc', era: era.era, certificate: action.certificate })
      return
    case 'enter': {
      if (action.view !== s.view || s.view === 0 || !takesPart(d)) return
      const { tipCertificate: tip, strongCertificate: strong } = s.lock
      const signature = s.signer.status(era.era, s.view, tip, strong)
      const status = { kind: 'status' as const, era: era.era, view: s.view, from: era.me, signature, tip, strong }
      if (isLeader(s)) s.statuses = withEntry(s.statuses, era.me, status)
      else keepAndSend(d, status)
    }
  }
}

/** Forgets what no rule can ask for again. */
function prune(d: Draft): void {
  const { s } = d
  const lowest = Math.min(s.view - 1, s.lock.view < 0 ? s.view - 1 : s.lock.view, s.highest?.view ?? s.view)
  if ([...s.views.keys()].some((view) => view < lowest)) s.views = filtered(s.views, (view) => view >= lowest)
  const floor = (s.highest?.height ?? s.era.first.height) - 2 * Math.min(s.era.termBlocks, 64)
  const highest = s.highest
  if (highest !== null) {
    const record = viewRecord(s, highest.view)
    const fresh = (seq: number): boolean => seq >= highest.seq - 4
    changeView(d, highest.view, {
      leaderSignatures: filtered(record.leaderSignatures, fresh),
      proposals: filtered(record.proposals, (_, { seq }) => fresh(seq)),
      votes: filtered(record.votes, (_, { slot }) => fresh(slot.seq)),
      commits: filtered(record.commits, (_, { slot }) => fresh(slot.seq)),
      passed: new Set([...record.passed].filter((key) => fresh(Number(key.split('/')[1])))),
    })
    s.voteAcknowledged = filtered(s.voteAcknowledged, (key) => fresh(Number(key.split('/')[1])))
    s.myVotes = filtered(s.myVotes, (view) => view >= highest.view)
  }
  s.blocks = filtered(s.blocks, (hash, { height }) => height >= floor || hash === s.era.first.hash)
  s.validity = filtered(s.validity, (hash) => s.blocks.has(hash))
  s.myCommits = new Set([...s.myCommits].slice(-64))
  s.requested = new Set([...s.requested].slice(-64))
  s.myProposals = s.myProposals.slice(-8)
}
