/**
 * Byzantine members: an honest node whose every word is twisted on its way out, or two of them with one key (twins; see world.ts). Forgeries need
 * the keys of others and are not tried here; what lying leaders and voters can plot is searched by test/simulation.
 */
import { encodeLinkFrame } from '../../protocol/consensus/wire.ts'
import type { Random } from '../simulation/random.ts'
import type { Machine } from './machine.ts'
import type { Lie } from './scenario.ts'
import type { Outgoing, Twist } from './twist.ts'

const NOTHING = new Uint8Array(0)

/** `bytes` with some of them changed, cut or continued. */
export function garbled(random: Random, bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0 || random.chance(0.2))
    return Uint8Array.from({ length: random.below(64) }, () => random.below(256))
  if (random.chance(0.2)) return bytes.slice(0, random.below(bytes.length))
  const out = bytes.slice()
  for (let i = 1 + random.below(3); i > 0; i--) out[random.below(out.length)] = random.below(256)
  return out
}

/** How a member that lies in the way of `lie` twists what leaves it. Twins say what they say. */
export function twistOf(lie: Lie | undefined, random: Random): Twist | undefined {
  const asIs = (frame: Outgoing): readonly Uint8Array[] => [frame.bytes]
  const answerAsIs = (_name: string, _question: Uint8Array, answer: Uint8Array): Uint8Array => answer
  switch (lie) {
    case undefined:
    case 'twins':
    case 'flood':
      return undefined
    case 'withhold':
      // Proposes and votes, and gives nobody what it is about.
      return {
        sends: (frame) =>
          frame.channel === 'message' || (frame.channel === 'push' && random.chance(0.5)) ? [frame.bytes] : [],
        answers: (name, _question, answer) =>
          ['bodies', 'blocks', 'proposal', 'headers'].includes(name) ? (random.chance(0.5) ? null : NOTHING) : answer,
      }
    case 'lyingSync': {
      const earlier: Uint8Array[] = []
      return {
        sends: asIs,
        answers(name, _question, answer) {
          if (name === 'hand' || name === 'head') return answer
          earlier.push(answer)
          if (earlier.length > 32) earlier.shift()
          return random.pick([garbled(random, answer), random.pick(earlier), NOTHING, answer, Uint8Array.of(0x80)])
        },
      }
    }
    case 'selective':
      // Some members never hear of it, and others only sometimes.
      return {
        sends: (frame) => (frame.to.charCodeAt(5) % 3 === 0 || random.chance(0.3) ? [] : [frame.bytes]),
        answers: answerAsIs,
      }
    case 'garble':
      return {
        sends: (frame) => (random.chance(0.2) ? [garbled(random, frame.bytes), frame.bytes] : [frame.bytes]),
        answers: (_name, _question, answer) => (random.chance(0.3) ? garbled(random, answer) : answer),
      }
  }
}

/** Junk on all channels, as fast as a member may be expected to bear; the number of frames. */
export function flood(machine: Machine, random: Random): number {
  const { network, scope } = machine.run ?? {}
  const peers = network?.linkedPeers() ?? []
  if (network === undefined || scope?.alive !== true || peers.length === 0) return 0
  for (let i = 0; i < 20; i++) {
    const peer = random.pick(peers)
    const deed = random.below(5)
    if (deed === 0) network.send(peer, garbled(random, new Uint8Array(200)))
    if (deed === 1) network.send(peer, encodeLinkFrame({ kind: 'echo', era: 0, nonce: random.below(1000) }))
    if (deed === 2) void network.publish('transactions', garbled(random, new Uint8Array(300)))
    if (deed === 3)
      void network
        .request(peer, random.pick(['blocks', 'headers', 'bodies', 'hand']), garbled(random, new Uint8Array(50)))
        .catch(() => undefined)
    if (deed === 4) void network.push(peer, garbled(random, new Uint8Array(5000)))
  }
  return 20
}
