import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { installNativePrimitives } from '../../../node/crypto/native.ts'
import { type CertifiedHeader, encodeCertifiedHeader } from '../../../node/light/messages.ts'
import { HeaderDisk } from '../../../node/rtu/headerDisk.ts'
import { evidenceOf, type Fork, HEADERS_DEFAULTS, Headers } from '../../../node/rtu/headers.ts'
import { type Header, type SealedHeader, sealHeader } from '../../../protocol/block.ts'
import { toHex } from '../../../protocol/bytes.ts'
import { memberSetHash } from '../../../protocol/members.ts'
import { VERDICTS } from '../../../protocol/verdict.ts'
import { adding, CHAIN_ID, certify, endEra, GENESIS, grow, open, put, TIME } from '../executor/world.ts'

installNativePrimitives()
const ZERO = new Uint8Array(32)
const sealed = (height: number, over: Partial<Header> = {}): SealedHeader =>
  sealHeader({
    version: 1,
    chainId: CHAIN_ID,
    era: 0,
    height,
    parent: ZERO,
    time: 1000 * height,
    treesRoot: ZERO,
    transactionCount: 0,
    stateRoot: ZERO,
    historyRoot: ZERO,
    memberSetHash: memberSetHash(GENESIS.memberSet),
    nextMemberSetHash: null,
    modulesHash: ZERO,
    ...over,
  })
const certified = (block: SealedHeader, members?: readonly number[]): CertifiedHeader => ({
  header: block.bytes,
  certificate: certify(block, members),
})
const at = (height: number, over: Partial<Header> = {}): CertifiedHeader => certified(sealed(height, over))

let wallMs: number
let monotonicMs: number
let saved: Uint8Array[]
let forks: Fork[]
let savedEras: Uint8Array[]
let eras: number[]
const follow = (isDisputed = false): Headers =>
  new Headers(
    GENESIS,
    {
      clock: { now: () => wallMs, monotonic: () => monotonicMs },
      save: (bytes) => saved.push(bytes),
      saveEra: (bytes) => savedEras.push(bytes),
      era: (era) => eras.push(era.era),
      fork: (fork) => forks.push(fork),
    },
    isDisputed,
  )

beforeEach(() => {
  wallMs = 5_000_000
  monotonicMs = 0
  saved = []
  forks = []
  savedEras = []
  eras = []
})

describe('headers', () => {
  it('a header with a quorum’s certificate → the newest; a higher one takes its place, a lower or the same does not', () => {
    const headers = follow()
    expect(headers.newest).toBeUndefined()
    expect(headers.accept('a', at(5))).toBe('OK')
    expect(headers.newest).toMatchObject({ from: 'a', assurance: 1 })
    expect(headers.accept('b', at(5))).toBe('LIGHT_OLD_HEADER')
    expect(headers.accept('b', at(3))).toBe('LIGHT_OLD_HEADER')
    expect(headers.newest?.sealed.header.height).toBe(5)
    expect(headers.accept('b', at(9))).toBe('OK')
    expect(headers.newest?.sealed.header.height).toBe(9)
    expect(forks).toEqual([])
  })

  it.each([
    ['no quorum', certified(sealed(9), [0, 1]), 'CERT_NO_QUORUM'],
    ['one member twice', certified(sealed(9), [0, 1, 1]), 'CERT_DUPLICATE_SIGNER'],
    ['a certificate of another block', { ...at(9), certificate: certify(sealed(8)) }, 'CERT_STATEMENT'],
    ['another chain', at(9, { chainId: ZERO }), 'BLOCK_CHAIN'],
    ['another member set', at(9, { memberSetHash: ZERO }), 'BLOCK_MEMBER_SET'],
    ['no header', { ...at(9), header: Uint8Array.of(1) }, 'BLOCK_MALFORMED'],
    ['no certificate', { ...at(9), certificate: Uint8Array.of(1) }, 'CERT_MALFORMED'],
  ] as const)('%s → refused with its code, the newest stays', (_what, offered, code) => {
    const headers = follow()
    headers.accept('a', at(5))
    expect(headers.accept('liar', offered)).toBe(code)
    expect(VERDICTS[code].verdict).toBe('reject')
    expect(headers.newest?.sealed.header.height).toBe(5)
  })

  it('any bytes as header and certificate, or one bit flipped in good ones → never believed, nothing is thrown', () => {
    const good = at(5)
    const flipped = (data: Uint8Array) =>
      fc.tuple(fc.nat(data.length - 1), fc.integer({ min: 0, max: 7 })).map(([place, bit]) => {
        const changed = Uint8Array.from(data)
        changed[place] = (changed[place] as number) ^ (1 << bit)
        return changed
      })
    const offered = fc.oneof(
      fc.record({ header: fc.uint8Array({ maxLength: 300 }), certificate: fc.uint8Array({ maxLength: 300 }) }),
      flipped(good.header).map((header) => ({ ...good, header })),
      flipped(good.certificate).map((certificate) => ({ ...good, certificate })),
    )
    const headers = follow()
    fc.assert(
      fc.property(offered, (one) => {
        expect(headers.accept('liar', one)).not.toBe('OK')
      }),
      { numRuns: 400 },
    )
    expect(headers.newest).toBeUndefined()
  })

  it('two certified blocks of one height → both are evidence, neither is chosen, and no header is followed from then on', () => {
    const headers = follow()
    headers.accept('a', at(5))
    const other = at(5, { time: 7 })
    expect(headers.accept('b', other)).toBe('LIGHT_FORK')
    expect(forks).toHaveLength(1)
    expect(forks[0]).toMatchObject({ one: { from: 'a' }, other: { from: 'b', certificate: other.certificate } })
    expect(headers.isDisputed).toBe(true)
    expect(headers.accept('a', at(8))).toBe('LIGHT_FORK')
    expect(headers.newest?.sealed.header.height).toBe(5)
    expect(forks).toHaveLength(1)
    expect(VERDICTS.LIGHT_FORK.verdict).toBe('ignore')
  })

  it('a certified block whose parent is not the certified one below it → a fork too, whichever came first', () => {
    const five = sealed(5)
    const child = at(6, { parent: five.hash })
    const stranger = at(6, { parent: new Uint8Array(32).fill(1) })
    const upward = follow()
    upward.accept('a', certified(five))
    expect(upward.accept('b', child)).toBe('OK')
    const forked = follow()
    forked.accept('a', certified(five))
    expect(forked.accept('b', stranger)).toBe('LIGHT_FORK')
    const downward = follow()
    downward.accept('b', stranger)
    expect(downward.accept('a', certified(five))).toBe('LIGHT_FORK')
    expect(forks).toHaveLength(2)
  })

  it('only so many verified headers are kept to compare with', () => {
    const headers = follow()
    for (let i = 1; i <= HEADERS_DEFAULTS.recentMax + 1; i++) headers.accept('a', at(2 * i))
    expect(headers.accept('b', at(2, { time: 1 }))).toBe('LIGHT_OLD_HEADER')
    expect(headers.accept('b', at(4, { time: 1 }))).toBe('LIGHT_FORK')
  })

  it('the newest goes to disk at once, then once a minute, and when it is told to', () => {
    const headers = follow()
    headers.accept('a', at(1))
    expect(saved).toHaveLength(1)
    monotonicMs = 1000
    headers.accept('a', at(3))
    expect(saved).toHaveLength(1)
    headers.save()
    headers.save()
    expect(saved).toEqual([encodeCertifiedHeader(at(1)), encodeCertifiedHeader(at(3))])
    monotonicMs = 62_000
    headers.accept('a', at(5))
    expect(saved).toHaveLength(3)
  })

  it('what lay on disk is verified again; what shows nothing there is passed over', () => {
    const headers = follow()
    expect(headers.restore(encodeCertifiedHeader(at(5)))).toBe('OK')
    expect(headers.newest).toMatchObject({ from: null })
    expect(headers.accept('a', at(3))).toBe('LIGHT_OLD_HEADER')
    for (const bytes of [new Uint8Array(0), encodeCertifiedHeader(certified(sealed(9), [0]))]) {
      const damaged = follow()
      expect(damaged.restore(bytes)).not.toBe('OK')
      expect(damaged.newest).toBeUndefined()
    }
  })

  it('time: this machine’s clock before any header, then the chain’s, whatever the clock says', () => {
    const headers = follow()
    expect(headers.now()).toBe(5_000_000)
    headers.restore(encodeCertifiedHeader(at(9_000)))
    expect(headers.now()).toBe(9_000_000)
    wallMs = 12_000_000
    expect(headers.now()).toBe(12_000_000)
    headers.accept('a', at(10_000))
    monotonicMs += 250
    wallMs = 0
    expect(headers.now()).toBe(10_000_250)
    expect(headers.chainTime).toBe(10_000_000)
  })
})

describe('what lies on disk', () => {
  let directory: string
  const lines: string[] = []
  const log = {
    warn: (_: object, message: string) => void lines.push(message),
    error: (_: object, message: string) => void lines.push(message),
  }
  const fork = (): Fork => {
    const headers = follow()
    headers.accept('a', at(5))
    headers.accept('b', at(5, { time: 7 }))
    return forks.at(-1) as Fork
  }
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'althing-headers-'))
    lines.length = 0
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  it('the newest of several writes is read back, by its owner only', async () => {
    const disk = new HeaderDisk(directory, 'test', log)
    expect(await disk.load()).toEqual({ newest: undefined, isDisputed: false })
    for (const byte of [1, 2, 3]) disk.save(Uint8Array.of(byte))
    await disk.settled()
    expect((await new HeaderDisk(directory, 'test', log).load()).newest).toEqual(Uint8Array.of(3))
    expect(statSync(join(directory, 'header')).mode & 0o777).toBe(0o600)
  })

  it('a file that cannot be ours, or a disk that takes nothing → logged, and the RTU goes on', async () => {
    writeFileSync(join(directory, 'header'), new Uint8Array(1_000_000))
    expect((await new HeaderDisk(directory, 'test', log).load()).newest).toBeUndefined()
    const broken = new HeaderDisk(join(directory, 'header'), 'test', log)
    broken.save(Uint8Array.of(1))
    await broken.settled()
    expect(lines).toHaveLength(2)
  })

  it('evidence of a fork is a file of both sides, found again at the next start; the same fork makes one file', async () => {
    const disk = new HeaderDisk(directory, 'test', log)
    const found = fork()
    disk.keepEvidence(found)
    disk.keepEvidence({ one: found.other, other: found.one })
    await disk.settled()
    const [name, ...more] = readdirSync(join(directory, 'evidence'))
    expect(more).toEqual([])
    const { sides } = JSON.parse(readFileSync(join(directory, 'evidence', name as string), 'utf8'))
    expect(sides.map((side: { header: string }) => side.header).sort()).toEqual(
      [found.one.header, found.other.header].map(toHex).sort(),
    )
    expect(evidenceOf(found, 'test').name).toBe(name)
    expect(await new HeaderDisk(directory, 'test', log).load()).toMatchObject({ isDisputed: true })
    expect(follow(true).accept('a', at(5))).toBe('LIGHT_FORK')
  })

  it('more forks than are kept → bounded files, all logged', async () => {
    const disk = new HeaderDisk(directory, 'test', log)
    const found = fork()
    for (let time = 1; time <= 20; time++) {
      const block = sealed(5, { time: 100 + time })
      disk.keepEvidence({ ...found, other: { ...found.other, sealed: block, header: block.bytes } })
    }
    await disk.settled()
    expect(readdirSync(join(directory, 'evidence'))).toHaveLength(8)
    expect(lines).toHaveLength(20)
  })
})

describe('headers over eras', () => {
  const FIVE = [1, 2, 3, 4, 5]
  /** The end of the first era, the newest header of the second, and one of the first by members that have left since. */
  async function grown() {
    const node = await open()
    await endEra(node, adding(5))
    const sealedTip = await grow(node, [put('x')], TIME, FIVE)
    const link = node.executor.reads.eraLinks(0, 1)?.[0]
    if (link === undefined) throw new Error('no link')
    return {
      link,
      tip: { header: sealedTip.bytes, certificate: certify(sealedTip, undefined, FIVE) },
      height: sealedTip.header.height,
    }
  }

  it('a header of the next era is taken once its beginning was shown; one of the era before no longer', async () => {
    const { link, tip, height } = await grown()
    const headers = follow()
    expect(headers.accept('a', tip)).toBe('LIGHT_ERA')
    expect(headers.follow('a', link)).toBe('OK')
    expect(eras).toEqual([1])
    expect(headers.newest?.sealed.header.height).toBe(height - 1)
    expect(headers.accept('a', tip)).toBe('OK')
    expect(headers.newest?.sealed.header.height).toBe(height)
    expect(headers.accept('a', at(100))).toBe('LIGHT_OLD_HEADER')
    expect(headers.follow('a', link)).toBe('BLOCK_ERA')
  })

  it('an end that its members did not commit, or that names others, leads nowhere', async () => {
    const { link, tip } = await grown()
    const headers = follow()
    const set = Uint8Array.from(link.memberSet)
    set[20] = (set[20] as number) ^ 1
    expect(headers.follow('a', { ...link, memberSet: set })).toBe('BLOCK_MEMBER_SET')
    expect(headers.follow('a', { ...link, certificate: tip.certificate })).toBe('CERT_STATEMENT')
    expect(headers.follow('a', { ...tip, memberSet: link.memberSet })).toBe('BLOCK_ERA')
    expect(headers.follow('a', { ...at(3), memberSet: link.memberSet })).toBe('BLOCK_MEMBER_SET')
    expect(headers.trusted.era).toBe(0)
    expect(savedEras).toEqual([])
  })

  it('the era is there again after a start; a damaged file is refused, and the chain followed from the genesis', async () => {
    const { link, tip } = await grown()
    follow().follow('a', link)
    const again = follow()
    expect(again.restoreEra(savedEras[0] as Uint8Array)).toBe('OK')
    expect(again.accept('a', tip)).toBe('OK')
    const damaged = follow()
    expect(damaged.restoreEra(Uint8Array.of(1, 2))).toBe('BLOCK_MALFORMED')
    expect(damaged.trusted.era).toBe(0)
  })
})
