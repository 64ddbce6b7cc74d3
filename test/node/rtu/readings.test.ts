import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Readings } from '../../../node/rtu/readings.ts'
import { openReadingsDoor, READINGS_DOOR_LIMITS, type ReadingsDoor } from '../../../node/rtu/readingsDoor.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { publicKeyOf } from '../../../protocol/crypto.ts'
import {
  type Batch,
  batchOf,
  parseReading,
  renderReading,
  signReading,
  verifyReading,
} from '../../../protocol/reading.ts'
import { addressOf } from '../../../protocol/signature.ts'

const CHAIN = new Uint8Array(32).fill(7)
const secret = new Uint8Array(32).fill(9)
const stranger = new Uint8Array(32).fill(8)
const SENSOR = toHex(addressOf(publicKeyOf(secret)))
const line = (i: number, key = secret): string =>
  renderReading(signReading(`[{"n":"a","t":${1_700_000_000 + i},"v":${i}}]`, CHAIN, key))
const lines = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => line(from + i))
const rootOf = (all: readonly string[]): string =>
  toHex(
    batchOf(
      all.map((text) => {
        const parsed = parseReading(text)
        const answer = parsed.ok ? verifyReading(parsed.reading, CHAIN) : parsed
        if (!answer.ok) throw new Error(answer.problem)
        return answer.verified
      }),
    ).root,
  )

let folder: string
let anchored: Batch[]
let now: number
let anchorFails: boolean
const opened: { stop(): Promise<void> }[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'althing-readings-'))
  anchored = []
  now = 1_700_000_000_000
  anchorFails = false
})
afterEach(async () => {
  for (const one of opened.splice(0)) await one.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function start(over: { bytesMax?: number; readingsMax?: number; sensors?: Set<string> } = {}): Promise<Readings> {
  const readings = await Readings.open(
    {
      directory: folder,
      chainId: CHAIN,
      sensors: new Set([SENSOR]),
      bytesMax: 1e6,
      readingsMax: 4,
      openMs: 60_000,
      ...over,
    },
    {
      async anchor(batch) {
        if (anchorFails) throw new Error('no disk')
        anchored.push(batch)
      },
      now: () => now,
    },
  )
  opened.push(readings)
  return readings
}
const codes = async (readings: Readings, all: readonly string[]): Promise<string[]> =>
  (await readings.take(all)).map(({ code }) => code)
const closed = (): string[] => readdirSync(folder).filter((name) => name !== 'open.jsonl')
const roots = (): string[] => anchored.map(({ root }) => toHex(root))

describe('readings', () => {
  it('readings: each line gets its own verdict, and a reading that was sent again is known', async () => {
    const readings = await start()
    const altered = line(1).replace('\\"v\\":1', '\\"v\\":2')
    expect(await codes(readings, [line(0), '{', line(1, stranger), altered, line(0)])).toEqual([
      'OK',
      'READING_MALFORMED',
      'READING_SENSOR',
      'READING_SENSOR',
      'READING_DUPLICATE',
    ])
    expect(await codes(readings, [line(0)])).toEqual(['READING_DUPLICATE'])
    expect(readings.status).toMatchObject({ accepted: 1, duplicates: 2, refused: 3, open: 1 })
  })

  it('readings: a batch is closed when it is full or old enough, its file holds what was anchored', async () => {
    const readings = await start()
    expect(await codes(readings, lines(0, 6))).toEqual(Array(6).fill('OK'))
    expect(roots()).toEqual([rootOf(lines(0, 4))])
    await readings.tick()
    expect(anchored).toHaveLength(1)
    now += 60_000
    await readings.tick()
    expect(roots()).toEqual([rootOf(lines(0, 4)), rootOf(lines(4, 6))])
    expect(closed().map((name) => readFileSync(join(folder, name), 'utf8'))).toEqual([
      `${lines(0, 4).join('\n')}\n`,
      `${lines(4, 6).join('\n')}\n`,
    ])
    expect(anchored[1]).toMatchObject({ count: 2, observedFrom: 1_700_000_004_000, observedTo: 1_700_000_005_000 })
  })

  it('readings: after a crash the open batch goes on, without what was half-written', async () => {
    await codes(await start(), lines(0, 3))
    appendFileSync(join(folder, 'open.jsonl'), line(3).slice(0, 40))
    const again = await start()
    expect(again.status.open).toBe(3)
    expect(await codes(again, [line(2), line(3)])).toEqual(['READING_DUPLICATE', 'OK'])
    expect(roots()).toEqual([rootOf(lines(0, 4))])
  })

  it('readings: a crash between the closing of a batch and its transaction → anchored at the next start, nothing twice in a file', async () => {
    anchorFails = true
    const readings = await start()
    await expect(readings.take(lines(0, 4))).rejects.toThrow('no disk')
    expect(closed()).toEqual([expect.stringMatching(/\.new\.jsonl$/)])
    // As if the process had died before the open file was emptied, too.
    writeFileSync(join(folder, 'open.jsonl'), `${lines(0, 4).join('\n')}\n`)
    anchorFails = false
    const again = await start()
    expect([roots(), again.status.open]).toEqual([[rootOf(lines(0, 4))], 0])
    expect(closed()).toEqual([expect.stringMatching(/^\d{13}-[0-9a-f]{64}\.jsonl$/)])
    expect(await codes(again, [line(1), line(9)])).toEqual(['READING_DUPLICATE', 'OK'])
  })

  it('readings: a closed file that is half-written is nothing, all of it is still in the open one', async () => {
    const readings = await start()
    await codes(readings, lines(0, 2))
    writeFileSync(join(folder, `${now}-${rootOf(lines(0, 2))}.new.jsonl`), `${line(0)}\n${line(1).slice(0, 30)}`)
    const again = await start()
    expect([again.status.open, closed(), anchored]).toEqual([2, [], []])
  })

  it('readings: a disk that took no transaction is asked again', async () => {
    anchorFails = true
    const readings = await start()
    await expect(readings.take(lines(0, 4))).rejects.toThrow('no disk')
    anchorFails = false
    await readings.tick()
    expect(roots()).toEqual([rootOf(lines(0, 4))])
  })

  it('readings: a sensor that is no longer configured keeps what was acknowledged to it', async () => {
    await codes(await start(), lines(0, 2))
    const again = await start({ sensors: new Set() })
    expect(again.status.open).toBe(2)
    expect(await codes(again, [line(5)])).toEqual(['READING_SENSOR'])
    await again.tick(true)
    expect(roots()).toEqual([rootOf(lines(0, 2))])
  })

  it('readings: without room → READING_FULL, and what is held stays', async () => {
    const readings = await start({ bytesMax: line(0).length * 2 + 10 })
    expect(await codes(readings, lines(0, 3))).toEqual(['OK', 'OK', 'READING_FULL'])
    expect((await start({ bytesMax: 1e6 })).status.open).toBe(2)
  })
})

describe('the door for readings', () => {
  let door: ReadingsDoor
  let readings: Readings
  const failures: unknown[] = []
  beforeEach(async () => {
    failures.length = 0
    readings = await start({ readingsMax: 1000 })
    door = await openReadingsDoor({ host: '127.0.0.1', port: 0 }, readings, (error) => failures.push(error))
  })
  afterEach(() => door.close())
  const post = (body: string, path = '/readings', method = 'POST') =>
    fetch(`http://127.0.0.1:${door.port}${path}`, { method, ...(method === 'POST' ? { body } : {}) })

  it('door: what is acknowledged is on disk', async () => {
    const response = await post(`${lines(0, 3).join('\n')}\n`)
    expect([response.status, await response.json()]).toEqual([200, { accepted: 3, duplicates: 0, refused: [] }])
    expect(readFileSync(join(folder, 'open.jsonl'), 'utf8')).toBe(`${lines(0, 3).join('\n')}\n`)
  })

  it('door: a refused line is named with what to do, the others are kept', async () => {
    const response = await post([line(0), line(1, stranger)].join('\n'))
    expect(response.status).toBe(422)
    expect(await response.json()).toMatchObject({ accepted: 1, refused: [{ line: 2, code: 'READING_SENSOR' }] })
  })

  it.each([
    ['another path', '/', 'POST', '', 404],
    ['another method', '/readings', 'GET', '', 405],
    ['too many lines', '/readings', 'POST', '\nx'.repeat(READINGS_DOOR_LIMITS.linesMax + 1), 413],
    ['too many bytes', '/readings', 'POST', 'x'.repeat(READINGS_DOOR_LIMITS.bodyBytesMax + 1), 413],
  ])('door: %s → refused, and it goes on', async (_what, path, method, body, status) => {
    // A body that is not read to its end may end in a closed connection before the answer is seen.
    const answered = await post(body, path, method).then(
      (response) => response.status,
      () => status,
    )
    expect(answered).toBe(status)
    expect((await post(line(7))).status).toBe(200)
    expect(failures).toEqual([])
  })

  it('door: a disk that takes nothing → 507, to be sent again', async () => {
    anchorFails = true
    opened.length = 0
    await readings.stop()
    const response = await post(line(0))
    expect([response.status, response.headers.get('retry-after'), failures.length]).toEqual([507, '10', 1])
  })
})
