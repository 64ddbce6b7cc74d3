/** A node of plain memory behind the API, tokens for it, and requests over real HTTP. */
import { SignJWT } from 'jose'
import { DEFAULT_PARAMETERS } from '../../../config/genesisFile.ts'
import { type Api, type ApiOptions, createApi } from '../../../node/api/api.ts'
import type {
  AnchoredBundle,
  ApiDependencies,
  DeviceEvent,
  DeviceSnapshot,
  DeviceTrust,
  Fate,
  FeedEvent,
  HealthCheck,
  KnownTransaction,
  Offence,
  OpenProposal,
  PublishedModule,
  SigningKey,
  Submission,
  Subscription,
} from '../../../node/api/dependencies.ts'
import { type SealedHeader, sealHeader } from '../../../protocol/block.ts'
import { fromHex, toHex, ZERO_HASH } from '../../../protocol/bytes.ts'
import { CborError } from '../../../protocol/cbor.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import { kvStateKey } from '../../../protocol/kinds/kv/kv.ts'
import { startingTrust, type TrustPoint } from '../../../protocol/kinds/trust/record.ts'
import { addressOf } from '../../../protocol/signature.ts'
import type { StateEntry } from '../../../protocol/state/entry.ts'
import { decodeTransaction, signerOf, type Transaction } from '../../../protocol/transaction.ts'
import type { Code } from '../../../protocol/verdict.ts'

export const SECRET = new TextEncoder().encode('0123456789abcdef0123456789abcdef')
export const CHAIN_ID = new Uint8Array(32).fill(7)
export const NOW = 1_790_000_000_000
export const secretKeyOf = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)
export const namespaceOf = (fill: number): string => toHex(addressOf(publicKeyOf(secretKeyOf(fill))))

/** A header at `height`. */
export const headerAt = (height: number, transactionCount = 1): SealedHeader =>
  sealHeader({
    version: 1,
    chainId: CHAIN_ID,
    era: 0,
    height,
    parent: ZERO_HASH,
    time: NOW + height,
    treesRoot: ZERO_HASH,
    transactionCount,
    stateRoot: ZERO_HASH,
    historyRoot: ZERO_HASH,
    memberSetHash: ZERO_HASH,
    nextMemberSetHash: null,
    modulesHash: ZERO_HASH,
  })

/** A node that commits each accepted transaction at once unless told otherwise. */
export class FakeNode implements ApiDependencies {
  readonly chainId = CHAIN_ID
  readonly version = '0.1.0-test'
  time = NOW
  nonces = 0
  /** Transactions handed in, accepted or not. */
  readonly submitted: Transaction[] = []
  readonly known = new Map<string, KnownTransaction>()
  readonly headers: SealedHeader[] = []
  readonly state = new Map<string, StateEntry>()
  readonly snapshots = new Map<string, DeviceSnapshot>()
  readonly events: DeviceEvent[] = []
  readonly feed: FeedEvent[] = []
  readonly listeners = new Set<(event: FeedEvent) => void>()
  checks: HealthCheck[] = [
    { name: 'database', ok: true, detail: 'open', needed: 'alive' },
    { name: 'peers', ok: true, detail: '3 of 3', needed: 'ready' },
    { name: 'clock', ok: false, detail: 'skew 2 s', needed: 'never' },
  ]
  /** Code with which the pool refuses whatever comes, if any. */
  refuseWith: Code | undefined
  /** What waiting comes to, if not what is known. */
  fate: Fate | undefined
  /** Thrown by `status`. */
  failure: unknown
  /** Why events that are asked for are not all here, if so. */
  gap: Subscription['gap'] = null
  readonly keys = new Map<string, SigningKey>(
    [
      ['admin', 1],
      ['other', 2],
    ].map(([name, fill]) => {
      const secretKey = secretKeyOf(fill as number)
      return [name as string, { secretKey, publicKey: publicKeyOf(secretKey) }]
    }),
  )

  now(): number {
    return this.time
  }
  randomNonce(): Uint8Array {
    return new Uint8Array(16).fill(++this.nonces)
  }
  signingKey(name: string): SigningKey | undefined {
    return this.keys.get(name)
  }
  async submit(list: readonly Uint8Array[]): ReturnType<ApiDependencies['submit']> {
    return list.map((bytes) => this.#submitOne(bytes))
  }
  #submitOne(bytes: Uint8Array): Submission {
    let transaction: Transaction
    try {
      transaction = decodeTransaction(bytes)
    } catch (error) {
      if (error instanceof CborError) return { ok: false, code: 'TX_MALFORMED' }
      throw error
    }
    if (this.refuseWith !== undefined) return { ok: false, code: this.refuseWith }
    const signer = signerOf(transaction, CHAIN_ID)
    if (signer === undefined) return { ok: false, code: 'TX_SIGNATURE' }
    const used = this.submitted.some(
      (other) => toHex(other.nonce) === toHex(transaction.nonce) && toHex(signerOf(other, CHAIN_ID)!) === toHex(signer),
    )
    if (used) return { ok: false, code: 'TX_REPLAYED' }
    this.submitted.push(transaction)
    const id = toHex(transaction.id)
    const height = this.headers.length + 1
    const sealed = headerAt(height)
    this.headers.push(sealed)
    const place = { height, blockHash: toHex(sealed.hash), index: 0, committedAt: NOW }
    this.known.set(id, { state: 'committed', bytes, signer: toHex(signer), ...place })
    if (transaction.kind === 'kv.put') {
      const [key, value] = transaction.payload as [string, Uint8Array]
      this.state.set(kvStateKey(toHex(addressOf(signer)), key), { height, value })
    }
    return { ok: true, id }
  }
  async waitFor(id: string): Promise<Fate> {
    const known = this.known.get(id)
    if (this.fate !== undefined) return this.fate
    return known?.state === 'committed' ? { outcome: 'committed', ...known } : { outcome: 'timeout' }
  }
  async head() {
    return this.headers.at(-1)
  }
  async blocks({ before, limit }: { before: number | undefined; limit: number }) {
    return this.headers
      .filter(({ header }) => header.height < (before ?? Number.POSITIVE_INFINITY))
      .reverse()
      .slice(0, limit)
  }
  async block(name: number | string) {
    const sealed = this.headers.find(({ header, hash }) => header.height === name || toHex(hash) === name)
    return sealed && { sealed, transactionIds: ['a'.repeat(64)] }
  }
  async certificate(height: number) {
    const sealed = this.headers[height - 1]
    if (sealed === undefined) return undefined
    const statement = { era: 0, view: 3, seq: 4, height, hash: sealed.hash }
    return {
      certificate: { kind: 'commit' as const, statement, signatures: [new Uint8Array(65)] },
      quorum: 1,
      members: [
        { name: 'Org A', publicKey: `02${'1'.repeat(64)}`, signed: true },
        { name: 'Org B', publicKey: `03${'2'.repeat(64)}`, signed: false },
      ],
    }
  }
  async transaction(id: string) {
    return this.known.get(id)
  }
  async stateEntry(stateKey: string) {
    return this.state.get(stateKey)
  }
  async namespaceKeys(namespace: string, { after, limit }: { after: string | undefined; limit: number }) {
    const prefix = kvStateKey(namespace, '')
    return [...this.state]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, { height, value }]) => ({ key: key.slice(prefix.length), height, valueBytes: value.length }))
      .filter(({ key }) => after === undefined || key > after)
      .sort((a, b) => (a.key < b.key ? -1 : 1))
      .slice(0, limit)
  }
  async era() {
    const parameters = { ...DEFAULT_PARAMETERS }
    const members = [{ name: 'Org A', publicKey: publicKeyOf(secretKeyOf(1)) }]
    const addresses = new Map([[toHex(publicKeyOf(secretKeyOf(1))), ['/dns4/a.example.org/tcp/7379']]])
    return { era: 2, height: 7, memberSet: { members, parameters }, proposal: new Uint8Array(32).fill(10), addresses }
  }
  readonly open: OpenProposal[] = []
  async proposals({ after, limit }: { after: string | undefined; limit: number }) {
    return this.open.filter(({ id }) => after === undefined || id > after).slice(0, limit)
  }
  async proposal(wanted: string) {
    return this.open.find(({ id }) => id === wanted)
  }
  readonly published = new Map<string, PublishedModule>()
  async modules({ after, limit }: { after: string | undefined; limit: number }) {
    return [...this.published.values()].filter(({ hash }) => after === undefined || hash > after).slice(0, limit)
  }
  async module(hash: string) {
    return this.published.get(hash)
  }
  async moduleCode(hash: string) {
    return this.published.has(hash) ? Uint8Array.of(0, 0x61, 0x73, 0x6d) : undefined
  }
  readonly recorded: Offence[] = []
  async offences({ member, after, limit }: { member: string | undefined; after: string | undefined; limit: number }) {
    return this.recorded
      .filter((one) => (member === undefined || one.member === member) && (after === undefined || one.key > after))
      .slice(0, limit)
  }
  readonly anchored: AnchoredBundle[] = []
  async stixBundles({ after = 0, limit }: { after: number | undefined; limit: number }) {
    return this.anchored.filter(({ height }) => height > after).slice(0, limit)
  }
  async stixBundle(height: number) {
    if (height > 9) return 'unknown'
    return this.anchored.some((one) => one.height === height) ? { text: '{"type":"bundle"}' } : 'none'
  }
  async device(id: string) {
    return this.snapshots.get(id)
  }
  async devices({ after, limit }: { after: string | undefined; limit: number }) {
    const all = [...this.snapshots.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
    return all.filter(({ id }) => after === undefined || id > after).slice(0, limit)
  }
  async deviceEvents(
    _id: string,
    { category, before, limit }: { category: string | undefined; before: number | undefined; limit: number },
  ) {
    return this.events
      .filter((event) => category === undefined || event.category === category)
      .filter(({ sequence }) => before === undefined || sequence < before)
      .sort((a, b) => b.sequence - a.sequence)
      .slice(0, limit)
  }
  readonly trusts = new Map<string, DeviceTrust>()
  readonly points: TrustPoint[] = []
  async deviceTrust(id: string) {
    return this.trusts.get(id)
  }
  async trustHistory(_id: string, { before, limit }: { before: number | undefined; limit: number }) {
    return this.points
      .filter(({ sequence }) => before === undefined || sequence < before)
      .toReversed()
      .slice(0, limit)
  }
  async *backup(): AsyncIterable<Uint8Array> {
    yield Buffer.from('althing backup 1\n')
  }

  recentLog(): readonly string[] {
    return ['{"level":30,"msg":"serving"}']
  }

  held(): { firstHeight: number; firstBody: number } {
    return { firstHeight: 1, firstBody: 1 }
  }

  async transactionProof(id: string) {
    return this.known.has(id) ? `${JSON.stringify({ proves: 'transaction', id })}\n` : undefined
  }
  async stateProof(stateKey: string) {
    return `${JSON.stringify({ proves: 'state', stateKey })}\n`
  }
  async status() {
    if (this.failure !== undefined) throw this.failure
    return { height: this.headers.length }
  }
  async metrics() {
    return { contentType: 'text/plain; version=0.0.4; charset=utf-8', text: 'althing_height 0\n' }
  }
  async health() {
    return this.checks
  }
  subscribe(after: string | undefined, listener: (event: FeedEvent) => void) {
    this.listeners.add(listener)
    const start = after === undefined ? this.feed.length : this.feed.findIndex(({ id }) => id === after) + 1
    return {
      replay: this.feed.slice(start),
      gap: this.gap,
      close: () => void this.listeners.delete(listener),
    }
  }
  emit(event: FeedEvent): void {
    this.feed.push(event)
    for (const listener of this.listeners) listener(event)
  }
  addDevice(fill: number, changes: Partial<DeviceSnapshot['device']> = {}): string {
    const publicKey = publicKeyOf(secretKeyOf(fill))
    const id = toHex(addressOf(publicKey))
    this.snapshots.set(id, {
      id,
      device: {
        publicKey,
        hardwareId: `SN-${fill}`,
        manufacturer: 'Siemens',
        model: 'S7-1500',
        firmware: '2.9.4',
        capabilities: ['modbus.read'],
        segment: 'cell-3',
        owner: `03${'1'.repeat(64)}`,
        mode: 'enforce',
        status: 'registered',
        registeredAt: 1,
        statusSince: 1,
        ...changes,
      },
      trust: startingTrust(500_000, 1),
    })
    return id
  }
}

/** Claims that make a token another than a good one. */
export type TokenChanges = {
  subject?: string
  scope?: string
  issuer?: string
  audience?: string
  expiresAtS?: number | null
  secret?: Uint8Array
}

/** A token of the API key `admin` with every scope, or with `changes`. */
export async function token(changes: TokenChanges = {}): Promise<string> {
  const jwt = new SignJWT({ scope: changes.scope ?? 'read write operate' })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuer(changes.issuer ?? 'althing')
    .setAudience(changes.audience ?? 'althing-api')
    .setSubject(changes.subject ?? 'admin')
    .setIssuedAt(NOW / 1000)
  if (changes.expiresAtS !== null) jwt.setExpirationTime(changes.expiresAtS ?? NOW / 1000 + 3600)
  return jwt.sign(changes.secret ?? SECRET)
}

/** Options of an API on a free port of loopback. */
export const optionsWith = (changes: Partial<ApiOptions> = {}): ApiOptions => ({
  listen: { host: '127.0.0.1', port: 0 },
  tokenSecret: SECRET,
  issuer: 'althing',
  audience: 'althing-api',
  requestsPerMinuteMax: 100_000,
  bodyBytesMax: 64 * 1024,
  requestTimeoutMs: 5000,
  ...changes,
})

/** A request: JSON bodies are encoded, and a good token goes along unless another (or none) is named. */
export type Asked = {
  method?: string
  json?: unknown
  body?: Uint8Array | string
  type?: string
  headers?: Record<string, string>
  token?: string | null
}
/** An answer with its JSON, where it is JSON. */
// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as they come
export type Answered = { status: number; headers: Headers; json: any; text: string }

/** An API over a fake node. */
export type Running = {
  node: FakeNode
  api: Api
  ask(path: string, asked?: Asked): Promise<Answered>
}

/** Starts an API over a fake node. The caller closes `api`. */
export async function start(changes: Partial<ApiOptions> = {}): Promise<Running> {
  const node = new FakeNode()
  const api = createApi(optionsWith(changes), node)
  await api.listen()
  const good = await token()
  return {
    node,
    api,
    async ask(path, asked = {}) {
      const type = asked.json === undefined ? asked.type : 'application/json'
      const bearer = asked.token === undefined ? good : asked.token
      const body = asked.json === undefined ? asked.body : JSON.stringify(asked.json)
      const response = await fetch(new URL(path, api.url), {
        method: asked.method ?? 'GET',
        headers: {
          ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
          ...(type === undefined ? {} : { 'content-type': type }),
          ...asked.headers,
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : Buffer.from(body) }),
      })
      const text = await response.text()
      const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== ''
      return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined }
    },
  }
}

/** The payload of the newest transaction handed in. */
export const lastSubmitted = (node: FakeNode): Transaction => node.submitted.at(-1)!
export { fromHex, toHex }
