/** node/api/routes/modules.ts over real HTTP. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Running, start } from './helper.ts'

let running: Running
beforeEach(async () => {
  running = await start()
  for (const fill of ['a', 'b'])
    running.node.published.set(fill.repeat(64), {
      hash: fill.repeat(64),
      module: { kind: 'anomaly', version: `1.${fill}`, byteCount: 4, member: null, height: 0 },
      active: fill === 'a',
      activeFrom: fill === 'a' ? 1 : null,
      votes: [],
      needed: 3,
    })
})
afterEach(() => running.api.close())

describe('modules', () => {
  it('modules come in pages, and one by its hash; one that was not published → MODULE_UNKNOWN', async () => {
    const first = await running.ask('/v1/modules?limit=1')
    expect(first.json.items).toMatchObject([{ hash: 'a'.repeat(64), version: '1.a', active: true, activeFrom: 1 }])
    const second = await running.ask(`/v1/modules?limit=1&cursor=${first.json.next}`)
    expect(second.json).toMatchObject({ items: [{ hash: 'b'.repeat(64), needed: 3 }], next: null })
    expect((await running.ask(`/v1/modules/${'b'.repeat(64)}`)).json).toMatchObject({ kind: 'anomaly', active: false })
    for (const path of [`/v1/modules/${'c'.repeat(64)}`, `/v1/modules/${'c'.repeat(64)}/code`])
      expect(await running.ask(path)).toMatchObject({ status: 404, json: { code: 'MODULE_UNKNOWN' } })
  })

  it('the binary comes as it is', async () => {
    const { status, headers, text } = await running.ask(`/v1/modules/${'a'.repeat(64)}/code`)
    expect({ status, type: headers.get('content-type') }).toEqual({ status: 200, type: 'application/wasm' })
    expect(text).toBe('\0asm')
  })

  it('without a token → 401', async () => {
    expect((await running.ask('/v1/modules', { token: null })).status).toBe(401)
  })
})
