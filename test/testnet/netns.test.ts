import { readdir } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { LinkFaults, linksAmong, OPEN } from '../../testnet/links.ts'
import { inputRules, Netns, shapeWords } from '../../testnet/netns.ts'
import { isRoot, missingTools, NAMESPACES, ownName, runTool } from '../../testnet/tools.ts'

const places = ['north', 'south'].map((name, i) => ({
  name,
  p2pPort: 4000 + i,
  apiPort: 4100 + i,
  metricsPort: 4200 + i,
}))
const isPossible = isRoot() && (await missingTools(['ip', 'tc', 'nft', 'nsenter'])).length === 0

describe('netns', () => {
  it('netns: shapes are netem where it is, a token bucket for a rate alone, and else plain', () => {
    expect(shapeWords({ ...OPEN, delayMs: 40, jitterMs: 5, lossPercent: 2 }, true).join(' ')).toBe(
      'qdisc replace dev net0 root netem limit 10000 delay 40ms 5ms loss 2%',
    )
    expect(shapeWords({ ...OPEN, rateBitsPerS: 1_000_000 }, true).join(' ')).toBe(
      'qdisc replace dev net0 root tbf rate 1000000bit burst 32768 latency 400ms',
    )
    expect(shapeWords(OPEN, false).join(' ')).toBe('qdisc replace dev net0 root pfifo_fast')
  })

  it('netns: rules drop what is held, reset what is cut, and are replaced as a whole', () => {
    const rules = inputRules(['10.213.0.2'], ['10.213.0.3', '10.213.0.4'])
    expect(rules).toContain('ip saddr { 10.213.0.2 } drop')
    expect(rules).toContain('ip saddr { 10.213.0.3, 10.213.0.4 } meta l4proto tcp reject with tcp reset')
    expect(rules).toMatch(/^table inet althing\ndelete table inet althing\n/)
    expect(inputRules([], [])).not.toContain('saddr')
  })

  it.skipIf(isPossible)(
    'netns: without root or its tools it is refused, with all that is missing and a way out (skipped where it is possible)',
    async () => {
      await expect(Netns.prepare(places)).rejects.toMatchObject({
        code: 'TESTNET_NETWORK',
        advice: expect.stringContaining('--network relay'),
      })
    },
  )

  describe.skipIf(!isPossible)('as root (skipped where there is no root, iproute2, nftables)', () => {
    it('netns: members reach each other; a link held one way carries nothing that way; all is removed', async () => {
      const network = await Netns.prepare(places)
      try {
        await network.open()
        const ping = (from: string, to: string): Promise<boolean> => {
          const [program = '', ...words] = network.seatOf(from).before
          expect(program).toBe('nsenter')
          const address = /ip4\/([0-9.]+)/.exec(network.seatOf(to).settings['network.listen'] ?? '')?.[1] as string
          // A connection is refused at once where packets pass both ways, and not answered at all where they do not.
          const script = `timeout 0.5 bash -c 'exec 3<>/dev/tcp/${address}/9' 2>&1; true`
          return runTool('nsenter', [...words, 'bash', '-c', script]).then((text) => text.includes('refused'))
        }
        expect(await ping('north', 'south')).toBe(true)
        const faults = new LinkFaults()
        faults.add([{ from: 'south', to: 'north' }], { passage: 'held' })
        await network.apply(faults.of)
        expect(await ping('north', 'south')).toBe(false)
        faults.clear()
        await network.apply(faults.of)
        expect(await ping('north', 'south')).toBe(true)
      } finally {
        await network.close()
      }
      expect((await readdir(NAMESPACES)).filter((name) => name.startsWith(ownName('')))).toEqual([])
      expect((await readdir('/sys/class/net')).filter((name) => name.startsWith(`al${process.pid}c`))).toEqual([])
    }, 30_000)

    it('netns: single links cannot be shaped, whole members can; delay only where the kernel has netem', async () => {
      const network = await Netns.prepare([...places, { ...places[1], name: 'east' } as never])
      const faults = new LinkFaults()
      const remove = faults.add([{ from: 'north', to: 'south' }], { rateBitsPerS: 1000 })
      expect(network.refuses(faults.of)).toMatch(/single links/)
      remove()
      faults.add(linksAmong(['north', 'south', 'east']), { rateBitsPerS: 1000 })
      expect(network.refuses(faults.of)).toBeNull()
      faults.add(linksAmong(['north', 'south', 'east']), { delayMs: 10 })
      expect([null, expect.stringContaining('sch_netem')]).toContainEqual(network.refuses(faults.of))
    })
  })
})
