/** Stage: HTTP API. The ledger as committed: blocks, certificates, transactions, proofs, and the node's status. Reads only. */
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { LIMITS } from '../../../protocol/limits.ts'
import { isStateKey } from '../../../protocol/state/entry.ts'
import type { RouteContext, Server } from '../context.ts'
import type { Held, Place } from '../dependencies.ts'
import { numberOf, PAGE_ITEMS, pageOf } from '../paging.ts'
import { ApiRefusal } from '../problem.ts'
import {
  answers,
  anyObject,
  blockSchema,
  blockSummarySchema,
  pageQuery,
  pageSchema,
  transactionId,
} from '../schemas.ts'
import { blockSummary, blockView, certificateView, transactionView } from '../views.ts'

const READ = { config: { scope: 'read' } } as const
/** `kv/`, an address, a slash and a key: the longest state key there is. */
const STATE_KEY_CHARACTERS_MAX = 64 + LIMITS.stateKeyCharactersMax
const HEIGHT = '(?:0|[1-9][0-9]{0,14})'

/** Adds the routes below /v1/blocks, /v1/transactions, /v1/proofs, and /v1/status. */
export function ledgerRoutes(server: Server, context: RouteContext): void {
  blockRoutes(server, context)
  proofRoutes(server, context)
  const { dependencies } = context
  server.get(
    '/transactions/:id',
    {
      ...READ,
      schema: {
        tags: ['transactions'],
        operationId: 'getTransaction',
        summary: 'Shows a transaction and what became of it',
        params: Type.Object({ id: transactionId }),
        response: answers(
          {
            200: Type.Object(
              {
                id: transactionId,
                status: Type.Union([Type.Literal('pending'), Type.Literal('committed'), Type.Literal('refused')]),
                kind: Type.String(),
                signer: Type.String(),
                payload: Type.Any(),
                nonce: Type.String(),
                validUntil: Type.Integer(),
                bytes: Type.Integer(),
              },
              {
                description: 'With height, block and index where it is committed, and code where it was refused.',
                examples: [
                  {
                    id: 'a'.repeat(64),
                    status: 'committed',
                    height: 812,
                    block: 'b'.repeat(64),
                    index: 0,
                    committedAt: 1_790_000_000_000,
                    kind: 'kv.put',
                    signer: `02${'c'.repeat(64)}`,
                    payload: { key: 'line-3/setpoint', value: 'NDIuNQ==' },
                    nonce: '0'.repeat(32),
                    validUntil: 1_790_001_200_000,
                    bytes: 140,
                  },
                ],
              },
            ),
          },
          ['TRANSACTION_UNKNOWN', 'PRUNED'],
        ),
      },
    },
    async ({ params: { id } }) => {
      const known = await dependencies.transaction(id)
      if (known === undefined) throw new ApiRefusal('TRANSACTION_UNKNOWN')
      if (known.state === 'pruned') throw prunedTransaction(known, dependencies.held())
      return transactionView(id, known)
    },
  )
  server.get(
    '/status',
    {
      ...READ,
      schema: {
        tags: ['node'],
        operationId: 'getStatus',
        summary: 'Shows how the node is',
        response: answers(
          { 200: anyObject('The node, its head, its peers, and why it stands still if it does.', { height: 812 }) },
          [],
        ),
      },
    },
    async () => dependencies.status(),
  )
}

function blockRoutes(server: Server, { dependencies }: RouteContext): void {
  server.get(
    '/blocks',
    {
      ...READ,
      schema: {
        tags: ['blocks'],
        operationId: 'listBlocks',
        summary: 'Lists blocks, newest first',
        querystring: pageQuery,
        response: answers({ 200: pageSchema(blockSummarySchema, 'Headers, newest first.') }, ['CURSOR_INVALID']),
      },
    },
    async ({ query: { cursor, limit = PAGE_ITEMS } }) => {
      const before = numberOf('blocks', cursor)
      const found = await dependencies.blocks({ before, limit: limit + 1 })
      return pageOf(found, limit, 'blocks', (sealed) => `${sealed.header.height}`, blockSummary)
    },
  )
  server.get(
    '/blocks/:name',
    {
      ...READ,
      schema: {
        tags: ['blocks'],
        operationId: 'getBlock',
        summary: 'Shows a block by height or hash, or head',
        params: Type.Object({
          name: Type.String({
            pattern: `^(?:head|${HEIGHT}|[0-9a-f]{64})$`,
            description: 'Height, hash in lower-case hexadecimal, or head.',
            examples: ['812'],
          }),
        }),
        response: answers({ 200: blockSchema }, ['BLOCK_UNKNOWN', 'PRUNED']),
      },
    },
    async ({ params: { name } }) => {
      const wanted =
        name === 'head' ? (await dependencies.head())?.header.height : name.length === 64 ? name : Number(name)
      const block = wanted === undefined ? undefined : await dependencies.block(wanted)
      if (block === undefined) throw unknownBlock(wanted, dependencies.held())
      return blockView(block)
    },
  )
  server.get(
    '/blocks/:name/certificate',
    {
      ...READ,
      schema: {
        tags: ['blocks'],
        operationId: 'getCertificate',
        summary: 'Shows the commit certificate of a block: who signed, who did not',
        params: Type.Object({
          name: Type.String({ pattern: `^${HEIGHT}$`, description: 'Height.', examples: ['812'] }),
        }),
        response: answers(
          {
            200: Type.Object(
              {
                kind: Type.String(),
                statement: Type.Object({}, { additionalProperties: true }),
                signatures: Type.Array(Type.String()),
                quorum: Type.Integer(),
                members: Type.Array(
                  Type.Object({ name: Type.String(), publicKey: Type.String(), signed: Type.Boolean() }),
                ),
                signed: Type.Array(Type.String()),
                missing: Type.Array(Type.String()),
              },
              {
                description: 'The certificate, and its members by name.',
                examples: [
                  {
                    kind: 'commit',
                    statement: { era: 0, view: 3, seq: 4, height: 812, hash: 'b'.repeat(64) },
                    signatures: ['f'.repeat(130)],
                    quorum: 2,
                    members: [
                      { name: 'Org A', publicKey: `02${'1'.repeat(64)}`, signed: true },
                      { name: 'Org B', publicKey: `03${'2'.repeat(64)}`, signed: false },
                    ],
                    signed: ['Org A'],
                    missing: ['Org B'],
                  },
                ],
              },
            ),
          },
          ['BLOCK_UNKNOWN', 'PRUNED'],
        ),
      },
    },
    async ({ params: { name } }) => {
      const certificate = await dependencies.certificate(Number(name))
      if (certificate === undefined) throw unknownBlock(Number(name), dependencies.held())
      return certificateView(certificate)
    },
  )
}

function proofRoutes(server: Server, { dependencies }: RouteContext): void {
  const proof = anyObject('A proof file (ledger.md §5): verified offline, with nothing but the genesis.', {
    format: 'althing proof',
  })
  server.get(
    '/proofs/transactions/:id',
    {
      ...READ,
      schema: {
        tags: ['proofs'],
        operationId: 'proveTransaction',
        summary: 'Proves that a transaction is committed',
        params: Type.Object({ id: transactionId }),
        response: answers({ 200: proof }, ['PROOF_UNKNOWN', 'PRUNED']),
      },
    },
    async ({ params: { id } }, reply) => {
      const text = await dependencies.transactionProof(id)
      const known = text === undefined ? await dependencies.transaction(id) : undefined
      if (known?.state === 'pruned') throw prunedTransaction(known, dependencies.held())
      return sendProof(reply, text)
    },
  )
  server.get(
    '/proofs/state/*',
    {
      ...READ,
      schema: {
        tags: ['proofs'],
        operationId: 'proveState',
        summary: 'Proves that a state key holds its entry, or that there is none',
        params: Type.Object({
          '*': Type.String({
            minLength: 1,
            maxLength: STATE_KEY_CHARACTERS_MAX,
            description:
              'State key, such as device/<id> or kv/<namespace>/<key>. <namespace>/<key> stands for kv/<namespace>/<key>.',
            examples: [`device/${'d'.repeat(40)}`],
          }),
        }),
        response: answers({ 200: proof }, ['PROOF_UNKNOWN']),
      },
    },
    async ({ params: { '*': name } }, reply) => {
      if (!isStateKey(name)) throw new ApiRefusal('REQUEST_INVALID', 'The state key has a lone surrogate.')
      // No prefix of the state is an address, so the short form is never taken for another key.
      return sendProof(reply, await dependencies.stateProof(/^[0-9a-f]{40}\//.test(name) ? `kv/${name}` : name))
    },
  )
}

const prunedTransaction = ({ height, index }: Place, { firstBody }: Held): ApiRefusal =>
  new ApiRefusal(
    'PRUNED',
    `It was committed in block ${height}, number ${index}; this node holds the bytes of transactions from block ${firstBody} on. ` +
      'Whoever has its bytes gets its proof from POST /v1/proofs/transactions.',
  )

/** A block that is not here: below what the node holds, or not at all. */
const unknownBlock = (wanted: string | number | undefined, { firstHeight }: Held): ApiRefusal =>
  typeof wanted === 'number' && wanted > 0 && wanted < firstHeight
    ? new ApiRefusal('PRUNED', `This node began with a snapshot: block ${firstHeight} is the lowest it holds.`)
    : new ApiRefusal('BLOCK_UNKNOWN')

/** The one text of a proof, byte for byte: written to a file as it is, it verifies. */
export function sendProof(reply: FastifyReply, text: string | undefined): FastifyReply {
  if (text === undefined) throw new ApiRefusal('PROOF_UNKNOWN')
  return reply.type('application/json').send(Buffer.from(text))
}
