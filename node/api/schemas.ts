/**
 * Stage: HTTP API. Shapes of requests and answers: one schema gives the type, the validation and the OpenAPI document.
 * Invariants: every text, number and list of a request is bounded, and unknown members are refused; bounds are those of `protocol/`,
 * where the same fields have codecs, which have the last word.
 */
import { type Static, type TObject, type TProperties, type TSchema, Type } from 'typebox'
import { CATEGORY_NAMES } from '../../protocol/kinds/report/categories.ts'
import { FEATURES_BYTES_MAX } from '../../protocol/kinds/report/report.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { CURSOR_CHARACTERS_MAX, PAGE_ITEMS, PAGE_ITEMS_MAX } from './paging.ts'
import { PROBLEM_TYPE, type ProblemCode, problemOf } from './problem.ts'

type Described = { examples?: unknown[]; items?: Described; properties?: Record<string, Described> }
/** An example of `schema`: its own, else made of those of its parts. */
function exampleOf(schema: Described): unknown {
  if (schema.examples !== undefined) return schema.examples[0]
  if (schema.items !== undefined) return [exampleOf(schema.items)]
  return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, part]) => [name, exampleOf(part)]))
}
/** An object with these properties and no others. */
export const closed = <P extends TProperties>(properties: P, more: { minProperties?: number } = {}): TObject<P> =>
  Type.Object(properties, {
    additionalProperties: false,
    examples: [exampleOf({ properties: properties as Record<string, Described> })],
    ...more,
  })
/** So many bytes in lower-case hexadecimal. */
export const hex = (bytes: number, description: string, digit = 'a') =>
  Type.String({ pattern: `^[0-9a-f]{${2 * bytes}}$`, description, examples: [digit.repeat(2 * bytes)] })

/** A device id or namespace in a path. */
export const address = hex(20, 'Address: 40 lower-case hexadecimal digits.', 'd')
/** Id of a transaction. */
export const transactionId = hex(32, 'Id of the transaction: SHA3-256 of its bytes.', 'a')
const blockHash = hex(32, 'Hash of the block.', 'b')
const ppm = Type.Integer({ minimum: 0, maximum: 1_000_000, description: 'Parts per million.', examples: [250_000] })
const label = (example: string) =>
  Type.String({ minLength: 1, maxLength: LIMITS.nameCharactersMax, examples: [example] })
const remark = Type.String({ maxLength: 512, examples: ['port 4444 opened by an unknown program'] })
const height = Type.Integer({ minimum: 0, description: 'Height of a block.', examples: [812] })
const time = Type.Integer({ minimum: 0, description: 'ms since 1970-01-01T00:00Z.', examples: [1_790_000_000_000] })
const evidence = Type.Array(transactionId, { maxItems: 64, description: 'Ids of reports.' })
const mode = Type.Union([Type.Literal('enforce'), Type.Literal('observe')], { examples: ['enforce'] })
const capabilities = Type.Array(Type.String({ minLength: 1, maxLength: 48, examples: ['modbus.read'] }), {
  maxItems: 32,
})
const category = Type.Union(
  CATEGORY_NAMES.map((name) => Type.Literal(name)),
  { examples: ['network.listener'] },
)

/** Body of POST /devices. */
export const deviceRegistration = closed({
  publicKey: Type.String({ pattern: '^0[23][0-9a-f]{64}$', examples: [`02${'c'.repeat(64)}`] }),
  hardwareId: label('SN-4711'),
  manufacturer: label('Siemens'),
  model: label('S7-1500'),
  firmware: label('2.9.4'),
  capabilities,
  segment: label('plant-1.cell-3'),
  mode,
})
/** Body of PATCH /devices/{id}: what is left out stays. */
export const deviceChanges = closed(
  {
    firmware: Type.Optional(label('2.9.5')),
    capabilities: Type.Optional(capabilities),
    segment: Type.Optional(label('plant-1.cell-4')),
    mode: Type.Optional(mode),
  },
  { minProperties: 1 },
)
/** Body of POST /devices/{id}/trust. */
export const trustScoreBody = closed({ scorePpm: ppm, evidence, model: label('trust-rules 1.0') })
/** Body of POST /devices/{id}/events. A score that is left out is computed. */
export const reportBody = closed({
  observedAt: time,
  events: Type.Array(
    closed({
      category,
      severityPpm: ppm,
      confidencePpm: ppm,
      scorePpm: Type.Optional(ppm),
      detail: remark,
    }),
    { minItems: 1, maxItems: LIMITS.reportEventsMax },
  ),
  features: Type.Optional(
    Type.String({
      pattern: '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$',
      maxLength: 4 * Math.ceil(FEATURES_BYTES_MAX / 3),
      description: 'What the model read, in base64.',
      examples: ['AAEC'],
    }),
  ),
  model: Type.Optional(
    closed({
      hash: hex(32, 'Hash of the anomaly module that gave the scores: the one that is active.', 'e'),
      version: Type.String({ minLength: 1, maxLength: 32, pattern: '^[\\w.+-]+$', examples: ['1.4.0'] }),
    }),
  ),
  scores: Type.Optional(
    Type.Array(ppm, { maxItems: LIMITS.moduleResultsMax, description: 'What that module says of the features.' }),
  ),
})
/** Body of POST /devices/{id}/blacklist. */
export const blacklistBody = closed({ finalScorePpm: ppm, thresholdPpm: ppm, anomalies: evidence, reason: remark })
/** Body of POST /devices/{id}/reinstate. */
export const reinstateBody = closed({
  approvals: Type.Array(hex(65, 'Signature of a member over [device id, height of blacklisting].', 'f'), {
    minItems: 1,
    maxItems: LIMITS.membersMax,
  }),
})

/** Path with a device. */
export const deviceParams = closed({ id: address })
/** Path with a key of the own namespace. */
export const stateKey = Type.String({
  minLength: 1,
  maxLength: LIMITS.stateKeyCharactersMax,
  description: 'The key, percent-encoded, slashes too.',
  examples: ['line-3/setpoint'],
})
/** Query of writes. */
export const writeQuery = closed({
  wait: Type.Optional(
    Type.Union([Type.Literal('accepted'), Type.Literal('committed')], {
      description:
        'committed: answer when a block holds the transaction, or 202 when that takes too long. accepted: at once.',
      examples: ['committed'],
    }),
  ),
})
/** Headers of writes that the node signs. */
export const writeHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: '^[\\x21-\\x7e]{1,255}$',
      description:
        'A request repeated with the same key and body within 20 minutes is carried out once. The nonce is derived from it, ' +
        'so this holds on every node that has the API key, and after restarts.',
      examples: ['5f2c1f6e-8a0e-4c0b-9d1a-2f6f1a1c7b90'],
    }),
  ),
})
const pageProperties = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: PAGE_ITEMS_MAX, default: PAGE_ITEMS, examples: [20] })),
  cursor: Type.Optional(
    Type.String({
      maxLength: CURSOR_CHARACTERS_MAX,
      description: '`next` of the page before.',
      examples: ['YmxvY2tzOjgwMA'],
    }),
  ),
}
/** Query of lists. */
export const pageQuery = closed(pageProperties)
/** Query of the events of a device. */
export const deviceEventsQuery = closed({ ...pageProperties, type: Type.Optional(category) })

/** Answer with what is not known at the time of writing more exactly than that it is JSON. */
export const anyObject = (description: string, example: object): TSchema =>
  Type.Object({}, { description, additionalProperties: true, examples: [example] })
/** A page of `item`. */
export const pageSchema = (item: TSchema, description: string): TSchema =>
  Type.Object(
    { items: Type.Array(item, { maxItems: PAGE_ITEMS_MAX }), next: Type.Union([Type.String(), Type.Null()]) },
    { description, examples: [{ items: [exampleOf(item as Described)], next: null }] },
  )

/** Answer of writes that wait for no block. */
export const accepted = Type.Object(
  {
    id: transactionId,
    status: Type.Literal('accepted'),
    device: Type.Optional(address),
  },
  {
    description: 'Accepted: follow /v1/transactions/{id}; it counts once a block that holds it is committed.',
    examples: [{ id: 'a'.repeat(64), status: 'accepted' }],
  },
)
/** Answer of writes that waited. */
export const committed = Type.Object(
  {
    id: transactionId,
    status: Type.Literal('committed'),
    height,
    block: blockHash,
    index: Type.Integer({ minimum: 0 }),
    device: Type.Optional(address),
  },
  {
    description: 'Committed.',
    examples: [{ id: 'a'.repeat(64), status: 'committed', height: 812, block: 'b'.repeat(64), index: 0 }],
  },
)

const trustProperties = {
  trustPpm: ppm,
  basis: Type.String({ description: 'initial, score or opinions: what the trust rests on.' }),
  raters: Type.Integer({ description: 'Voices that counted in the last evaluation.' }),
  below: Type.Integer({ description: 'Rounds of opinions in a row below the threshold.' }),
  evaluations: Type.Integer(),
  scores: Type.Integer({ description: 'Scores of outside modules since registration.' }),
}
const trustView = Type.Union([Type.Object(trustProperties), Type.Null()])
/** A device in answers. */
export const deviceSchema = Type.Object(
  {
    id: address,
    publicKey: Type.String(),
    hardwareId: Type.String(),
    manufacturer: Type.String(),
    model: Type.String(),
    firmware: Type.String(),
    capabilities: Type.Array(Type.String()),
    segment: Type.String(),
    owner: Type.String({ description: 'Public key of the member that registered it.' }),
    mode,
    status: Type.String({ description: 'registered, trusted, suspect, blacklisted, reinstated or retired.' }),
    registeredAt: height,
    statusSince: height,
    trust: trustView,
    blacklist: Type.Union([Type.Object({ height }), Type.Null()]),
    reinstatement: Type.Union([Type.Object({ height }), Type.Null()]),
    reports: Type.Union([
      Type.Object({ count: Type.Integer(), lastHeight: height, lastTransaction: transactionId, observedAt: time }),
      Type.Null(),
    ]),
  },
  {
    description: 'The device.',
    examples: [
      {
        id: 'd'.repeat(40),
        publicKey: `02${'c'.repeat(64)}`,
        hardwareId: 'SN-4711',
        manufacturer: 'Siemens',
        model: 'S7-1500',
        firmware: '2.9.4',
        capabilities: ['modbus.read'],
        segment: 'plant-1.cell-3',
        owner: `03${'1'.repeat(64)}`,
        mode: 'enforce',
        status: 'trusted',
        registeredAt: 12,
        statusSince: 40,
        trust: { trustPpm: 830_000, basis: 'opinions', raters: 5, below: 0, evaluations: 52, scores: 9 },
        blacklist: null,
        reinstatement: null,
        reports: {
          count: 4711,
          lastHeight: 812,
          lastTransaction: 'a'.repeat(64),
          observedAt: 1_790_000_000_000,
        },
      },
    ],
  },
)
/** The trust in a device in answers. */
export const deviceTrustSchema = Type.Object(
  {
    ...trustProperties,
    status: Type.String(),
    mode,
    segment: Type.String(),
    rule: Type.Object({
      thresholdPpm: ppm,
      patience: Type.Integer(),
      minRaters: Type.Integer(),
      freshnessMs: Type.Integer(),
    }),
    opinions: Type.Array(
      Type.Object({
        rater: address,
        member: Type.Union([Type.String(), Type.Null()], {
          description: 'Name of the member whose outside modules speak; null for a device.',
        }),
        trustPpm: ppm,
        weightPpm: Type.Integer({ description: 'What it weighs now; 0: it does not count.' }),
        observedAt: time,
        height,
      }),
      { maxItems: LIMITS.ratersMax },
    ),
    blacklist: Type.Union(
      [Type.Object({ cause: Type.String(), finalScorePpm: ppm, thresholdPpm: ppm, height }), Type.Null()],
      {
        description:
          'Why it is cut off: final score, threshold, the opinions that counted, the reports that led there.',
      },
    ),
    reinstatement: Type.Union([Type.Object({ height }), Type.Null()], {
      description: 'Its last reinstatement; `ended` is why it had been cut off.',
    }),
  },
  {
    description: 'The trust, and all that it rests on.',
    examples: [
      {
        trustPpm: 210_000,
        basis: 'opinions',
        raters: 3,
        below: 1,
        evaluations: 52,
        scores: 0,
        status: 'suspect',
        mode: 'enforce',
        segment: 'plant-1.cell-3',
        rule: { thresholdPpm: 300_000, patience: 2, minRaters: 3, freshnessMs: 600_000 },
        opinions: [
          {
            rater: 'e'.repeat(40),
            member: null,
            trustPpm: 210_000,
            weightPpm: 910_000,
            observedAt: 1_790_000_000_000,
            height: 812,
          },
        ],
        blacklist: null,
        reinstatement: null,
      },
    ],
  },
)
/** A point of the history of trust in answers. */
export const trustPointSchema = Type.Object(
  {
    sequence: Type.Integer(),
    height,
    time,
    trustPpm: ppm,
    thresholdPpm: ppm,
    raters: Type.Integer(),
    below: Type.Integer(),
    status: Type.String(),
  },
  {
    description: 'Where the trust stood after a block that moved it by 1 % or more, or moved the device in its life.',
    examples: [
      {
        sequence: 7,
        height: 812,
        time: 1_790_000_000_500,
        trustPpm: 210_000,
        thresholdPpm: 300_000,
        raters: 3,
        below: 1,
        status: 'suspect',
      },
    ],
  },
)
/** An anomaly event in answers. */
export const deviceEventSchema = Type.Object(
  {
    sequence: Type.Integer(),
    transaction: transactionId,
    height,
    blockHash,
    index: Type.Integer(),
    committedAt: time,
    observedAt: time,
    category,
    severityPpm: ppm,
    confidencePpm: ppm,
    scorePpm: ppm,
    detail: Type.String(),
  },
  {
    description: 'An anomaly event of a committed report.',
    examples: [
      {
        sequence: 3,
        transaction: 'a'.repeat(64),
        height: 812,
        blockHash: 'b'.repeat(64),
        index: 0,
        committedAt: 1_790_000_000_500,
        observedAt: 1_790_000_000_000,
        category: 'network.listener',
        severityPpm: 700_000,
        confidencePpm: 900_000,
        scorePpm: 630_000,
        detail: 'port 4444 opened by an unknown program',
      },
    ],
  },
)
const blockProperties = {
  hash: blockHash,
  version: Type.Integer(),
  chainId: Type.String(),
  era: Type.Integer(),
  height,
  parent: Type.String(),
  time,
  treesRoot: Type.String(),
  transactionCount: Type.Integer({ minimum: 0 }),
  stateRoot: Type.String(),
  historyRoot: Type.String(),
  memberSetHash: Type.String(),
  nextMemberSetHash: Type.Union([Type.String(), Type.Null()]),
  modulesHash: Type.String(),
}
const blockExample = {
  hash: 'b'.repeat(64),
  version: 1,
  chainId: '1'.repeat(64),
  era: 0,
  height: 812,
  parent: '2'.repeat(64),
  time: 1_790_000_000_000,
  treesRoot: '3'.repeat(64),
  transactionCount: 1,
  stateRoot: '4'.repeat(64),
  historyRoot: '5'.repeat(64),
  memberSetHash: '6'.repeat(64),
  nextMemberSetHash: null,
  modulesHash: '7'.repeat(64),
}
/** A header in lists. */
export const blockSummarySchema = Type.Object(blockProperties, { description: 'A header.', examples: [blockExample] })
/** A block in answers. */
export const blockSchema = Type.Object(
  { ...blockProperties, transactions: Type.Array(transactionId, { maxItems: LIMITS.blockTransactionsMax }) },
  {
    description: 'A block and the ids of its transactions.',
    examples: [{ ...blockExample, transactions: ['a'.repeat(64)] }],
  },
)

const PROBLEM_MEMBERS = {
  type: Type.String({ description: 'urn:althing:problem:<code>' }),
  title: Type.String(),
  status: Type.Integer({ minimum: 400, maximum: 599 }),
  detail: Type.String(),
  code: Type.String({ pattern: '^[A-Z][A-Z0-9_]*$', description: 'Stable; its meaning never changes.' }),
  errors: Type.Optional(Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }), { maxItems: 16 })),
}
/** Every refusal (RFC 9457). */
export const problemSchema = Type.Object(PROBLEM_MEMBERS, { $id: 'Problem', description: 'A refusal (RFC 9457).' })

const SHARED: readonly ProblemCode[] = ['REQUEST_INVALID', 'RATE_LIMITED', 'INTERNAL', 'UNAVAILABLE']
const SIGNED: readonly ProblemCode[] = ['TOKEN_MISSING', 'TOKEN_INVALID', 'TOKEN_EXPIRED', 'SCOPE_MISSING']
/** What a write may be refused with, whatever its kind. */
export const WRITE_CODES: readonly ProblemCode[] = [
  'SIGNING_KEY_MISSING',
  'IDEMPOTENCY_MISMATCH',
  'JSON_MALFORMED',
  'BODY_TOO_LARGE',
  'MEDIA_TYPE_UNSUPPORTED',
  'TX_PAYLOAD',
  'TX_UNKNOWN_SIGNER',
  'TX_FORBIDDEN',
  'TX_EXPIRED',
  'TX_REPLAYED',
  'POOL_DUPLICATE',
  'INTAKE_BUSY',
  'POOL_FULL',
  'POOL_SIGNER_QUOTA',
  'STATE_FULL',
]

/** The `response` of a route: answers of success, and by status the problems with these codes, with an example each. */
export function answers(
  success: Readonly<Record<number, unknown>>,
  codes: readonly ProblemCode[],
  { open = false } = {},
): Record<string, unknown> {
  const byStatus: Record<string, { description: string; content: Record<string, unknown> }> = {}
  for (const code of new Set([...(open ? [] : SIGNED), ...codes, ...SHARED])) {
    const value = problemOf(code)
    const answer = byStatus[value.status] ?? {
      description: '',
      content: { [PROBLEM_TYPE]: { schema: { $ref: 'Problem#' }, examples: {} } },
    }
    byStatus[value.status] = answer
    const media = answer.content[PROBLEM_TYPE] as { examples: Record<string, unknown> }
    media.examples[code] = { value }
    answer.description = Object.keys(media.examples).join(', ')
  }
  return { ...byStatus, ...success }
}

/** Body of a report of events. */
export type ReportBody = Static<typeof reportBody>
