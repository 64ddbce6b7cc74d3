/**
 * A draft: the state that one step is making, its effects so far, and the rules it follows. The state given to `step` is never changed;
 * maps are copied before they are written. Helpers here know nothing of the protocol beyond the shape of the state.
 */
import { leaderOf } from '../members.ts'
import type { Effect } from './events.ts'
import type { Relation, Rules } from './rules.ts'
import type { Candidate, State, ViewRecord } from './state.ts'
import type { BlameCertificate, Block, Certificate, Hash, LeaderSlot, MemberIndex, Signature, Slot } from './types.ts'

export type Writable<T> = { -readonly [K in keyof T]: T[K] }
export type Draft = {
  readonly s: Writable<State>
  readonly effects: Effect[]
  readonly rules: Rules
  /** CCs that this step has learnt or widened, and by whom: they are placed in the tree. */
  found: { readonly certificate: Certificate; readonly from: MemberIndex }[]
  /** The BC of the highest view, not below its own, that this step has learnt. */
  foundBlame: BlameCertificate | null
  /** Whether certificates or headers were learnt, so that the lock to be fixed may be another one. */
  learnt: boolean
}

/** A draft of the step after `state`. */
export const draftOf = (state: State, rules: Rules): Draft => ({
  s: { ...state },
  effects: [],
  rules,
  found: [],
  foundBlame: null,
  learnt: false,
})

/** Where a block stands in a chain: enough to compare it, even while its header is missing. */
export type Placed = { readonly hash: Hash; readonly height: number }

/** Whether this member leads its view (§1). */
export const isLeader = (s: State): boolean => s.era.me === leaderOf(s.view, s.era.n)
/** Key of a slot and block in every map. */
export const slotKey = ({ view, seq, hash }: Pick<Slot, 'view' | 'seq' | 'hash'>): string => `${view}/${seq}/${hash}`
/** Whether two slots are the same place and block. */
export const sameSlot = (a: Slot, b: Slot): boolean =>
  a.seq === b.seq && a.hash === b.hash && a.view === b.view && a.height === b.height
/** Only the slot's own fields of something that extends a slot. */
export const slotOf = ({ view, seq, height, hash }: Slot): Slot => ({ view, seq, height, hash })

/** A copy of `map` with `key` set. */
export function withEntry<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  return new Map(map).set(key, value)
}
/** `map` without `key`; the same map if it is not there. */
export function withoutEntry<K, V>(map: ReadonlyMap<K, V>, key: K): ReadonlyMap<K, V> {
  if (!map.has(key)) return map
  const copy = new Map(map)
  copy.delete(key)
  return copy
}
/** `map` without the keys for which `keep` is false; the same map if there are none. */
export function filtered<K, V>(map: ReadonlyMap<K, V>, keep: (key: K, value: V) => boolean): ReadonlyMap<K, V> {
  const copy = new Map<K, V>()
  for (const [key, value] of map) if (keep(key, value)) copy.set(key, value)
  return copy.size === map.size ? map : copy
}
/** A copy of `set` with `item`. */
export const withItem = <T>(set: ReadonlySet<T>, item: T): ReadonlySet<T> =>
  set.has(item) ? set : new Set(set).add(item)

const EMPTY_VIEW: ViewRecord = {
  places: new Map(),
  certifiedSeq: -1,
  blames: new Map(),
  equivocation: null,
  accused: new Set(),
}
const NOBODY: ReadonlyMap<MemberIndex, Signature> = new Map()

/** What is remembered of `view`. */
export const viewRecord = (s: Pick<State, 'views'>, view: number): ViewRecord => s.views.get(view) ?? EMPTY_VIEW
/** Changes what is remembered of `view`. */
export function changeView(d: Draft, view: number, change: Partial<ViewRecord>): void {
  d.s.views = withEntry(d.s.views, view, { ...viewRecord(d.s, view), ...change })
}

/** The blocks that somebody spoke for at a place. */
export const candidatesAt = (s: Pick<State, 'views'>, view: number, seq: number): readonly Candidate[] =>
  s.views.get(view)?.places.get(seq) ?? []
/** What is remembered of `slot`. */
export const candidateOf = (s: Pick<State, 'views'>, slot: Slot): Candidate | undefined =>
  candidatesAt(s, slot.view, slot.seq).find((candidate) => sameSlot(candidate.slot, slot))
/** What is remembered of the block `hash` at a place, whatever its height is said to be. */
export const blockAt = (s: Pick<State, 'views'>, view: number, seq: number, hash: Hash): Candidate | undefined =>
  candidatesAt(s, view, seq).find(({ slot, proposal }) => slot.hash === hash && proposal !== null) ??
  candidatesAt(s, view, seq).find(({ slot }) => slot.hash === hash)

/** Changes what is remembered of `slot`, which is remembered from now on. */
export function changeCandidate(d: Draft, slot: Slot, change: Partial<Candidate>): Candidate {
  const record = viewRecord(d.s, slot.view)
  const others = record.places.get(slot.seq) ?? []
  const before = others.find((candidate) => sameSlot(candidate.slot, slot))
  const after: Candidate = {
    slot: slotOf(slot),
    leaderSignature: null,
    proposal: null,
    votes: NOBODY,
    commits: NOBODY,
    certificate: null,
    commitCertificate: null,
    passed: false,
    ...before,
    ...change,
  }
  const candidates =
    before === undefined ? [...others, after] : others.map((candidate) => (candidate === before ? after : candidate))
  changeView(d, slot.view, { places: withEntry(record.places, slot.seq, candidates) })
  return after
}

/** The leader signatures known at a place, of different blocks. */
export function leaderSlotsAt(s: Pick<State, 'views'>, view: number, seq: number): LeaderSlot[] {
  const found: LeaderSlot[] = []
  for (const { slot, leaderSignature } of candidatesAt(s, view, seq))
    if (leaderSignature !== null && !found.some(({ hash }) => hash === slot.hash))
      found.push({ ...slot, leaderSignature })
  return found
}

/** A vote certificate or a CC of `slot`, or null: a CC counts as a certificate (§3). */
export function anyCertificateFor(s: Pick<State, 'views'>, slot: Slot): Certificate | null {
  const candidate = candidateOf(s, slot)
  return candidate?.commitCertificate ?? candidate?.certificate ?? null
}

/** The highest committed block that is known, or the one that the era started from. */
export const committedTip = (s: Pick<State, 'highest' | 'era'>): Placed => s.highest ?? s.era.first

/** How block `a` stands to block `b` (§2). Of the lower one only hash and height are needed. */
export function relation(blocks: ReadonlyMap<Hash, Block>, a: Placed, b: Placed): Relation {
  if (a.hash === b.hash) return 'equal'
  if (a.height === b.height) return 'conflicts'
  const extended = a.height > b.height
  const [higher, lower] = extended ? [a, b] : [b, a]
  let at = blocks.get(higher.hash)
  while (at !== undefined && at.height > lower.height + 1) at = blocks.get(at.parent)
  if (at === undefined) return 'unknown'
  if (at.parent !== lower.hash) return 'conflicts'
  return extended ? 'extends' : 'ancestor'
}
/** Whether `a` is `b` or a descendant of it, as far as the headers tell. */
export function equalsOrExtends(blocks: ReadonlyMap<Hash, Block>, a: Placed, b: Placed): boolean {
  const how = relation(blocks, a, b)
  return how === 'equal' || how === 'extends'
}
/** Whether `a` conflicts with `b`, or may: while headers are missing it counts as a conflict (§2). */
export function mayConflict(blocks: ReadonlyMap<Hash, Block>, a: Placed, b: Placed): boolean {
  const how = relation(blocks, a, b)
  return how === 'conflicts' || how === 'unknown'
}
/** The highest header that is missing on the way from `from` down to `height`, or null. */
export function missingHeader(blocks: ReadonlyMap<Hash, Block>, from: Placed, height: number): Placed | null {
  let at: Placed = from
  while (at.height > height) {
    const block = blocks.get(at.hash)
    if (block === undefined) return at
    at = { hash: block.parent, height: block.height - 1 }
  }
  return null
}
/** The headers from `from` down to, and not including, `height`. */
export function headersDown(blocks: ReadonlyMap<Hash, Block>, from: Placed, height: number): Block[] {
  const found: Block[] = []
  for (let at = blocks.get(from.hash); at !== undefined && at.height > height; at = blocks.get(at.parent))
    found.push(at)
  return found
}
