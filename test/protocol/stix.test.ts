import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../protocol/bytes.ts'
import { sha3 } from '../../protocol/crypto.ts'
import { CATEGORY_NAMES } from '../../protocol/kinds/report/categories.ts'
import type { TrustPoint } from '../../protocol/kinds/trust/record.ts'
import {
  type Anomaly,
  STIX_ENTRIES_MAX,
  type StixBlock,
  stixBundle,
  TRUST_EXTENSION,
  uuid5,
} from '../../protocol/stix.ts'

const schemas = join(process.env['ALTHING_DATA'] ?? '../shared/data', 'stix21-schemas', 'schemas')
const DEVICE = 'ab'.repeat(20)
const TIME = 1_790_000_000_123

type StixObject = { readonly type: string; readonly id: string; readonly [name: string]: unknown }
const bundleOf = (block: StixBlock): { objects: StixObject[] } => JSON.parse(stixBundle(block) as string)

const anomaly = (i: number, scorePpm = 640_000): Anomaly => ({
  device: DEVICE,
  category: CATEGORY_NAMES[i % CATEGORY_NAMES.length] as Anomaly['category'],
  count: 2,
  severityPpm: 800_000,
  confidencePpm: 800_000,
  scorePpm,
  firstSeen: TIME - 5000,
  lastSeen: TIME - 100,
  transactions: ['cd'.repeat(32)],
})
const point = (over: Partial<TrustPoint> = {}): TrustPoint => ({
  sequence: 3,
  height: 812,
  time: TIME,
  trustPpm: 310_000,
  thresholdPpm: 500_000,
  raters: 4,
  below: 3,
  status: 'blacklisted',
  ...over,
})
const block = (over: Partial<StixBlock> = {}): StixBlock => ({
  chainId: new Uint8Array(32).fill(7),
  network: 'tunnel',
  createdAt: 1_780_000_000_000,
  height: 812,
  hash: new Uint8Array(32).fill(8),
  time: TIME,
  devices: new Map([
    [DEVICE, { id: DEVICE, hardwareId: 'hw 1', publicKey: `02${'c'.repeat(64)}`, registeredAt: TIME - 100_000 }],
  ]),
  anomalies: CATEGORY_NAMES.map((_, i) => anomaly(i)),
  points: [{ device: DEVICE, point: point() }],
  ...over,
})

describe('stix', () => {
  it('stix: UUIDv5 as RFC 9562 appendix A.4 has it', () => {
    const dns = Uint8Array.from(Buffer.from('6ba7b8109dad11d180b400c04fd430c8', 'hex'))
    expect(uuid5(dns, 'www.example.com')).toBe('2ed6657d-e927-568b-95e1-2665a8aea6a2')
  })

  it('stix: a block that says nothing of devices has no bundle', () => {
    expect(stixBundle(block({ anomalies: [], points: [] }))).toBeUndefined()
  })

  it('stix: the same block gives the same bytes; another time, score or device another hash', () => {
    const hash = (over: Partial<StixBlock>): string => toHex(sha3(Buffer.from(stixBundle(block(over)) as string)))
    expect(hash({})).toBe(hash({}))
    const others = [
      hash({}),
      hash({ time: TIME + 1 }),
      hash({ points: [{ device: DEVICE, point: point({ trustPpm: 310_001 }) }] }),
      hash({ points: [{ device: 'ac'.repeat(20), point: point() }] }),
    ]
    expect(new Set(others).size).toBe(others.length)
  })

  it('stix: what is about the same thing has the same id in every block', () => {
    const at = (height: number): Set<string> => new Set(bundleOf(block({ height })).objects.map(({ id }) => id))
    const shared = [...at(812)].filter((id) => at(813).has(id))
    const types = new Set(shared.map((id) => id.replace(/--.*/, '')))
    expect([...types].sort()).toEqual(['althing-trust', 'attack-pattern', 'extension-definition', 'identity', 'note'])
  })

  it('stix: every reference leads to an object of the bundle', () => {
    const { objects } = bundleOf(block())
    const ids = new Set(objects.map(({ id }) => id))
    const refs = objects.flatMap((object) =>
      Object.entries(object).flatMap(([name, value]) => (/_refs?$/.test(name) ? ([value].flat() as string[]) : [])),
    )
    expect(refs.length).toBeGreaterThan(10)
    expect(refs.filter((ref) => !ids.has(ref))).toEqual([])
    expect(ids.size).toBe(objects.length)
  })

  it('stix: a blacklisting has a course of action, a change of trust has none', () => {
    const types = (status: TrustPoint['status']): string[] =>
      bundleOf(block({ points: [{ device: DEVICE, point: point({ status }) }] })).objects.map(({ type }) => type)
    expect(types('blacklisted')).toContain('course-of-action')
    expect(types('suspect')).not.toContain('course-of-action')
  })

  it('stix: of more than a bundle holds the worst stay, and the report says how many were left out', () => {
    const many = Array.from({ length: STIX_ENTRIES_MAX + 7 }, (_, i) => ({
      ...anomaly(i, i === 0 ? 1 : 500_000 + i),
      device: i.toString(16).padStart(40, '0'),
    }))
    const { objects } = bundleOf(block({ anomalies: many, points: [] }))
    expect(objects.filter(({ type }) => type === 'sighting')).toHaveLength(STIX_ENTRIES_MAX)
    expect(objects.find(({ type }) => type === 'report')).toMatchObject({
      description: expect.stringContaining('; 7 less severe'),
    })
    const scores = objects.flatMap(
      ({ extensions }) =>
        (extensions as Record<string, { score?: number }> | undefined)?.[TRUST_EXTENSION]?.score ?? [],
    )
    expect(Math.min(...scores)).toBeGreaterThan(0.5)
  })
})

describe('stix against the OASIS schemas', () => {
  it.skipIf(!existsSync(schemas))(
    'stix: each object of a bundle, and the bundle, is valid (skipped where ../shared/data and ALTHING_DATA are missing)',
    () => {
      const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false, unicodeRegExp: false })
      for (const folder of readdirSync(schemas))
        for (const name of readdirSync(join(schemas, folder))) {
          const schema = JSON.parse(readFileSync(join(schemas, folder, name), 'utf8')) as Record<string, unknown>
          const { $schema: _, $id: __, ...rest } = schema
          ajv.addSchema({ ...rest, $id: `http://stix/${folder}/${name}` })
        }
      const folders: Record<string, string> = {
        relationship: 'sros',
        sighting: 'sros',
        'extension-definition': 'common',
        bundle: 'common',
      }
      const bundle = JSON.parse(stixBundle(block()) as string) as StixObject & { objects: StixObject[] }
      const checked = new Set<string>()
      // The bundle's own schema lists the types that it takes, and notes, groupings and extensions are not among them: those are checked one by one.
      const listed = ['attack-pattern', 'course-of-action', 'identity', 'relationship', 'report', 'sighting']
      const envelope = { ...bundle, objects: bundle.objects.filter(({ type }) => listed.includes(type)) }
      for (const object of [envelope as StixObject, ...bundle.objects]) {
        // Our own type of object has no schema there; the core of every object has.
        const path =
          object.type === 'althing-trust' ? 'common/core.json' : `${folders[object.type] ?? 'sdos'}/${object.type}.json`
        const validate = ajv.getSchema(`http://stix/${path}`)
        if (validate === undefined) throw new Error(`no schema ${path}`)
        expect(validate(object), `${object.id}: ${JSON.stringify(validate.errors?.slice(0, 2))}`).toBe(true)
        checked.add(object.type)
      }
      expect([...checked].sort()).toEqual([
        'althing-trust',
        'attack-pattern',
        'bundle',
        'course-of-action',
        'extension-definition',
        'grouping',
        'identity',
        'note',
        'relationship',
        'report',
        'sighting',
      ])
      // The schemas are used, not passed over.
      const sighting = ajv.getSchema('http://stix/sros/sighting.json')
      expect(sighting?.({ type: 'sighting' })).toBe(false)
    },
  )
})
