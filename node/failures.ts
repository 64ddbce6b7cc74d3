/**
 * The table of failures of the world: what each code of `AlthingError` means, what an operator can do, and how a node that stops for it
 * exits (house.md, Errors). Invariants: a code never changes its meaning; code, exit code and advice stand here and nowhere else.
 * docs/errors.md is compared with this table.
 */

/** One row of the table. */
export type Failure = {
  /** Exit code of a process that ends for it; null where nothing ends, because a caller tries again or passes it on. */
  readonly exitCode: number | null
  /** What it means, for people. */
  readonly meaning: string
  /** What to do. */
  readonly advice: string
}

const failure = (exitCode: number | null, meaning: string, advice: string): Failure => ({ exitCode, meaning, advice })

const RECOVER =
  'If this member has never signed, run `althing init`; if its record is lost, run `althing start --recover` (agreement.md §6). ' +
  'Never restore it from a backup: an old record makes this member contradict itself.'

const FETCH_ANEW =
  'run `althing db repair`, which mends the ledger or moves it aside and never touches `signing` beside it, and start: the node fetches ' +
  'what is missing from the other members.'

/** Code → what it means and what to do. */
export const FAILURES = {
  // The HTTP API (node/api).
  API_LISTEN: failure(
    69,
    'The HTTP API cannot listen at `api.listen`.',
    'Stop what listens there, or choose another address.',
  ),
  TOKEN_SECRET_SHORT: failure(
    78,
    'The secret that signs API tokens is shorter than HS256 needs.',
    'Make one with: openssl rand -hex 32',
  ),

  // Backups (node/backup).
  BACKUP_EXISTS: failure(74, 'There is a file of that name; no backup is overwritten.', 'Choose another name.'),
  BACKUP_MALFORMED: failure(
    65,
    'The file is no whole backup: it was cut, changed, or never was one.',
    'Take another backup. Without one, an empty ledger is filled by the other members: `althing start --recover`.',
  ),

  // Inspecting (node/inspect).
  INSPECT_READ_ONLY: failure(
    null,
    'A stopped directory is inspected: nothing is taken in.',
    'Hand the transaction to a node that runs.',
  ),

  // The process around a member (node/daemon.ts, node/service).
  METRICS_LISTEN: failure(
    69,
    'Metrics cannot be served at `metrics.listen`.',
    'Stop what listens there, choose another address, or set metrics.enabled to false.',
  ),
  RUN_FILE: failure(74, 'run.json cannot be written into the home.', 'Check the disk and the owner of the folder.'),

  // Blocks that wait for their commit (node/executor).
  EXECUTOR_FULL: failure(
    null,
    'As many blocks in a row wait for their commit as are kept.',
    'Nothing: it ends with the next commit. See why there is none with `althing status`.',
  ),
  EXECUTOR_UNKNOWN_BLOCK: failure(
    null,
    'A block is to be committed that was not executed here.',
    'Nothing: the node fetches it. If it stops for this, report a bug.',
  ),

  // Key files (node/crypto).
  KEY_FILE_EXISTS: failure(
    78,
    'There is a key file of that name; keys are never overwritten.',
    'Choose another name, or move the old file away yourself.',
  ),
  KEY_FILE_EXPOSED: failure(
    78,
    'The key file can be read by other users.',
    'Run chmod 600 on it. If others may have read it, make a new key instead: whoever has the key can sign in its name.',
  ),
  KEY_FILE_MALFORMED: failure(
    78,
    'The file does not hold a key.',
    'Restore the file from a backup, or move it away and make a new key.',
  ),
  KEY_FILE_MISSING: failure(
    78,
    'There is no such key file.',
    'Run `althing init` for a new home, or `althing keys new <name>` for one key; or name the right home with --home.',
  ),
  KEY_FILE_UNREADABLE: failure(78, 'The key file cannot be read.', 'Check who owns it and what its folder allows.'),
  KEY_FILE_UNWRITABLE: failure(78, 'The key file cannot be written.', 'Check the folder, its owner and the free disk.'),

  // Links to other members and to devices (node/network).
  NETWORK_BROKEN: failure(null, 'The exchange with a peer broke off.', 'Nothing: it is tried again.'),
  NETWORK_BUSY: failure(
    null,
    'The peer answers no more questions of ours for the moment.',
    'Nothing: it is asked later.',
  ),
  NETWORK_LISTEN: failure(
    69,
    'Members and devices cannot be accepted at `network.listen`.',
    'Stop what listens there, or choose another address.',
  ),
  NETWORK_REFUSED: failure(
    null,
    'The peer could not answer, or did not take the subscription.',
    'Nothing: another is asked. If it goes on, look at that peer’s log.',
  ),
  NETWORK_STOPPED: failure(
    null,
    'The network of this node is not running.',
    'Nothing: the node is starting or stopping.',
  ),
  NETWORK_TIMEOUT: failure(
    null,
    'The peer was too slow.',
    'Nothing: it is tried again. If it goes on, look at the line between the two.',
  ),
  NETWORK_TOO_LARGE: failure(
    null,
    'A message is larger than it may be.',
    'Nothing that an operator can do: report a bug, or a peer that lies.',
  ),
  NETWORK_UNREACHABLE: failure(
    null,
    'The peer cannot be reached.',
    'Check its address in network.peers, that it runs, and the firewalls between.',
  ),
  NETWORK_UNSUPPORTED: failure(
    null,
    'The peer does not know this question, or a device was asked to do a member’s part.',
    'Bring both nodes to the same version.',
  ),

  // The wiring (node/main.ts).

  // Devices (node/rtu).
  RTU_BASELINE_DAMAGED: failure(
    65,
    'What the device has learnt cannot be read.',
    'Find out who changed the file; then remove it, and the device learns anew and says so.',
  ),
  RTU_FILE_TOO_LARGE: failure(
    65,
    'A file of the unit’s own is larger than it can be.',
    'Find out who changed the file; then remove it.',
  ),
  RTU_LISTEN_FAILED: failure(
    70,
    'The address at which readings are taken is not to be had.',
    'Stop what listens there, or give rtu.readings_listen another port.',
  ),
  RTU_NOT_ADMITTED: failure(
    null,
    'Members answer and do not let this device in: it is not registered, or retired or blacklisted, or of another chain.',
    'Register it: `althing rtu id` prints the command for a member. Reports are held meanwhile.',
  ),
  RTU_NO_MEMBER: failure(
    null,
    'None of the members that the unit is configured for can be reached.',
    'Check the network and rtu.members. Reports are held meanwhile.',
  ),
  RTU_READ_FAILED: failure(
    74,
    'A file of the unit’s own cannot be read.',
    'Check the disk and the owner of the folder.',
  ),
  RTU_WRITE_FAILED: failure(74, 'A file of the unit’s own cannot be written.', 'Free or replace the disk.'),

  // Threads that recover signers (node/crypto).
  SIGNATURE_POOL_CLOSED: failure(
    null,
    'The threads that check signatures have ended.',
    'Nothing: the node is stopping.',
  ),
  SIGNATURE_POOL_FULL: failure(
    null,
    'More signatures wait to be checked than are kept.',
    'Submit again later; submitters are told POOL_FULL.',
  ),
  SIGNATURE_POOL_WORKER: failure(
    null,
    'A thread that checks signatures ended.',
    'Nothing: another is started. If it goes on, look at the memory of the machine.',
  ),

  // The signing record (agreement.md §6).
  SIGNING_RECORD_CORRUPT: failure(65, 'The signing record is damaged.', RECOVER),
  SIGNING_RECORD_EXISTS: failure(
    78,
    'There is a signing record already; it is created once.',
    'Start the node that it belongs to, or choose another data directory.',
  ),
  SIGNING_RECORD_MISSING: failure(78, 'There is no signing record.', RECOVER),

  // The disk (node/store).
  STORE_CORRUPT: failure(65, 'The ledger on disk is damaged.', `Find out what damaged it, then ${FETCH_ANEW}`),
  STORE_DISK_FULL: failure(
    73,
    'Less disk is free than `store.disk_free_bytes_min`; nothing is written until there is.',
    'Free some, or give the node a larger disk.',
  ),
  STORE_EXISTS: failure(78, 'There is a database already where one was to be made.', 'Choose another data directory.'),
  STORE_LOCKED: failure(
    75,
    'Another process uses the data directory.',
    'Stop it. If there is none, remove the lock file that the message names.',
  ),
  STORE_MISSING: failure(
    78,
    'There is no ledger where the configuration says.',
    'Run `althing init` for a new home, or mend node.data_dir.',
  ),
  STORE_OPEN_FAILED: failure(74, 'The database cannot be opened.', 'Check the disk and the owner of the folder.'),
  STORE_READ_FAILED: failure(
    74,
    'The database cannot be read.',
    `Check the disk and the owner of the files. Where both are as they should be, ${FETCH_ANEW}`,
  ),
  STORE_WRITE_FAILED: failure(
    74,
    'The ledger or the signing record could not be written; the node stops, for nobody knows what the disk holds.',
    'Free or replace the disk, and start again.',
  ),
  STORE_WRONG_CHAIN: failure(
    78,
    'The ledger or the signing record belongs to another genesis.',
    'Give the genesis and the data directory that belong together.',
  ),
  STORE_WRONG_FORMAT: failure(
    78,
    'The ledger was written by another version of the program.',
    'Use the version that wrote it, or fetch the ledger anew.',
  ),
} as const satisfies Record<string, Failure>

/** A code of the table. */
export type FailureCode = keyof typeof FAILURES

/** The row of `code`; undefined for codes of other tables. */
export const failureOf = (code: string): Failure | undefined => (FAILURES as Readonly<Record<string, Failure>>)[code]
