/** node/api/routes/stix.ts over real HTTP. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Running, start } from './helper.ts'

let running: Running
beforeEach(async () => {
  running = await start()
})
afterEach(() => running.api.close())

const claim = {
  hash: new Uint8Array(32).fill(1),
  member: `02${'c'.repeat(64)}`,
  height: 4,
  transaction: new Uint8Array(32),
}

describe('STIX bundles', () => {
  it('anchored bundles come in pages, in the order of their blocks', async () => {
    running.node.anchored.push(...[3, 5, 8].map((height) => ({ height, claims: [claim] })))
    const page = await running.ask('/v1/stix/bundles?limit=2')
    expect(page.json.items.map(({ height }: { height: number }) => height)).toEqual([3, 5])
    expect(page.json.items[0].claims).toEqual([
      { hash: '01'.repeat(32), member: claim.member, height: 4, transaction: '00'.repeat(32) },
    ])
    const rest = await running.ask(`/v1/stix/bundles?cursor=${page.json.next}`)
    expect(rest.json.items.map(({ height }: { height: number }) => height)).toEqual([8])
  })

  it('one bundle is STIX; a block without one → STIX_NONE, no block → BLOCK_UNKNOWN, no height → REQUEST_INVALID', async () => {
    running.node.anchored.push({ height: 3, claims: [claim] })
    const found = await running.ask('/v1/stix/bundles/3')
    expect([found.status, found.headers.get('content-type')]).toEqual([200, 'application/stix+json;version=2.1'])
    expect((await running.ask('/v1/stix/bundles/4')).json.code).toBe('STIX_NONE')
    expect((await running.ask('/v1/stix/bundles/12')).json.code).toBe('BLOCK_UNKNOWN')
    expect((await running.ask('/v1/stix/bundles/x')).json.code).toBe('REQUEST_INVALID')
  })
})
