/** Stage: HTTP API. Members and parameters of the present era, and the proposals that are open. Reads only: members sign at home. */
import { Type } from 'typebox'
import { quorumSizes } from '../../../protocol/members.ts'
import type { RouteContext, Server } from '../context.ts'
import { PAGE_ITEMS, pageOf, placeOf } from '../paging.ts'
import { ApiRefusal } from '../problem.ts'
import { answers, anyObject, closed, pageQuery, pageSchema, transactionId } from '../schemas.ts'
import { memberView, offenceView, proposalView } from '../views.ts'

const READ = { config: { scope: 'read' } } as const
const KEY = `02${'c'.repeat(64)}`
const memberSchema = Type.Object(
  {
    name: Type.String(),
    publicKey: Type.String(),
    addresses: Type.Array(Type.String(), { description: 'Where it said it listens; none for members of the genesis.' }),
  },
  { examples: [{ name: 'Org A', publicKey: KEY, addresses: ['/dns4/a.example.org/tcp/7379'] }] },
)
const proposalSchema = anyObject('A proposal: change, expiry, who is for it, and how many it takes.', {
  id: 'a'.repeat(64),
  era: 0,
  change: { kind: 'remove', publicKey: KEY },
  expiresAt: 1_790_000_000_000,
  reason: 'left the consortium',
  proposer: KEY,
  height: 812,
  approvals: [KEY],
  needed: 3,
  expired: false,
})

const offenceSchema = anyObject('An offence of a member in one view.', {
  member: KEY,
  name: 'Org A',
  era: 0,
  view: 12,
  kind: 'equivocation',
  by: KEY,
  height: 812,
  transaction: 'a'.repeat(64),
})
const memberKey = Type.String({
  pattern: '^0[23][0-9a-f]{64}$',
  description: 'Public key of one member.',
  examples: [KEY],
})
const evidenceQuery = closed({ ...pageQuery.properties, member: Type.Optional(memberKey) })

/** Adds /v1/members, /v1/evidence and the routes below /v1/proposals. */
export function governanceRoutes(server: Server, { dependencies }: RouteContext): void {
  server.get(
    '/members',
    {
      ...READ,
      schema: {
        tags: ['governance'],
        operationId: 'listMembers',
        summary: 'Shows members and parameters of the present era',
        response: answers(
          {
            200: Type.Object(
              {
                era: Type.Integer(),
                since: Type.Integer(),
                proposal: Type.Union([Type.String(), Type.Null()]),
                quorum: Type.Object({
                  members: Type.Integer(),
                  needed: Type.Integer(),
                  tolerated: Type.Integer(),
                  strong: Type.Integer(),
                }),
                parameters: Type.Record(Type.String(), Type.Integer()),
                items: Type.Array(memberSchema),
              },
              {
                description: 'The era of the next block: `since` is the height of the block that it began from.',
                examples: [
                  {
                    ...{ era: 1, since: 812, proposal: 'a'.repeat(64) },
                    quorum: { members: 1, needed: 1, tolerated: 0, strong: 1 },
                    parameters: { percent: 51, deltaMs: 500 },
                    items: [{ name: 'Org A', publicKey: KEY, addresses: [] }],
                  },
                ],
              },
            ),
          },
          [],
        ),
      },
    },
    async () => {
      const { era, height, memberSet, proposal, addresses } = await dependencies.era()
      const { members, parameters } = memberSet
      const { n, q, f, s } = quorumSizes(members.length, parameters.percent)
      return {
        ...{ era, since: height, proposal: proposal === null ? null : Buffer.from(proposal).toString('hex') },
        quorum: { members: n, needed: q, tolerated: f, strong: s },
        parameters: { ...parameters },
        items: members.map((member) => memberView(member, addresses)),
      }
    },
  )
  server.get(
    '/evidence',
    {
      ...READ,
      schema: {
        tags: ['governance'],
        operationId: 'listEvidence',
        summary: 'Lists what members signed that no honest member signs',
        description:
          'In the order of member, era and view. The transaction of each holds the signatures; what follows is decided by the members.',
        querystring: evidenceQuery,
        response: answers({ 200: pageSchema(offenceSchema, 'Offences.') }, ['CURSOR_INVALID']),
      },
    },
    async ({ query: { cursor, member, limit = PAGE_ITEMS } }) => {
      const after = placeOf('evidence', cursor, /^evidence\/[0-9a-f]{66}\/\d+\/\d+$/)
      const found = await dependencies.offences({ member, after, limit: limit + 1 })
      return pageOf(found, limit, 'evidence', ({ key }) => key, offenceView)
    },
  )
  server.get(
    '/proposals',
    {
      ...READ,
      schema: {
        tags: ['governance'],
        operationId: 'listProposals',
        summary: 'Lists the open proposals of the present era',
        querystring: pageQuery,
        response: answers({ 200: pageSchema(proposalSchema, 'Proposals in the order of their ids.') }, [
          'CURSOR_INVALID',
        ]),
      },
    },
    async ({ query: { cursor, limit = PAGE_ITEMS } }) => {
      const after = placeOf('proposals', cursor, /^[0-9a-f]{64}$/)
      const found = await dependencies.proposals({ after, limit: limit + 1 })
      return pageOf(found, limit, 'proposals', ({ id }) => id, proposalView)
    },
  )
  server.get(
    '/proposals/:id',
    {
      ...READ,
      schema: {
        tags: ['governance'],
        operationId: 'getProposal',
        summary: 'Shows an open proposal',
        params: Type.Object({ id: transactionId }),
        response: answers({ 200: proposalSchema }, ['GOVERNANCE_UNKNOWN']),
      },
    },
    async ({ params: { id } }) => {
      const proposal = await dependencies.proposal(id)
      if (proposal === undefined) throw new ApiRefusal('GOVERNANCE_UNKNOWN')
      return proposalView(proposal)
    },
  )
}
