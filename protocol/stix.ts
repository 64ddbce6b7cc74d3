/**
 * Trust objects in STIX 2.1: what a block says of devices, as a bundle for those who share threat intelligence. Anomalies are sightings of
 * the ATT&CK technique that their category points to; changes of trust are notes with the score in an extension, and trust objects of our
 * own; a blacklisting is a course of action; a report holds it together.
 * Invariants: a bundle follows from the block's transactions, the points of trust histories at its height and what never changes in a device's
 * registration, so that all members make the same bytes; ids are UUIDv5 of what the object is about (STIX 2.1 §2.9), so that whoever
 * exports twice has each object once; text of devices is data in a field, never markup.
 */
import { sha1 } from '@noble/hashes/legacy.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import { concat, fromHex, toHex } from './bytes.ts'
import { canonicalJson, type Json } from './jcs.ts'
import { CATEGORIES, type CategoryName } from './kinds/report/categories.ts'
import type { TrustPoint } from './kinds/trust/record.ts'

/** Events of one device in one category, in one block. */
export type Anomaly = {
  readonly device: string
  readonly category: CategoryName
  readonly count: number
  /** Of the worst of them. */
  readonly severityPpm: number
  readonly confidencePpm: number
  readonly scorePpm: number
  /** The device's claims of when, ms. */
  readonly firstSeen: number
  readonly lastSeen: number
  /** The reports, hexadecimal, in block order. */
  readonly transactions: readonly string[]
}

/** A device, as it was registered. */
export type StixDevice = {
  readonly id: string
  readonly hardwareId: string
  readonly publicKey: string
  /** Block time of the registration, ms. */
  readonly registeredAt: number
}

/** What a bundle is made of. */
export type StixBlock = {
  readonly chainId: Uint8Array
  readonly network: string
  /** Time of the genesis, ms: when the consortium's identity came to be. */
  readonly createdAt: number
  readonly height: number
  readonly hash: Uint8Array
  /** Block time, ms. */
  readonly time: number
  readonly devices: ReadonlyMap<string, StixDevice>
  readonly anomalies: readonly Anomaly[]
  /** Points of the devices' trust histories at this height. */
  readonly points: readonly { readonly device: string; readonly point: TrustPoint }[]
}

/** Anomalies and points in one bundle at most; the worst and the lowest stay, and the report says how many were left out. */
export const STIX_ENTRIES_MAX = 256
/** Reports that one sighting names. */
const TRANSACTIONS_NAMED_MAX = 16
/** Namespace of our UUIDv5 ids: UUIDv5 of the URL https://althing.dev/stix in the URL namespace of RFC 9562. */
const NAMESPACE = uuid5(fromHex('6ba7b8119dad11d180b400c04fd430c8'), 'https://althing.dev/stix')

/** UUID version 5 (RFC 9562 §5.5) of `name` in `namespace` (16 bytes). */
export function uuid5(namespace: Uint8Array, name: string): string {
  const hash = sha1(concat(namespace, utf8ToBytes(name))).slice(0, 16)
  hash[6] = ((hash[6] as number) & 0x0f) | 0x50
  hash[8] = ((hash[8] as number) & 0x3f) | 0x80
  const hex = toHex(hash)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

type StixObject = { readonly type: string; readonly id: string; readonly [name: string]: Json | undefined }

const namespaceBytes = fromHex(NAMESPACE.replaceAll('-', ''))
const idOf = (type: string, about: string): string => `${type}--${uuid5(namespaceBytes, `${type}/${about}`)}`
/** Id of the extension with scores on standard objects: the same on every chain. */
export const TRUST_EXTENSION: string = idOf('extension-definition', 'trust/1')
/** The one that makes `althing-trust` a type of object. */
export const TRUST_OBJECT_EXTENSION: string = idOf('extension-definition', 'althing-trust/1')

const timestamp = (ms: number): string => new Date(ms).toISOString()
const share = (ppm: number): number => ppm / 1_000_000

/** The bundle of a block in its canonical text (RFC 8785), or undefined where the block says nothing of devices. */
export function stixBundle(block: StixBlock): string | undefined {
  if (block.anomalies.length === 0 && block.points.length === 0) return undefined
  const anomalies = worst(block.anomalies, ({ scorePpm }) => -scorePpm)
  const points = worst(block.points, ({ point }) => point.trustPpm)
  const leftOut = block.anomalies.length + block.points.length - anomalies.length - points.length
  const network = networkIdentity(block)
  const objects = new Map<string, StixObject>()
  const add = (object: StixObject): string => {
    objects.set(object.id, object)
    return object.id
  }
  add(network)
  add(extensionDefinition(block, network.id, TRUST_EXTENSION, TRUST_TEXT))
  add(extensionDefinition(block, network.id, TRUST_OBJECT_EXTENSION, TRUST_OBJECT_TEXT))
  const system = (device: string): string => add(deviceIdentity(block, network.id, device))
  for (const anomaly of anomalies) {
    const technique = add(attackPattern(block, network.id, anomaly.category))
    add(sighting(block, network.id, anomaly, technique, system(anomaly.device)))
  }
  for (const { device, point } of points) {
    const about = system(device)
    add(trustNote(block, network.id, device, point, about))
    add(trustObject(block, network.id, device, point, about))
    if (point.status === 'blacklisted') {
      const action = add(cutOff(block, network.id, device, point))
      add(relationship(block, network.id, action, 'mitigates', about))
    }
  }
  const inside = [...objects.keys()].sort()
  add(report(block, network.id, inside, anomalies.length, points.length, leftOut))
  add(grouping(block, network.id, inside))
  return canonicalJson({
    type: 'bundle',
    id: idOf('bundle', `${toHex(block.chainId)}/${block.height}`),
    objects: [...objects.keys()].sort().map((id) => objects.get(id) as StixObject),
  })
}

/** The `STIX_ENTRIES_MAX` items with the lowest value, in the order in which they came. */
function worst<T>(items: readonly T[], rankOf: (item: T) => number): T[] {
  if (items.length <= STIX_ENTRIES_MAX) return [...items]
  return items
    .map((item, i) => ({ item, i, value: rankOf(item) }))
    .sort((a, b) => a.value - b.value || a.i - b.i)
    .slice(0, STIX_ENTRIES_MAX)
    .sort((a, b) => a.i - b.i)
    .map(({ item }) => item)
}

/** Fields that all objects of ours share, but for the bundle. */
const common = (type: string, about: string, created: number, by: string | undefined) => ({
  type,
  spec_version: '2.1',
  id: idOf(type, about),
  ...(by === undefined ? {} : { created_by_ref: by }),
  created: timestamp(created),
  modified: timestamp(created),
})
const onChain = ({ chainId }: StixBlock, rest: string): string => `${toHex(chainId)}/${rest}`

const networkIdentity = (block: StixBlock): StixObject => ({
  ...common('identity', onChain(block, ''), block.createdAt, undefined),
  name: block.network,
  identity_class: 'group',
  description: `A consortium of althing; its chain is ${toHex(block.chainId)}.`,
})

const TRUST_TEXT = {
  name: 'althing trust',
  description:
    'Scores that the members of a consortium agreed on, with the block that holds them: parts of one, and what led there.',
  types: ['property-extension'],
}
const TRUST_OBJECT_TEXT = {
  name: 'althing trust object',
  description: 'A new object: the trust in one device after one block.',
  types: ['new-sdo'],
}

const extensionDefinition = (
  block: StixBlock,
  by: string,
  id: string,
  { name, description, types }: { name: string; description: string; types: string[] },
): StixObject => ({
  type: 'extension-definition',
  spec_version: '2.1',
  id,
  created_by_ref: by,
  created: timestamp(block.createdAt),
  modified: timestamp(block.createdAt),
  name,
  description,
  schema: 'https://althing.dev/stix/trust-1.json',
  version: '1.0.0',
  extension_types: types,
})

function deviceIdentity(block: StixBlock, by: string, id: string): StixObject {
  const device = block.devices.get(id)
  return {
    ...common('identity', onChain(block, `device/${id}`), device?.registeredAt ?? block.createdAt, by),
    name: id,
    identity_class: 'system',
    extensions: {
      [TRUST_EXTENSION]: {
        extension_type: 'property-extension',
        device: id,
        ...(device === undefined ? {} : { hardware_id: device.hardwareId, public_key: device.publicKey }),
      },
    },
  }
}

function attackPattern(block: StixBlock, by: string, category: CategoryName): StixObject {
  const { technique, techniqueName, description } = CATEGORIES[category]
  return {
    ...common('attack-pattern', onChain(block, `category/${category}`), block.createdAt, by),
    name: techniqueName,
    description,
    external_references: [
      { source_name: 'mitre-attack', external_id: technique, url: `https://attack.mitre.org/techniques/${technique}/` },
      { source_name: 'althing', external_id: category },
    ],
  }
}

const sighting = (block: StixBlock, by: string, anomaly: Anomaly, technique: string, device: string): StixObject => ({
  ...common('sighting', onChain(block, `${block.height}/${anomaly.device}/${anomaly.category}`), block.time, by),
  first_seen: timestamp(anomaly.firstSeen),
  last_seen: timestamp(anomaly.lastSeen),
  count: Math.min(anomaly.count, 999_999_999),
  sighting_of_ref: technique,
  where_sighted_refs: [device],
  extensions: {
    [TRUST_EXTENSION]: {
      extension_type: 'property-extension',
      severity: share(anomaly.severityPpm),
      confidence: share(anomaly.confidencePpm),
      score: share(anomaly.scorePpm),
      ...place(block),
      transactions: anomaly.transactions.slice(0, TRANSACTIONS_NAMED_MAX),
    },
  },
})

const place = (block: StixBlock) => ({ chain: toHex(block.chainId), height: block.height, block: toHex(block.hash) })

const scores = (block: StixBlock, device: string, point: TrustPoint) => ({
  device,
  trust: share(point.trustPpm),
  threshold: share(point.thresholdPpm),
  raters: point.raters,
  below: point.below,
  status: point.status,
  state_key: `trust/${device}`,
  ...place(block),
})

const trustNote = (block: StixBlock, by: string, device: string, point: TrustPoint, about: string): StixObject => ({
  ...common('note', onChain(block, `trust/${device}/${point.sequence}`), block.time, by),
  abstract: `Trust ${share(point.trustPpm)}, ${point.status}`,
  content:
    `After block ${block.height} the members' trust in device ${device} is ${share(point.trustPpm)}, the threshold ${share(point.thresholdPpm)}, ` +
    `by ${point.raters} raters; the device is ${point.status}.`,
  object_refs: [about],
  extensions: { [TRUST_EXTENSION]: { extension_type: 'property-extension', ...scores(block, device, point) } },
})

const trustObject = (block: StixBlock, by: string, device: string, point: TrustPoint, about: string): StixObject => ({
  ...common('althing-trust', onChain(block, `trust/${device}/${point.sequence}`), block.time, by),
  subject_ref: about,
  ...scores(block, device, point),
  extensions: { [TRUST_OBJECT_EXTENSION]: { extension_type: 'new-sdo' } },
})

const cutOff = (block: StixBlock, by: string, device: string, point: TrustPoint): StixObject => ({
  ...common('course-of-action', onChain(block, `blacklist/${device}/${block.height}`), block.time, by),
  name: `Cut off device ${device}`,
  description:
    `Decided at block ${block.height}: final score ${share(point.trustPpm)}, threshold ${share(point.thresholdPpm)}. ` +
    'All members refuse what it sends until a quorum reinstates it.',
  extensions: { [TRUST_EXTENSION]: { extension_type: 'property-extension', ...scores(block, device, point) } },
})

const relationship = (block: StixBlock, by: string, source: string, kind: string, target: string): StixObject => ({
  ...common('relationship', `${source}/${kind}/${target}`, block.time, by),
  relationship_type: kind,
  source_ref: source,
  target_ref: target,
})

const report = (
  block: StixBlock,
  by: string,
  inside: readonly string[],
  anomalies: number,
  points: number,
  leftOut: number,
): StixObject => ({
  ...common('report', onChain(block, `${block.height}`), block.time, by),
  name: `Block ${block.height} of ${block.network}`,
  description:
    `${anomalies} kinds of anomalies of devices, ${points} changes of trust` +
    `${leftOut === 0 ? '' : `; ${leftOut} less severe ones left out`}.`,
  report_types: ['observed-data'],
  published: timestamp(block.time),
  object_refs: inside,
})

const grouping = (block: StixBlock, by: string, inside: readonly string[]): StixObject => ({
  ...common('grouping', onChain(block, `${block.height}`), block.time, by),
  name: `Block ${block.height} of ${block.network}`,
  context: 'suspicious-activity',
  object_refs: inside,
})
