/** Stage: HTTP API → pool. Transactions that were signed elsewhere, one or many at a time, as CBOR. */
import { Type } from 'typebox'
import { toHex } from '../../../protocol/bytes.ts'
import { CborError, type CborValue, decodeCbor } from '../../../protocol/cbor.ts'
import { sha3 } from '../../../protocol/crypto.ts'
import { LIMITS } from '../../../protocol/limits.ts'
import { SIGNATURE_BYTES } from '../../../protocol/signature.ts'
import { answerWritten, type RouteContext, type Server } from '../context.ts'
import type { Submission } from '../dependencies.ts'
import { ApiRefusal, problemOf } from '../problem.ts'
import { accepted, answers, anyObject, committed, WRITE_CODES, writeQuery } from '../schemas.ts'
import { refusalOf, submit } from '../write.ts'
import { sendProof } from './ledger.ts'

const CBOR_TYPE = 'application/cbor'
/** Transactions of one request. */
export const BULK_TRANSACTIONS_MAX = 1000
/** Handed in at the same time, so that one request does not hold the others up. */
export const SUBMISSIONS_MAX = 256

const item = Type.Object({
  id: Type.String(),
  status: Type.Union([Type.Literal('accepted'), Type.Literal('refused')]),
  code: Type.Optional(Type.String()),
  title: Type.Optional(Type.String()),
  detail: Type.Optional(Type.String()),
})
const bulk = Type.Object(
  { accepted: Type.Integer(), refused: Type.Integer(), items: Type.Array(item, { maxItems: BULK_TRANSACTIONS_MAX }) },
  {
    description: 'Of a list: what became of each, in order.',
    examples: [{ accepted: 1, refused: 0, items: [{ id: 'a'.repeat(64), status: 'accepted' }] }],
  },
)

/** Adds POST /v1/transactions and POST /v1/proofs/transactions. `server` is theirs alone: it takes no JSON. */
export function transactionRoutes(server: Server, { dependencies, bounds }: RouteContext): void {
  server.removeAllContentTypeParsers()
  server.addContentTypeParser(CBOR_TYPE, { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  server.post(
    '/transactions',
    {
      config: { scope: 'write' },
      schema: {
        tags: ['transactions'],
        operationId: 'submitTransactions',
        summary: `Hands in a signed transaction, or a CBOR array of up to ${BULK_TRANSACTIONS_MAX} byte strings that are transactions`,
        querystring: writeQuery,
        body: {
          content: {
            [CBOR_TYPE]: {
              schema: Type.Any({ description: '[body, signature], or a list of such.', examples: ['82…'] }),
            },
          },
        },
        response: answers({ 200: committed, 202: accepted, 207: bulk }, [
          ...WRITE_CODES,
          'CBOR_MALFORMED',
          'TX_MALFORMED',
          'TX_TOO_LARGE',
          'TX_NON_CANONICAL',
          'TX_SIGNATURE',
          'TX_UNKNOWN_KIND',
          'TX_VALIDITY_TOO_LONG',
        ]),
      },
    },
    async ({ body, query: { wait } }, reply) => {
      if (!(body instanceof Uint8Array)) throw new ApiRefusal('MEDIA_TYPE_UNSUPPORTED', `Send ${CBOR_TYPE}.`)
      const bytes = Uint8Array.from(body)
      const list = listOf(bytes)
      if (list === undefined) {
        const waitMs = wait === 'committed' ? bounds.waitTimeoutMs : 0
        return answerWritten(reply, await submit(dependencies, bytes, toHex(sha3(bytes)), waitMs))
      }
      if (wait === 'committed')
        throw new ApiRefusal(
          'REQUEST_INVALID',
          'Only a single transaction can be waited for; follow the ids of a list.',
        )
      const items: object[] = []
      for (let i = 0; i < list.length; i += SUBMISSIONS_MAX)
        items.push(...(await submitAll(list.slice(i, i + SUBMISSIONS_MAX))))
      const refused = items.filter((one) => 'code' in one).length
      return reply.code(207).send({ accepted: items.length - refused, refused, items })
    },
  )
  server.post(
    '/proofs/transactions',
    {
      config: { scope: 'read' },
      schema: {
        tags: ['proofs'],
        operationId: 'proveKeptTransaction',
        summary:
          'Proves that a transaction is committed, for who has kept its bytes: also where this node has dropped them',
        body: {
          content: {
            [CBOR_TYPE]: { schema: Type.Any({ description: 'The transaction, byte for byte.', examples: ['82…'] }) },
          },
        },
        response: answers(
          {
            200: anyObject('A proof file (ledger.md §5): verified offline, with nothing but the genesis.', {
              format: 'althing proof',
            }),
          },
          ['PROOF_UNKNOWN', 'TX_TOO_LARGE'],
        ),
      },
    },
    async ({ body }, reply) => {
      if (!(body instanceof Uint8Array)) throw new ApiRefusal('MEDIA_TYPE_UNSUPPORTED', `Send ${CBOR_TYPE}.`)
      if (body.length > LIMITS.transactionBytesMax) throw new ApiRefusal('TX_TOO_LARGE')
      const bytes = Uint8Array.from(body)
      return sendProof(reply, await dependencies.transactionProof(toHex(sha3(bytes)), bytes))
    },
  )

  async function submitAll(list: readonly Uint8Array[]): Promise<object[]> {
    const submissions = await dependencies.submit(list)
    return Promise.all(
      list.map(async (bytes, i) => {
        const submission = submissions[i] as Submission
        const id = submission.ok ? submission.id : toHex(sha3(bytes))
        const refusal = await refusalOf(dependencies, submission, id)
        if (refusal === null) return { id, status: 'accepted' }
        const { code, title, detail } = problemOf(refusal)
        return { id, status: 'refused', code, title, detail }
      }),
    )
  }
}

/**
 * The transactions of a list, or undefined for a single one. Both are arrays of byte strings, but no transaction is as short as the
 * signature in second place of a single one, so that nothing can be taken for the other. ApiRefusal CBOR_MALFORMED.
 */
function listOf(body: Uint8Array): readonly Uint8Array[] | undefined {
  let value: CborValue
  try {
    value = decodeCbor(body)
  } catch (error) {
    if (error instanceof CborError) throw new ApiRefusal('CBOR_MALFORMED')
    throw error
  }
  const isBytes = (part: unknown): part is Uint8Array => part instanceof Uint8Array
  if (!Array.isArray(value) || value.length === 0 || !value.every(isBytes)) throw new ApiRefusal('CBOR_MALFORMED')
  if (value.length === 2 && value[1]?.length === SIGNATURE_BYTES) return undefined
  if (value.length > BULK_TRANSACTIONS_MAX)
    throw new ApiRefusal('CBOR_MALFORMED', `More than ${BULK_TRANSACTIONS_MAX} transactions in one request.`)
  return value
}
