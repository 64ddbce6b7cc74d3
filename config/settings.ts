/**
 * Stage: before everything. THE table of settings: type, default, unit, range, comment. The TOML that `init` writes, the
 * documentation, the names of environment variables, the checks and the type `NodeConfig` are all derived from it.
 * Invariants: bounds here are one node's own (those that members share stand in `protocol/limits.ts`); no setting holds a secret,
 * secrets are files named by `*_file` settings; every default passes its own check (a test says so).
 */
import {
  hostPort,
  type Kind,
  type Listen,
  listenAddress,
  listOf,
  oneOf,
  optionalHostPort,
  type PeerEntry,
  path,
  peerAddress,
  peerEntry,
  text,
  trueOrFalse,
  wholeNumber,
} from './kinds.ts'

/** One row of the table. */
export type Setting<T> = {
  readonly kind: Kind<T>
  readonly default: T
  /** What it does and when to change it; written above the key in config.toml. */
  readonly comment: string
  /** Unit of a number: ms, s, bytes, … */
  readonly unit?: string
  /** The value names a file that holds a secret: the file must be readable by its owner only. */
  readonly secretFile?: true
}

const setting = <T>(kind: Kind<T>, standard: T, comment: string, more: { unit?: string; secretFile?: true } = {}) =>
  ({ kind, default: standard, comment, ...more }) satisfies Setting<T>

const MEBIBYTE = 1024 * 1024
const MEMBER_NAME = /^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u
const nothing = <T>(): readonly T[] => Object.freeze([])
const listen = (host: string, port: number): Listen => Object.freeze({ host, port })

/** Section → key → row, in the order in which they are written. Keys are as in TOML; `NodeConfig` has them in camel case. */
export const SETTINGS = {
  node: {
    name: setting(
      text('1 to 64 letters, digits, spaces, dots, hyphens or underscores', MEMBER_NAME),
      'althing',
      'Name of this node in logs and on its pages. For people only: the member is known by its key.',
    ),
    data_dir: setting(
      path,
      'data',
      'Folder of the database and of the signing record. Never share or copy a live one.',
    ),
  },
  network: {
    listen: setting(
      listOf(listenAddress, 1),
      Object.freeze(['/ip4/0.0.0.0/tcp/7379']),
      'Where this node accepts other members and devices.',
    ),
    announce: setting(
      listOf(peerAddress),
      nothing<string>(),
      'Addresses that others are told to dial, where they differ from `listen` (NAT, containers).',
    ),
    peers: setting(
      listOf(peerEntry),
      nothing<PeerEntry>(),
      'Other members: "<member name>=<multiaddr>", the name as in genesis.json. Several addresses: several entries. ' +
        'A member that joined later is found by itself, or stands here by its public key.',
    ),
    connections_max: setting(wholeNumber(4, 4096), 256, 'Open connections altogether; more are refused.'),
    inbound_per_second_max: setting(
      wholeNumber(1, 1000),
      16,
      'New inbound connections per second and address; more are refused. Devices behind one NAT share an address.',
    ),
    dial_timeout_ms: setting(wholeNumber(100, 120_000), 5000, 'How long dialling one address may take.', {
      unit: 'ms',
    }),
  },
  api: {
    listen: setting(
      hostPort,
      listen('127.0.0.1', 7380),
      'Where the HTTP API and the explorer answer. It speaks plain HTTP: put TLS in front before leaving loopback.',
    ),
    token_secret_file: setting(
      path,
      'keys/token.secret',
      'File with the secret that signs API tokens (HS256), at least 32 bytes.',
      { secretFile: true },
    ),
    issuer: setting(
      text('1 to 128 visible ASCII characters', /^[\x21-\x7e]{1,128}$/),
      'althing',
      'Issuer (iss) that tokens must carry.',
    ),
    audience: setting(
      text('1 to 128 visible ASCII characters', /^[\x21-\x7e]{1,128}$/),
      'althing-api',
      'Audience (aud) that tokens must carry.',
    ),
    token_lifetime_max_s: setting(
      wholeNumber(60, 31_536_000),
      2_592_000,
      'Longest lifetime of a token that `althing token issue` gives out.',
      { unit: 's' },
    ),
    requests_per_minute_max: setting(
      wholeNumber(1, 1_000_000),
      600,
      'Requests per minute and token (or address, without one); more get 429.',
    ),
    body_bytes_max: setting(wholeNumber(1024, 64 * MEBIBYTE), MEBIBYTE, 'Largest request body; larger ones get 413.', {
      unit: 'bytes',
    }),
    request_timeout_ms: setting(wholeNumber(100, 600_000), 30_000, 'How long receiving one request may take.', {
      unit: 'ms',
    }),
  },
  pool: {
    bytes_max: setting(
      wholeNumber(MEBIBYTE, 4096 * MEBIBYTE),
      64 * MEBIBYTE,
      'Memory for transactions that wait for a block; beyond it submitters are pushed back.',
      { unit: 'bytes' },
    ),
    count_max: setting(wholeNumber(1, 10_000_000), 50_000, 'Transactions that may wait for a block.'),
  },
  store: {
    disk_free_bytes_min: setting(
      wholeNumber(0, 1024 * 1024 * MEBIBYTE),
      1024 * MEBIBYTE,
      'With less free disk than this the node stops writing before the disk is full.',
      { unit: 'bytes' },
    ),
  },
  ledger: {
    keep_blocks: setting(
      wholeNumber(0, 1_000_000_000),
      0,
      'Bodies of the last so many blocks are kept; older ones are dropped unless keep_hours asks for them, and what proofs need stays. ' +
        'With both 0 nothing is ever dropped (an archive): some member should be one. The last hour is always kept.',
    ),
    keep_hours: setting(
      wholeNumber(0, 1_000_000),
      0,
      'Bodies of blocks younger than this are kept; older ones are dropped unless keep_blocks asks for them.',
      { unit: 'h' },
    ),
    snapshot_blocks: setting(
      wholeNumber(0, 1_000_000_000),
      10_000,
      'At each height that this divides, a snapshot of the state is made for members that join. Members with the same value have the same ' +
        'snapshots, and one who joins takes parts from all of them. 0: none.',
    ),
    join: setting(
      oneOf('snapshot', 'replay'),
      'snapshot',
      'How an empty ledger is filled. snapshot: the state from the other members, and the blocks from then on. replay: every block since ' +
        'the first, for an archive.',
    ),
  },
  log: {
    level: setting(oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace'), 'info', 'Least severity that is logged.'),
    format: setting(
      oneOf('auto', 'json', 'pretty'),
      'auto',
      'json: one object per line. pretty: for people. auto: pretty on a terminal, else json.',
    ),
  },
  metrics: {
    enabled: setting(trueOrFalse, true, 'Serve Prometheus metrics.'),
    listen: setting(hostPort, listen('127.0.0.1', 7381), 'Where /metrics answers. It asks for no token.'),
  },
  rtu: {
    segment: setting(
      text('empty or 1 to 64 lower-case letters, digits, dots or hyphens', /^(?:[a-z0-9][a-z0-9.-]{0,63})?$/),
      '',
      'Network segment that this remote terminal unit belongs to. Needed by `althing rtu` only.',
    ),
    interval_ms: setting(
      wholeNumber(100, 86_400_000),
      5000,
      'Time from one observation of the device, and report of it, to the next.',
      { unit: 'ms' },
    ),
    learning_cycles: setting(
      wholeNumber(3, 17_280),
      60,
      'Observations that become the baseline of a unit that has none; what is there meanwhile is ordinary afterwards. ' +
        'The default is five minutes at 5 s.',
    ),
    watch: setting(
      listOf(path),
      nothing<string>(),
      'Files and folders whose changes are reported, besides the usual ones of the system (accounts, services, remote access).',
    ),
    members: setting(
      listOf(peerEntry),
      nothing<PeerEntry>(),
      'Members that the unit speaks to: "<member name>=<multiaddr>". Two or more, so that one may be away.',
    ),
    listen: setting(
      listOf(listenAddress),
      nothing<string>(),
      'Where the unit accepts the other devices of its segment, so that they hear and judge each other also while no member can be reached: ' +
        'for example /ip4/0.0.0.0/tcp/7379. Only devices get in that the chain has in this segment. Empty: it hears them through its members only.',
    ),
    announce: setting(
      listOf(peerAddress),
      nothing<string>(),
      'Addresses that the other devices are told to dial, where they differ from `listen`.',
    ),
    neighbours: setting(
      listOf(peerEntry),
      nothing<PeerEntry>(),
      'Devices of the segment that are to be found without a member: "<public key>=<multiaddr>". The others are found by themselves.',
    ),
    logs: setting(
      listOf(path),
      Object.freeze(['/var/log/auth.log', '/var/log/secure']),
      'Log files that are followed for failed log-ins and for log_words. One that is not there is passed over.',
    ),
    log_words: setting(
      listOf(text('1 to 128 printable characters', /^[^\p{C}]{1,128}$/u)),
      nothing<string>(),
      'A line of a followed log that has one of these texts in it (as it stands, upper and lower case alike) is reported.',
    ),
    readings_listen: setting(
      optionalHostPort,
      null,
      'Where the unit, as a gateway, takes signed readings of sensors (POST /readings). Empty: nowhere. No password is asked for: only what ' +
        'the keys of rtu.sensors have signed is taken.',
    ),
    sensors: setting(
      listOf(text('an address: 40 lower-case hexadecimal digits', /^[0-9a-f]{40}$/)),
      nothing<string>(),
      'Sensors whose readings are taken: the addresses of their keys, as `althing reading verify` shows them.',
    ),
    readings_bytes_max: setting(
      wholeNumber(MEBIBYTE, 1024 * 1024 * MEBIBYTE),
      1024 * MEBIBYTE,
      'Readings that are held in data/readings; beyond, further ones are refused until batches are taken away.',
      { unit: 'bytes' },
    ),
  },
} as const

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S
type Table = typeof SETTINGS
type ValueOf<S> = S extends { kind: Kind<infer T> } ? T : never

/** The configuration of one node, checked and deeply frozen. Sections and keys of `SETTINGS`, in camel case. */
export type NodeConfig = {
  readonly [S in keyof Table]: {
    readonly [K in keyof Table[S] as Camel<K & string>]: ValueOf<Table[S][K]>
  }
}

/** A row with its names. */
export type SettingRow = Setting<unknown> & {
  readonly section: string
  /** Key as in TOML. */
  readonly key: string
  /** `section.key`, as flags and messages name it. */
  readonly name: string
  /** Property of the section of `NodeConfig`. */
  readonly property: string
  /** Environment variable that overrides the file. */
  readonly environment: string
}

/** Every row of `SETTINGS` with its names, in the order of the table. */
export const SETTING_ROWS: readonly SettingRow[] = Object.entries(SETTINGS).flatMap(([section, keys]) =>
  Object.entries(keys as Record<string, Setting<unknown>>).map(([key, row]) => ({
    ...row,
    section,
    key,
    name: `${section}.${key}`,
    property: key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    environment: `ALTHING_${section}_${key}`.toUpperCase(),
  })),
)

/** What each section is about, for config.toml and the documentation. */
export const SECTION_COMMENTS: Readonly<Record<keyof Table, string>> = {
  node: 'This node.',
  network: 'Links to other members and to devices (libp2p over TCP, encrypted).',
  api: 'HTTP API, tokens and their limits.',
  pool: 'Transactions that wait for a block.',
  store: 'The database.',
  ledger: 'How much of the past this node keeps, and how it comes by the present.',
  log: 'Logs go to standard error.',
  metrics: 'Prometheus metrics.',
  rtu: 'Remote terminal unit: a device that observes itself and its peers (`althing rtu`).',
}
