/**
 * Verdicts: the one table of everything that a peer, device or API client may do wrong, at every stage of the river.
 * Invariants: a code never changes its meaning (clients and dashboards rest on it); code, verdict, penalty and HTTP status stand here and
 * nowhere else, so that no two stages can judge the same thing differently (house.md, "Errors").
 */

/** What gossip does with a message: pass it on, drop it silently, or drop it and hold it against the peer. */
export type Judgement = 'accept' | 'ignore' | 'reject'

/** One row of the table. */
export type Verdict = {
  readonly verdict: Judgement
  /** Points against the peer that handed it over, 0 … 100; 100 is what no honest program can send. */
  readonly penalty: number
  /** Status of the HTTP answer when an API client did it. */
  readonly httpStatus: number
  /** What happened and what to do, for people. */
  readonly text: string
}

const row =
  (verdict: Judgement) =>
  (penalty: number, httpStatus: number, text: string): Verdict => ({ verdict, penalty, httpStatus, text })
const accept = row('accept')
/** For what depends on state, clock or load: an honest peer that is a block ahead or behind may send it. */
const ignore = row('ignore')
/** For what is wrong in itself, whatever the receiver knows: an honest peer checks before it passes on. */
const reject = row('reject')

/** Code → verdict. docs and tests are compared with this table. */
export const VERDICTS = {
  OK: accept(0, 202, 'Accepted. Follow the transaction by its id; it counts once a block that holds it is committed.'),

  // Transactions on their own (ledger.md §1, §2).
  TX_MALFORMED: reject(50, 400, 'Not a transaction: not CBOR, or not of the shape [body, signature]. Encode it anew.'),
  TX_TOO_LARGE: reject(
    50,
    413,
    'The transaction is larger than 64 KiB. Split it, or store a hash and keep the data elsewhere.',
  ),
  TX_NON_CANONICAL: reject(
    50,
    400,
    'The bytes are not the one deterministic CBOR encoding (RFC 8949 §4.2.1) of their value. Use the shortest forms.',
  ),
  TX_SIGNATURE: reject(
    50,
    400,
    'The signature recovers to no key: malformed, or S is high. Sign with low S, 65 bytes r, s, recovery id.',
  ),
  TX_UNKNOWN_SIGNER: ignore(
    1,
    403,
    'The signature recovers to a key that is no member, authorised API key or registered device of a present member. ' +
      'Either the key is unknown, or the transaction was signed for another chain or altered on its way (which looks the same): ' +
      'check the chain id, then have a member authorise the key.',
  ),
  TX_FORBIDDEN: ignore(
    1,
    403,
    'The signer is known but may not do this. See who may sign this kind, and which member owns the subject.',
  ),
  TX_UNKNOWN_KIND: ignore(1, 422, 'No such kind of transaction in this version. Look at the published list of kinds.'),
  TX_PAYLOAD: reject(
    20,
    422,
    'The payload does not have the shape or bounds of its kind. Compare it with the published schema.',
  ),
  TX_EXPIRED: ignore(
    0,
    410,
    'validUntil lies before the time of the block. Sign it again with a later validUntil and a new nonce.',
  ),
  TX_VALIDITY_TOO_LONG: ignore(
    1,
    422,
    'validUntil lies more than one hour ahead of the time of the block. Choose an earlier one.',
  ),
  TX_REPLAYED: ignore(
    0,
    409,
    'This signer has used this nonce in a transaction that has not expired. Use 16 new random bytes.',
  ),

  // The pool of one node.
  POOL_DUPLICATE: ignore(
    0,
    409,
    'The pool holds this transaction, or another of the same signer and nonce. Wait for its block.',
  ),
  INTAKE_BUSY: ignore(0, 503, 'This node is busy with what it has taken in. Try again in a moment, or another node.'),
  POOL_FULL: ignore(0, 503, 'The pool of this node is full. Try again after the next block, or another node.'),
  POOL_SIGNER_QUOTA: ignore(
    1,
    429,
    'Too many transactions of this signer wait in the pool. Wait until some are committed.',
  ),

  // What the state machine refuses (ledger.md §2, §3).
  STATE_FULL: ignore(0, 507, 'The state holds as many entries as the consortium allows. Delete entries first.'),
  KEY_EXISTS: ignore(
    0,
    409,
    'The key is in use already, as member key, API key or device key. One key has one role: use another.',
  ),
  KEY_UNKNOWN: ignore(0, 404, 'No such API key is authorised. Look at the list of keys of this member.'),
  KV_UNKNOWN: ignore(0, 404, 'The signer’s namespace has no such key, so there is nothing to delete.'),
  DEVICE_EXISTS: ignore(
    0,
    409,
    'A device with this key is registered, or was and is retired. Update it, or give the device a new key.',
  ),
  DEVICE_UNKNOWN: ignore(0, 404, 'No device with this id is registered. Register it first.'),
  DEVICE_RETIRED: ignore(
    1,
    410,
    'The device is retired, which is final. A device that returns to service needs a new key.',
  ),
  DEVICE_BLACKLISTED: ignore(
    2,
    403,
    'The device is blacklisted. Read its blacklist record; a quorum of members can reinstate it.',
  ),
  DEVICE_NOT_BLACKLISTED: ignore(0, 409, 'The device is not blacklisted, so there is nothing to reinstate.'),
  DEVICE_OBSERVED: ignore(
    0,
    409,
    'The device is in mode observe: scored, never cut off. Its owner can change the mode to enforce.',
  ),
  DEVICE_TRUSTED: ignore(
    1,
    409,
    'The device belongs to another member, and its trust is not below the threshold. ' +
      'Score it: it is cut off once the voices about it agree, or by its owner.',
  ),
  OPINION_SELF: ignore(1, 422, 'A device gave an opinion about itself. Leave it out: it would not count.'),
  OPINION_SEGMENT: ignore(
    1,
    422,
    'An opinion is about a device of another segment. Devices judge what they can see: those of their own.',
  ),
  OPINION_STALE: ignore(
    0,
    409,
    'An opinion is older than the time for which opinions count, or not newer than the rater’s last about the same device. ' +
      'Look again and send what is true now.',
  ),
  OPINION_AHEAD: ignore(
    1,
    422,
    'observedAt of an opinion lies more than a minute ahead of the time of the block. Set the clock of the device.',
  ),
  APPROVALS_MISSING: ignore(
    0,
    422,
    'Fewer approvals than a quorum of members, or the blacklisting is not yet in an earlier block. ' +
      'Collect more approvals over [device id, height of blacklisting].',
  ),
  APPROVAL_FOREIGN_SIGNER: ignore(
    1,
    422,
    'An approval was not signed by a present member for this device, blacklisting and chain. ' +
      'Sign [device id, height of blacklisting] with a member key.',
  ),
  APPROVAL_DUPLICATE_SIGNER: ignore(
    1,
    422,
    'One member approved twice. Each member counts once: remove the second approval.',
  ),
  GOVERNANCE_ERA: ignore(
    0,
    409,
    'The proposal is for another era than the present one: members or parameters have changed since. Propose it anew.',
  ),
  GOVERNANCE_EXPIRY: ignore(
    1,
    422,
    'The expiry of the proposal lies in the past, or more than 30 days ahead of block time. Choose another.',
  ),
  GOVERNANCE_FULL: ignore(
    1,
    429,
    'This member has as many open proposals as it may. Wait until one of them expires or is decided.',
  ),
  GOVERNANCE_UNKNOWN: ignore(
    0,
    404,
    'No such proposal is open: it never was, it was withdrawn, or the era for which it was made is over. Look at the list of proposals.',
  ),
  GOVERNANCE_EXPIRED: ignore(0, 410, 'The proposal has expired. Propose it anew.'),
  EVIDENCE_ERA: ignore(
    0,
    409,
    'The evidence is of an era that is over for longer than the state keeps its members, or has not begun. It can only be kept off the chain.',
  ),
  EVIDENCE_KNOWN: ignore(0, 409, 'An offence of this member in this view is recorded already. There is nothing to do.'),
  EVIDENCE_SIGNER: ignore(
    2,
    422,
    'The signatures are not those of one member, or not of the leader of that view. Show what one member signed.',
  ),
  EVIDENCE_VOID: ignore(
    2,
    422,
    'An honest member could have signed both. Compare it with agreement.md §7 and show the headers that make it a conflict.',
  ),
  GOVERNANCE_APPROVED: ignore(0, 409, 'This member has approved the proposal already; proposing it counts as well.'),
  GOVERNANCE_FOREIGN: ignore(
    1,
    403,
    'Another member proposed this, and only that one takes it back. Do not approve it.',
  ),
  GOVERNANCE_NO_CHANGE: ignore(1, 422, 'The proposal would change nothing. Compare it with the present parameters.'),
  MEMBER_EXISTS: ignore(0, 409, 'A member has this key or this name already. Each member has one of its own.'),
  MEMBER_UNKNOWN: ignore(0, 404, 'No member has this key. Look at the list of members.'),
  MEMBER_CONSENT: ignore(
    1,
    422,
    'The new key did not sign that it joins under this name and these addresses, on this chain. ' +
      'Have its holder make the request, and pass it on unchanged.',
  ),
  MEMBER_KEYS_FULL: ignore(
    0,
    409,
    'This member has had as many keys as the ledger keeps track of. Remove it and add it again with the new key.',
  ),
  MEMBERS_FULL: ignore(0, 409, 'The consortium has as many members as it may. Remove one first.'),
  MEMBERS_TOO_FEW: ignore(0, 409, 'The last member cannot be removed: nobody would be left to decide anything.'),
  PARAMETER_UNSAFE: ignore(
    1,
    422,
    'With these parameters the chain could come to a stop that no vote undoes. ' +
      'docs/governance.md says what holds between them; change one in smaller steps.',
  ),
  ERA_ENDED: ignore(
    0,
    409,
    'An earlier transaction of the same block ended the era. This one waits for the next block.',
  ),
  REPORT_SCORE: reject(
    20,
    422,
    'A score is not floor(severity × confidence / 1 000 000), or not what the active module says of the features. ' +
      'Compute the first with integers, and the second with the module.',
  ),
  REPORT_MODEL: ignore(
    0,
    409,
    'The report names another module than the one that is active, or none although a device must. Score its features again with the active one.',
  ),

  // Security modules: how they come into the ledger (docs/modules.md).
  MODULE_EXISTS: ignore(
    0,
    409,
    'A module with this hash, or of this kind with this version, has been published already.',
  ),
  MODULE_UNKNOWN: ignore(
    0,
    404,
    'No module with this hash has been published. Publish it first; look at the list of modules.',
  ),
  MODULE_HEIGHT: ignore(
    0,
    422,
    'The height of the activation is not above that of the block, or more than 100 000 above it. Choose another.',
  ),
  MODULE_APPROVED: ignore(0, 409, 'This member has approved the activation already, or the module is active.'),
  MODULES_FULL: ignore(1, 429, 'This member has published as many modules as it may.'),

  // Security modules: their binaries, and their calls (docs/modules.md).
  MODULE_MALFORMED: reject(
    20,
    422,
    'The module is not a valid WebAssembly binary: cut short, or its types do not fit.',
  ),
  MODULE_TOO_LARGE: reject(
    20,
    413,
    'The module is larger, or has more functions or locals, than docs/limits.md allows.',
  ),
  MODULE_IMPORT: reject(20, 422, 'The module imports something. It may import nothing: build it without `env.abort`.'),
  MODULE_START: reject(20, 422, 'The module has a start function. Build it without: its globals need constant values.'),
  MODULE_EXPORTS: reject(
    20,
    422,
    'The module does not export memory, abiVersion, moduleKind, alloc and score, with the types of docs/modules.md, and nothing else.',
  ),
  MODULE_MEMORY: reject(20, 422, 'The module does not have one memory with a maximum of pages within the limit.'),
  MODULE_INSTRUCTION: reject(
    20,
    422,
    'The module uses an instruction or section that modules may not: SIMD, threads, tables, bulk memory, exceptions and the like.',
  ),
  MODULE_RECURSION: reject(20, 422, 'A function of the module calls itself, directly or through others. Use a loop.'),
  MODULE_ABI: reject(20, 422, 'The module says another version of the ABI, or another kind, than it was published as.'),
  MODULE_FUEL: ignore(1, 422, 'The module took more steps than a call may. It was ended; nothing else happened.'),
  MODULE_TRAP: ignore(
    1,
    422,
    'The module trapped: unreachable code, a division by zero, an address outside its memory.',
  ),
  MODULE_INPUT: ignore(1, 422, 'The module does not understand the input: another shape, or more bytes than allowed.'),
  MODULE_NAN: ignore(1, 422, 'The module came to no number (NaN).'),
  MODULE_RESULT: ignore(1, 422, 'The module’s result is not a list of integers of 0 … 1 000 000 within its memory.'),

  // STIX bundles.
  STIX_HEIGHT: ignore(
    0,
    422,
    'The bundle is about a block that is not below the one that would hold it. Wait for that block.',
  ),
  STIX_HASH: reject(
    20,
    422,
    'The hash is not that of the bundle beside it. Hash the canonical text (RFC 8785) with SHA3-256.',
  ),
  STIX_KNOWN: ignore(
    0,
    409,
    'That hash is anchored for that block, or this member has anchored another. Nothing is to be done.',
  ),
  STIX_OTHER: ignore(
    1,
    422,
    'A member gossips a bundle that is not the one that its block gives. Compare the versions of both.',
  ),

  // Signed readings (reading.ts), judged where they come in: at a gateway, or by whoever checks a batch.
  READING_MALFORMED: reject(
    0,
    400,
    'Not a signed reading: no SenML pack (RFC 8428) with absolute times, or too large. The message names the place.',
  ),
  READING_SIGNATURE: reject(
    0,
    400,
    'The signature of a reading recovers to no key. It is 65 bytes over SHA3-256(tag, chain id, bytes of the pack), with low S.',
  ),
  READING_BATCH: reject(
    0,
    422,
    'The reading is not the one at this place of the anchored batch: it, its signature or its place was altered. Ask for the original.',
  ),
  READING_SENSOR: ignore(
    0,
    403,
    'The reading was signed by a key that this gateway does not know, or was altered on its way (which looks the same). ' +
      'Name the sensor in rtu.sensors.',
  ),
  READING_DUPLICATE: ignore(0, 409, 'The gateway holds this reading already. Nothing is to be done.'),
  READING_FULL: ignore(
    0,
    507,
    'The gateway has no room for more readings. Take archived batches out of its folder, or give it more (rtu.readings_mb).',
  ),

  // Snapshots that a member offers to one who joins.
  SNAPSHOT_INVALID: reject(
    100,
    422,
    'A snapshot, or a part of it, that does not lead to the state root of a committed block. Members check what they offer.',
  ),

  // Blocks (ledger.md §4).
  BLOCK_MALFORMED: reject(100, 400, 'Not a block header or body in its one encoding.'),
  BLOCK_TOO_LARGE: reject(100, 413, 'The transactions of the block are together larger than the limit.'),
  BLOCK_COUNT: reject(
    100,
    422,
    'The header’s transaction count is not the number of transactions, or above the limit.',
  ),
  BLOCK_CHAIN: reject(100, 422, 'The header names another chain id.'),
  BLOCK_ERA: reject(50, 422, 'The header’s era does not follow from its parent.'),
  BLOCK_HEIGHT: reject(100, 422, 'The height is not that of the parent plus one.'),
  BLOCK_PARENT: ignore(
    0,
    422,
    'The parent is not the block that this one should follow, or is not known here yet. Fetch it first.',
  ),
  BLOCK_TIME: reject(50, 422, 'The block’s time lies before its parent’s.'),
  BLOCK_TIME_AHEAD: ignore(
    1,
    422,
    'The block’s time is further ahead of this node’s clock than the drift allowed. Check both clocks.',
  ),
  BLOCK_TREES: reject(100, 422, 'treesRoot is not the root over the block’s transactions.'),
  BLOCK_ROOT: reject(100, 422, 'stateRoot is not the root of the state after this block.'),
  BLOCK_HISTORY: reject(100, 422, 'historyRoot is not the log root over the earlier blocks.'),
  BLOCK_TRANSACTION: reject(100, 422, 'The block holds a transaction that the state machine refuses.'),
  BLOCK_MEMBER_SET: reject(
    100,
    422,
    'A hash of the present or next member set is not the one that follows from the chain.',
  ),
  BLOCK_MODULES: reject(100, 422, 'The hash of the active modules is not the one that follows from the chain.'),

  // Certificates (agreement.md §3).
  CERT_MALFORMED: reject(100, 400, 'Not a certificate in its one encoding.'),
  CERT_FOREIGN_SIGNER: reject(
    100,
    422,
    'A signature of the certificate recovers to nobody in the member set of its era.',
  ),
  CERT_DUPLICATE_SIGNER: reject(100, 422, 'One member signed the certificate twice.'),
  CERT_NO_QUORUM: reject(100, 422, 'Fewer distinct members signed than make a quorum.'),
  CERT_STATEMENT: reject(
    100,
    422,
    'The certificate is about another block, slot or kind of statement than the one it was attached to.',
  ),

  // Messages between members and to them (agreement.md §3).
  MESSAGE_MALFORMED: reject(50, 400, 'Not a message in its one encoding.'),
  MESSAGE_TOO_LARGE: reject(50, 413, 'The message is larger than its kind may be.'),
  MESSAGE_SIGNER: reject(50, 403, 'The signature recovers to nobody who may send this message.'),
  MESSAGE_ATTACHMENT: reject(50, 422, 'What must be attached to the message is missing or does not fit it.'),
  MESSAGE_ERA: ignore(
    0,
    409,
    'The message is of an era that is over, or has not begun here. Synchronise blocks first.',
  ),
  GOSSIP_TOPIC: reject(
    50,
    422,
    'The transaction was gossiped on the topic of another kind. Reports of devices have a topic of their own.',
  ),
  MESSAGE_RATE: ignore(5, 429, 'More messages than this peer may send in the time. Send fewer.'),

  // Between devices and members (ledger.md §6).
  LIGHT_NOT_A_REPORT: reject(
    20,
    422,
    'A device hands in reports about itself, batches of readings, its opinions of others, and nothing else. Submit this through the API.',
  ),
  LIGHT_FOREIGN_REPORT: reject(
    20,
    403,
    'The report is signed by another key than that of the device which hands it in. Each device hands in its own.',
  ),
  LIGHT_CARD: reject(20, 422, 'Not a card of the device that hands it in: odd, unsigned, or signed by another.'),
  SEGMENT_STRANGER: ignore(0, 403, 'Signed by no device known to be in service in the segment. It is looked up.'),
  SEGMENT_STALE: ignore(0, 409, 'A report or card of another moment than now. It is compared with nothing.'),
  SEGMENT_RATE: ignore(0, 429, 'More than one device has to say in its segment. The rest is passed over.'),
  SEGMENT_KIND: reject(20, 422, 'Heard in the segment: neither a report, nor opinions, nor a card.'),
  LIGHT_FORBIDDEN: ignore(
    1,
    403,
    'A device may ask for proofs of its own record and reports, and of trust and blacklisting. Ask the API for the rest.',
  ),
  LIGHT_UNPROVABLE: ignore(
    0,
    404,
    'There is no such transaction in a certified block, or no certified block yet. Ask again after the next one.',
  ),
  LIGHT_PRUNED: ignore(
    0,
    410,
    'The report is in the chain, but the body of its block is gone here, and with it the proof. An archive node has it.',
  ),
  LIGHT_BUSY: ignore(
    0,
    503,
    'This member is making as many proofs as it allows itself. Ask again in some seconds, or another member.',
  ),
  LIGHT_OLD_HEADER: ignore(0, 409, 'The header is not above the newest one verified here. Nothing is to be done.'),
  LIGHT_ERA: ignore(
    0,
    409,
    'The header is of a later era than this device has followed the chain to. It asks how the eras before it ended.',
  ),
  LIGHT_STALE: ignore(
    1,
    409,
    'The proof is true of an older block than the newest header verified here. Ask another member.',
  ),
  LIGHT_ANSWER: reject(50, 422, 'The proof is of something else than what was asked for.'),
  LIGHT_FORK: ignore(
    0,
    409,
    'Two commit certificates contradict each other: more members lied than are tolerated, or messages took too long. ' +
      'Keep the evidence and show it to the members.',
  ),
} as const satisfies Record<string, Verdict>

/** A stable code. Apart from `OK` each is a refusal. */
export type Code = keyof typeof VERDICTS

/** The row for the outcome of a check, where null means that nothing was wrong. */
export const verdictOf = (code: Code | null): Verdict => VERDICTS[code ?? 'OK']
