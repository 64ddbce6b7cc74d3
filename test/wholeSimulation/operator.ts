/**
 * What operators and bad luck do to the disk of one member: ledgers and records that are lost, rot, backups and their restoring. Whatever is done
 * here, another honest member has the blocks, and records are lost one at a time and within what the set bears (agreement.md §6).
 */
import { readBackup } from '../../node/backup/format.ts'
import type { StoreEntry } from '../../node/store/store.ts'
import type { Checker } from './checker.ts'
import { DATA, LEDGER, type Machine, RECORD } from './machine.ts'

/** What operators are given. */
export type OperatorWorld = {
  readonly checker: Checker
  readonly machines: readonly Machine[]
  /** Honest members now. */
  members(): Machine[]
  /** How many members may have lost their records. */
  faults(): number
}

export class Operator {
  readonly #world: OperatorWorld

  constructor(world: OperatorWorld) {
    this.#world = world
  }

  /** A ledger of which there is no other copy is not lost: nobody could have it back. */
  loseLedger(machine: Machine, downMs: number): void {
    this.#lose(machine, LEDGER, downMs)
  }

  #mayLose(machine: Machine): boolean {
    return machine.options.lies || this.#world.checker.hasCopy(machine, this.#world.members())
  }

  #lose(machine: Machine, path: string, downMs: number): boolean {
    if (!this.#mayLose(machine)) return false
    machine.crash(downMs)
    machine.disk.wipe(path)
    if (path !== RECORD) {
      machine.joined = false
      this.#world.checker.forgets(machine)
    }
    return true
  }

  /** One member at a time recovers, and never one alone; a liar's record is its own affair. */
  loseRecord(machine: Machine, path: string, downMs: number): boolean {
    const recovering = this.#world.machines.some((one) => !one.options.lies && one.recovering)
    if (recovering || machine.options.lies || this.#world.faults() < 1 || !this.#mayLose(machine)) return false
    machine.mustRecover = true
    machine.recovering = true
    return this.#lose(machine, path, downMs)
  }

  /** Makes a backup of a running member, as `althing backup create` does. */
  backUp(machine: Machine): void {
    const { node, run } = machine
    if (node === undefined) return
    const gather = async (): Promise<void> => {
      const pieces: Uint8Array[] = []
      for await (const piece of node.backup()) pieces.push(piece)
      if (machine.run === run) machine.backup = Buffer.concat(pieces)
    }
    // Its disk may fail under it.
    gather().catch(() => undefined)
  }

  /** The disk is lost and the backup is put on the new one; the record is in none, so the member starts with `recover`. */
  restore(machine: Machine, downMs: number): void {
    const { backup } = machine
    if (backup === undefined || !this.loseRecord(machine, DATA, downMs)) return
    const unpack = async (): Promise<void> => {
      const entries: StoreEntry[] = []
      const read = await readBackup(piecesOf(backup))
      for await (const entry of read.entries) entries.push(entry)
      machine.disk.fill(LEDGER, entries)
    }
    unpack().catch((error) => this.#world.checker.violation(`a backup cannot be read: ${String(error)}`))
  }

  /** Entries of one ledger rot; of one at a time. */
  rot(machine: Machine, entries: number): void {
    const isOther = this.#world.machines.some((one) => one !== machine && one.disk.isRotten(LEDGER))
    if (!isOther && this.#mayLose(machine)) machine.disk.rot(LEDGER, entries)
  }

  /** A member ended because its ledger is damaged: it is moved away, and fetched anew. */
  damaged(machine: Machine): void {
    if (!this.#lose(machine, LEDGER, 500)) machine.disk.unrot(LEDGER)
  }

  /** Rot that nobody has read yet is found by a look at the whole disk. */
  scrub(machine: Machine): void {
    if (machine.disk.isRotten(LEDGER)) this.damaged(machine)
  }
}

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}
