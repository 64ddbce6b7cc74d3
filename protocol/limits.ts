/**
 * Every bound that all members must share, in one place. Bounds of one node only (queues, rates, timeouts of its own) stand in
 * `config/`. docs/limits.md says what happens at each; a test keeps that page and this file equal.
 */
export const LIMITS = {
  /** Largest transaction, bytes of the whole encoding (ledger.md §2). Beyond: TX_TOO_LARGE. */
  transactionBytesMax: 64 * 1024,
  /** How far `validUntil` may lie ahead of block time, ms (ledger.md §2). Beyond: TX_VALIDITY_TOO_LONG. */
  transactionValidityMsMax: 3_600_000,
  /** Nonce of a transaction, bytes. */
  nonceBytes: 16,
  /** Transactions per Merkle tree (ledger.md §4). */
  treeTransactionsMax: 1000,
  /** Transactions per block: 8 trees. */
  blockTransactionsMax: 8000,
  /** Bytes of all transactions of a block together. */
  blockBytesMax: 2 * 1024 * 1024,
  /** Headers that one piece of evidence shows; beyond, the two blocks are too far apart for it. */
  evidenceHeadersMax: 160,
  /** Eras that are over and whose members the state keeps, for evidence against them. Beyond: EVIDENCE_ERA. */
  evidenceErasMax: 16,
  /** Bytes of a block header's encoding. */
  headerBytesMax: 1024,
  /** Members of a consortium. */
  membersMax: 64,
  /** Encoding of a member set: 64 names of 64 characters of up to 3 bytes, keys and parameters. */
  memberSetBytesMax: 16 * 1024,
  /** Addresses of a member in the state (multiaddrs), and characters of each. */
  memberAddressesMax: 4,
  addressCharactersMax: 128,
  /** Keys that a member can have had, one after the other. Beyond: MEMBER_KEYS_FULL; remove it and add it anew. */
  formerKeysMax: 64,
  /** Open proposals of one member. Beyond: GOVERNANCE_FULL. */
  proposalsOpenMax: 8,
  /** How long a proposal may stay open, ms of block time: 30 days. Beyond: GOVERNANCE_EXPIRY. */
  proposalMsMax: 30 * 24 * 3_600_000,
  /** Eras that a proof leads through at most. Beyond: there is no proof. */
  proofErasMax: 128,
  /** Characters of names (member, network, manufacturer, model …). */
  nameCharactersMax: 64,
  /** Key of a namespace entry, UTF-16 units. */
  stateKeyCharactersMax: 256,
  /** Value of a namespace entry, bytes. */
  stateValueBytesMax: 60 * 1024,
  /** Entries of the whole BKVS: bounds the memory of the state tree (about 110 bytes each). Beyond: STATE_FULL. */
  stateEntriesMax: 4_000_000,
  /** Voices about one device that are kept (40 bytes each). Further ones wait until one is no longer fresh. */
  ratersMax: 64,
  /** How far a device's clock may be ahead when it forms an opinion, ms of block time. Beyond: OPINION_AHEAD. */
  opinionAheadMsMax: 60_000,
  /** Opinions in one `trust.opinion`. More: another transaction. */
  opinionsMax: 64,
  /** A STIX bundle in a transaction, bytes; a larger one is anchored by its hash alone. */
  stixBundleBytesMax: 48 * 1024,
  /** Anomaly events in one report. */
  reportEventsMax: 64,
  /** A signed reading's SenML pack, UTF-16 units, and its records. Beyond: READING_MALFORMED. */
  readingCharactersMax: 4096,
  readingRecordsMax: 64,
  /** Name of a measurement, base name included (RFC 8428 §4.5.1 sets no bound). */
  readingNameCharactersMax: 256,
  /** Readings in one batch. */
  batchReadingsMax: 65_536,
  /** A security module's binary, bytes: one transaction and one entry of the state hold it. Beyond: MODULE_TOO_LARGE. */
  moduleBytesMax: 56 * 1024,
  /** Memory of a module, pages of 64 KiB. Beyond: MODULE_MEMORY. */
  modulePagesMax: 16,
  /** Functions of a module, and parameters and locals of all of them together. Beyond: MODULE_TOO_LARGE. */
  moduleFunctionsMax: 512,
  moduleLocalsMax: 4096,
  /** Steps (instructions) of one call of a module. Beyond: MODULE_FUEL. */
  moduleStepsMax: 500_000,
  /** Input of one call of a module, bytes. Beyond: MODULE_INPUT. */
  moduleInputBytesMax: 64 * 1024,
  /** Numbers in the result of one call of a module. Beyond: MODULE_RESULT. */
  moduleResultsMax: 64,
  /** Modules that one member may have published. Beyond: MODULES_FULL. */
  modulesPerMemberMax: 64,
  /** How far ahead an activation may lie, blocks. Beyond: MODULE_HEIGHT. */
  moduleActivationBlocksMax: 100_000,
  /** A small consensus message, bytes: 64 signatures and their frame. */
  consensusMessageBytesMax: 64 * 1024,
} as const
