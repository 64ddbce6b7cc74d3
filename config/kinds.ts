/**
 * Stage: before everything. The kinds of values a setting can have: each checks a raw value (from TOML), reads text (from a flag or
 * the environment) and writes the value back as TOML.
 * Invariant: `check(toRaw(value))` gives `value` again; every list and text is bounded; a refusal says what would be accepted.
 */
import { multiaddr } from '@multiformats/multiaddr'

/** The value, or the clause that says what is wrong with the raw one. */
export type Checked<T> = { ok: true; value: T } | { ok: false; what: string }

/** A TOML value that a setting may be written as. Whole numbers arrive as bigint, so that 1.0 is not taken for 1. */
export type Raw = string | number | bigint | boolean | readonly Raw[] | object

/** One kind of value. */
export type Kind<T> = {
  /** For documentation: `whole number, 1 to 10`. */
  readonly description: string
  /** Checks a value from TOML. */
  check(raw: unknown): Checked<T>
  /** Reads a flag or environment variable: lists are separated by commas. */
  fromText(text: string): Checked<T>
  /** What `check` would accept as this value: a string, number, boolean or list of strings. */
  toRaw(value: T): string | number | boolean | readonly string[]
}

const good = <T>(value: T): Checked<T> => ({ ok: true, value })
const bad = (what: string): { ok: false; what: string } => ({ ok: false, what })

/** Characters of any one text setting. */
const TEXT_CHARACTERS_MAX = 1024
/** Items of any one list setting. */
const LIST_ITEMS_MAX = 64

/** Whole number, `min` ≤ n ≤ `max`. */
export function wholeNumber(min: number, max: number): Kind<number> {
  const refusal = `is not a whole number from ${min} to ${max}`
  const within = (n: number): Checked<number> =>
    Number.isSafeInteger(n) && n >= min && n <= max ? good(n) : bad(refusal)
  return {
    description: `whole number, ${min} to ${max}`,
    check: (raw) => (typeof raw === 'bigint' ? within(Number(raw)) : bad(refusal)),
    fromText: (text) => (/^-?[0-9]{1,16}$/.test(text) ? within(Number(text)) : bad(refusal)),
    toRaw: (value) => value,
  }
}

/** true or false. */
export const trueOrFalse: Kind<boolean> = {
  description: 'true or false',
  check: (raw) => (typeof raw === 'boolean' ? good(raw) : bad('is not true or false')),
  fromText: (text) => (text === 'true' || text === 'false' ? good(text === 'true') : bad('is not true or false')),
  toRaw: (value) => value,
}

/** Text that `parse` accepts; `print` is its inverse. */
function textKind<T>(description: string, parse: (text: string) => Checked<T>, print: (value: T) => string): Kind<T> {
  const fromText = (text: string): Checked<T> => {
    if (text.length > TEXT_CHARACTERS_MAX) return bad(`is longer than ${TEXT_CHARACTERS_MAX} characters`)
    if (/\p{Cc}|\p{Surrogate}/u.test(text)) return bad('contains control characters')
    return parse(text)
  }
  return {
    description,
    check: (raw) => (typeof raw === 'string' ? fromText(raw) : bad(`is not text (${description})`)),
    fromText,
    toRaw: print,
  }
}

const asItIs = (text: string): string => text

/** Text that matches `pattern` as a whole; `description` says in words what that is. */
export const text = (description: string, pattern: RegExp): Kind<string> =>
  textKind(description, (value) => (pattern.test(value) ? good(value) : bad(`is not ${description}`)), asItIs)

/** One of a closed list of words. */
export const oneOf = <const W extends string>(...words: W[]): Kind<W> => {
  const description = `one of ${words.join(', ')}`
  return textKind(
    description,
    (value) => ((words as string[]).includes(value) ? good(value as W) : bad(`is not ${description}`)),
    asItIs,
  )
}

/** Path of a file or folder; relative ones count from the home folder. Not resolved here: that needs the home. */
export const path: Kind<string> = textKind(
  'path, relative to the home folder or absolute',
  (value) => (value === '' ? bad('is empty') : good(value)),
  asItIs,
)

/** Where a server listens. */
export type Listen = { readonly host: string; readonly port: number }

/** `host:port` with an IPv4 address, a bracketed IPv6 address or `localhost`; port 0 lets the system choose. */
export const hostPort: Kind<Listen> = textKind(
  'host:port, such as 127.0.0.1:7380 or [::1]:7380; port 0 takes a free one',
  (value) => {
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+|localhost)):([0-9]{1,5})$/.exec(value)
    const port = Number(match?.[3])
    const host = match?.[1] ?? match?.[2]
    if (host === undefined || !(port <= 65_535) || !isHost(host))
      return bad('is not host:port, such as 127.0.0.1:7380 or [::1]:7380')
    return good(Object.freeze({ host, port }))
  },
  ({ host, port }) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`),
)

/** As `hostPort`, or empty for nowhere: null. */
export const optionalHostPort: Kind<Listen | null> = textKind<Listen | null>(
  `empty, or ${hostPort.description}`,
  (value) => (value === '' ? good(null) : hostPort.fromText(value)),
  (value) => (value === null ? '' : String(hostPort.toRaw(value))),
)

const isHost = (host: string): boolean =>
  host === 'localhost' || multiaddrNames(`/${host.includes(':') ? 'ip6' : 'ip4'}/${host}/tcp/1`) !== undefined

// Names of the components of a multiaddr, or undefined if it is none.
function multiaddrNames(address: string): string[] | undefined {
  if (!address.startsWith('/')) return undefined
  try {
    return multiaddr(address)
      .getComponents()
      .map(({ name }) => name)
  } catch {
    return undefined
  }
}

const LISTEN_ADDRESS = 'a TCP multiaddr, such as /ip4/0.0.0.0/tcp/7379'
const PEER_ADDRESS = 'a TCP multiaddr, such as /dns4/node.example.org/tcp/7379'

/** Multiaddr to listen on: `/ip4/…/tcp/…` or `/ip6/…/tcp/…`. */
export const listenAddress: Kind<string> = textKind(
  LISTEN_ADDRESS,
  (value) =>
    /^ip[46]\/tcp$/.test(multiaddrNames(value)?.join('/') ?? '') ? good(value) : bad(`is not ${LISTEN_ADDRESS}`),
  asItIs,
)

const isPeerAddress = (address: string): boolean =>
  /^(?:ip[46]|dns[46]?)\/tcp(?:\/p2p)?$/.test(multiaddrNames(address)?.join('/') ?? '')

/** Multiaddr that others dial: an IP address or DNS name, a TCP port, and optionally `/p2p/<peer id>`. */
export const peerAddress: Kind<string> = textKind(
  PEER_ADDRESS,
  (value) => (isPeerAddress(value) ? good(value) : bad(`is not ${PEER_ADDRESS}`)),
  asItIs,
)

/** A member by its name in the genesis, or by its public key (66 hexadecimal digits) if it joined later, and one address of its node. */
export type PeerEntry = { readonly member: string; readonly address: string }

/** Whether an entry names a member by its public key. No name is so long. */
export const isPeerKey = (member: string): boolean => /^0[23][0-9a-f]{64}$/.test(member)

/** `<member name or public key>=<multiaddr>`. A member with several addresses stands in several entries. */
export const peerEntry: Kind<PeerEntry> = textKind(
  '<member name>=<multiaddr>',
  (value) => {
    const at = value.indexOf('=')
    const member = value.slice(0, Math.max(at, 0)).trim()
    const address = value.slice(at + 1).trim()
    if (at < 0 || member === '')
      return bad('is not <member name>=<multiaddr>, such as Org B=/dns4/b.example.org/tcp/7379')
    if (!isPeerAddress(address)) return bad(`has an address that is not ${PEER_ADDRESS}`)
    return good(Object.freeze({ member, address }))
  },
  ({ member, address }) => `${member}=${address}`,
)

/** List of at least `min` items of a text kind, without repetitions. */
export function listOf<T>(item: Kind<T>, min = 0): Kind<readonly T[]> {
  const printItem = (value: T): string => String(item.toRaw(value))
  const checkAll = (raws: readonly unknown[]): Checked<readonly T[]> => {
    if (raws.length < min) return bad(`needs at least ${min} ${min === 1 ? 'entry' : 'entries'}`)
    if (raws.length > LIST_ITEMS_MAX) return bad(`has more than ${LIST_ITEMS_MAX} entries`)
    const values: T[] = []
    const seen = new Set<string>()
    for (const [i, raw] of raws.entries()) {
      const checked = item.check(raw)
      if (!checked.ok) return bad(`entry ${i + 1} ${checked.what}`)
      const printed = printItem(checked.value)
      if (seen.has(printed)) return bad(`entry ${i + 1} repeats an earlier one`)
      seen.add(printed)
      values.push(checked.value)
    }
    return good(Object.freeze(values))
  }
  return {
    description: `list of ${item.description}`,
    check: (raw) => (Array.isArray(raw) ? checkAll(raw) : bad('is not a list: write it in [ ]')),
    fromText: (value) => checkAll(value.trim() === '' ? [] : value.split(',').map((part) => part.trim())),
    toRaw: (values) => values.map(printItem),
  }
}
