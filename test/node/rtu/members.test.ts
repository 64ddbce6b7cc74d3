import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AlthingError } from '../../../node/errors.ts'
import { LIGHT_LIMITS } from '../../../node/light/limits.ts'
import { encodeAnswer } from '../../../node/light/messages.ts'
import type { Network, PushSubscription } from '../../../node/network/network.ts'
import { MEMBERS_DEFAULTS, Members } from '../../../node/rtu/members.ts'
import type { Code } from '../../../protocol/verdict.ts'

type Opening = { peer: string; accept(): Open; refuse(code: string): void }
type Open = { push(bytes: Uint8Array): void; end(reason?: Error): void; closed: boolean }

let openings: Opening[]
let lines: string[]
let ups: number
let frameCode: Code
let answer: () => Promise<Uint8Array>
let members: Members | undefined

const network: Pick<Network, 'openPush' | 'request'> = {
  openPush: (peer, handler) => {
    const opening = Promise.withResolvers<PushSubscription>()
    openings.push({
      peer,
      refuse: (code) => opening.reject(new AlthingError(code, 'no')),
      accept() {
        const ended = Promise.withResolvers<Error | undefined>()
        const open: Open = {
          closed: false,
          push: (bytes) => void handler(peer, bytes),
          end: (reason) => ended.resolve(reason),
        }
        const close = (): void => {
          open.closed = true
          ended.resolve(undefined)
        }
        opening.resolve({ ended: ended.promise, close })
        return open
      },
    })
    return opening.promise
  },
  request: () => answer(),
}

function start(names: string[], options: Partial<typeof MEMBERS_DEFAULTS> = {}): Members {
  const say = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`)
  members = new Members(
    names.map((name) => ({ name, publicKey: name })),
    { ...MEMBERS_DEFAULTS, retryMs: 1, retryMsMax: 4, ...options },
    {
      network,
      log: { debug() {}, info: say, warn: say },
      frame: () => frameCode,
      up: () => {
        ups++
      },
      advice: 'register it',
    },
  )
  members.start()
  return members
}

const until = (what: () => boolean, message: string) => expect.poll(what, { interval: 2, message }).toBe(true)
const opened = (count: number) => until(() => openings.length >= count, `${count} attempts`)

beforeEach(() => {
  openings = []
  lines = []
  ups = 0
  frameCode = 'OK'
  answer = async () => encodeAnswer({ code: 'OK', proof: null })
})
afterEach(async () => {
  for (const opening of openings) opening.refuse('NETWORK_STOPPED')
  await members?.stop()
})

describe('members', () => {
  it('each is subscribed to, again after every end, one attempt at a time', async () => {
    const links = start(['a', 'b'])
    await opened(2)
    const [a, b] = openings
    a?.accept()
    await until(() => ups === 1, 'a is up')
    expect(links.status).toEqual([
      { name: 'a', state: 'up' },
      { name: 'b', state: 'connecting' },
    ])
    const open = b?.accept()
    await until(() => links.inTurn().length === 2, 'both are up')
    open?.end(new Error('cut'))
    await opened(3)
    expect(openings[2]?.peer).toBe('b')
    expect(links.inTurn().map(({ name }) => name)).toEqual(['a'])
  })

  it('a member with another key is subscribed to under that one, and the subscription under the old one ends', async () => {
    const links = start(['a', 'b'])
    await opened(2)
    const open = openings[0]?.accept()
    await until(() => ups === 1, 'a is up')
    links.rename('a', 'a2')
    links.rename('b', 'b')
    expect(open?.closed).toBe(true)
    await opened(3)
    expect(openings[2]?.peer).toBe('a2')
    openings[2]?.accept()
    await until(() => ups === 2, 'a is up again')
    expect(links.inTurn()).toMatchObject([{ name: 'a', publicKey: 'a2' }])
    expect(await links.ask({ name: 'a', publicKey: 'a' }, 'state', new Uint8Array())).toBeUndefined()
  })

  it('they take turns', async () => {
    const links = start(['a', 'b', 'c'])
    await opened(3)
    for (const opening of openings) opening.accept()
    await until(() => links.inTurn().length === 3, 'all are up')
    const first = new Set([1, 2, 3].map(() => links.inTurn()[0]?.name))
    expect(first).toEqual(new Set(['a', 'b', 'c']))
  })

  it('nothing answers, or it answers and refuses → said once, with what to do; tried again for ever', async () => {
    const links = start(['a', 'b'])
    for (let attempt = 0; attempt < 5; attempt++) {
      await opened(2 * attempt + 2)
      for (const { peer, refuse } of openings.slice(2 * attempt))
        refuse(peer === 'a' ? 'NETWORK_UNREACHABLE' : 'NETWORK_BROKEN')
    }
    expect(links.status).toEqual([
      { name: 'a', state: 'unreachable' },
      { name: 'b', state: 'refused' },
    ])
    expect(lines.filter((line) => line.includes('RTU_NOT_ADMITTED'))).toHaveLength(1)
    expect(lines.filter((line) => line.includes('register it'))).toHaveLength(1)
    expect(lines).toHaveLength(3)
  })

  it('nobody can be reached → another code, and no advice to register', async () => {
    start(['a'])
    await opened(1)
    openings[0]?.refuse('NETWORK_UNREACHABLE')
    await until(() => lines.length === 2, 'said')
    expect(lines[1]).toMatch(/RTU_NO_MEMBER/)
    expect(lines[1]).not.toMatch(/register it/)
  })

  it('a member that pushes what no honest one does → dropped and set aside, and back after the time', async () => {
    const links = start(['a'], { setAsideMs: 30 })
    await opened(1)
    const open = openings[0]?.accept() as Open
    await until(() => links.isUp, 'up')
    frameCode = 'LIGHT_OLD_HEADER'
    open.push(new Uint8Array(1))
    expect(links.isUp).toBe(true)
    frameCode = 'CERT_NO_QUORUM'
    open.push(new Uint8Array(1))
    expect(open.closed).toBe(true)
    expect(links.status).toEqual([{ name: 'a', state: 'set aside' }])
    expect(links.inTurn()).toEqual([])
    expect(lines.at(-1)).toMatch(/CERT_NO_QUORUM/)
    await opened(2)
    openings[1]?.accept()
    await until(() => links.isUp, 'up again')
  })

  it('ask: an answer; none, one that is none, one while it is gone → undefined, and only the liar is at fault', async () => {
    const links = start(['a'], { setAsideMs: 1_000_000 })
    await opened(1)
    const a = { name: 'a', publicKey: 'a' }
    expect(await links.ask(a, 'state', new Uint8Array(1))).toBeUndefined()
    openings[0]?.accept()
    await until(() => links.isUp, 'up')
    expect(await links.ask(a, 'state', new Uint8Array(1))).toEqual({ code: 'OK', proof: null })
    answer = () => Promise.reject(new AlthingError('NETWORK_TIMEOUT', 'late'))
    expect(await links.ask(a, 'state', new Uint8Array(1))).toBeUndefined()
    expect(links.isUp).toBe(true)
    answer = async () => Uint8Array.of(0xff)
    expect(await links.ask(a, 'state', new Uint8Array(1))).toBeUndefined()
    expect(links.status).toEqual([{ name: 'a', state: 'set aside' }])
  })

  it('ask: no faster than half of what a member allows', async () => {
    const links = start(['a'])
    await opened(1)
    openings[0]?.accept()
    await until(() => links.isUp, 'up')
    const a = { name: 'a', publicKey: 'a' }
    const count = LIGHT_LIMITS.questionsBurst / 2 + 5
    const begin = performance.now()
    for (let i = 0; i < count; i++) await links.ask(a, 'state', new Uint8Array(1))
    expect(performance.now() - begin).toBeGreaterThan(((5 - 2) / (LIGHT_LIMITS.questionsPerSecond / 2)) * 1000)
  })

  it('stop: ends subscriptions and pauses at once', async () => {
    const links = start(['a', 'b'], { retryMs: 1_000_000, retryMsMax: 1_000_000 })
    await opened(2)
    const open = openings[0]?.accept() as Open
    openings[1]?.refuse('NETWORK_UNREACHABLE')
    await until(() => links.isUp, 'up')
    await links.stop()
    expect(open.closed).toBe(true)
  })
})
