/** Stage: HTTP API. Devices: their life, trust, events and access. Writes are signed with the token's API key. */
import { fromHex, toHex } from '../../../protocol/bytes.ts'
import { scoreOf } from '../../../protocol/kinds/report/report.ts'
import { addressOf } from '../../../protocol/signature.ts'
import { answerWrite, type RouteContext, type Server } from '../context.ts'
import { numberOf, PAGE_ITEMS, pageOf, placeOf } from '../paging.ts'
import { ApiRefusal, type ProblemCode } from '../problem.ts'
import {
  accepted,
  answers,
  blacklistBody,
  committed,
  deviceChanges,
  deviceEventSchema,
  deviceEventsQuery,
  deviceParams,
  deviceRegistration,
  deviceSchema,
  deviceTrustSchema,
  pageQuery,
  pageSchema,
  type ReportBody,
  reinstateBody,
  reportBody,
  trustPointSchema,
  trustScoreBody,
  WRITE_CODES,
  writeHeaders,
  writeQuery,
} from '../schemas.ts'
import { deviceView, trustView } from '../views.ts'

const OUT_OF_SERVICE: readonly ProblemCode[] = ['DEVICE_UNKNOWN', 'DEVICE_RETIRED', 'DEVICE_BLACKLISTED']
const writes = (codes: readonly ProblemCode[], done: 200 | 201 = 200) =>
  answers({ 202: accepted, [done]: committed }, [...WRITE_CODES, ...codes])
const common = { tags: ['devices'], querystring: writeQuery, headers: writeHeaders } as const
const READ = { config: { scope: 'read' } } as const
const WRITE = { config: { scope: 'write' } } as const

/** Adds the routes below /v1/devices. */
export function deviceRoutes(server: Server, context: RouteContext): void {
  readRoutes(server, context)
  trustRoutes(server, context)
  lifeRoutes(server, context)
  judgementRoutes(server, context)
}

function readRoutes(server: Server, { dependencies }: RouteContext): void {
  server.get(
    '/devices',
    {
      ...READ,
      schema: {
        tags: ['devices'],
        operationId: 'listDevices',
        summary: 'Lists devices by id',
        querystring: pageQuery,
        response: answers({ 200: pageSchema(deviceSchema, 'Devices in the order of their ids.') }, ['CURSOR_INVALID']),
      },
    },
    async ({ query: { cursor, limit = PAGE_ITEMS } }) => {
      const after = placeOf('devices', cursor, /^[0-9a-f]{40}$/)
      const found = await dependencies.devices({ after, limit: limit + 1 })
      return pageOf(found, limit, 'devices', (snapshot) => snapshot.id, deviceView)
    },
  )
  server.get(
    '/devices/:id',
    {
      ...READ,
      schema: {
        tags: ['devices'],
        operationId: 'getDevice',
        summary: 'Shows a device with trust, blacklist record and counters of events',
        params: deviceParams,
        response: answers({ 200: deviceSchema }, ['DEVICE_UNKNOWN']),
      },
    },
    async ({ params: { id } }) => deviceView(await deviceOf(dependencies, id)),
  )
  server.get(
    '/devices/:id/events',
    {
      ...READ,
      schema: {
        tags: ['devices'],
        operationId: 'listDeviceEvents',
        summary: 'Lists anomaly events of a device, newest first, of one category if type is given',
        params: deviceParams,
        querystring: deviceEventsQuery,
        response: answers({ 200: pageSchema(deviceEventSchema, 'Events, newest first.') }, [
          'CURSOR_INVALID',
          'DEVICE_UNKNOWN',
        ]),
      },
    },
    async ({ params: { id }, query: { type: category, cursor, limit = PAGE_ITEMS } }) => {
      // A cursor is good for the device and category that it came from.
      const list = `events.${id}.${category ?? ''}`
      const before = numberOf(list, cursor)
      await deviceOf(dependencies, id)
      const found = await dependencies.deviceEvents(id, { category, before, limit: limit + 1 })
      return pageOf(
        found,
        limit,
        list,
        (event) => `${event.sequence}`,
        (event) => event,
      )
    },
  )
}

function trustRoutes(server: Server, { dependencies }: RouteContext): void {
  server.get(
    '/devices/:id/trust',
    {
      ...READ,
      schema: {
        tags: ['devices'],
        operationId: 'getDeviceTrust',
        summary: 'Shows the trust in a device, every opinion about it with its weight, and why it is or was cut off',
        params: deviceParams,
        response: answers({ 200: deviceTrustSchema }, ['DEVICE_UNKNOWN']),
      },
    },
    async ({ params: { id } }) => {
      const found = await dependencies.deviceTrust(id)
      if (found === undefined) throw new ApiRefusal('DEVICE_UNKNOWN')
      return trustView(found)
    },
  )
  server.get(
    '/devices/:id/trust/history',
    {
      ...READ,
      schema: {
        tags: ['devices'],
        operationId: 'listDeviceTrust',
        summary: 'Lists how the trust in a device moved, newest first',
        params: deviceParams,
        querystring: pageQuery,
        response: answers({ 200: pageSchema(trustPointSchema, 'Points, newest first.') }, [
          'CURSOR_INVALID',
          'DEVICE_UNKNOWN',
        ]),
      },
    },
    async ({ params: { id }, query: { cursor, limit = PAGE_ITEMS } }) => {
      const list = `trust.${id}`
      const before = numberOf(list, cursor)
      await deviceOf(dependencies, id)
      const found = await dependencies.trustHistory(id, { before, limit: limit + 1 })
      return pageOf(
        found,
        limit,
        list,
        (point) => `${point.sequence}`,
        (point) => point,
      )
    },
  )
}

function lifeRoutes(server: Server, context: RouteContext): void {
  const { dependencies } = context
  server.post(
    '/devices',
    {
      ...WRITE,
      schema: {
        ...common,
        operationId: 'registerDevice',
        summary: 'Registers a device, owned by the member of the API key (device.register)',
        body: deviceRegistration,
        response: writes(['DEVICE_EXISTS', 'KEY_EXISTS'], 201),
      },
    },
    async (request, reply) => {
      const publicKey = fromHex(request.body.publicKey)
      const device = toHex(addressOf(publicKey))
      const payload = { ...request.body, publicKey }
      return answerWrite(context, request, reply, 'device.register', payload, {
        created: `/v1/devices/${device}`,
        device,
      })
    },
  )
  server.patch(
    '/devices/:id',
    {
      ...WRITE,
      schema: {
        ...common,
        operationId: 'updateDevice',
        summary: 'Changes firmware, capabilities, segment or mode (device.update); what is left out stays',
        params: deviceParams,
        body: deviceChanges,
        response: writes(OUT_OF_SERVICE),
      },
    },
    async (request, reply) => {
      const { firmware, capabilities, segment, mode } = (await deviceOf(dependencies, request.params.id)).device
      const device = fromHex(request.params.id)
      const payload = { firmware, capabilities, segment, mode, ...request.body, device }
      return answerWrite(context, request, reply, 'device.update', payload)
    },
  )
  server.delete(
    '/devices/:id',
    {
      ...WRITE,
      schema: {
        ...common,
        operationId: 'retireDevice',
        summary: 'Takes a device out of service for good (device.retire); its history stays',
        params: deviceParams,
        response: writes(['DEVICE_UNKNOWN', 'DEVICE_RETIRED']),
      },
    },
    async (request, reply) =>
      answerWrite(context, request, reply, 'device.retire', { device: fromHex(request.params.id) }),
  )
}

function judgementRoutes(server: Server, context: RouteContext): void {
  server.post(
    '/devices/:id/trust',
    {
      ...WRITE,
      schema: {
        ...common,
        operationId: 'scoreDevice',
        summary: 'Records a trust score (trust.score): one voice of the member, among the opinions of devices',
        params: deviceParams,
        body: trustScoreBody,
        response: writes(OUT_OF_SERVICE),
      },
    },
    async (request, reply) => {
      const { scorePpm, evidence, model } = request.body
      const payload = { device: fromHex(request.params.id), scorePpm, evidence: evidence.map(fromHex), model }
      return answerWrite(context, request, reply, 'trust.score', payload)
    },
  )
  server.post(
    '/devices/:id/events',
    {
      ...WRITE,
      schema: {
        ...common,
        operationId: 'reportEvents',
        summary: 'Reports anomaly events on behalf of a device (device.report)',
        params: deviceParams,
        body: reportBody,
        response: writes([...OUT_OF_SERVICE, 'REPORT_SCORE']),
      },
    },
    async (request, reply) =>
      answerWrite(context, request, reply, 'device.report', reportOf(request.params.id, request.body)),
  )
  server.post(
    '/devices/:id/blacklist',
    {
      ...WRITE,
      schema: {
        ...common,
        operationId: 'blacklistDevice',
        summary: 'Cuts a device off (access.blacklist)',
        params: deviceParams,
        body: blacklistBody,
        response: writes([...OUT_OF_SERVICE, 'DEVICE_OBSERVED', 'DEVICE_TRUSTED']),
      },
    },
    async (request, reply) => {
      const { finalScorePpm, thresholdPpm, anomalies, reason } = request.body
      const device = fromHex(request.params.id)
      const payload = { device, finalScorePpm, thresholdPpm, anomalies: anomalies.map(fromHex), reason }
      return answerWrite(context, request, reply, 'access.blacklist', payload)
    },
  )
  server.post(
    '/devices/:id/reinstate',
    {
      ...WRITE,
      schema: {
        ...common,
        operationId: 'reinstateDevice',
        summary: 'Lets a blacklisted device return, with the approvals of a quorum of members (access.reinstate)',
        params: deviceParams,
        body: reinstateBody,
        response: writes([
          'DEVICE_UNKNOWN',
          'DEVICE_RETIRED',
          'DEVICE_NOT_BLACKLISTED',
          'APPROVALS_MISSING',
          'APPROVAL_FOREIGN_SIGNER',
          'APPROVAL_DUPLICATE_SIGNER',
        ]),
      },
    },
    async (request, reply) => {
      const payload = { device: fromHex(request.params.id), approvals: request.body.approvals.map(fromHex) }
      return answerWrite(context, request, reply, 'access.reinstate', payload)
    },
  )
}

async function deviceOf(dependencies: RouteContext['dependencies'], id: string) {
  const snapshot = await dependencies.device(id)
  if (snapshot === undefined) throw new ApiRefusal('DEVICE_UNKNOWN')
  return snapshot
}

// A score that a client gives is passed on as it is: whether it is right is for the state machine to say (REPORT_SCORE).
function reportOf(id: string, { observedAt, events, features, model, scores }: ReportBody) {
  return {
    device: fromHex(id),
    observedAt,
    events: events.map(({ category, severityPpm, confidencePpm, scorePpm, detail }) => ({
      category,
      severityPpm,
      confidencePpm,
      scorePpm: scorePpm ?? scoreOf(severityPpm, confidencePpm),
      detail,
    })),
    features: Uint8Array.from(Buffer.from(features ?? '', 'base64')),
    model: model === undefined ? null : { hash: fromHex(model.hash), version: model.version },
    scores: scores ?? [],
  }
}
