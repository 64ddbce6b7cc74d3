/**
 * Light peers: devices that hand in reports, follow headers and check proofs with the product's own verification. (The RTU's program around it, with
 * its outbox and monitors, is not simulated here.)
 */
import { decodeAnswer, decodeFrame, erasAnswer, erasQuestion, QUESTIONS } from '../../node/light/messages.ts'
import { decodeHeader } from '../../protocol/block.ts'
import { toHex } from '../../protocol/bytes.ts'
import { certificateCodec } from '../../protocol/certificate.ts'
import { decodeAs, encodeAs } from '../../protocol/codec.ts'
import { chainIdOf, type Genesis } from '../../protocol/genesis.ts'
import { deviceReport } from '../../protocol/kinds/report/report.ts'
import { trustStateKey } from '../../protocol/kinds/trust/record.ts'
import { eraOfGenesis, followEra, type TrustedEra, verifyHeader } from '../../protocol/light.ts'
import { parseProof, verifyProof } from '../../protocol/proof.ts'
import { signTransaction } from '../../protocol/transaction.ts'
import { address, report, secretKey } from '../protocol/kinds/consortium.ts'
import type { Random } from '../simulation/random.ts'
import { EPOCH_MS, type Machine } from './machine.ts'
import { SimulatedNetwork } from './network.ts'
import { type Schedule, Scope } from './schedule.ts'
import type { Wires } from './wires.ts'

/** Key number of the first device, as test/protocol/kinds/consortium.ts counts. */
export const DEVICE = 151

/** What a light peer is given. */
export type LightWorld = {
  readonly schedule: Schedule
  readonly random: Random
  readonly wires: Wires
  readonly genesis: Genesis
  readonly machines: readonly Machine[]
  /** How many times slower devices act than they would. */
  readonly slowness: number
  /** A certified header that verified. */
  saw(height: number, hash: string): void
  violation(text: string): void
}

/** One device. */
export class Light {
  readonly #number: number
  readonly #world: LightWorld
  readonly #scope: Scope
  readonly #network: SimulatedNetwork
  #nonces = 0
  #subscribed = false
  /** Reports that a member took, by id, and those proved to be in the chain. */
  readonly reports = new Map<string, Uint8Array>()
  headers = 0
  proofs = 0
  /** Eras that it was led to, the genesis first. */
  readonly eras: TrustedEra[]

  constructor(number: number, world: LightWorld) {
    this.#number = number
    this.#world = world
    this.eras = [eraOfGenesis(world.genesis)]
    this.#scope = new Scope(world.schedule, (error) => world.violation(`bug in a light peer: ${String(error)}`))
    this.#network = new SimulatedNetwork(
      { secretKey: secretKey(DEVICE + number), role: 'device' },
      { roleOf: () => 'member' },
      {
        name: `d${number}`,
        scope: this.#scope,
        wires: world.wires,
        now: () => world.schedule.now,
        watch: {
          sent: () => undefined,
          shutOut: () => undefined,
          bug: (error) => world.violation(`bug in a light peer: ${String(error)}`),
          twist: undefined,
        },
      },
    )
    void this.#network.start()
  }

  /** Goes on until `stop`. */
  begin(stop: () => boolean): void {
    const { random } = this.#world
    this.#scope.later((200 + random.next() * 1500) * this.#world.slowness, () => {
      if (stop()) return
      void this.#act().finally(() => this.begin(stop))
    })
  }

  async #act(): Promise<void> {
    const { random, machines } = this.#world
    const machine = random.pick(machines)
    const peer = machine.publicKey
    try {
      if (!this.#subscribed && random.chance(0.5)) return await this.#subscribe(peer, machine)
      if (random.chance(0.1)) await this.#follow(peer, machine)
      const deed = random.next()
      if (deed < 0.5) await this.#report(peer)
      else if (deed < 0.8) await this.#receipt(peer, machine)
      else await this.#state(peer, machine)
    } catch {
      // Members are away, or answer nonsense: a device asks another one.
    }
  }

  async #subscribe(peer: string, machine: Machine): Promise<void> {
    const subscription = await this.#network.openPush(peer, (_peer, bytes) => this.#pushed(peer, machine, bytes))
    this.#subscribed = true
    void subscription.ended.then(() => {
      this.#subscribed = false
    })
    // A member that dies without a word is noticed by a device's own clock.
    this.#scope.later(10_000, () => {
      subscription.close()
      this.#subscribed = false
    })
  }

  /** Goes on to the next eras, as `peer` shows them. */
  async #follow(peer: string, machine: Machine): Promise<void> {
    const { genesis, violation } = this.#world
    const present = this.eras.at(-1) as TrustedEra
    const answer = await this.#network.request(peer, QUESTIONS.eras, encodeAs(erasQuestion, present.era))
    if (this.eras.at(-1) !== present) return
    for (const link of decodeAs(erasAnswer, answer)) {
      const followed = followEra(this.eras.at(-1) as TrustedEra, link, chainIdOf(genesis))
      if (followed.ok) this.eras.push(followed.next)
      else if (!machine.options.lies)
        return violation(`${machine.place} shows the end of an era that is none: ${followed.code}`)
      else return
    }
  }

  #pushed(peer: string, machine: Machine, bytes: Uint8Array): void {
    const { genesis } = this.#world
    try {
      const frame = decodeFrame(bytes)
      if (frame.kind !== 'header') return
      const sealed = decodeHeader(frame.header.header)
      const certificate = decodeAs(certificateCodec, frame.header.certificate)
      const era = this.eras[sealed.header.era]
      if (era === undefined) return void this.#follow(peer, machine).catch(() => undefined)
      const verified = verifyHeader(sealed, certificate, era.memberSet, chainIdOf(genesis))
      if ('ok' in verified && verified.ok) {
        this.headers++
        this.#world.saw(sealed.header.height, toHex(sealed.hash))
      } else if (!machine.options.lies) this.#world.violation(`${machine.place} pushed a header that does not verify`)
    } catch (error) {
      if (!machine.options.lies) this.#world.violation(`${machine.place} pushed what cannot be read: ${String(error)}`)
    }
  }

  async #report(peer: string): Promise<void> {
    const nonce = new Uint8Array(16)
    new DataView(nonce.buffer).setUint32(0, ++this.#nonces)
    const { schedule, genesis } = this.#world
    const payload = deviceReport.payload.to(report(DEVICE + this.#number) as never)
    const validUntil = Math.floor(EPOCH_MS + schedule.now + 60_000)
    const { id, bytes } = signTransaction(
      { kind: 'device.report', payload, nonce, validUntil },
      chainIdOf(genesis),
      secretKey(DEVICE + this.#number),
    )
    const { code } = decodeAnswer(await this.#network.request(peer, QUESTIONS.submit, bytes))
    if (code === 'OK') this.reports.set(toHex(id), id)
  }

  async #receipt(peer: string, machine: Machine): Promise<void> {
    const known = [...this.reports.values()]
    if (known.length === 0) return
    const answer = await this.#network.request(peer, QUESTIONS.receipt, this.#world.random.pick(known))
    this.#check(machine, decodeAnswer(answer).proof)
  }

  async #state(peer: string, machine: Machine): Promise<void> {
    const key = trustStateKey(address(DEVICE + this.#number))
    const answer = await this.#network.request(peer, QUESTIONS.state, new TextEncoder().encode(key))
    this.#check(machine, decodeAnswer(answer).proof)
  }

  #check(machine: Machine, proof: string | null): void {
    if (proof === null) return
    const parsed = parseProof(proof)
    const verified = parsed.ok && verifyProof(parsed.proof, this.#world.genesis)
    if (parsed.ok && verified !== false && verified.ok) {
      this.proofs++
      const { header, hash } = decodeHeader(parsed.proof.block.header)
      this.#world.saw(header.height, toHex(hash))
    } else if (!machine.options.lies) this.#world.violation(`${machine.place} gave a proof that does not verify`)
  }
}
