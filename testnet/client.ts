/**
 * Stage: the operator. A member of a testnet through its public API: the same requests that anyone with a token can make.
 * Invariants: tokens are made of the member's own secret, for a few minutes, and never printed; a member that does not answer is undefined,
 * not an error, for in a testnet members are killed on purpose.
 */
import { type ApiClient, createApiClient } from '../cli/client.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { readText } from '../cli/files.ts'
import { type Scope, secondsNow, signToken } from '../cli/token.ts'
import { inHome } from '../config/home.ts'
import { CONFIG_CHARACTERS_MAX, parseNodeConfig } from '../config/nodeConfig.ts'
import { readTokenSecret } from '../config/tokenSecret.ts'
import { isAlthingError } from '../node/errors.ts'
import type { WireCertificate } from '../protocol/certificate.ts'
import type { Witness } from './checker.ts'
import { API_KEY, homeIn, type MemberPlace } from './homes.ts'
import {
  type HeaderView,
  type MemberStatus,
  readCertificate,
  readHeader,
  readPage,
  readSigned,
  readStatus,
  readTransaction,
  readTransactionIds,
} from './status.ts'

const OWN_TOKEN_LIFETIME_S = 3600
const PAGE_ITEMS = 100

/** One member's API. */
export class MemberClient {
  readonly name: string
  readonly url: string
  readonly #folder: string
  readonly #metricsUrl: string
  #client: { readonly api: ApiClient; readonly renewAtS: number; readonly timeoutMs: number } | undefined

  /** `host`: where its API answers. */
  constructor(folder: string, place: MemberPlace, host = '127.0.0.1') {
    this.#folder = folder
    this.name = place.name
    this.#metricsUrl = `http://${host}:${place.metricsPort}/metrics`
    this.url = `http://${host}:${place.apiPort}`
  }

  /** A token of this member's API key `admin`. CommandError TESTNET_HOME if the home is damaged. */
  async token(scopes: readonly Scope[], lifetimeS: number): Promise<string> {
    const home = homeIn(this.#folder, this.name)
    const text = await readText(home.configFile, CONFIG_CHARACTERS_MAX)
    const parsed = parseNodeConfig({ file: { name: 'config.toml', text } })
    if (!parsed.ok) throw new CommandError('TESTNET_HOME', EXIT.configuration, `${home.configFile} is not valid`)
    const { config } = parsed.value
    const secret = await readTokenSecret(inHome(home, config.api.tokenSecretFile))
    if (!secret.ok)
      throw new CommandError('TESTNET_HOME', EXIT.configuration, `the token secret of ${this.name} cannot be used`)
    return signToken(secret.value, config, { subject: API_KEY, scopes, lifetimeS, nowS: secondsNow() })
  }

  /** The client of the command line, with a token for reading and writing. Errors are those of cli/client.ts. */
  async api(timeoutMs = 5000): Promise<ApiClient> {
    const known = this.#client
    if (known !== undefined && known.renewAtS > secondsNow() && known.timeoutMs === timeoutMs) return known.api
    const token = await this.token(['read', 'write'], OWN_TOKEN_LIFETIME_S)
    const api = createApiClient({ baseUrl: this.url, token, timeoutMs })
    this.#client = { api, renewAtS: secondsNow() + OWN_TOKEN_LIFETIME_S / 2, timeoutMs }
    return api
  }

  /** JSON of a GET below /v1, or undefined where the member does not answer or knows nothing of it. Other errors pass through. */
  async get(segments: readonly string[], query: Readonly<Record<string, string>> = {}): Promise<unknown> {
    return this.#ask((api) => api.json({ segments, query }))
  }

  async #ask<T>(ask: (api: ApiClient) => Promise<T>): Promise<T | undefined> {
    try {
      return await ask(await this.api())
    } catch (error) {
      if (isAlthingError(error, 'API_UNREACHABLE') || isAlthingError(error, 'API_TIMEOUT')) return undefined
      if (isAlthingError(error) && (error.code.endsWith('_UNKNOWN') || error.code === 'UNAVAILABLE')) return undefined
      throw error
    }
  }

  /** What the member says of itself; undefined if it does not answer. */
  async status(): Promise<MemberStatus | undefined> {
    return readStatus(await this.get(['status']))
  }

  /** Names of those who signed the block of `height`; empty if its certificate is not known. */
  async signed(height: number): Promise<readonly string[]> {
    return readSigned(await this.get(['blocks', String(height), 'certificate']))
  }

  /** The commit certificate of the block of `height`, or of the next one that has one; undefined if there is none yet. */
  async certificate(height: number): Promise<WireCertificate | undefined> {
    return readCertificate(await this.get(['blocks', String(height), 'certificate']))
  }

  /** The proof file of a committed transaction; undefined if there is none (yet). */
  async proof(id: string): Promise<string | undefined> {
    const answer = await this.#ask((api) => api.send({ segments: ['proofs', 'transactions', id] }))
    // As it came: a proof has one form only.
    return answer === undefined ? undefined : Buffer.from(answer.bytes).toString()
  }

  /** The header of the block of `height` or of the head; undefined if there is none. */
  async header(height: number | 'head'): Promise<HeaderView | undefined> {
    return readHeader(await this.get(['blocks', String(height)]))
  }

  /** Ids of the transactions of the block of `height`, in order. */
  async transactionIds(height: number): Promise<readonly string[]> {
    return readTransactionIds(await this.get(['blocks', String(height)]))
  }

  /** Headers from the head down to height 1 or `from`, in ascending order; `countMax` of them at most, the newest. */
  async headers(from = 1, countMax = 100_000): Promise<HeaderView[]> {
    const headers: HeaderView[] = []
    let cursor: string | undefined
    do {
      const page = readPage(
        await this.get(['blocks'], { limit: String(PAGE_ITEMS), ...(cursor === undefined ? {} : { cursor }) }),
      )
      for (const item of page.items) {
        const header = readHeader(item)
        if (header !== undefined && header.height >= Math.max(1, from)) headers.push(header)
      }
      cursor = (headers.at(-1)?.height ?? 0) > Math.max(1, from) ? page.next : undefined
    } while (cursor !== undefined && headers.length < countMax)
    return headers.reverse()
  }

  /** The value of a metric without labels; undefined if it is not served. */
  async metric(name: string): Promise<number | undefined> {
    const response = await fetch(this.#metricsUrl, { signal: AbortSignal.timeout(2000), redirect: 'error' }).catch(
      () => undefined,
    )
    const line = (await response?.text())?.split('\n').find((one) => one.startsWith(`${name} `))
    return line === undefined ? undefined : Number(line.slice(name.length + 1))
  }

  /** Status code of a probe (`/livez`, `/readyz`), or undefined if nobody answers within 2 s. */
  async probe(path: '/livez' | '/readyz'): Promise<number | undefined> {
    try {
      const response = await fetch(`${this.url}${path}`, { signal: AbortSignal.timeout(2000), redirect: 'error' })
      await response.arrayBuffer()
      return response.status
    } catch {
      return undefined
    }
  }
}

/** A member as the checker asks it. `namespaceOf` says in whose namespace (address, hexadecimal) the entry `key` was written. */
export const witnessOf = (client: MemberClient, namespaceOf: (key: string) => string): Witness => ({
  name: client.name,
  headers: () => client.headers(),
  async placeOf(id) {
    const { status, height, block } = readTransaction(await client.get(['transactions', id]))
    return status === 'committed' && height !== undefined ? { height, block } : undefined
  },
  transactionIds: (height) => client.transactionIds(height),
  certificateAt: (height) => client.certificate(height),
  proofOf: (id) => client.proof(id),
  async valueAt(key) {
    const entry = (await client.get(['kv', namespaceOf(key), key])) as { value?: unknown } | undefined
    return typeof entry?.value === 'string' ? Buffer.from(entry.value, 'base64').toString('hex') : undefined
  },
})
