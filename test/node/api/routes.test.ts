/** The happy path of each route, over real HTTP and a node of plain memory. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { DEFAULT_PARAMETERS } from '../../../config/genesisFile.ts'
import { encodeCbor } from '../../../protocol/cbor.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import { startingTrust } from '../../../protocol/kinds/trust/record.ts'
import { signTransaction, type TransactionDraft } from '../../../protocol/transaction.ts'
import {
  CHAIN_ID,
  fromHex,
  headerAt,
  lastSubmitted,
  NOW,
  namespaceOf,
  type Running,
  secretKeyOf,
  start,
  toHex,
} from './helper.ts'

let running: Running
beforeEach(async () => {
  running = await start()
})
afterEach(() => running.api.close())

const registration = (fill: number) => ({
  publicKey: toHex(publicKeyOf(secretKeyOf(fill))),
  hardwareId: 'SN-1',
  manufacturer: 'Siemens',
  model: 'S7-1500',
  firmware: '2.9.4',
  capabilities: ['modbus.read'],
  segment: 'cell-3',
  mode: 'enforce',
})
const signed = (fill: number, more: Partial<TransactionDraft> = {}) =>
  signTransaction(
    {
      kind: 'kv.put',
      payload: ['k', new Uint8Array(1)],
      nonce: new Uint8Array(16).fill(fill),
      validUntil: NOW,
      ...more,
    },
    CHAIN_ID,
    secretKeyOf(9),
  )

it('writes: without wait → 202 with the id of the transaction that was handed in', async () => {
  const { ask, node } = running
  const answer = await ask('/v1/devices', { method: 'POST', json: registration(5) })
  expect(answer.json).toEqual({ id: toHex(lastSubmitted(node).id), status: 'accepted', device: namespaceOf(5) })
  expect(answer.status).toBe(202)
  expect(answer.headers.get('location')).toBe(`/v1/transactions/${answer.json.id}`)
  expect(lastSubmitted(node).kind).toBe('device.register')
})

it('writes: wait=committed → 201 for a new device with height and block, and where to find it', async () => {
  const { ask, node } = running
  const answer = await ask('/v1/devices?wait=committed', { method: 'POST', json: registration(5) })
  expect(answer.status).toBe(201)
  expect(answer.json).toMatchObject({ status: 'committed', height: 1, block: toHex(node.headers[0]!.hash) })
  expect(answer.headers.get('location')).toBe(`/v1/devices/${namespaceOf(5)}`)
})

it('writes: waiting in vain → 202; refused while waiting → the problem of that code', async () => {
  const { ask, node } = running
  node.fate = { outcome: 'timeout' }
  expect((await ask('/v1/kv/a?wait=committed', { method: 'DELETE' })).status).toBe(202)
  node.fate = { outcome: 'refused', code: 'TX_EXPIRED' }
  expect((await ask('/v1/kv/a?wait=committed', { method: 'DELETE' })).json).toMatchObject({
    status: 410,
    code: 'TX_EXPIRED',
  })
})

it('devices: PATCH keeps what it does not name, DELETE retires', async () => {
  const { ask, node } = running
  const id = node.addDevice(5)
  const patched = await ask(`/v1/devices/${id}?wait=committed`, { method: 'PATCH', json: { firmware: '3.0' } })
  expect(patched.status).toBe(200)
  expect(lastSubmitted(node).payload).toEqual([fromHex(id), '3.0', ['modbus.read'], 'cell-3', 'enforce'])
  expect((await ask(`/v1/devices/${id}`, { method: 'DELETE' })).status).toBe(202)
  expect(lastSubmitted(node)).toMatchObject({ kind: 'device.retire', payload: [fromHex(id)] })
})

it('devices: trust, events, blacklist and reinstate become their kinds of transaction', async () => {
  const { ask, node } = running
  const id = node.addDevice(5)
  const device = fromHex(id)
  const report = 'ab'.repeat(32)
  const post = async (path: string, json: unknown) => {
    const answer = await ask(`/v1/devices/${id}/${path}`, { method: 'POST', json })
    expect(answer.json).toMatchObject({ status: 'accepted' })
    return lastSubmitted(node)
  }
  expect(await post('trust', { scorePpm: 5, evidence: [report], model: 'm 1' })).toMatchObject({
    kind: 'trust.score',
    payload: [device, 5, [fromHex(report)], 'm 1'],
  })
  const event = { category: 'network.listener', severityPpm: 700_000, confidencePpm: 500_000, detail: 'port' }
  const model = { hash: report, version: '1' }
  const scores = [250_000, 1]
  expect(await post('events', { observedAt: NOW, events: [event], features: 'AAEC', model, scores })).toMatchObject({
    kind: 'device.report',
    payload: [
      device,
      NOW,
      [['network.listener', 700_000, 500_000, 350_000, 'port']],
      Uint8Array.of(0, 1, 2),
      [fromHex(report), '1'],
      [250_000, 1],
    ],
  })
  const blacklist = { finalScorePpm: 1, thresholdPpm: 2, anomalies: [report], reason: 'worm' }
  expect(await post('blacklist', blacklist)).toMatchObject({
    kind: 'access.blacklist',
    payload: [device, 1, 2, [fromHex(report)], 'worm'],
  })
  expect(await post('reinstate', { approvals: ['cd'.repeat(65)] })).toMatchObject({
    kind: 'access.reinstate',
    payload: [device, [fromHex('cd'.repeat(65))]],
  })
})

it('trust of a device: how it stands, every opinion with its weight, and its history by pages', async () => {
  const { ask, node } = running
  const id = node.addDevice(6)
  const { device } = node.snapshots.get(id)!
  const rater = 'e'.repeat(40)
  const opinion = { rater, member: null, trustPpm: 210_000, weightPpm: 0, observedAt: NOW, height: 3 }
  const trust = { ...startingTrust(700_000, 1), trustPpm: 210_000, raters: 3, below: 1 }
  const parameters = DEFAULT_PARAMETERS
  node.trusts.set(id, {
    device,
    trust,
    parameters,
    opinions: [opinion],
    blacklist: undefined,
    reinstatement: undefined,
  })
  const shown = await ask(`/v1/devices/${id}/trust`)
  expect(shown.json).toMatchObject({ trustPpm: 210_000, below: 1, status: 'registered', blacklist: null })
  expect(shown.json.opinions).toEqual([opinion])
  expect(shown.json.rule).toEqual({ thresholdPpm: 300_000, patience: 2, minRaters: 3, freshnessMs: 600_000 })
  for (let sequence = 0; sequence < 5; sequence++)
    node.points.push({
      ...{ sequence, height: 10 + sequence, time: NOW, trustPpm: sequence, thresholdPpm: 300_000 },
      ...{ raters: 3, below: 0, status: 'trusted' },
    })
  const first = await ask(`/v1/devices/${id}/trust/history?limit=3`)
  expect(first.json.items.map(({ sequence }: { sequence: number }) => sequence)).toEqual([4, 3, 2])
  const second = await ask(`/v1/devices/${id}/trust/history?limit=3&cursor=${first.json.next}`)
  expect(second.json.items.map(({ sequence }: { sequence: number }) => sequence)).toEqual([1, 0])
  expect(second.json.next).toBeNull()
  const absent = 'f'.repeat(40)
  for (const path of ['trust', 'trust/history'])
    expect((await ask(`/v1/devices/${absent}/${path}`)).json).toMatchObject({ code: 'DEVICE_UNKNOWN' })
  const other = await ask(`/v1/devices/${node.addDevice(7)}/trust/history?cursor=${first.json.next}`)
  expect(other.json).toMatchObject({ code: 'CURSOR_INVALID' })
})

it('devices: list by pages, show, and events by type, newest first', async () => {
  const { ask, node } = running
  const ids = [3, 4, 5].map((fill) => node.addDevice(fill)).sort()
  const first = await ask('/v1/devices?limit=2')
  expect(first.json.items.map(({ id }: { id: string }) => id)).toEqual(ids.slice(0, 2))
  const second = await ask(`/v1/devices?limit=2&cursor=${first.json.next}`)
  expect(second.json).toMatchObject({ items: [{ id: ids[2] }], next: null })
  const id = ids[0]!
  expect((await ask(`/v1/devices/${id}`)).json).toMatchObject({
    id,
    status: 'registered',
    trust: { trustPpm: 500_000 },
  })
  const place = {
    height: 1,
    blockHash: 'b'.repeat(64),
    index: 0,
    transaction: 'a'.repeat(64),
    committedAt: 1,
    observedAt: 1,
  }
  const scores = { severityPpm: 1, confidencePpm: 1, scorePpm: 0, detail: '' }
  for (const sequence of [0, 1, 2, 3])
    node.events.push({ ...place, ...scores, sequence, category: sequence % 2 === 0 ? 'file.mode' : 'resource.cpu' })
  const newest = await ask(`/v1/devices/${id}/events?type=file.mode&limit=1`)
  expect(newest.json.items).toMatchObject([{ sequence: 2 }])
  const older = await ask(`/v1/devices/${id}/events?type=file.mode&limit=1&cursor=${newest.json.next}`)
  expect(older.json).toMatchObject({ items: [{ sequence: 0 }], next: null })
  expect((await ask(`/v1/devices/${id}/events?cursor=${newest.json.next}`)).json.code).toBe('CURSOR_INVALID')
})

it('kv: a value goes in as bytes and comes out in base64 or as bytes, with an ETag from its height', async () => {
  const { ask, node } = running
  const own = namespaceOf(1)
  const key = encodeURIComponent('line 3/söll')
  const put = { method: 'PUT', body: Uint8Array.of(0, 255, 10), type: 'application/octet-stream' }
  expect((await ask(`/v1/kv/${key}?wait=committed`, put)).json).toMatchObject({ status: 'committed', height: 1 })
  const got = await ask(`/v1/kv/${own}/${key}`)
  expect(got.json).toEqual({ namespace: own, key: 'line 3/söll', value: 'AP8K', height: 1 })
  expect(got.headers.get('etag')).toBe('"1"')
  expect((await ask(`/v1/kv/${own}/${key}`, { headers: { 'if-none-match': '"1"' } })).status).toBe(304)
  expect((await ask(`/v1/kv/${own}/${key}`, { headers: { accept: 'application/octet-stream' } })).text).toBe(
    '\0\ufffd\n',
  )
  expect((await ask(`/v1/kv/${own}/${key}`, put)).status).toBe(202)
  expect((await ask(`/v1/kv/${own}/${key}`, { headers: { 'if-none-match': '"1"' } })).status).toBe(200)
  expect((await ask(`/v1/kv/${own}/${key}`, { method: 'DELETE' })).status).toBe(202)
  expect(lastSubmitted(node)).toMatchObject({ kind: 'kv.delete', payload: ['line 3/söll'] })
  expect((await ask(`/v1/kv/${key}`, { method: 'DELETE' })).status).toBe(202)
})

it('kv: an empty value and a key of 256 characters of three bytes', async () => {
  const { ask } = running
  const key = '機'.repeat(256)
  const type = 'application/octet-stream'
  const answer = await ask(`/v1/kv/${encodeURIComponent(key)}`, { method: 'PUT', body: new Uint8Array(0), type })
  expect(answer.json).toMatchObject({ status: 'accepted' })
  const listed = await ask(`/v1/kv/${namespaceOf(1)}?limit=1`)
  expect(listed.json.items).toEqual([{ key, height: 1, valueBytes: 0 }])
})

it('kv: keys of a namespace by pages', async () => {
  const { ask } = running
  for (const key of ['a', 'b', 'c'])
    await ask(`/v1/kv/${key}`, { method: 'PUT', body: key, type: 'application/octet-stream' })
  const first = await ask(`/v1/kv/${namespaceOf(1)}?limit=2`)
  expect(first.json.items.map(({ key }: { key: string }) => key)).toEqual(['a', 'b'])
  const second = await ask(`/v1/kv/${namespaceOf(1)}?limit=2&cursor=${first.json.next}`)
  expect(second.json).toMatchObject({ items: [{ key: 'c' }], next: null })
})

it('blocks: list by pages, show by height, hash and head, certificate with who signed and who did not', async () => {
  const { ask, node } = running
  for (const height of [1, 2, 3]) node.headers.push(headerAt(height))
  const first = await ask('/v1/blocks?limit=2')
  expect(first.json.items.map(({ height }: { height: number }) => height)).toEqual([3, 2])
  expect((await ask(`/v1/blocks?limit=2&cursor=${first.json.next}`)).json).toMatchObject({
    items: [{ height: 1 }],
    next: null,
  })
  const hash = toHex(node.headers[1]!.hash)
  expect((await ask('/v1/blocks/2')).json).toMatchObject({ hash, height: 2, transactions: ['a'.repeat(64)] })
  expect((await ask(`/v1/blocks/${hash}`)).json).toMatchObject({ height: 2 })
  expect((await ask('/v1/blocks/head')).json).toMatchObject({ height: 3 })
  expect((await ask('/v1/blocks/2/certificate')).json).toMatchObject({
    kind: 'commit',
    quorum: 1,
    signed: ['Org A'],
    missing: ['Org B'],
  })
})

it('transactions: one signed elsewhere is handed in, shown, and accepted again', async () => {
  const { ask } = running
  const { bytes, id } = signed(1)
  const post = { method: 'POST', body: bytes, type: 'application/cbor' }
  expect((await ask('/v1/transactions', post)).json).toEqual({ id: toHex(id), status: 'accepted' })
  const again = await ask('/v1/transactions?wait=committed', post)
  expect(again.status).toBe(200)
  expect(again.json).toMatchObject({ id: toHex(id), height: 1 })
  expect((await ask(`/v1/transactions/${toHex(id)}`)).json).toMatchObject({
    status: 'committed',
    kind: 'kv.put',
    payload: { key: 'k', value: 'AA==' },
  })
})

it('transactions: a list tells of each what became of it; a list of two is no single transaction', async () => {
  const { ask } = running
  const list = [signed(1).bytes, Uint8Array.of(1, 2)]
  const answer = await ask('/v1/transactions', { method: 'POST', body: encodeCbor(list), type: 'application/cbor' })
  expect(answer.status).toBe(207)
  expect(answer.json).toMatchObject({
    accepted: 1,
    refused: 1,
    items: [{ status: 'accepted' }, { status: 'refused', code: 'TX_MALFORMED' }],
  })
})

it('proofs: of transactions, of state keys, and of entries by namespace and key', async () => {
  const { ask } = running
  const { bytes, id } = signed(1)
  await ask('/v1/transactions', { method: 'POST', body: bytes, type: 'application/cbor' })
  expect((await ask(`/v1/proofs/transactions/${toHex(id)}`)).json).toEqual({ proves: 'transaction', id: toHex(id) })
  const device = `device/${namespaceOf(5)}`
  expect((await ask(`/v1/proofs/state/${device}`)).json).toEqual({ proves: 'state', stateKey: device })
  const entry = `${namespaceOf(5)}/${encodeURIComponent('a/b ö')}`
  expect((await ask(`/v1/proofs/state/${entry}`)).json.stateKey).toBe(`kv/${namespaceOf(5)}/a/b ö`)
})

it('status, metrics and version answer', async () => {
  const { ask } = running
  expect((await ask('/v1/status')).json).toEqual({ height: 0 })
  const metrics = await ask('/metrics', { token: null })
  expect(metrics.text).toBe('althing_height 0\n')
  expect(metrics.headers.get('content-type')).toContain('version=0.0.4')
  expect((await ask('/version', { token: null })).json).toEqual({ version: '0.1.0-test', chainId: toHex(CHAIN_ID) })
})

it('probes: 200 while the needed checks pass, 503 with their names when one fails', async () => {
  const { ask, node } = running
  for (const path of ['/livez', '/readyz', '/healthz']) expect((await ask(path, { token: null })).status).toBe(200)
  expect((await ask('/healthz', { token: null })).json.checks).toHaveLength(3)
  node.checks = node.checks.map((check) => (check.name === 'peers' ? { ...check, ok: false } : check))
  expect((await ask('/livez', { token: null })).status).toBe(200)
  const ready = await ask('/readyz', { token: null })
  expect(ready.status).toBe(503)
  expect(ready.json).toMatchObject({ status: 'failing', checks: [{ ok: true }, { name: 'peers', ok: false }] })
})
