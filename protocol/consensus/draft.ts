/**
 * A draft: the state that one step is making, its effects so far, and the rules it follows. The state given to `step` is never changed;
 * maps are copied before they are written. Helpers here know nothing of the protocol beyond the shape of the state.
 */
import type { Relation, Rules } from './rules.ts'
import type {
  Block,
  Certificate,
  Effect,
  Hash,
  MemberIndex,
  Signature,
  Slot,
  State,
  Tally,
  ViewRecord,
} from './types.ts'

export type Writable<T> = { -readonly [K in keyof T]: T[K] }
export type Draft = { readonly s: Writable<State>; readonly effects: Effect[]; readonly rules: Rules }

/** Key of a slot and block in every map. */
export const slotKey = (slot: Slot): string => `${slot.view}/${slot.seq}/${slot.hash}`
/** Whether two slots are the same place and block. */
export const sameSlot = (a: Slot, b: Slot): boolean => a.view === b.view && a.seq === b.seq && a.hash === b.hash
/** Only the slot's own fields of something that extends a slot. */
export const slotOf = ({ view, seq, height, hash }: Slot): Slot => ({ view, seq, height, hash })

/** A copy of `map` with `key` set. */
export function withEntry<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  return new Map(map).set(key, value)
}
/** A copy of `map` without the keys for which `keep` is false. */
export function filtered<K, V>(map: ReadonlyMap<K, V>, keep: (key: K, value: V) => boolean): ReadonlyMap<K, V> {
  const copy = new Map<K, V>()
  for (const [key, value] of map) if (keep(key, value)) copy.set(key, value)
  return copy
}
/** A copy of `set` with `item`. */
export const withItem = <T>(set: ReadonlySet<T>, item: T): ReadonlySet<T> =>
  set.has(item) ? set : new Set(set).add(item)

const EMPTY_VIEW: ViewRecord = {
  leaderSignatures: new Map(),
  proposals: new Map(),
  votes: new Map(),
  commits: new Map(),
  blames: new Map(),
  blameCertificate: null,
  equivocation: null,
  passed: new Set(),
}

/** What is remembered of `view`. */
export const viewRecord = (s: Pick<State, 'views'>, view: number): ViewRecord => s.views.get(view) ?? EMPTY_VIEW
/** Changes what is remembered of `view`. */
export function changeView(d: Draft, view: number, change: Partial<ViewRecord>): void {
  d.s.views = withEntry(d.s.views, view, { ...viewRecord(d.s, view), ...change })
}

/** Puts signatures for `slot` into a tally map; returns the same map if nothing is new. */
export function addSignatures(
  map: ReadonlyMap<string, Tally>,
  slot: Slot,
  signatures: Iterable<readonly [MemberIndex, Signature]>,
): ReadonlyMap<string, Tally> {
  const key = slotKey(slot)
  const before = map.get(key)
  let merged: Map<MemberIndex, Signature> | undefined
  for (const [member, signature] of signatures) {
    if (before?.signatures.has(member) || merged?.has(member)) continue
    merged ??= new Map(before?.signatures)
    merged.set(member, signature)
  }
  return merged === undefined ? map : withEntry(map, key, { slot: slotOf(slot), signatures: merged })
}

/** The certificate that the members' votes (or commits) for `slot` make, or null while they are no quorum. */
export function certificateFor(s: State, kind: 'vote' | 'commit', slot: Slot): Certificate | null {
  const record = viewRecord(s, slot.view)
  const tally = (kind === 'vote' ? record.votes : record.commits).get(slotKey(slot))
  return tally !== undefined && tally.signatures.size >= s.era.q
    ? { ...tally.slot, kind, signatures: tally.signatures }
    : null
}
/** A vote certificate or a CC of `slot`: a CC counts as a certificate (§3). */
export const anyCertificateFor = (s: State, slot: Slot): Certificate | null =>
  certificateFor(s, 'commit', slot) ?? certificateFor(s, 'vote', slot)

/** How block `a` stands to block `b` (§2); `unknown` while a header between them is missing. */
export function relation(blocks: ReadonlyMap<Hash, Block>, a: Hash, b: Hash): Relation {
  if (a === b) return 'equal'
  const blockA = blocks.get(a)
  const blockB = blocks.get(b)
  if (blockA === undefined || blockB === undefined) return 'unknown'
  if (blockA.height === blockB.height) return 'conflicts'
  const extended = blockA.height > blockB.height
  const lower = extended ? blockB : blockA
  let at: Block = extended ? blockA : blockB
  while (at.height > lower.height + 1) {
    const parent = blocks.get(at.parent)
    if (parent === undefined) return 'unknown'
    at = parent
  }
  if (at.parent !== lower.hash) return 'conflicts'
  return extended ? 'extends' : 'ancestor'
}
/** Whether `a` is `b` or a descendant of it, as far as the headers tell. */
export const equalsOrExtends = (blocks: ReadonlyMap<Hash, Block>, a: Hash, b: Hash): boolean => {
  const how = relation(blocks, a, b)
  return how === 'equal' || how === 'extends'
}
